"""What a round over Flower costs beyond the members' work: a hub and four members, real processes on loopback, TLS.

    python benchmarks/flower_overhead.py [--rounds 6] [--json] [--write-docs]

The base model is the tests' two-layer one and each member has nine training rows, so that the work takes tenths of a
second and what is left is the way. Seconds beyond the work: over a round's two steps, the slowest member's answer as
the hub saw it, less the slowest member's own work in that step. CPU beyond the work: of each member's SuperNode and of
all below it, a round; the resident process, which does the work, is told apart.
The first round, in which members prepare their parts, is left out. `floor` is Flower's own in an app that does nothing:
6.3 s, with four SuperNodes (Flower 1.41, quiet machine; two of its polls are fixed at 3 s).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from page import write_section

from hubbed import Hubbed, agreed

MEMBERS = ("bank-a", "bank-b", "bank-c", "bank-d")
PARTS = {"train": 3, "validation": 1, "test": 1}
FLOOR_SECONDS, GOAL_SECONDS, GOAL_CPU_SECONDS = 6.3, 9.0, 3.0
TICK = os.sysconf("SC_CLK_TCK")


def measure(rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="foedus-") as folder:
        changes = (("rounds: 2", f"rounds: {rounds}"),)
        here = agreed(Path(folder), MEMBERS, parts=PARTS, changes=changes)
        try:
            before = {member: cpu_seconds(here.processes[member].pid) for member in MEMBERS}
            here.ended(here.run("--name", "run-1"))
            after = {member: cpu_seconds(here.processes[member].pid) for member in MEMBERS}
            waits = beyond_work(here, rounds)
        finally:
            here.close()
    steps = rounds + 1  # training alone and the examination are two messages more: a round's worth
    below = [(after[m][1] - before[m][1]) / steps for m in MEMBERS]
    own = [(after[m][0] - before[m][0]) / steps for m in MEMBERS]
    return {
        "seconds": statistics.median(waits),
        "seconds_least": min(waits),
        "seconds_most": max(waits),
        "cpu_flower": statistics.mean(below),
        "cpu_resident": statistics.mean(own),
    }


def beyond_work(here: Hubbed, rounds: int) -> list[float]:
    """Seconds of each round from the second on, less the slowest work of each step."""
    work: dict[tuple[int, str], float] = {}
    for member in MEMBERS:
        for at, number, seconds in re.findall(
            r"^run-1/(\d+)/1/(\d+): answered after ([\d.]+) s", here.log(member).read_text(), re.MULTILINE
        ):
            key = int(at), "train" if int(number) == 1 else "measure"
            work[key] = max(work.get(key, 0.0), float(seconds))
    seen: dict[tuple[int, str], float] = {}
    for event in here.events("run-1"):
        if event.kind == "answered" and event.fields["step"] in ("train", "measure"):
            key = event.fields["round"], event.fields["step"]
            seen[key] = max(seen.get(key, 0.0), event.fields["seconds"])
    return [
        sum(max(0.0, seen[number, step] - work[number, step]) for step in ("train", "measure"))
        for number in range(2, rounds + 1)
    ]


def cpu_seconds(pid: int) -> tuple[float, float]:
    """CPU seconds of a process, and of all below it, those that have ended and were waited for included."""
    children: dict[int, list[int]] = {}
    times: dict[int, tuple[float, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        process = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(process)
        user, system, child_user, child_system = (int(value) / TICK for value in fields[11:15])
        times[process] = user + system, child_user + child_system
    own, ended = times[pid]
    waiting, below = list(children.get(pid, [])), ended
    while waiting:
        one = waiting.pop()
        below += sum(times.get(one, (0.0, 0.0)))
        waiting += children.get(one, [])
    return own, below


def described(found: dict[str, float], rounds: int) -> str:
    load, cores = os.getloadavg()[1], len(os.sched_getaffinity(0))
    return (
        f"## A round over Flower\n\nFour members and the hub on one machine ({platform.machine()}, {cores} cores, "
        f"load {load:.1f} from other work), Flower {version('flwr')}, {rounds} rounds, {datetime.now(UTC):%Y-%m-%d}; "
        f"`python benchmarks/flower_overhead.py --rounds {rounds}`.\n\n"
        "| a round, beyond the work | here | Flower's floor | goal |\n| --- | --- | --- | --- |\n"
        f"| seconds (median; least – most) | {found['seconds']:.1f} ({found['seconds_least']:.1f} – "
        f"{found['seconds_most']:.1f}) | {FLOOR_SECONDS} | {GOAL_SECONDS:.0f} |\n"
        f"| CPU seconds a member, Flower's processes | {found['cpu_flower']:.1f} | | {GOAL_CPU_SECONDS:.0f} |\n\n"
        "Flower's floor is that of one message to each member and was measured on a quiet machine; a round here is two "
        f"messages. The resident process, work included, took {found['cpu_resident']:.1f} CPU seconds a round.\n\n"
        f"- Seconds beyond the work: {_judged(found['seconds'], GOAL_SECONDS)}\n"
        f"- CPU seconds beyond the work: {_judged(found['cpu_flower'], GOAL_CPU_SECONDS)}"
    )


def _judged(value: float, goal: float) -> str:
    return f"{value:.1f}, goal at most {goal:g}: **{'met' if value <= goal else 'missed'}**."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    text = described(found, arguments.rounds)
    print(json.dumps(found) if arguments.json else text)
    if arguments.write_docs:
        write_section("flower-overhead", text)


if __name__ == "__main__":
    main()
