"""A desk that answers at its control socket, beside the hub's pages, in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foedus.serve import control
from foedus.serve.box import Box
from foedus.serve.server import _handler
from served import open_desk

ADDRESS = "http://127.0.0.1:8601"


@contextmanager
def answering(hub: Path, *, closed: bool = False, **options: Any) -> Iterator[None]:
    """The release of the practised consortium is served for this workspace; `options` as for `open_desk`."""
    up, end = threading.Event(), threading.Event()

    async def serve() -> None:
        async with open_desk(folder=hub, **options) as here:
            box = Box(here.desk, ADDRESS, lambda: closed)
            listening = control.listen(hub, _handler(here.desk, box, asyncio.get_running_loop()))
            up.set()
            await asyncio.to_thread(end.wait)
            await asyncio.to_thread(listening.close)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert up.wait(60)
        yield
    finally:
        end.set()
        thread.join(60)
