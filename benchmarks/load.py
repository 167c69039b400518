"""A hub under load on one machine: 50 members polling, 20 people on its pages, and a run that goes on.

    python benchmarks/load.py [--pollers N] [--readers N] [--seconds N] [--json] [--write-docs]

The run is that of the packaged demo, in a process of its own. Beside it, over its coordinator's workspace, the hub's
reception answers members' signed inquiries for the ledger, as the gateway hands them to it (no TLS, no Flower), and the
pages answer over HTTP on loopback. A poller asks once a second, a reader opens the next page a second after the last.
Times are wall time as the asking side sees them, over the whole while that the run takes, or at most --seconds. The
readers are a process of their own, as browsers are, and end with its input.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

from page import write_section

from foedus.core.clock import now, spell
from foedus.core.parcel import Parcel
from foedus.hub.reception import PREFIX, Reception, Turnstile
from foedus.ledger import Ledger
from foedus.records.membership import Inquiry
from foedus.web.up import hub_pages
from foedus.workspace import Workspace, open_workspace, private_key

GOAL_MS = 300.0
PAGES = ("/", "/accord", "/members", "/cards", "/runs", "/gates", "/releases", "/credit", "/audit")


@dataclass
class Seen:
    """Milliseconds of what was asked, by what it was, and what failed."""

    taken: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def time(self, what: str, ask: Callable[[], None]) -> None:
        """Ask, and keep how long it took or how it failed."""
        began = perf_counter()
        try:
            ask()
        except Exception as error:  # noqa: BLE001 - what fails under load is a result
            with self.lock:
                self.failed.append(f"{what}: {error!r}"[:200])
            return
        with self.lock:
            self.taken[what].append((perf_counter() - began) * 1000)


def begun(folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """The demo, once its run is open; the coordinator's workspace."""
    command = [sys.executable, "-m", "foedus", "demo", "--out", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None:
        for page in folder.glob("**/workspace.json"):
            if (page.parent / "runs").is_dir() and any((page.parent / "runs").iterdir()):
                return child, page.parent
        time.sleep(0.2)
    raise SystemExit("the demo ended before its run began")


def poll(reception: Reception, member: Workspace, later: float, seen: Seen, stop: threading.Event) -> None:
    """A member that asks for the ledger beyond what it knows, once a second; `later`: seconds after the others."""
    key, copy = private_key(member, "act"), Ledger(member.ledger)

    def ask() -> None:
        copy.refresh()
        inquiry = Inquiry(member=member.party, have=copy.size, at=spell(now()))
        body = Parcel((inquiry.sign(key),)).to_bytes()
        said = reception.answer("POST", f"{PREFIX}ledger", body, f"10.0.0.{threading.get_ident() % 250}")
        if said.status != 200:
            raise RuntimeError(f"status {said.status}")

    stop.wait(later)
    while not stop.is_set():
        seen.time("poll of a member", ask)
        stop.wait(1)


def read(browser: OpenerDirector, origin: str, start: int, later: float, seen: Seen, stop: threading.Event) -> None:
    """A person who opens one page after the other; `later`: seconds after the others' first."""
    number = start
    stop.wait(later)
    while not stop.is_set():
        path = PAGES[number % len(PAGES)]

        def ask(path: str = path) -> None:
            with browser.open(origin + path, timeout=30) as answer:
                answer.read()

        seen.time(f"page {path}", ask)
        number += 1
        stop.wait(1)


def read_until_told(origin: str, link: str, readers: int) -> None:
    """The readers' process: they come in by a link and read until the input ends; what they saw, as JSON."""
    seen, stop = Seen(), threading.Event()
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    if link:
        browser.open(link, timeout=60).close()
    threads = [
        threading.Thread(target=read, args=(browser, origin, n, n / readers, seen, stop)) for n in range(readers)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"taken": seen.taken, "failed": seen.failed}))


