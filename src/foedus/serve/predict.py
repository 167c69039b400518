"""Predictions from a released model, loaded as anyone would load it: with the stock classes of transformers and
peft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from foedus.core.errors import CallerError
from foedus.records.accord import Accord
from foedus.tasks import Task, task_of

__all__ = ["Predictor", "load_predictor"]

BATCH = 32


@dataclass(slots=True)
class Predictor:
    """A released model, ready. Not safe for several threads at once."""

    net: Any
    tokenizer: Any
    task: Task

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """An answer for each text: label and probability, or entities with their places.

        Raises:
            CallerError: `serve.empty-text` for a text without a character that is not a space.
        """
        answers: list[dict[str, Any]] = []
        for i, text in enumerate(texts):
            if not text.strip():
                raise CallerError("serve.empty-text", number=i + 1)
        self.net.eval()
        for start in range(0, len(texts), BATCH):
            examples = [self.task.example(text) for text in texts[start : start + BATCH]]
            encoded = self.task.encode(self.tokenizer, examples)
            batch = self.task.collate(encoded, self.tokenizer.pad_token_id)
            with torch.no_grad():
                logits = self.net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            rows = zip(logits, encoded, examples, strict=True)
            answers += [self.task.predict(row, one, example) for row, one, example in rows]
        return answers


def load_predictor(model: Path, accord: Accord) -> Predictor:
    """The predictor over a release's `model/` folder. The release must have been verified before.

    Raises:
        CallerError: `serve.unreadable-model`.
    """
    import transformers

    task = task_of(accord.task)
    kind = getattr(transformers, task.model_class)
    quietly = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # the library leaves it so
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # likewise
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        if (model / "adapter_config.json").exists():
            from peft import PeftModel

            from foedus.state.base import open_base

            base = kind.from_pretrained(open_base(accord.base.source, accord.base.pin), **task.head)
            net = PeftModel.from_pretrained(base, str(model))
        else:
            net = kind.from_pretrained(model, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise CallerError("serve.unreadable-model", path=str(model), reason=str(error)[:300]) from error
    finally:
        transformers.logging.set_verbosity(quietly)
    return Predictor(net, tokenizer, task)
