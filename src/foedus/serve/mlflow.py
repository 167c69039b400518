"""MLflow's scoring protocol: rows in any of its JSON forms, an object for each row out.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ (`dataframe_split`, `dataframe_records`, `inputs`,
`instances`). A row's text is in the column `text`, or in its only column.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Body, Request, Response

from foedus.core.errors import CallerError
from foedus.serve.asking import answer_body, answers_of
from foedus.serve.desk import Desk
from foedus.serve.gate import trace_of
from foedus.serve.refused import reply
from foedus.serve.shapes import InvocationsReply

__all__ = ["routes", "texts_of"]

FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")


def routes(desk: Desk) -> APIRouter:
    """`/ping` and `/invocations`."""
    router = APIRouter(tags=["MLflow"])

    @router.get("/ping", summary="Whether it answers")
    async def ping() -> Response:
        is_ready = desk.is_ready
        return reply({"ready": is_ready}, 200 if is_ready else 503)

    @router.post("/invocations", response_model=InvocationsReply, summary="Answer rows")
    async def invocations(
        request: Request,
        asked: dict[str, Any] = Body(examples=[{"dataframe_records": [{"text": "…"}]}]),  # noqa: B008 - its way
    ) -> Response:
        told = await answers_of(desk, request, texts_of(asked))
        language = trace_of(request).language
        return reply({"predictions": [answer_body(one, language) for one in told.given]})

    return router


def texts_of(asked: dict[str, Any]) -> list[str]:
    """The texts of the rows; CallerError `serve.wrong-field` that names the field."""
    named = [form for form in FORMS if form in asked]
    if len(named) != 1:
        raise _wrong("(whole)", f"expected one of {', '.join(FORMS)}")
    form, value = named[0], asked[named[0]]
    if form == "dataframe_split":
        texts = _split(value)
    elif isinstance(value, dict):
        texts = _column(form, value)
    elif isinstance(value, list):
        texts = [_cell(form, row) for row in value]
    else:
        raise _wrong(form, "expected a list or an object")
    if not texts or not all(isinstance(text, str) for text in texts):
        raise _wrong(form, "expected at least one row, and a text in each")
    return texts


def _split(value: Any) -> list[Any]:
    match value:
        case {"columns": list(columns), "data": list(rows)}:
            place = columns.index("text") if "text" in columns else 0
            if len(columns) == 1 or "text" in columns:
                if all(isinstance(row, list) and len(row) == len(columns) for row in rows):
                    return [row[place] for row in rows]
                raise _wrong("dataframe_split.data", f"expected rows of {len(columns)} cells")
            raise _wrong("dataframe_split.columns", "expected the column `text`")
    raise _wrong("dataframe_split", "expected `columns` and `data`")


def _column(form: str, value: dict[str, Any]) -> list[Any]:
    """A table by columns: the column `text`, or the only one."""
    found = value.get("text", next(iter(value.values())) if len(value) == 1 else None)
    if isinstance(found, str):
        return [found]
    if not isinstance(found, list):
        raise _wrong(form, "expected the column `text`, a list")
    return [_cell(form, row) for row in found]


def _cell(form: str, row: Any) -> Any:
    """The text of a row: itself, its only cell, or that of its column `text`."""
    match row:
        case str():
            return row
        case [cell]:
            return cell
        case {"text": cell}:
            return cell
        case dict() if len(row) == 1:
            return next(iter(row.values()))
    raise _wrong(form, "expected a text in each row, or a row with the column `text`")


def _wrong(where: str, reason: str) -> CallerError:
    return CallerError("serve.wrong-field", where=where, reason=reason)
