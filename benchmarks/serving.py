"""A release served, beside LitServe and a plain FastAPI over a transformers pipeline: one model, one machine, one run.

    python benchmarks/serving.py --litserve-python /tmp/venv-litserve/bin/python [--release DIR --workspace DIR]
        [--seconds 10] [--repeats 2] [--requests 100000] [--minutes 3] [--json FILE] [--write-docs]

About eleven minutes on two quiet cores; `--seconds 4 --repeats 1 --requests 6000 --minutes 0.5` takes about three, to
see that all of it runs. Without --release the banking demo is played first: its release is a classifier of 77 intents
over MiniLM. The servers take turns, `--repeats` times; each is started, warmed for 3 s, and asked by wrk at one
connection and at 32, with texts of BANKING77 of all lengths. The bare call is the stock model's forward function,
timed in a process with nothing else. Client and server share the machine's cores, for all alike. Processor time is
that of all processes of a server while 32 connections asked it: what other work on the machine changes least.

int8: what `--int8-check` says of the demo's official test part.

Memory: the resident set of our server's process after 5,000 requests and after `--requests`. Loss: a client that asks
at 80 % of the rate measured before, for some minutes, while the release is swapped for itself every minute; every
answer that is no 200 is lost.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from page import write_section
from serving_load import wrk

HERE = Path(__file__).parent
FOEDUS = Path(sys.executable).with_name("foedus")
NAMES = {
    "foedus": "Foedus",
    "foedus-int8": "Foedus, `--int8`",
    "plain": "FastAPI + pipeline",
    "litserve": "LitServe",
}
GOALS = {"plain": 3.0, "litserve": 1.2}
MAX_TOKENS, WARM_SECONDS, WARM_REQUESTS = 64, 3, 5000
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Server:
    """A server that is up."""

    address: str
    process: subprocess.Popen[str]


def main() -> None:
    asked = _given().parse_args()
    with tempfile.TemporaryDirectory(prefix="foedus-serving-") as folder:
        place = Path(folder)
        release, workspace = (asked.release, asked.workspace) if asked.release else _played(place)
        texts, labelled = _texts(place / "texts"), _labelled(place / "labelled.csv")
        found = _measured(asked, release, workspace, texts, labelled)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    text = _section(found)
    print(text)
    if asked.write_docs:
        write_section("serving", text)


def _given() -> argparse.ArgumentParser:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--litserve-python", type=Path, help="the Python of an environment with litserve and torch")
    given.add_argument("--release", type=Path)
    given.add_argument("--workspace", type=Path)
    given.add_argument("--seconds", type=int, default=10)
    given.add_argument("--repeats", type=int, default=2)
    given.add_argument("--requests", type=int, default=100_000)
    given.add_argument("--minutes", type=float, default=3)
    given.add_argument("--json", type=Path)
    given.add_argument("--write-docs", action="store_true")
    return given


def _played(place: Path) -> tuple[Path, Path]:
    """The release of the banking demo, and the coordinator's workspace."""
    demo = place / "demo"
    told = subprocess.run(
        [FOEDUS, "demo", "--out", demo, "--json"], check=True, capture_output=True, text=True, env=ENVIRONMENT
    )
    return Path(json.loads(told.stdout)["release"]), demo / "hub"


def _texts(path: Path) -> Path:
    from foedus.demo.scenarios import scenario

    rows = sorted({row.text for row in scenario("banking").rows()})
    path.write_text("\n".join(text.replace("\n", " ") for text in rows) + "\n", encoding="utf-8")
    return path


def _labelled(path: Path) -> Path:
    """The official test part, as a labelled file."""
    from foedus.demo.scenarios import scenario

    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [(row.text, row.label) for row in scenario("banking").rows() if row.member == "exam"]
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


# ── measuring ────────────────────────────────────────────────────────────────


def _measured(asked: argparse.Namespace, release: Path, workspace: Path, texts: Path, labelled: Path) -> dict[str, Any]:
    model = release / "model"
    python = asked.litserve_python or Path(sys.executable)
    kinds = ["foedus", "foedus-int8", "plain", *(["litserve"] if asked.litserve_python else [])]
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    bare: list[dict[str, float]] = []
    int8: dict[str, int] = {}
    for _ in range(asked.repeats):
        bare.append(_bare(model, texts))
        _told("the bare call", bare[-1])
        for kind in kinds:
            with _up(kind, release, workspace, python, labelled) as server:
                wrk(server.address, texts, connections=8, seconds=WARM_SECONDS)
                one = wrk(server.address, texts, connections=1, seconds=asked.seconds)
                before = _processor_seconds(server.process.pid)
                many = wrk(server.address, texts, connections=32, seconds=asked.seconds)
                many["processor_ms"] = 1000 * (_processor_seconds(server.process.pid) - before) / many["requests"]
                rows[kind].append({"one": one, "many": many})
                int8 = _health(server.address)["int8"] if kind == "foedus-int8" else int8
            _told(NAMES[kind], {"one": one, "many": many})
    summary = {kind: _medians(found) for kind, found in rows.items()}
    return {
        "servers": summary,
        "bare": {name: statistics.median(one[name] for one in bare) for name in bare[0]},
        "int8": int8,
        "memory": _memory(asked, release, workspace, texts),
        "loss": _loss(asked, release, workspace, texts, rate=0.8 * summary["foedus"]["rate"]),
        "seconds": asked.seconds,
        "repeats": asked.repeats,
        "command": _command(asked),
        "machine": _machine(python if asked.litserve_python else None),
    }


