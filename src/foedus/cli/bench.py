"""`foedus bench`: what Foedus costs, measured here. The benchmarks are part of the source tree, not of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.shell import shell

__all__ = ["app"]

app = typer.Typer(help="What Foedus costs, measured on this machine.", no_args_is_help=True)
app.callback()(lambda: None)


@app.command("engine", context_settings={"ignore_unknown_options": True})
def engine(
    options: Annotated[list[str] | None, typer.Argument(help="Options of the benchmark, such as --members 4.")] = None,
) -> None:
    """Foedus beside a bare loop, Flower and NVFLARE, from a source tree: processor time, wall time, memory."""
    import json
    import subprocess
    import sys
    import tempfile

    import foedus
    from foedus.core.errors import CallerError, RunError

    here = shell()
    program = Path(foedus.__file__).parents[2] / "benchmarks" / "engine" / "peers.py"
    if not program.is_file():
        raise CallerError("bench.no-source-tree", path=str(program))
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "lines.json"
        command = [sys.executable, str(program), *(options or ()), "--lines", str(told)]
        done = subprocess.run(command, check=False, stdout=sys.stderr if here.as_json else None)  # noqa: S603 - ours
        if done.returncode:
            raise RunError("bench.failed", code=done.returncode)
        here.result("bench", json.loads(told.read_text(encoding="utf-8")) if told.exists() else {"lines": []})
