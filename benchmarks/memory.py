"""Peak memory of a command and all its children: the sum of their proportional set sizes, read while it runs.

    python benchmarks/memory.py foedus demo --out /tmp/demo

A page that several processes share counts once, divided among them, so forked workers over one base model are not
counted as many. Linux only (`/proc/PID/smaps_rollup`). A peak shorter than the interval between two looks is missed.
Prints one JSON object on the last line: `peak_mb`, `processes` at the peak, `seconds`, `exit`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

INTERVAL_SECONDS = 0.2


def tree(root: int) -> Iterator[int]:
    """A process and its children's children, as far as they are alive."""
    yield root
    try:
        threads = list(Path(f"/proc/{root}/task").iterdir())
        children = [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from tree(child)


def proportional_kb(pid: int) -> int:
    """A process's proportional set size in kB; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def watch(command: Sequence[str]) -> dict[str, float]:
    """Run a command to its end and give what its processes needed at most, together."""
    began = time.monotonic()
    peak, processes = 0, 0
    child = subprocess.Popen(command)
    while child.poll() is None:
        found = [size for pid in tree(child.pid) if (size := proportional_kb(pid))]
        if sum(found) > peak:
            peak, processes = sum(found), len(found)
        time.sleep(INTERVAL_SECONDS)
    seconds = round(time.monotonic() - began, 1)
    return {"peak_mb": round(peak / 1024), "processes": processes, "seconds": seconds, "exit": child.returncode}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} COMMAND …")
    result = watch(sys.argv[1:])
    print(json.dumps(result))
    sys.exit(int(result["exit"]))