def _command(asked: argparse.Namespace) -> str:
    """What was called, but for places on this machine: the page says how all of it is measured again."""
    usual = _given().parse_args([])
    numbers = [
        f"--{name} {getattr(asked, name)}"
        for name in ("seconds", "repeats", "requests", "minutes")
        if getattr(asked, name) != getattr(usual, name)
    ]
    peer = ["--litserve-python VENV/bin/python"] if asked.litserve_python else []
    played = ["--release DIR --workspace DIR"] if asked.release else []
    return " ".join(["python benchmarks/serving.py", *peer, *played, *numbers, "--write-docs"])


def _medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    pick = {
        "p50_one_ms": ("one", "p50_ms"), "rate": ("many", "rate"), "p50_ms": ("many", "p50_ms"),
        "p99_ms": ("many", "p99_ms"), "processor_ms": ("many", "processor_ms"),
    }  # fmt: skip
    found = {name: statistics.median(row[part][key] for row in rows) for name, (part, key) in pick.items()}
    return {**found, "failed": sum(row[part]["failed"] for row in rows for part in ("one", "many"))}


def _bare(model: Path, texts: Path) -> dict[str, float]:
    told = subprocess.run(
        [sys.executable, HERE / "serving_peers.py", "forward", model, texts, str(MAX_TOKENS)],
        check=True, capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return found


def _memory(asked: argparse.Namespace, release: Path, workspace: Path, texts: Path) -> dict[str, float]:
    with _up("foedus", release, workspace, Path(sys.executable)) as server:
        done, sizes = 0, {}
        for goal in (WARM_REQUESTS, asked.requests):
            _told("memory", {"requests": done, "until": goal})
            while done < goal:
                done += int(wrk(server.address, texts, connections=32, seconds=min(10, asked.seconds))["requests"])
            sizes[goal] = _resident(server.process.pid)
    first, last = sizes[WARM_REQUESTS], sizes[asked.requests]
    return {"requests": done, "before_mb": first / 1e6, "after_mb": last / 1e6}


def _resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _loss(asked: argparse.Namespace, release: Path, workspace: Path, texts: Path, *, rate: float) -> dict[str, Any]:
    """Ask at a fixed rate while the release is swapped every minute."""
    seconds, swaps = asked.minutes * 60, 0
    _told("loss", {"seconds": seconds, "rate": rate})
    with _up("foedus", release, workspace, Path(sys.executable)) as server:
        load = subprocess.Popen(
            [sys.executable, HERE / "serving_load.py", server.address, texts, "--rate", f"{rate:.1f}", "--seconds",
             str(seconds)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        began = time.monotonic()
        pause = min(60.0, seconds / 3)
        while time.monotonic() - began < seconds - pause / 2:
            time.sleep(pause)
            if load.poll() is None:
                swap = [FOEDUS, "serve", "swap", release, "--workspace", workspace, "--json"]
                subprocess.run(swap, check=True, capture_output=True, env=ENVIRONMENT)
                swaps += 1
        out, _ = load.communicate()
    return {**json.loads(out), "rate": rate, "swaps": swaps, "seconds": seconds}


def _processor_seconds(session: int) -> float:
    """What all processes of a server's session have used so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _health(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:  # noqa: S310 - loopback
        found: dict[str, Any] = json.load(answer)
    return found


def _told(what: str, found: dict[str, Any]) -> None:
    """Show how far it is."""
    shown = {name: round(value, 2) if isinstance(value, float) else value for name, value in found.items()}
    print(f"{datetime.now(UTC):%H:%M:%S} {what}: {json.dumps(shown)}", file=sys.stderr, flush=True)


@contextmanager
def _up(kind: str, release: Path, workspace: Path, python: Path, labelled: Path | None = None) -> Iterator[Server]:
    """A server, from its start until it has ended with all that it started."""
    port = _free_port()
    if kind.startswith("foedus"):
        options = ["--int8", *(["--int8-check", labelled] if labelled else [])] if kind == "foedus-int8" else []
        command = [FOEDUS, "serve", release, "--workspace", workspace, "--port", port, *options]
    else:
        script = ["serving_litserve.py"] if kind == "litserve" else ["serving_peers.py", kind]
        command = [python, HERE / script[0], *script[1:], release / "model", port, MAX_TOKENS]
    process = subprocess.Popen(
        [str(word) for word in command], text=True, env=ENVIRONMENT, start_new_session=True, stdout=sys.stderr
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _until_answered(address, process)
        yield Server(address, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            _end_rest(process.pid)


def _until_answered(address: str, process: subprocess.Popen[str]) -> None:
    body = json.dumps({"text": "where is my card"}).encode()
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"{process.args} ended with {process.returncode}")
        try:
            asked = urllib.request.Request(f"{address}/v1/predict", body, {"Content-Type": "application/json"})  # noqa: S310
            urllib.request.urlopen(asked, timeout=5).read()  # noqa: S310 - loopback
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{process.args} did not answer")


def _end_rest(group: int) -> None:
    """End what a server left behind of the session that we started it in."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _machine(litserve: Path | None) -> str:
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    parts = [f"{os.cpu_count()} cores", cpu[1] if cpu else platform.machine(), f"python {platform.python_version()}"]
    parts += [f"{name} {version(name)}" for name in ("torch", "transformers", "fastapi", "uvicorn")]
    if litserve:
        asked = "from importlib.metadata import version as v; print('litserve', v('litserve'), 'torch', v('torch'))"
        parts.append(subprocess.run([litserve, "-c", asked], check=True, capture_output=True, text=True).stdout.strip())
    return ", ".join(parts)


# ── telling ──────────────────────────────────────────────────────────────────


def _section(found: dict[str, Any]) -> str:
    servers, bare, memory, loss = found["servers"], found["bare"], found["memory"], found["loss"]
    head = (
        "| server | p50 at 1, ms | requests a second at 32 | p50 at 32, ms | p99 at 32, ms"
        " | processor time a request at 32, ms | not answered |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    rows = [
        f"| {NAMES[kind]} | {one['p50_one_ms']:.2f} | {one['rate']:.0f} | {one['p50_ms']:.0f} | {one['p99_ms']:.0f} |"
        f" {one['processor_ms']:.2f} | {one['failed']:.0f} |"
        for kind, one in servers.items()
    ]
    goals = [
        _beside(servers["foedus"]["rate"], servers[kind]["rate"], NAMES[kind], goal)
        if kind in servers
        else f"- Beside {NAMES[kind]}: **not measured**."
        for kind, goal in GOALS.items()
    ]
    p50, limit = servers["foedus"]["p50_one_ms"], 1.1 * bare["forward_ms"] + 1
    goals.append(
        _goal(f"p50 at one connection {p50:.2f} ms; the bare call takes {bare['forward_ms']:.2f} ms, "
              f"{bare['with_tokens_ms']:.2f} ms with its tokens made (goal {limit:.2f} ms: the call, 10 % and 1 ms)",
              p50 <= limit)
    )  # fmt: skip
    goals.append(_int8(found["int8"]))
    grown = memory["after_mb"] - memory["before_mb"]
    goals.append(
        _goal(f"Memory after {WARM_REQUESTS} requests {memory['before_mb']:.0f} MB, after {memory['requests']:.0f} "
              f"{memory['after_mb']:.0f} MB (goal: within 5 %)", grown <= 0.05 * memory["before_mb"])
    )  # fmt: skip
    good = loss["statuses"].get("200", 0)
    goals.append(
        _goal(f"{loss['asked']} requests at {loss['rate']:.0f} a second (80 %) for {loss['seconds']:.0f} s with "
              f"{loss['swaps']} swaps: {loss['asked'] - good} not answered with 200 (goal: 0)", good == loss["asked"])
    )  # fmt: skip
    day = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "## Serving", "",
            "One MiniLM classifier (77 intents), one text a request, texts of all lengths; servers took turns, "
            f"{found['repeats']} × {found['seconds']} s each, wrk and server on the same cores; medians.", "",
            head, *rows, "", *goals, "",
            f"({day}; {found['machine']}.) All of it again:", "",
            "```console", f"$ {found['command']}", "```",
        ]
    )  # fmt: skip


def _int8(found: dict[str, int]) -> str:
    """What int8 changes, on rows that nobody trained on."""
    alike, right, small = (f"{found[name] / found['n']:.1%}" for name in ("alike", "right", "right_int8"))
    return f"- In int8 {small} of {found['n']} official test rows are right, as released {right}; {alike} alike."


def _beside(ours: float, theirs: float, name: str, goal: float) -> str:
    return _goal(f"At 32 connections {ours / theirs:.2f} × {name} (goal {goal})", ours >= goal * theirs)


def _goal(text: str, is_met: bool) -> str:  # noqa: FBT001 - said once, below its text
    return f"- {text}: **{'met' if is_met else 'missed'}**."


if __name__ == "__main__":
    main()
