"""A PostgreSQL of the tests' own: the system's binaries, a temporary folder, a Unix socket, no port.

`initdb` refuses root: where the tests run as root, the server runs as the user `postgres`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from itertools import count
from pathlib import Path

import pytest

_numbers = count(1)


def _binary(name: str) -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    here = shutil.which(name)
    return found[-1] if found else Path(here) if here else None


class Server:
    """A server that can be stopped and started; `database` makes an empty database and gives its URL."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="foedus-pg-", dir="/tmp"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._call("initdb", "-D", self.folder / "data", "-U", "foedus", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        atexit.register(self.stop)  # the last to be registered is the first to be called

    def start(self) -> None:
        options = f"-F -k {self.folder} -c listen_addresses='' -c max_connections=40"
        self._call("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "-w", "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop", check=False)

    def database(self) -> str:
        name = f"t{next(_numbers)}"
        self._call("createdb", "-h", self.folder, "-U", "foedus", name)
        return f"postgresql://foedus@/{name}?host={self.folder}"

    def _call(self, name: str, *words: object, check: bool = True) -> None:
        command = [str(_binary(name)), *map(str, words)]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=120)
        assert done.returncode == 0 or not check, done.stderr


@cache
def _server() -> Server:
    return Server()


def server() -> Server:
    """The session's server; the test is skipped, with the reason, where there can be none."""
    pytest.importorskip("psycopg")
    if not all(map(_binary, ("initdb", "pg_ctl", "createdb"))):
        pytest.skip("no PostgreSQL binaries here: apt install postgresql")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("initdb refuses root, and there is no runuser")
    return _server()