def measure(pollers: int, readers: int, seconds: float) -> dict[str, Any]:
    """Everything at once; milliseconds by what was asked."""
    seen, stop = Seen(), threading.Event()
    with tempfile.TemporaryDirectory() as name:
        child, hub = begun(Path(name) / "demo")
        try:
            members = [open_workspace(path) for path in sorted(hub.parent.iterdir()) if is_member(path)]
            quiet = lambda *_: None  # noqa: E731 - nobody listens
            reception = Reception(
                folder=hub, passphrase=None, register=quiet, refused=quiet, clock=now, steady=time.monotonic,
                turnstile=Turnstile(burst=10_000),
            )  # fmt: skip
            with hub_pages(open_workspace(hub), port=0) as pages:
                people = subprocess.Popen(
                    [sys.executable, __file__, "--read", pages.origin, pages.first_link or "", str(readers)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                threads = [
                    threading.Thread(target=poll, args=(reception, members[n % len(members)], n / pollers, seen, stop))
                    for n in range(pollers)
                ]
                for thread in threads:
                    thread.start()
                began = perf_counter()
                while child.poll() is None and perf_counter() - began < seconds:
                    time.sleep(0.2)
                lasted, ended = perf_counter() - began, child.poll()
                stop.set()
                told = json.loads(people.communicate()[0])
                for thread in threads:
                    thread.join()
                seen.taken.update(told["taken"])
                seen.failed += told["failed"]
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait()
    pages_ms = [ms for what, all_ms in seen.taken.items() if what.startswith("page") for ms in all_ms]
    return {
        "pollers": pollers,
        "readers": readers,
        "seconds": round(lasted, 1),
        "run": "ended well" if ended == 0 else "went on" if ended is None else f"ended with {ended}",
        "milliseconds": {what: shares(ms) for what, ms in sorted(seen.taken.items())},
        "pages": shares(pages_ms),
        "failed": seen.failed[:20],
        "failures": len(seen.failed),
        "load": round(os.getloadavg()[0], 1),
        "machine": f"Python {platform.python_version()}, {os.cpu_count()} processors",
    }


def is_member(path: Path) -> bool:
    """Whether a folder is the workspace of a member that has a copy of the ledger."""
    return (path / "ledger" / "checkpoint").exists() and not open_workspace(path).is_coordinator


def shares(values: list[float]) -> dict[str, float]:
    """How many, the median, the 95th of a hundred, the longest."""
    ordered = sorted(values) or [float("nan")]
    return {
        "count": len(values),
        "median": round(ordered[len(ordered) // 2], 1),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 1),
        "longest": round(ordered[-1], 1),
    }


def section(result: dict[str, Any]) -> str:
    """The page's section on load."""
    met = "**met**" if result["pages"]["p95"] <= GOAL_MS and not result["failures"] else "**missed**"
    rows = [
        f"| {what} | {ms['count']} | {ms['median']} | {ms['p95']} | {ms['longest']} |"
        for what, ms in {**result["milliseconds"], "all pages": result["pages"]}.items()
    ]
    return "\n".join(
        [
            "## A hub under load",
            "",
            f"{result['pollers']} members that ask for the ledger once a second, {result['readers']} readers of the "
            "hub's pages, and the demo's run in a process beside them, on one machine. Milliseconds as the asking side "
            f"sees them, over {result['seconds']} s; the run {result['run']}; {result['failures']} requests failed. "
            "Members' inquiries reach the reception without TLS and Flower.",
            "",
            "| what is asked | times | median | 95 % | longest |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"The aim of {GOAL_MS:.0f} ms for 95 of a hundred pages, and no failure: {met}. {result['machine']}; load "
            f"average {result['load']}.",
            "",
            "```console",
            "$ python benchmarks/load.py --write-docs",
            "```",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pollers", type=int, default=50)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument("--read", nargs=3, metavar=("ORIGIN", "LINK", "READERS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        origin, link, readers = asked.read
        read_until_told(origin, link, int(readers))
        return
    result = measure(asked.pollers, asked.readers, asked.seconds)
    print(json.dumps(result, indent=1) if asked.json else section(result))
    if asked.write_docs:
        write_section("load", section(result))


if __name__ == "__main__":
    main()
