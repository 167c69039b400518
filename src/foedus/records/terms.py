"""What the accord can name: one frozen record a task, method, combine rule, outer step, value and gate.

A declaration holds its settings with their defaults, and facts that a plan is checked against before anyone signs. It
holds no machinery: the learning wing implements it, so `accord check` works where no torch is installed.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from foedus.records.base import BasisPoints, ListOf, Name, Positive, Rate, Record, SetOf, Text, refused

__all__ = [
    "Adam",
    "Artefact",
    "AumannShapley",
    "Combine",
    "Drop",
    "Full",
    "Gate",
    "Head",
    "Late",
    "Lora",
    "Mean",
    "Method",
    "Nesterov",
    "NextRound",
    "NoCredit",
    "NoHarm",
    "Outer",
    "Plain",
    "Reconstruct",
    "Task",
    "TextClassification",
    "TokenClassification",
    "Utility",
    "Value",
    "Yogi",
]


# ── tasks ────────────────────────────────────────────────────────────────────


class TextClassification(Record):
    """One label a text. Metrics: `accuracy`, `macro-f1`."""

    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro-f1")

    name: Literal["text-classification"] = "text-classification"
    labels: ListOf[Text] = Field(min_length=2)
    max_tokens: Annotated[Positive, Field(le=131_072)] = 128


class TokenClassification(Record):
    """Named entities: spans with a type, over words or characters. Metrics: `entity-f1`, `token-accuracy`."""

    metrics: ClassVar[tuple[str, ...]] = ("entity-f1", "token-accuracy")

    name: Literal["token-classification"] = "token-classification"
    labels: ListOf[Text] = Field(min_length=1, description="The entity types, in order.")
    level: Literal["word", "character"] = "word"
    max_tokens: Annotated[Positive, Field(le=131_072)] = 128


Task = Annotated[TextClassification | TokenClassification, Field(discriminator="name")]


# ── methods ──────────────────────────────────────────────────────────────────


class Full(Record):
    """Every weight of the `top_layers` uppermost layers (all, embeddings too, when null) and the head."""

    name: Literal["full"] = "full"
    top_layers: Annotated[Positive, Field(le=1_000)] | None = None


class Head(Record):
    """The head alone; the base model is frozen."""

    name: Literal["head"] = "head"


class MemberRank(Record):
    """A member that trains with a rank of its own."""

    member: Name
    rank: Annotated[Positive, Field(le=4_096)]


class Lora(Record):
    """Low-rank adapters on the linear layers named `targets`, and the head.

    `alternate`: odd rounds train B and the head, even rounds A and the head; each mean is exact, the rank stays.
    `stack`: each member's product B·A is exact and is folded into a dense delta; members may have ranks of their own.
    """

    name: Literal["lora"] = "lora"
    rank: Annotated[Positive, Field(le=4_096)] = 8
    alpha: Annotated[Positive, Field(le=1_000_000)] = 16
    dropout: Rate = "0"
    targets: SetOf[Name] = ("query", "value")
    top_layers: Annotated[Positive, Field(le=1_000)] | None = None
    combine: Literal["alternate", "stack"] = "alternate"
    member_ranks: ListOf[MemberRank] = ()


Method = Annotated[Full | Head | Lora, Field(discriminator="name")]


# ── combine and outer ────────────────────────────────────────────────────────


class Mean(Record):
    """The weighted mean of the updates.

    `examples`: weights are the registered counts of training examples, none above `cap` of the whole. `equal`: all
    alike.
    """

    linear: ClassVar[bool] = True
    needs: ClassVar[Literal["sum", "each"]] = "sum"

    name: Literal["mean"] = "mean"
    weights: Literal["examples", "equal"] = "examples"
    cap_bp: BasisPoints = 5000


Combine = Annotated[Mean, Field()]


class Plain(Record):
    """state + learning_rate · delta (FedAvg at 1)."""

    linear: ClassVar[bool] = True

    name: Literal["plain"] = "plain"
    learning_rate: Rate = "1"


class Nesterov(Record):
    """Nesterov momentum on the delta (DiLoCo: Douillard et al. 2023, arXiv:2311.08105)."""

    linear: ClassVar[bool] = True

    name: Literal["nesterov"] = "nesterov"
    learning_rate: Rate = "0.7"
    momentum: Rate = "0.9"


class Adam(Record):
    """FedAdam (Reddi et al. 2021, arXiv:2003.00295, Algorithm 2). Path credit takes the preconditioner as given."""

    linear: ClassVar[bool] = False

    name: Literal["adam"] = "adam"
    learning_rate: Rate = "0.01"
    beta1: Rate = "0.9"
    beta2: Rate = "0.99"
    tau: Rate = "0.001"


class Yogi(Record):
    """FedYogi (Reddi et al. 2021, arXiv:2003.00295, Algorithm 2). Path credit takes the preconditioner as given."""

    linear: ClassVar[bool] = False

    name: Literal["yogi"] = "yogi"
    learning_rate: Rate = "0.01"
    beta1: Rate = "0.9"
    beta2: Rate = "0.99"
    tau: Rate = "0.001"


Outer = Annotated[Plain | Nesterov | Adam | Yogi, Field(discriminator="name")]


# ── who is asked, and what becomes of late replies ───────────────────────────


class Drop(Record):
    """A reply that comes after its round's deadline is recorded and not used."""

    name: Literal["drop"] = "drop"


