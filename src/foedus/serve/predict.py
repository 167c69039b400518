"""Predictions from a released model, loaded as anyone would load it: with the stock classes of transformers and
peft. What is loaded lies in memory of its own: a file that changes later changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from foedus.core.errors import CallerError
from foedus.records.accord import Accord
from foedus.serve.few import quicken
from foedus.tasks import Encoded, task_of
from foedus.train.lower import forward
from foedus.train.model import Model, finished

__all__ = ["Answered", "Predictor", "Question", "load_predictor"]

BATCH = 32


@dataclass(frozen=True, slots=True)
class Question:
    """A text to be answered. `embed`: with its embedding."""

    text: str
    embed: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: label and probability, or entities; how many tokens were read; how sure the model is of the whole
    (for entities: of the word that it is least sure of); `embedding`: float32 little-endian, of length 1.
    """

    answer: dict[str, Any]
    tokens: int
    confidence: float
    embedding: bytes | None = None


@dataclass(slots=True)
class Predictor:
    """A released model, ready. Not safe for several threads at once."""

    model: Model
    _reads_first: bool = field(init=False)

    def __post_init__(self) -> None:
        self.model.net.eval()
        self._reads_first = self.model.reads_first

    @property
    def width(self) -> int | None:
        """The length of its embeddings; None for a model that is no encoder."""
        config = self.model.net.config
        width = None if getattr(config, "is_decoder", False) else getattr(config, "hidden_size", None)
        return int(width) if width else None

    @property
    def max_tokens(self) -> int:
        """How much of a text is read."""
        return self.model.task.settings.max_tokens

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """An answer for each text: label and probability, or entities with their places.

        Raises:
            CallerError: `serve.empty-text` for a text without a character that is not a space.
        """
        answers: list[dict[str, Any]] = []
        for i, text in enumerate(texts):
            if not text.strip():
                raise CallerError("serve.empty-text", number=i + 1)
        for start in range(0, len(texts), BATCH):
            answers += [one.answer for one in self.answer([Question(text) for text in texts[start : start + BATCH]])]
        return answers

    def answer(self, questions: Sequence[Question]) -> list[Answered]:
        """An answer for each question, computed as one batch. The texts must not be empty."""
        model, task = self.model, self.model.task
        examples = [task.example(question.text) for question in questions]
        encoded = task.encode(model.tokenizer, examples)
        batch = task.collate(encoded, model.tokenizer.pad_token_id)
        embeds = any(question.embed for question in questions)
        model.reads_first = self._reads_first and not embeds  # an embedding is of every token, not of the first alone
        with torch.inference_mode(), _no_shape_kept(), _last_hidden(model.net) if embeds else nullcontext() as hidden:
            logits = forward(model, batch)  # (batch, labels) or (batch, tokens, tags)
            sure = _confidences(logits, encoded)
            embeddings = _embeddings(hidden[0], batch["attention_mask"]) if hidden else None
        rows = enumerate(zip(logits, encoded, examples, questions, strict=True))
        return [
            Answered(
                task.predict(row, one, example),
                len(one.input_ids),
                sure[i],
                embeddings[i] if embeddings and question.embed else None,
            )
            for i, (row, one, example, question) in rows
        ]


@contextmanager
def _no_shape_kept() -> Iterator[None]:
    """Calls inside do without oneDNN, which compiles an activation anew for each shape and keeps a thousand of them:
    a server meets another number of tokens in nearly every batch, and what is kept lies so between what is freed that
    the process grows by hundreds of megabytes. torch's own kernels take no longer.
    """
    backend: Any = torch.backends.mkldnn
    before, backend.enabled = backend.enabled, False
    try:
        yield
    finally:
        backend.enabled = before


@contextmanager
def _last_hidden(net: Any) -> Iterator[list[torch.Tensor]]:
    """What the encoder gives in a forward call inside: (batch, tokens, width)."""
    found: list[torch.Tensor] = []
    backbone = getattr(net, net.base_model_prefix)
    hook = backbone.register_forward_hook(lambda _module, _given, output: found.append(output[0]))
    try:
        yield found
    finally:
        hook.remove()


def _embeddings(hidden: torch.Tensor, mask: torch.Tensor) -> list[bytes]:
    """The mean of the last hidden states over each text's tokens, brought to length 1."""
    there = mask[:, :, None].to(hidden.dtype)  # (batch, tokens, 1)
    mean = (hidden * there).sum(1) / there.sum(1)
    return [row.numpy().tobytes() for row in torch.nn.functional.normalize(mean)]


def _confidences(logits: torch.Tensor, encoded: Sequence[Encoded]) -> list[float]:
    """How sure the model is of each answer, 0 to 1; 1 for a text of which no word was read."""
    best = torch.softmax(logits.double(), dim=-1).amax(-1)  # (batch,) or (batch, tokens)
    if best.dim() == 1:
        return [float(value) for value in best]
    rows = zip(best.tolist(), encoded, strict=True)
    return [
        min((value for value, word in zip(row, one.words, strict=False) if word >= 0), default=1.0) for row, one in rows
    ]


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
            net = PeftModel.from_pretrained(base, str(model)).merge_and_unload()
        else:
            net = kind.from_pretrained(model, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise CallerError("serve.unreadable-model", path=str(model), reason=str(error)[:300]) from error
    finally:
        transformers.logging.set_verbosity(quietly)
    for tensor in (*net.parameters(), *net.buffers()):
        tensor.requires_grad = False
        tensor.data = tensor.data.clone()  # a mapped file could be written to under our feet
    quicken(net)
    return Predictor(finished(net, tokenizer, task, accord.training.method))
