"""Foedus' own protocol: answers with what stands behind them, feedback, and the queue of answers for a human."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from foedus.core.clock import spell
from foedus.core.errors import CallerError, RunError
from foedus.serve.asking import answer_body, answers_of, notices, require_all
from foedus.serve.desk import Desk
from foedus.serve.gate import trace_of
from foedus.serve.refused import reply
from foedus.serve.shapes import FeedbackAsk, FeedbackReply, PredictAsk, PredictReply, ReviewAsk, ReviewBody, ReviewsPage
from foedus.serve.store import Answer, Feedback, Review

__all__ = ["routes"]


def routes(desk: Desk) -> APIRouter:
    """`/v1/predict`, `/v1/feedback`, `/v1/reviews`."""
    router = APIRouter(tags=["foedus"])

    @router.post("/v1/predict", response_model=PredictReply, summary="Answer a text, or many")
    async def predict(asked: PredictAsk, request: Request) -> Response:
        texts = [asked.text] if asked.text is not None else asked.texts or []
        told = await answers_of(desk, request, texts, purpose=asked.purpose, embed=asked.embedding)
        trace = trace_of(request)
        if asked.text is not None:
            require_all(told.given)
        bodies = [
            answer_body(one, trace.language, probabilities=asked.probabilities, embedding=asked.embedding)
            for one in told.given
        ]
        head = {
            "release": told.loaded.release.name,
            "standing": trace.standing,
            "purpose": told.purpose,
            "notices": notices(told.loaded, trace),
        }
        return reply({**head, "answer": bodies[0]} if asked.text is not None else {**head, "answers": bodies})

    @router.post("/v1/feedback", response_model=FeedbackReply, summary="Say whether an answer was right")
    async def feedback(asked: FeedbackAsk, request: Request) -> Response:
        loaded = desk.serving()
        labels = loaded.release.accord.task.labels
        is_label = loaded.release.accord.task.name == "text-classification"
        if asked.correct is not None and is_label and asked.correct not in labels:
            raise CallerError("serve.unknown-label", got=asked.correct[:100], known=", ".join(labels)[:1000])
        said = Feedback(
            answer=asked.prediction_id,
            at=spell(desk.clock()),
            verdict=asked.verdict,
            correct=asked.correct,
            comment=asked.comment,
            consent=asked.consent,
            by=trace_of(request).caller.app,
        )
        await asyncio.to_thread(_say, desk, said)
        desk.meters.feedback.labels(asked.verdict).inc()
        return reply({"prediction_id": asked.prediction_id, "verdict": asked.verdict})

    @router.get("/v1/reviews", response_model=ReviewsPage, summary="Answers that wait for a human")
    async def reviews(
        state: Literal["open", "done"] | None = None,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> Response:
        return reply(await asyncio.to_thread(_reviews, desk, state, page, size))

    @router.post("/v1/reviews", response_model=ReviewBody, summary="Give an answer that waits its label")
    async def review(asked: ReviewAsk, request: Request) -> Response:
        task = desk.serving().release.accord.task
        if task.name == "text-classification" and asked.label not in task.labels:
            raise CallerError("serve.unknown-label", got=asked.label[:100], known=", ".join(task.labels)[:1000])
        return reply(await asyncio.to_thread(_review, desk, asked, trace_of(request).caller.app))

    return router


def _say(desk: Desk, said: Feedback) -> None:
    _written(desk)
    desk.keeper.traffic.say(said)


def _reviews(desk: Desk, state: Literal["open", "done"] | None, page: int, size: int) -> dict[str, object]:
    _written(desk)
    traffic = desk.keeper.traffic
    found = traffic.reviews(state=state, page=page, size=size)
    bodies = [_body(review, traffic.answer(review.answer)) for review in found]
    return {"page": page, "size": size, "open": traffic.counts()["open"], "reviews": bodies}


def _review(desk: Desk, asked: ReviewAsk, by: str) -> dict[str, object]:
    _written(desk)
    traffic = desk.keeper.traffic
    traffic.review(asked.prediction_id, label=asked.label, by=by)
    answer = traffic.answer(asked.prediction_id)
    assert answer is not None  # noqa: S101 - it was in review
    return _body(Review(asked.prediction_id, answer.at, "done", by, asked.label), answer)


def _written(desk: Desk) -> None:
    """What was answered a moment ago is in the store before it is looked for."""
    desk.keeper.flush()
    if desk.keeper.trouble is not None:
        raise RunError("serve.not-kept", reason=desk.keeper.trouble)


def _body(review: Review, answer: Answer | None) -> dict[str, object]:
    return {
        "prediction_id": review.answer,
        "at": review.at,
        "state": review.state,
        "text": answer.text if answer else None,
        "label": answer.label if answer else "",
        "probability": (answer.confidence_bp if answer else 0) / 10_000,
        "release": answer.release if answer else "",
        "reviewed_by": review.by,
        "reviewed_label": review.label,
    }
