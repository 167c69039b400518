"""Child processes of the wire: Flower's services, started through `foedus.wire.launch` and ended with their parent.

A child holds the reading end of a pipe whose writing end is its parent's; when the parent ends, however it ends, the
pipe closes and the child leaves. So a hub or a member's process that is killed leaves nothing behind that still speaks
in its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from foedus.core.errors import CallerError

__all__ = ["Child", "free_port", "needs_flower"]

_PEACEFUL_SECONDS = 5.0
_ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_WAIT_POLICY": "passive",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def needs_flower() -> None:
    """CallerError `wire.engine-missing` where Flower is not installed."""
    if find_spec("flwr") is None:
        raise CallerError("wire.engine-missing")


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """One running service, its log file and its exit."""

    def __init__(self, service: str, folder: Path, settings: Mapping[str, Any]) -> None:
        """Start `foedus.wire.launch` with `settings`, which travel over its standard input: no secret is in a list of
        processes or an environment. The service runs in `folder`; paths among the settings are made absolute for it.
        """
        needs_flower()
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.log = folder / f"{service}.log"
        environment = {**os.environ, **_ENVIRONMENT, "FLWR_HOME": str(folder / "flwr")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
                [sys.executable, "-m", "foedus.wire.launch", service],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        with contextlib.suppress(BrokenPipeError):  # it died at once: `alive` says so
            assert self._process.stdin  # noqa: S101 - asked for above
            self._process.stdin.write(json.dumps(dict(settings), default=_spelt).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait_for(self, ready: Callable[[], bool], *, seconds: float) -> bool:
        """Whether `ready` came true in time, while the service ran."""
        end = monotonic() + seconds
        while monotonic() < end and self.alive():
            if ready():
                return True
            sleep(0.05)
        return False

    def last_lines(self, count: int = 5) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            text = self.log.read_bytes()[-8192:].decode(errors="replace")
            return "\n".join(line for line in text.splitlines()[-count:] if line.strip())
        return ""

    def close(self) -> None:
        """End it: politely, then not."""
        with contextlib.suppress(OSError):
            assert self._process.stdin  # noqa: S101 - asked for above
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(_PEACEFUL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _spelt(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    raise TypeError(f"no setting: {value!r}")
