"""A page as PDF, printed by Chromium where it is installed. Nothing is fetched: the page holds all that it shows.

The browser runs with a folder of its own that is removed afterwards, without background services, and is ended with
everything that it started when it takes longer than it may.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from foedus.core.errors import CallerError, RunError
from foedus.core.files import write_atomic

__all__ = ["browser", "to_pdf"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-pdf-header-footer",
)


def browser() -> Path:
    """Where Chromium is; CallerError `report.no-chromium` with what to do where it is not."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise CallerError("report.no-chromium", looked=", ".join(NAMES))
    return Path(found)


def to_pdf(page: Path, target: Path, *, limit_seconds: float = 120) -> None:
    """Print a page to a file.

    Raises:
        CallerError: `report.no-chromium`.
        RunError: `report.pdf-failed` when the browser ends without a PDF, or not in time.
    """
    program = browser()
    # As root the browser refuses to start with its sandbox; the page is our own and has no script.
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory(prefix="foedus-pdf-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "made.pdf"
        command = [
            str(program), *OPTIONS, *sandbox, f"--user-data-dir={folder}/profile", f"--print-to-pdf={made}",
            page.resolve().as_uri(),
        ]  # fmt: skip
        reason = _run(command, Path(folder) / "log", limit_seconds)
        data = made.read_bytes() if made.is_file() else b""
        if reason or not data.startswith(b"%PDF"):
            raise RunError("report.pdf-failed", program=str(program), reason=reason or "no file was written")
    write_atomic(target, data)


def _run(command: list[str], log: Path, limit_seconds: float) -> str:
    """Run it in a process group of its own; why it failed, empty when it did not."""
    with log.open("wb") as out:
        done = subprocess.Popen(  # noqa: S603 - a program found on the PATH, our own arguments
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
        try:
            code = done.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            return f"not done after {limit_seconds:.0f} seconds"
        finally:
            _end(done)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return "" if code == 0 else f"exit code {code}: {''.join(last)[:200]}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End whatever of its group is left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()
