"""What a run's page takes in while the run goes on: server-sent events, one stream a page.

    event: board    the head line and the tiles, as HTML
    event: point    {"round": 3, "loss": 1.028}
    event: ended    {"code": ""}: the run is over, the page may be loaded anew

`id` is the place in the run's event file: who comes back goes on from there (`Last-Event-ID`). A comment every fifteen
seconds keeps the line open; who takes nothing for that long is dropped by the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from foedus.core.errors import CallerError
from foedus.track.board import Board
from foedus.track.event import Event
from foedus.track.kept import read_events
from foedus.web.boards import events_path
from foedus.web.frame import html
from foedus.web.site import Site, site_of
from foedus.web.table import page
from foedus.web.tiles import head_of, tiles_of

LOOK_SECONDS, HEARTBEAT_SECONDS = 0.5, 15.0
_DIGITS = 19  # no file is longer


@page("/runs/{name}/events", title="web.title.live", section="runs")
def events(request: Request, name: str) -> Response:
    """The stream of a run; `?from=` or `Last-Event-ID` says from where on. Of HEAD, its head alone. CallerError
    `web.no-such-run`.
    """
    site = site_of(request)
    path = events_path(site, name)
    if "/" in name or name.startswith(".") or not path.exists():
        raise CallerError("web.no-such-run", got=name[:80])
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if request.method == "HEAD":  # the stream would have no end
        return Response(headers=headers, media_type="text/event-stream")
    begin = request.headers.get("last-event-id") or request.query_params.get("from", "0")
    offset = int(begin) if begin.isascii() and begin.isdigit() and len(begin) < _DIGITS else 0
    board = Board()
    for event in read_events(path, 0)[0]:
        board.see(event)
    stream = _stream(request, site, board, min(offset, path.stat().st_size), name)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(request: Request, site: Site, board: Board, offset: int, name: str) -> AsyncIterator[str]:
    path, silent = events_path(site, name), 0.0

    def look() -> tuple[list[Event], int]:
        return read_events(path, offset)

    def drawn() -> str:
        return html(request, "board.html", head=head_of(board, site.clock()), tiles=tiles_of(board))

    yield "retry: 2000\n\n"
    while not await request.is_disconnected():
        new, offset = await run_in_threadpool(look)
        for event in new:
            board.see(event)
        if new:
            for event in new:
                if event.kind == "round" and event.fields.get("loss"):
                    yield _message("point", _point(event), offset)
            yield _message("board", await run_in_threadpool(drawn), offset)
            silent = 0.0
        if board.ended is not None:
            yield _message("ended", json.dumps({"code": board.ended}), offset)
            return
        await asyncio.sleep(LOOK_SECONDS)
        silent += LOOK_SECONDS
        if silent >= HEARTBEAT_SECONDS:
            yield ": still here\n\n"
            silent = 0.0


def _point(event: Event) -> str:
    return json.dumps({"round": event.fields["round"], "loss": float(event.fields["loss"])})


def _message(kind: str, data: str, offset: int) -> str:
    body = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {kind}\nid: {offset}\n{body}\n"
