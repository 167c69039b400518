"""Where an export comes from: a release that verifies, and its model as the library that it was made for loads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from foedus.core.errors import CallerError, VerifyError
from foedus.records.accord import Accord
from foedus.records.release import Proposal
from foedus.release.bundle import opened
from foedus.release.verify import verify_bundle
from foedus.state.base import open_base
from foedus.tasks import Batch, Task, task_of

__all__ = ["Net", "Source", "apart", "load", "logits_of", "probes", "verified"]


@dataclass(frozen=True, slots=True)
class Source:
    """A verified release: its `model/` folder, what it was agreed on, and as of which checkpoint it verified."""

    model: Path
    accord: Accord
    proposal: Proposal
    anchor: str
    size: int
    recorded_at: str
    at: datetime

    @property
    def name(self) -> str:
        """NAME-VERSION."""
        return f"{self.proposal.name}-{self.proposal.version}"

    @property
    def is_adapter(self) -> bool:
        """Whether the release holds an adapter for a base model, and not every weight."""
        return (self.model / "adapter_config.json").is_file()


@dataclass(frozen=True, slots=True)
class Net:
    """A model in memory, ready to be asked: what the stock classes of a library gave."""

    net: Any
    tokenizer: Any
    task: Task


@contextmanager
def verified(path: Path, *, anchor: str | None, at: datetime, **options: Any) -> Iterator[Source]:
    """A release, folder or zip, that verifies against the anchor. `options` are those of `verify_bundle`.

    Raises:
        CallerError: `files.missing`, `release.no-bundle`.
        VerifyError: what the first failed check says; `export.not-verified` when nothing decides that it holds.
    """
    seen = verify_bundle(path, anchor=anchor, at=at, **options)
    for failed in seen.failures:
        if failed.error:
            raise failed.error
    state, proposal = seen.consortium, seen.proposal
    if seen.outcome != "verified" or state is None or proposal is None or state.anchor is None:
        raise VerifyError("export.not-verified", code=seen.code, headline=seen.headline)
    with opened(path) as folder:
        accord = state.accords[proposal.accord]
        yield Source(folder / "model", accord, proposal, state.anchor, state.size, state.recorded_at or "", at)


def load(folder: Path, accord: Accord) -> Net:
    """The model in a folder, by the stock classes of transformers, and of peft where it is an adapter.

    Raises:
        CallerError: `serve.unreadable-model`.
        IdentityError, VerifyError: as `open_base`, for an adapter.
    """
    import transformers

    task = task_of(accord.task)
    kind = getattr(transformers, task.model_class)
    options = {"dtype": torch.float32, "attn_implementation": "eager"}  # one way to compute, which ONNX can write down
    with _quietly():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            if (folder / "adapter_config.json").is_file():
                from peft import PeftModel

                base = kind.from_pretrained(open_base(accord.base.source, accord.base.pin), **task.head, **options)
                net = PeftModel.from_pretrained(base, str(folder))
            else:
                net = kind.from_pretrained(folder, **options)
        except (OSError, ValueError, KeyError) as error:
            raise CallerError("serve.unreadable-model", path=str(folder), reason=str(error)[:300]) from error
    return Net(net.eval(), tokenizer, task)


@contextmanager
def _quietly() -> Iterator[None]:
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # the library leaves it so
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # likewise
    try:
        yield
    finally:
        logging.set_verbosity(before)


# ── comparing ────────────────────────────────────────────────────────────────


def texts(accord: Accord) -> list[str]:
    """Texts of every length, short to longer than the model reads, made of the accord's own words."""
    words = [label.replace("_", " ") for label in accord.task.labels]
    return [words[0], " ".join(words[:3]), *words[:5], " ".join(words * 8), " ".join(words * accord.task.max_tokens)]


def probes(net: Net, accord: Accord) -> list[Batch]:
    """Batches of different size and length on which two forms of a model are compared; padding among them."""
    encoded = net.task.encode(net.tokenizer, [net.task.example(text) for text in texts(accord)])
    cuts = [encoded[:1], encoded[1:3], encoded[-1:], encoded]
    return [net.task.collate(one, net.tokenizer.pad_token_id) for one in cuts]


def logits_of(net: Net, batch: Batch) -> torch.Tensor:
    """(batch, labels) or (batch, tokens, tags)."""
    with torch.no_grad():
        logits: torch.Tensor = net.net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits


def apart(batches: Sequence[Batch], ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float:
    """The greatest difference of two models' logits over what is no padding; infinity where shapes differ or a value
    is not finite.
    """
    most = 0.0
    for batch, one, other in zip(batches, ours, theirs, strict=True):
        if one.shape != other.shape:
            return float("inf")
        gap = (one.double() - other.double()).abs()
        if gap.dim() == 3:
            gap = gap[batch["attention_mask"].bool()]
        if not bool(torch.isfinite(gap).all()):
            return float("inf")
        most = max(most, float(gap.max()))
    return most