class NextRound(Record):
    """A late reply enters the next round that trains the same half, at most `max_rounds` later.

    Its weight is multiplied by `discount` for each round that it is late (bounded staleness).
    """

    name: Literal["next-round"] = "next-round"
    max_rounds: Annotated[Positive, Field(le=10_000)] = 1
    discount: Rate = "0.5"


Late = Annotated[Drop | NextRound, Field(discriminator="name")]


# ── credit ───────────────────────────────────────────────────────────────────


class AumannShapley(Record):
    """Each member's share of the fall in validation loss along each round's path, by Gauss–Legendre at `points`
    points.
    """

    name: Literal["aumann-shapley"] = "aumann-shapley"
    points: Annotated[Positive, Field(le=64)] = 3


class Reconstruct(Record):
    """Exact Shapley values over models rebuilt without members: 2**n evaluations a round, for at most eight members."""

    max_members: ClassVar[int] = 8

    name: Literal["reconstruct"] = "reconstruct"


class NoCredit(Record):
    """No credit is computed."""

    name: Literal["none"] = "none"


Value = Annotated[AumannShapley | Reconstruct | NoCredit, Field(discriminator="name")]


# ── gates ────────────────────────────────────────────────────────────────────


class Utility(Record):
    """The released model's `metric` over all members' test parts: its interval lies at or above `minimum`."""

    name: Literal["utility"] = "utility"
    metric: Name
    minimum: Rate
    min_n: Annotated[Positive, Field(le=1_000_000_000)] = 30


class NoHarm(Record):
    """For each member: federated minus alone on its own test part, paired bootstrap, lies at or above -`margin`."""

    name: Literal["no-harm"] = "no-harm"
    metric: Name
    margin: Rate = "0.01"
    min_n: Annotated[Positive, Field(le=1_000_000_000)] = 30


class Artefact(Record):
    """Only safetensors and known text files, headers well formed, every value finite, no larger than `max_bytes`."""

    name: Literal["artefact"] = "artefact"
    max_bytes: Annotated[Positive, Field(le=10_000_000_000_000)] = 2_000_000_000


Gate = Annotated[Utility | NoHarm | Artefact, Field(discriminator="name")]


class EarlyStopping(Record):
    """Stop when the validation loss has not fallen by `min_delta` for `patience` comparisons; the best round is
    released.

    With alternating LoRA a comparison is made after each pair of rounds.
    """

    patience: Annotated[Positive, Field(le=10_000)] = 2
    min_delta: Rate = "0"


class Craft(Record):
    """How a member trains within a round. Schedules run over the whole run, counted in the member's own steps.

    `batching`, how a pass is cut into batches: of the shuffled examples as they come, or (`length-buckets`) of examples
    of like length, the batches in random order. `precision`, of a step's forward and backward pass; weights, optimiser,
    updates and every measurement are float32 in any case. Both are enforced by the member's own steps
    (`train.learn`), which refuse a precision that the processor lacks.
    """

    epochs: Annotated[Positive, Field(le=10_000)] = 1
    max_steps: Annotated[Positive, Field(le=100_000_000)] | None = None
    batch_size: Annotated[Positive, Field(le=65_536)] = 16
    accumulation: Annotated[Positive, Field(le=65_536)] = 1
    learning_rate: Rate = "0.0005"
    head_learning_rate: Rate | None = None
    weight_decay: Rate = "0.01"
    dropout: Rate | None = None
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_bp: BasisPoints = 0
    clip_norm: Rate | None = "1"
    batching: Literal["shuffled", "length-buckets"] = "shuffled"
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _rates_make_sense(self) -> Craft:
        for field in ("learning_rate", "head_learning_rate", "clip_norm"):
            value = getattr(self, field)
            if value is not None and not float(value) > 0:
                raise refused("not-above-zero", "expected {field} above 0, got {got}", field=field, got=value)
        for field in ("weight_decay", "dropout"):
            value = getattr(self, field)
            if value is not None and not 0 <= float(value) < 1:
                raise refused("no-share", "expected {field} from 0 to below 1, got {got}", field=field, got=value)
        return self
