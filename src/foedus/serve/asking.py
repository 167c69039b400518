"""From a request's texts to bodies of answers: what every protocol does alike."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from foedus.core.errors import CallerError, FoedusError
from foedus.core.messages import Language, say
from foedus.serve.desk import Desk
from foedus.serve.gate import Trace, trace_of
from foedus.serve.given import Given, Loaded
from foedus.serve.refused import error_body
from foedus.serve.shapes import MOST_TEXTS

__all__ = ["Told", "answer_body", "answers_of", "floats", "notices", "require_all"]


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a request: by which release, for which purpose, an answer or an error a text."""

    loaded: Loaded
    purpose: str
    given: Sequence[Given]


async def answers_of(
    desk: Desk, request: Request, texts: Sequence[str], *, purpose: str | None = None, embed: bool = False
) -> Told:
    """Answer the texts of a request. `purpose`: the body's; else that of the header `X-Foedus-Purpose`.

    Raises: what concerns the whole request; as `Desk.require` and `Desk.ask`; CallerError `serve.too-many-texts`.
    """
    trace = trace_of(request)
    if len(texts) > MOST_TEXTS:
        raise CallerError("serve.too-many-texts", got=len(texts), limit=MOST_TEXTS)
    loaded = desk.serving()
    chosen = desk.require(loaded, trace.caller, purpose or request.headers.get("x-foedus-purpose"))
    trace.charge(len(texts))
    trace.release, trace.practice = loaded.release.name, loaded.release.practice
    answers = await desk.ask(loaded, texts, caller=trace.caller, purpose=chosen, embed=embed)
    trace.queue_seconds, trace.infer_seconds = answers.queue_seconds, answers.infer_seconds
    return Told(loaded, chosen, answers.given)


def notices(loaded: Loaded, trace: Trace) -> list[str]:
    """What everyone who reads an answer should know: that it is of practice, and that something changed."""
    found = [say("release.practice", lang=trace.language)] if loaded.release.practice else []
    if trace.standing not in ("in-force", ""):
        detail = loaded.standing.detail or "–"
        last = loaded.standing.accord.valid.last
        fields = {"release": loaded.release.name, "detail": detail, "last": last}
        found.append(say(f"serve.standing.{trace.standing}", lang=trace.language, **fields))
    return found


def answer_body(
    given: Given, language: Language, *, probabilities: bool = False, embedding: bool = False
) -> dict[str, Any]:
    """An answer, or the error in its place, as data."""
    answered = given.answered
    if answered is None:
        assert given.error is not None  # noqa: S101 - one of the two is there
        return {"error": error_body(given.error, language)}
    body: dict[str, Any] = {"id": given.id}
    if "label" in answered.answer:
        body |= {"label": answered.answer["label"]}
    else:
        body |= {"entities": answered.answer["entities"]}
    body |= {"probability": round(answered.confidence, 6), "tokens": answered.tokens, "in_review": given.in_review}
    if probabilities and "probabilities" in answered.answer:
        body["probabilities"] = {label: round(value, 6) for label, value in answered.answer["probabilities"].items()}
    if embedding and answered.embedding is not None:
        body["embedding"] = floats(answered.embedding)
    return body


def floats(embedding: bytes) -> list[float]:
    """An embedding's numbers."""
    return list(struct.unpack(f"<{len(embedding) // 4}f", embedding))


def require_all(given: Sequence[Given]) -> None:
    """Where a protocol has no place for an error beside answers: the first one is that of the request."""
    errors: list[FoedusError] = [one.error for one in given if one.error is not None]
    if errors:
        raise errors[0]
