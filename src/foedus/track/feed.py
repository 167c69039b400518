"""Loggers at work in a process of their own, told by the one that runs that there is more in a run's events.

So the run's process stays single-threaded (its workers are forked from it), whatever threads a tool starts; a tool
that fails or hangs cannot harm the run; and what it must be told, that it is offline, is told to it alone. When the
run's process ends, however it ends, the loggers see the end of their input, and close.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foedus.track.event import Event, Report
from foedus.track.log import target
from foedus.track.onward import RunLog

__all__ = ["OFFLINE", "feeding", "main"]

OFFLINE = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
}
"""What keeps the tools from the network."""

_NEVER = ("MLFLOW_TRACKING_URI", "TRACKIO_SERVER_URL", "TRACKIO_SPACE_ID", "TRACKIO_WEBHOOK_URL", "WANDB_API_KEY")
"""What would lead them there, and is not handed on."""

_PATIENCE_SECONDS = 60.0


@contextmanager
def feeding(targets: Iterable[str], *, runs: Path, lost: Callable[[str], None]) -> Iterator[Report]:
    """What to report a run's events to, from its `opened` or `resumed` on, so that each of `targets` (`NAME:FOLDER`)
    logs all of it that it has not logged, out of `runs/RUN/events.jsonl`; `lost` is told of one that ended before the
    run did.

    Raises: CallerError: as `log.target`, before anything is started.
    """
    named = [(text, *target(text)) for text in targets]
    children = {text: _start(name, folder, runs) for text, name, folder in named}
    run = ""

    def report(event: Event) -> None:
        nonlocal run
        if event.kind in ("opened", "resumed"):
            run = event.fields["run"]
        for text, child in list(children.items()) if run else ():
            try:
                _input(child).write(f"{run}\n")
                _input(child).flush()
            except OSError:
                del children[text]
                lost(text)

    try:
        yield report
    finally:
        for text, child in children.items():
            if not _ended(child):
                lost(text)


def _start(name: str, folder: Path, runs: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "foedus.track.feed", name, str(folder), str(runs)]
    environment = {key: value for key, value in os.environ.items() if key not in _NEVER} | OFFLINE
    return subprocess.Popen(  # noqa: S603 - ourselves
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True, start_new_session=True
    )


def _input(child: subprocess.Popen[str]) -> IO[str]:
    if child.stdin is None:
        raise BrokenPipeError
    return child.stdin


def _ended(child: subprocess.Popen[str]) -> bool:
    """Close a logger's input and wait for it; whether all went well."""
    with contextlib.suppress(OSError):
        _input(child).close()
    try:
        return child.wait(timeout=_PATIENCE_SECONDS) == 0
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return False


def main(name: str, folder: Path, runs: Path, lines: Iterable[str]) -> None:
    """The logger's side: each line names a run that has gone on, until there are no more."""
    logs: dict[str, RunLog] = {}
    with contextlib.ExitStack() as closing:
        for line in lines:
            run = line.rstrip("\n")
            if run not in logs:
                logs[run] = RunLog(name, folder, runs, run)
                closing.callback(logs[run].close)
            logs[run].catch_up()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.stdin)
