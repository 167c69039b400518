"""A server looks at its own traffic, as often as the accord's clause `monitoring` says.

Each look is a process of its own, of the lowest priority and with one thread, that ends after so many windows or
seconds at the latest: answers never wait for it, and what becomes of it harms none. It raises alerts and sends them as
`foedus monitor` does; what it found stands in `/metrics`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foedus.core.clock import spell
from foedus.records.accord import Accord
from foedus.records.watch import Monitoring
from foedus.serve.desk import Desk
from foedus.serve.given import Options

__all__ = ["Watching", "pause_seconds"]

_LONGEST_SECONDS = 600.0
_ASLEEP_SECONDS = 60.0
"""How often to see whether the accord was amended, where it asks for no looks."""
_LOWEST_PRIORITY = 19

log = logging.getLogger("foedus.serve")


def pause_seconds(accord: Accord, options: Options) -> int:
    """How often to look: what was chosen, else what the accord says; 0: never."""
    if options.watch_seconds is not None:
        return options.watch_seconds
    return accord.monitoring.pause_seconds if accord.monitoring else 0


class Watching:
    """The looks of one server, from `open` to `close`; both in the event loop."""

    def __init__(self, desk: Desk, workspace: Path) -> None:
        self.desk, self.workspace = desk, workspace
        self._task: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._last = ""
        self._closed = False

    def open(self) -> None:
        """Begin to look; the first time after a pause."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Look no more. A look that is under way is ended; the next server takes it up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._closed = True
        if (process := self._process) is not None:
            process.kill()

    async def _work(self) -> None:
        while True:
            pause = self.desk.watched.every_seconds = self._pause
            await asyncio.sleep(pause or _ASLEEP_SECONDS)
            if self._pause:
                await self.look()

    @property
    def _pause(self) -> int:
        return pause_seconds(self.desk.serving().standing.accord, self.desk.options)

    async def look(self) -> None:
        """Look now, at what is served and what was the last time; whatever goes wrong is told in `/health`."""
        loaded, watched, meters = self.desk.serving(), self.desk.watched, self.desk.meters
        name, began = loaded.release.name, time.monotonic()
        releases = list(dict.fromkeys(filter(None, (self._last, name))))
        terms = loaded.standing.accord.monitoring or Monitoring()
        try:
            seen = await asyncio.to_thread(self._ask, terms, releases)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            log.warning("looking at the traffic failed: %s", error)
            watched.trouble = str(error)[:200] or type(error).__name__
            meters.watch_failures.inc()
            return
        self._last, watched.trouble, watched.looked_at = name, None, spell(self.desk.clock())
        meters.watched(seen, took=time.monotonic() - began, at=self.desk.clock().timestamp())

    def _ask(self, terms: Monitoring, releases: Sequence[str]) -> list[dict[str, Any]]:
        """What a process of its own found; called in a thread."""
        self.desk.keeper.flush()
        wish = {"workspace": str(self.workspace), "terms": terms.model_dump(mode="json"), "releases": releases}
        with subprocess.Popen(
            [sys.executable, "-m", "foedus.serve.watch.beside"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        ) as process:  # fmt: skip
            self._process = process
            if self._closed:
                process.kill()
            try:
                os.setpriority(os.PRIO_PROCESS, process.pid, _LOWEST_PRIORITY)
                said, _ = process.communicate(json.dumps(wish).encode(), timeout=_LONGEST_SECONDS)
            except BaseException:
                process.kill()
                raise
            finally:
                self._process = None
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, "foedus.serve.watch.beside")
        told = json.loads(said)
        if "error" in told:
            raise ValueError(told["error"])
        seen: list[dict[str, Any]] = told["seen"]
        return seen
