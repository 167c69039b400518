"""What goes over the wire: the bodies of requests and answers, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from foedus.serve.store import Verdict

__all__ = [
    "AnswerBody",
    "Embedded",
    "EmbeddingsAsk",
    "EmbeddingsReply",
    "EntityBody",
    "FeedbackAsk",
    "FeedbackReply",
    "InferAsk",
    "InferReply",
    "InvocationsReply",
    "ModelPage",
    "ModelsPage",
    "PredictAsk",
    "PredictReply",
    "Refusal",
    "ReviewAsk",
    "ReviewBody",
    "ReviewsPage",
    "Tensor",
    "TensorAsk",
]

MOST_TEXTS = 1024
MOST_COMMENT = 2000
_MOST_FIELDS = 32
_MOST_DIMENSIONS = 4


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, given: Any) -> Any:
        """Each field that is not known is told; of very many, that they are too many."""
        if isinstance(given, dict) and len(given) > _MOST_FIELDS:
            raise ValueError(f"expected at most {_MOST_FIELDS} fields, got {len(given)}")
        return given


class PredictAsk(_Asked):
    """One `text`, or many `texts`. `purpose`: one of the accord's uses; `probabilities`: those of every label."""

    text: str | None = None
    texts: list[str] | None = Field(default=None, min_length=1, max_length=MOST_TEXTS)
    purpose: str | None = Field(default=None, max_length=63)
    probabilities: bool = False
    embedding: bool = False

    @model_validator(mode="after")
    def _asks_something(self) -> PredictAsk:
        if (self.text is None) == (self.texts is None):
            raise ValueError("expected either `text` or `texts`")
        return self


class ErrorBody(BaseModel):
    """What was expected, what was got and what to do, in the language of the request; `code` and `fields` never
    change with it.
    """

    code: str
    message: str
    expected: str
    got: str
    do: str
    fields: dict[str, Any]
    type: str = "foedus"


class Refusal(BaseModel):
    """A refusal. Under `/v2` the protocol wants `error` to be a text, and `/invocations` wants `error_code` and
    `message`; the rest stands beside them.
    """

    error: ErrorBody | str
    request_id: str
    error_code: str | None = None
    message: str | None = None
    code: str | None = None


class EntityBody(BaseModel):
    """An entity and where it stands in the text, in characters."""

    text: str
    start: int
    end: int
    type: str


class AnswerBody(BaseModel):
    """An answer: `label` and `probability`, or `entities` (and the probability of the word least sure of); or `error`.

    `in_review`: a human will look at it; `GET /v1/reviews` tells when.
    """

    id: str | None = None
    label: str | None = None
    entities: list[EntityBody] | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    tokens: int | None = None
    in_review: bool | None = None
    embedding: list[float] | None = None
    error: ErrorBody | None = None


class PredictReply(BaseModel):
    """`answer` to a text, `answers` to many, in their order. `notices`: what everyone who reads them should know."""

    release: str
    standing: str
    purpose: str
    notices: list[str]
    answer: AnswerBody | None = None
    answers: list[AnswerBody] | None = None


class FeedbackAsk(_Asked):
    """What a user says of an answer. `correct`: of a wrong one, the label it should have been; `consent`: may it be
    learned from.
    """

    prediction_id: str = Field(max_length=64)
    verdict: Verdict
    correct: str | None = Field(default=None, max_length=MOST_COMMENT)
    comment: str | None = Field(default=None, max_length=MOST_COMMENT)
    consent: bool = False

    @model_validator(mode="after")
    def _corrects_what_is_wrong(self) -> FeedbackAsk:
        if self.verdict == "right" and self.correct is not None:
            raise ValueError("expected `correct` beside the verdict `wrong` only")
        return self


class FeedbackReply(BaseModel):
    """What was kept."""

    prediction_id: str
    verdict: Verdict


class ReviewAsk(_Asked):
    """A human's label for an answer that waits for one."""

    prediction_id: str = Field(max_length=64)
    label: str = Field(min_length=1, max_length=MOST_COMMENT)


class ReviewBody(BaseModel):
    """An answer that waits for a human, or waited: what the model said, and what the human did."""

    prediction_id: str
    at: str
    state: Literal["open", "done"]
    text: str | None
    label: str
    probability: float
    release: str
    reviewed_by: str | None
    reviewed_label: str | None


class ReviewsPage(BaseModel):
    """Reviews, the longest waiting first."""

    page: int
    size: int
    open: int
    reviews: list[ReviewBody]


# ── Open Inference Protocol (KServe V2) ──────────────────────────────────────


class Tensor(BaseModel):
    """A named tensor, flat. Texts are of the data type BYTES."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class TensorAsk(Tensor):
    """A tensor of a request: of few dimensions, none longer than as many texts as a request may hold."""

    shape: list[Annotated[int, Field(ge=0, le=MOST_TEXTS)]] = Field(max_length=_MOST_DIMENSIONS)


class InferAsk(BaseModel):
    """`inputs`: one tensor of texts, BYTES."""

    id: str | None = Field(default=None, max_length=128)
    inputs: list[TensorAsk] = Field(min_length=1, max_length=8)


class InferReply(BaseModel):
    """`label` and `probability`, or `entities` as JSON texts and `probability`; `prediction_id` for feedback."""

    model_name: str
    model_version: str
    id: str
    outputs: list[Tensor]


# ── MLflow ───────────────────────────────────────────────────────────────────


class InvocationsReply(BaseModel):
    """An object for each row."""

    predictions: list[AnswerBody]


# ── OpenAI ───────────────────────────────────────────────────────────────────


class ModelPage(BaseModel):
    """A model as OpenAI's clients expect it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelsPage(BaseModel):
    """The list of models: the one that is served."""

    object: Literal["list"] = "list"
    data: list[ModelPage]


class EmbeddingsAsk(BaseModel):
    """`input`: a text or many. Token arrays and other `dimensions` than the model's are refused."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _is_of_texts(cls, given: Any) -> Any:
        """One error for a list of whatever else, not one for each of its elements."""
        if isinstance(given, list) and not all(isinstance(one, str) for one in given):
            raise ValueError("expected a text, or a list of texts")
        return given


class Embedded(BaseModel):
    """One embedding, of length 1: numbers, or in base64 float32 little-endian."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(BaseModel):
    """Embeddings in the order of the input."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedded]
    usage: Usage
