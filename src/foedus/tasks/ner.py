"""Named entities: a B- or I- tag of a type, or O, for every word; at character level every character is a word.

Each word is encoded by itself (and cached); its first piece carries the tag, the others are not scored. Words give the
pieces that `is_split_into_words` gives. At character level a bare space mark before an ideograph ("▁", then the sign)
would carry the tag in its place and double the length: there it is dropped.

Words beyond `max_tokens` are not read: their entities count as missed and their tags as wrong, never as left out. A
word of which the tokenizer makes no piece at all (a space, at character level) lies inside an entity when both
neighbours do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from foedus.data.examples import Example, Span, of_text
from foedus.records import terms
from foedus.records.metrics import count_names
from foedus.tasks.base import Batch, Counts, Encoded, Task, implements, pad
from foedus.tasks.score import spans_of, tags_of

__all__ = ["entities", "frame", "marks"]

_SPACE_MARKS = ("▁", "Ġ")


@implements(terms.TokenClassification)
def entities(settings: terms.TokenClassification) -> Task:
    """The task over the accord's entity types, in the accord's order."""
    tags = ("O", *(f"{prefix}-{kind}" for kind in settings.labels for prefix in "BI"))
    return Task(
        settings=settings,
        model_class="AutoModelForTokenClassification",
        labels=tags,
        example=partial(of_text, level=settings.level),
        encode=partial(
            _encode,
            {tag: i for i, tag in enumerate(tags)},
            settings.max_tokens,
            without_mark=settings.level == "character",
        ),
        collate=_collate,
        loss=_loss,
        counts=partial(_counts, tags, len(count_names(settings))),
        groups=_groups,
        predict=partial(_predict, tags),
    )


# ── in ───────────────────────────────────────────────────────────────────────


def _encode(
    ids: dict[str, int], max_tokens: int, tokenizer: Any, examples: Sequence[Example], *, without_mark: bool
) -> list[Encoded]:
    before, after = frame(tokenizer)
    pieces = _pieces(tokenizer, without_mark=without_mark)
    room = max_tokens - len(before) - len(after)
    out = []
    for example in examples:
        tokens, labels, words = list(before), [-100] * len(before), [-1] * len(before)
        for number, (word, tag) in enumerate(zip(example.tokens, tags_of(example), strict=True)):
            found = pieces(word)[: room + len(before) - len(tokens)]
            if found:
                tokens += found
                labels += [ids[tag], *[-100] * (len(found) - 1)]
                words += [number, *[-1] * (len(found) - 1)]
        out.append(Encoded((*tokens, *after), (*labels, *[-100] * len(after)), (*words, *[-1] * len(after))))
    return out


def frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a")["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    raise ValueError("the tokenizer writes a text differently with and without special tokens")


def marks(tokenizer: Any) -> frozenset[int]:
    """The ids of the bare space marks that the tokenizer knows."""
    vocabulary = tokenizer.get_vocab()
    return frozenset(vocabulary[mark] for mark in _SPACE_MARKS if mark in vocabulary)


def _pieces(tokenizer: Any, *, without_mark: bool) -> Callable[[str], list[int]]:
    """The token ids of a word, remembered."""
    bare = marks(tokenizer) if without_mark else frozenset()
    known: dict[str, list[int]] = {}

    def pieces(word: str) -> list[int]:
        if word not in known:
            found = list(tokenizer(word, add_special_tokens=False)["input_ids"])
            known[word] = found[1:] if len(found) > 1 and found[0] in bare else found
        return known[word]

    return pieces


def _collate(encoded: Sequence[Encoded], pad_id: int) -> Batch:
    return {
        "input_ids": pad([item.input_ids for item in encoded], pad_id),
        "attention_mask": pad([[1] * len(item.input_ids) for item in encoded], 0),
        "labels": pad([item.labels for item in encoded], -100),
        "words": pad([item.words for item in encoded], -1),
    }


def _loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    labels = batch["labels"]  # (batch, tokens)
    each = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    return each.sum(-1) / (labels != -100).sum(-1).clamp(min=1)


# ── out ──────────────────────────────────────────────────────────────────────


def _read(tags: tuple[str, ...], best: Sequence[int], words: Sequence[int], count: int) -> list[str | None]:
    """The predicted tag of each of `count` words; None for words that were not read."""
    found: list[str | None] = [None] * count
    for position, number in enumerate(words):
        if number >= 0:
            found[number] = tags[best[position]]
    last = max(words, default=-1)
    following: list[str] = []  # the next tag that was read, for each word before the last
    for number in range(last, 0, -1):
        following.append(found[number] or following[-1])
    for number, after in enumerate(reversed(following)):
        if found[number] is None:
            kind = (found[number - 1] or "O").partition("-")[2] if number else ""
            found[number] = after if kind and after == f"I-{kind}" else "O"
    return found


def _counts(
    tags: tuple[str, ...], kinds: int, logits: torch.Tensor, batch: Batch, examples: Sequence[Example]
) -> Counts:
    best = logits.argmax(dim=-1).tolist()  # (batch, tokens)
    words = batch["words"].tolist()
    out = np.zeros((len(examples), kinds), dtype=np.int64)
    for i, example in enumerate(examples):
        predicted = _read(tags, best[i], words[i], len(example.tokens))
        found = set(spans_of([tag or "O" for tag in predicted]))
        right_words = sum(a == b for a, b in zip(predicted, tags_of(example), strict=True))
        out[i] = (
            len(found & set(example.spans)),
            len(found),
            len(example.spans),
            right_words,
            len(example.tokens),
        )
    return out


def _groups(examples: Sequence[Example]) -> list[str] | None:
    documents = [example.document for example in examples]
    return None if any(document is None for document in documents) else [str(document) for document in documents]


def _predict(tags: tuple[str, ...], logits: torch.Tensor, encoded: Encoded, example: Example) -> dict[str, Any]:
    """`entities`: text, type, and where it stands in the example's text (characters); `words_read` of `words`."""
    best = logits.argmax(dim=-1).tolist()  # (tokens,)
    predicted = _read(tags, best[: len(encoded.words)], encoded.words, len(example.tokens))
    places = _places(example)
    return {
        "entities": [_entity(span, places, example.text) for span in spans_of([tag or "O" for tag in predicted])],
        "words": len(example.tokens),
        "words_read": sum(tag is not None for tag in predicted),
    }


def _places(example: Example) -> list[tuple[int, int]]:
    """Where each token stands in the text."""
    out, at = [], 0
    for token in example.tokens:
        at = example.text.index(token, at)
        out.append((at, at + len(token)))
        at += len(token)
    return out


def _entity(span: Span, places: list[tuple[int, int]], text: str) -> dict[str, Any]:
    start, end = places[span.start][0], places[span.end - 1][1]
    return {"text": text[start:end], "start": start, "end": end, "type": span.type}
