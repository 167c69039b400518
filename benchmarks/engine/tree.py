"""What a command and every process that came of it cost: wall, processor time, peak memory.

Processes are those of a control group where one can be made, else those with a variable in their environment that
descendants inherit: so those that detach are counted and ended, too. Memory is the proportional set size (PSS, from
`smaps_rollup`): a page that n processes share counts 1/n in each, so that the sum is what the machine gives. It is
sampled; a peak between two samples is missed. Processor time is the control group's (exact, also for processes that
came and went), else the sum of each process's last sample.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.25
GROUPS = Path("/sys/fs/cgroup/cpuacct")
MARK = "PEERS_TREE"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a whole tree. `code`: how the command ended, None when its time was over."""

    code: int | None
    began: float
    wall_seconds: float
    processor_seconds: float
    processor_from: str
    peak_mb: float
    most_processes: int


def measured(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path, limit: float) -> Cost:
    """Run a command to its end, then end whatever of it is left."""
    tag = uuid.uuid4().hex
    group = _new_group(tag)
    watch = _Watch(tag.encode(), group)
    with log.open("wb") as out:
        began, at = time.time(), time.perf_counter()
        child = subprocess.Popen(
            command, env={**environment, MARK: tag}, cwd=folder, stdout=out, stderr=out, preexec_fn=_entering(group)
        )
        watch.start()
        try:
            code: int | None = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # also where this program is interrupted
            wall = time.perf_counter() - at
            watch.stop()
            _end_all(watch)
            child.wait()
    if group is None:
        return Cost(code, began, wall, sum(watch.seconds.values()), "samples", watch.peak / 1024, watch.most)
    used = int((group / "cpuacct.usage").read_text()) / 1e9
    for _ in range(100):
        with contextlib.suppress(OSError):  # the system takes a moment to clear away what was ended
            group.rmdir()
            break
        time.sleep(0.05)
    return Cost(code, began, wall, used, "control group", watch.peak / 1024, watch.most)


class _Watch:
    def __init__(self, tag: bytes, group: Path | None) -> None:
        self.group = group
        self.needle = MARK.encode() + b"=" + tag
        self.peak = self.most = 0
        self.seconds: dict[int, float] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.over.set()
        self.thread.join()

    def processes(self) -> list[int]:
        if self.group is not None:
            return [int(line) for line in _read(self.group / "cgroup.procs").split()]
        every = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [int(path.name) for path in every if self.needle in _read(path / "environ")]

    def _sample(self) -> None:
        while True:
            here = self.processes()
            total = 0
            for process in here:
                total += _pss_kb(process)
                if (used := _seconds(process)) is not None:
                    self.seconds[process] = used
            self.peak, self.most = max(self.peak, total), max(self.most, len(here))
            if self.over.wait(SAMPLE_SECONDS):
                return


def _read(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""


def _pss_kb(process: int) -> int:
    for line in _read(f"/proc/{process}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1])
    return 0


def _seconds(process: int) -> float | None:
    fields = _read(f"/proc/{process}/stat").rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else None


def _new_group(tag: str) -> Path | None:
    group = GROUPS / f"peers-{tag}"
    try:
        group.mkdir()
    except OSError:
        return None
    return group


def _entering(group: Path | None) -> Callable[[], None] | None:
    if group is None:
        return None

    def enter() -> None:
        (group / "cgroup.procs").write_text("0")

    return enter


def _end_all(watch: _Watch) -> None:
    """End what the command left behind, and nothing else."""
    for _ in range(100):
        left = [process for process in watch.processes() if _read(f"/proc/{process}/cmdline")]
        if not left:
            return
        for process in left:
            try:
                os.kill(process, 9)
            except OSError:
                continue
        time.sleep(0.05)
