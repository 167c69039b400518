"""What a desk works with: options, who asks, a release that answers, and answers as they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foedus.core.errors import FoedusError
from foedus.serve.batcher import Batcher, Limits
from foedus.serve.int8 import Agreement
from foedus.serve.predict import Answered, Predictor, Question
from foedus.serve.standing import Admitted, Standing

__all__ = ["Answers", "Caller", "Compared", "Given", "Loaded", "Options", "Watched", "label_of"]


@dataclass(frozen=True, slots=True)
class Options:
    """What whoever serves chose. `keep_days` may only shorten what the accord lets be kept; without a clause it
    decides. `embedding_every`: of so many kept answers one is kept with its embedding. `int8_check`: a labelled file on
    which the model in int8 is compared with the model as released. `watch_seconds`: how often the server looks at its
    own traffic (0: never), whatever the accord says.
    """

    limits: Limits = field(default_factory=Limits)
    seconds: float = 30.0
    text_chars: int = 100_000
    body_bytes: int = 4 << 20
    keep_days: int | None = None
    embedding_every: int = 8
    int8: bool = False
    int8_check: Path | None = None
    watch_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of its token, empty without tokens, and what it may ask for (empty: all of the accord's)."""

    app: str = ""
    purposes: tuple[str, ...] = ()


@dataclass(slots=True)
class Loaded:
    """A release that answers, with its line, and how it stands."""

    release: Admitted
    predictor: Predictor
    batcher: Batcher[Question, Answered]
    standing: Standing
    int8: Agreement | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as it was given: under which id, for which purpose, and whether a human will look at it. `error`: in
    its place.
    """

    id: str
    answered: Answered | None
    in_review: bool = False
    error: FoedusError | None = None


@dataclass(slots=True)
class Compared:
    """What a shadow's answers came to."""

    alike: int = 0
    other: int = 0
    left_out: int = 0


@dataclass(slots=True)
class Watched:
    """How a server looks at its own traffic: how often (0: never), when last, and what went wrong since."""

    every_seconds: int = 0
    looked_at: str | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What a request got, in its order; how long the longest of its texts stood in line and was computed."""

    given: Sequence[Given]
    queue_seconds: float
    infer_seconds: float


def label_of(answer: dict[str, Any]) -> str:
    """An answer in a word: its label, or how many entities of each type."""
    if "label" in answer:
        return str(answer["label"])
    kinds = [entity["type"] for entity in answer["entities"]]
    return " ".join(f"{kind}:{kinds.count(kind)}" for kind in sorted(set(kinds)))
