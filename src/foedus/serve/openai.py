"""What OpenAI's clients can ask of an encoder: the list of models, and embeddings.

An embedding is the mean of the last hidden states over a text's tokens, brought to length 1. Its encoder was tuned for
the accord's task: it tells texts apart as far as the task does.
"""

from __future__ import annotations

import base64
from typing import Any

from fastapi import APIRouter, Request, Response

from foedus.core.clock import parse
from foedus.core.errors import CallerError
from foedus.serve.asking import answers_of, floats, require_all
from foedus.serve.desk import Desk
from foedus.serve.given import Loaded
from foedus.serve.refused import reply
from foedus.serve.shapes import EmbeddingsAsk, EmbeddingsReply, ModelPage, ModelsPage

__all__ = ["routes"]


def routes(desk: Desk) -> APIRouter:
    """`/v1/models` and `/v1/embeddings`."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.get("/models", response_model=ModelsPage, summary="The release that is served")
    async def models() -> Response:
        return reply({"object": "list", "data": [_page(desk.serving())]})

    @router.get("/models/{model}", response_model=ModelPage, summary="The release that is served")
    async def model_page(model: str) -> Response:
        return reply(_page(_require(desk, model)))

    @router.post("/embeddings", response_model=EmbeddingsReply, summary="Embed texts")
    async def embeddings(asked: EmbeddingsAsk, request: Request) -> Response:
        loaded = _require(desk, asked.model)
        width = loaded.predictor.width
        if width is None:
            raise CallerError("serve.no-embeddings", release=loaded.release.name)
        if asked.dimensions not in (None, width):
            raise CallerError("serve.wrong-field", where="dimensions", reason=f"expected {width}")
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        if not texts:
            raise CallerError("serve.wrong-field", where="input", reason="expected at least one text")
        told = await answers_of(desk, request, texts, embed=True)
        require_all(told.given)
        data: list[dict[str, Any]] = []
        tokens = 0
        for index, one in enumerate(told.given):
            assert one.answered is not None and one.answered.embedding is not None  # noqa: S101, PT018 - asked for
            raw, tokens = one.answered.embedding, tokens + one.answered.tokens
            said = base64.b64encode(raw).decode() if asked.encoding_format == "base64" else floats(raw)
            data.append({"object": "embedding", "index": index, "embedding": said})
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return reply({"object": "list", "model": told.loaded.release.name, "data": data, "usage": usage})

    return router


def _require(desk: Desk, model: str | None) -> Loaded:
    loaded = desk.serving()
    if model not in (None, loaded.release.name, loaded.release.proposal.name):
        raise CallerError("serve.no-such-model", got=(model or "")[:100], known=loaded.release.name)
    return loaded


def _page(loaded: Loaded) -> dict[str, Any]:
    made = int(parse(loaded.standing.recorded_at).timestamp())
    return {
        "id": loaded.release.name,
        "object": "model",
        "created": made,
        "owned_by": loaded.release.accord.name,
    }
