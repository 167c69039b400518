"""The Open Inference Protocol (KServe V2): texts in one tensor of BYTES, answers in tensors beside each other.

https://github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`.
"""

from __future__ import annotations

import json
import secrets
from math import prod
from typing import Any

from fastapi import APIRouter, Request, Response

from foedus.core.errors import CallerError
from foedus.core.version import version as installed
from foedus.serve.asking import answers_of, require_all
from foedus.serve.desk import Desk
from foedus.serve.refused import reply
from foedus.serve.shapes import InferAsk, InferReply

__all__ = ["routes"]


def routes(desk: Desk) -> APIRouter:
    """`/v2` and below."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @router.get("", summary="About this server")
    async def server() -> Response:
        return reply({"name": "foedus", "version": installed(), "extensions": []})

    @router.get("/health/live", summary="Whether it runs")
    async def live() -> Response:
        return reply({"live": True})

    @router.get("/health/ready", summary="Whether it answers")
    async def ready() -> Response:
        is_ready = desk.is_ready
        return reply({"ready": is_ready}, 200 if is_ready else 503)

    @router.get("/models/{model}", summary="About the release that is served")
    @router.get("/models/{model}/versions/{version}", summary="About the release that is served")
    async def about(model: str, version: str | None = None) -> Response:
        _require(desk, model, version)
        proposal, task = desk.serving().release.proposal, desk.serving().release.accord.task
        answer = "label" if task.name == "text-classification" else "entities"
        return reply(
            {
                "name": proposal.name,
                "versions": [proposal.version],
                "platform": "foedus_transformers",
                "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
                "outputs": [
                    {"name": answer, "datatype": "BYTES", "shape": [-1]},
                    {"name": "probability", "datatype": "FP64", "shape": [-1]},
                    {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
                ],
            }
        )

    @router.get("/models/{model}/ready", summary="Whether this release answers")
    @router.get("/models/{model}/versions/{version}/ready", summary="Whether this release answers")
    async def model_ready(model: str, version: str | None = None) -> Response:
        _require(desk, model, version)
        is_ready = desk.is_ready
        return reply({"name": model, "ready": is_ready}, 200 if is_ready else 503)

    @router.post("/models/{model}/infer", response_model=InferReply, summary="Answer texts")
    @router.post("/models/{model}/versions/{version}/infer", response_model=InferReply, summary="Answer texts")
    async def infer(asked: InferAsk, request: Request, model: str, version: str | None = None) -> Response:
        _require(desk, model, version)
        told = await answers_of(desk, request, _texts(asked))
        require_all(told.given)
        proposal = told.loaded.release.proposal
        answers = [one.answered.answer for one in told.given if one.answered]
        sure = [one.answered.confidence for one in told.given if one.answered]
        if "label" in answers[0]:
            first = _tensor("label", [answer["label"] for answer in answers])
        else:
            first = _tensor("entities", [json.dumps(answer["entities"], ensure_ascii=False) for answer in answers])
        outputs = [
            first,
            _tensor("probability", sure, "FP64"),
            _tensor("prediction_id", [one.id for one in told.given]),
        ]
        return reply(
            {
                "model_name": proposal.name,
                "model_version": proposal.version,
                "id": asked.id or secrets.token_hex(8),
                "outputs": outputs,
            }
        )

    return router


def _require(desk: Desk, model: str, version: str | None) -> None:
    proposal = desk.serving().release.proposal
    if model != proposal.name or version not in (None, proposal.version):
        known = f"{proposal.name} {proposal.version}"
        raise CallerError("serve.no-such-model", got=f"{model} {version or ''}".strip()[:100], known=known)


def _texts(asked: InferAsk) -> list[str]:
    """The texts of the one input that holds any: those of `text`, else of the first."""
    chosen = next((one for one in asked.inputs if one.name == "text"), asked.inputs[0])
    if chosen.datatype != "BYTES" or not all(isinstance(text, str) for text in chosen.data):
        raise CallerError("serve.wrong-field", where=f"inputs.{chosen.name}"[:100], reason="expected texts, BYTES")
    if not chosen.data:
        raise CallerError("serve.wrong-field", where=f"inputs.{chosen.name}"[:100], reason="expected at least one text")
    if prod(chosen.shape) != len(chosen.data):
        reason = f"shape {chosen.shape} for {len(chosen.data)} texts"
        raise CallerError("serve.wrong-field", where=f"inputs.{chosen.name}"[:100], reason=reason)
    return chosen.data


def _tensor(name: str, data: list[Any], datatype: str = "BYTES") -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data}
