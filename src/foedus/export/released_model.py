"""What MLflow loads of a release: this file is copied beside the model and stands alone. It needs transformers and
torch, and nothing of Foedus.

`mlflow.pyfunc.load_model(DIR).predict(["a text", …])` gives an answer for each text: label, probability and the
probability of every label; or entities with their places. Tables are read at their column `text`, or their first one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

BATCH = 32


def _load_pyfunc(path: str) -> ReleasedModel:
    return ReleasedModel(Path(path))


class ReleasedModel:
    """The model and its tokenizer, and the accord's words on its task (`task.json`)."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self.task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        kind = getattr(transformers, self.task["model_class"])
        self.net = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.labels = [self.net.config.id2label[i] for i in range(len(self.net.config.id2label))]

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:  # noqa: ARG002
        """An answer for each text. `params` are MLflow's; there are none."""
        texts = _texts(model_input)
        answers: list[dict[str, Any]] = []
        for start in range(0, len(texts), BATCH):
            some = texts[start : start + BATCH]
            if self.task["name"] == "text-classification":
                answers += self._labels(some)
            else:
                answers += self._entities(some)
        return answers

    def logits(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(batch, labels) or (batch, tokens, tags)."""
        with torch.no_grad():
            found: torch.Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask).logits
        return found

    def _batch(self, rows: list[list[int]]) -> torch.Tensor:
        longest, pad = max(map(len, rows)), self.tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return self.logits(ids, mask)

    def _labels(self, texts: list[str]) -> list[dict[str, Any]]:
        rows = self.tokenizer(
            [text.strip() for text in texts], truncation=True, max_length=self.task["max_tokens"]
        )["input_ids"]  # fmt: skip
        answers = []
        for row in torch.softmax(self._batch(rows).double(), dim=-1).tolist():
            best = max(range(len(row)), key=row.__getitem__)
            every = dict(zip(self.labels, row, strict=True))
            answers.append({"label": self.labels[best], "probability": row[best], "probabilities": every})
        return answers

    # ── entities: a tag a word; the first piece of a word carries it ─────────

    def _entities(self, texts: list[str]) -> list[dict[str, Any]]:
        words = [self._words(text.strip()) for text in texts]
        rows, places = zip(*(self._pieces([word for word, _ in one]) for one in words), strict=True)
        best = self._batch(list(rows)).argmax(-1).tolist()
        return [
            self._answer(text.strip(), one, self._tags(tags, at, len(one)))
            for text, one, tags, at in zip(texts, words, best, places, strict=True)
        ]

    def _words(self, text: str) -> list[tuple[str, int]]:
        if self.task["level"] == "character":
            return [(sign, at) for at, sign in enumerate(text)]
        return [(found.group(), found.start()) for found in re.finditer(self.task["words"], text)]

    def _pieces(self, words: list[str]) -> tuple[list[int], list[int]]:
        """Token ids, and for each the number of the word that begins there, else -1; cut to what the model reads."""
        before, after = self.task["before"], self.task["after"]
        room = self.task["max_tokens"] - len(after)
        ids, places = list(before), [-1] * len(before)
        for number, word in enumerate(words):
            found = self.tokenizer(word, add_special_tokens=False)["input_ids"]
            if len(found) > 1 and found[0] in self.task["marks"]:
                found = found[1:]
            found = found[: room - len(ids)]
            ids += found
            places += [number, *[-1] * (len(found) - 1)] if found else []
        return [*ids, *after], [*places, *[-1] * len(after)]

    def _tags(self, best: list[int], places: list[int], count: int) -> list[str | None]:
        """The tag of each word; a word without pieces continues the entity that goes on after it; None: not read."""
        tags: list[str | None] = [None] * count
        for label, number in zip(best, places, strict=False):
            if number >= 0:
                tags[number] = self.labels[label]
        last = max(places, default=-1)
        for number in range(1, last):
            if tags[number] is None:
                after = next(tag for tag in tags[number + 1 :] if tag)
                kind = (tags[number - 1] or "O").partition("-")[2]
                tags[number] = after if kind and after == f"I-{kind}" else "O"
        return ["O" if tag is None and number <= last else tag for number, tag in enumerate(tags)]

    def _answer(self, text: str, words: list[tuple[str, int]], tags: list[str | None]) -> dict[str, Any]:
        entities, start, kind = [], 0, ""
        for number, tag in enumerate([*(tag or "O" for tag in tags), "O"]):
            prefix, _, name = tag.partition("-")
            if kind and (prefix != "I" or name != kind):
                first, end = words[start][1], words[number - 1][1] + len(words[number - 1][0])
                entities.append({"text": text[first:end], "start": first, "end": end, "type": kind})
                kind = ""
            if not kind and prefix in ("B", "I"):
                start, kind = number, name
        return {"entities": entities, "words": len(words), "words_read": sum(tag is not None for tag in tags)}


def _texts(given: Any) -> list[str]:
    """The texts of a list, an array, a series, a table, or one text."""
    if isinstance(given, str):
        return [given]
    if hasattr(given, "columns"):
        given = given["text"] if "text" in given.columns else given.iloc[:, 0]
    return [str(one) for one in given]
