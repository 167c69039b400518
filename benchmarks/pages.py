"""How long the index takes to answer what the hub's pages ask, with 1,000 runs and 1,000,000 entries.

    python benchmarks/pages.py [--entries N] [--runs N] [--postgres URL] [--folder DIR] [--repeats N] [--json]
        [--write-docs]

The entries are made up and go into the index as those of a ledger do, through the same code, but without a ledger
beside them: no signature is made or checked. With --folder the SQLite file stays there, and what is filled already is
measured again. Five members; a run has 100 rounds and is examined; every tenth is
proposed, voted and published; what is left are refusals of the hub. Each query is asked with other values each time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from page import write_section
from sqlalchemy import select, update
from verify_rate import MEMBERS, card, digest, make_accord, make_keys, signed

from foedus.core.clock import spell
from foedus.core.envelope import Envelope
from foedus.index import Index
from foedus.index import tables as t
from foedus.index.database import Database, open_database
from foedus.index.fill import Source, new_batch, write
from foedus.index.fold import Enacted, Fold
from foedus.ledger.fold import resolve
from foedus.ledger.leaf import Leaf, leaf_bytes, parse_leaf
from foedus.records import acts
from foedus.records.accord import Accord
from foedus.records.base import Record
from foedus.records.evidence import Credit, CreditReport, Examination, Figure, Verdict, Verdicts
from foedus.records.release import Proposal

GOAL_MS, PAGE_GOAL_MS = 20.0, 100.0
PAGES = (
    "/", "/accord", "/members", "/members/bank-b/rounds", "/cards", "/runs", "/runs?page=17", "/runs/run-7/rounds",
    "/credit", "/gates", "/releases", "/audit", "/audit?page=1500", "/audit?kind=round.close",
)  # fmt: skip
ROUNDS = 100
MILLION = 1_000_000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_BATCH = 20_000


# ── the entries ──────────────────────────────────────────────────────────────


@dataclass
class Story:
    """Acts in order, and the objects that they name."""

    accord: Accord
    entries: int
    runs: int
    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, record: Record) -> str:
        """Keep an object; gives its digest."""
        self.objects[record.digest] = record.to_bytes()
        return record.digest

    def acts(self) -> Iterator[tuple[str, Record]]:
        """Who does what; each part of the whole is spread over all of it."""
        refusals = max(0, self.entries - self.runs * (ROUNDS + 12)) // self.runs
        for number in range(self.runs):
            run = f"run-{number + 1}"
            yield card_of(number)
            yield from self._run(run)
            if number % 10 == 0:
                yield from self._release(run, number)
            for count in range(refusals):
                source = f"10.{number % 250}.{count // 250 % 250}.{count % 250}"
                yield "hub", acts.Refuse(code="wire.garbage", source=source, count=1, run=run, round=count % ROUNDS)

    def _run(self, run: str) -> Iterator[tuple[str, Record]]:
        yield "hub", acts.OpenRun(run=run, roster=MEMBERS, start=digest(run), engine="flower", numerics={"torch": "2"})
        for number in range(1, ROUNDS + 1):
            used = tuple(acts.Used(member=m, reply=digest(run, number, m), weight="0.2") for m in MEMBERS)
            yield (
                "hub",
                acts.CloseRound(
                    run=run, round=number, snapshot=digest(run, number, "snapshot"), state=digest(run, number),
                    used=used, validation_loss=f"0.{9_000 - number}1",
                ),
            )  # fmt: skip
        yield (
            "hub",
            acts.CloseRun(run=run, outcome="done", rounds=ROUNDS, released_round=ROUNDS, state=digest(run, ROUNDS)),
        )
        figures = [
            Figure(arm=arm, member=member, metric="accuracy", n=1000, estimate="0.9", low="0.88", high="0.92")
            for arm in ("federated", "alone", "difference")
            for member in (None, *MEMBERS)
        ]
        examined = Examination(
            run=run, state=digest(run, ROUNDS), replicates=1000, confidence_bp=9500, figures=tuple(figures), counts={}
        )
        report = CreditReport(
            run=run, method="aumann-shapley", start_loss="1.5", released_loss="0.5", total="1", residual="0",
            tolerance="0.1",
            credits=tuple(Credit(member=m, value="0.2", by_round=("0.01",) * 20) for m in MEMBERS),
        )  # fmt: skip
        yield "hub", acts.EnterEvidence(run=run, evidence=self.put(examined), credit=self.put(report), replies=())
        said = Verdicts(
            run=run, accord=self.accord.digest, model=digest(run, "model"), evidence=examined.digest,
            verdicts=tuple(
                Verdict(gate=gate, outcome="pass", threshold="0.8", reason="as measured")
                for gate in ("utility", "no-harm", "artefact")
            ),
        )  # fmt: skip
        yield "hub", acts.EnterVerdicts(run=run, model=digest(run, "model"), verdicts=self.put(said))

    def _release(self, run: str, number: int) -> Iterator[tuple[str, Record]]:
        same = dict.fromkeys(("base", "state", "model", "verdicts", "evidence"), digest(run))
        proposal = self.put(
            Proposal(
                name="intents", version=f"1.{number}", accord=self.accord.digest, run=run, credit=None, cards=(),
                files={}, custody="separate", use="benchmark", **same,
            )
        )  # fmt: skip
        yield "hub", acts.Propose(proposal=proposal)
        for name in MEMBERS:
            yield name, acts.Vote(subject=proposal, choice="approve", matter="release")
        yield "hub", acts.CloseVote(subject=proposal, matter="release", outcome="approved")
        yield "hub", acts.Publish(proposal=proposal, checksums=digest(run, "checksums"))


def card_of(number: int) -> tuple[str, Record]:
    name = MEMBERS[number % len(MEMBERS)]
    return name, card(name, number)


def leaves(story: Story, start: int, numbers: dict[str, int]) -> Iterator[Leaf]:
    """The acts as leaves that nobody signed, one a second."""
    under = story.accord.digest
    for index, (actor, act) in enumerate(story.acts(), start=start):
        numbers[actor] += 1
        fields = {"v": 1, "accord": under, "actor": actor, "number": numbers[actor], "prev": None}
        entry = acts.Entry.model_construct(**fields, type=act.kind, body=act.model_dump(mode="json"))
        envelope = Envelope(acts.Entry.payload_type(), index.to_bytes(8, "big"), ())
        yield Leaf(index, spell(BEGAN + timedelta(seconds=index)), envelope, entry, b"")


def make(databases: list[Database], entries: int, runs: int) -> Fold:
    """Fill the databases; gives the state of the beginning, which is really signed and folded."""
    keys = make_keys()
    accord = make_accord(keys, ROUNDS)
    story = Story(accord, entries, runs)
    story.put(accord)
    begun = spell(BEGAN)
    first = [parse_leaf(leaf_bytes(one, begun), at) for at, (one, _) in enumerate(islice(signed(accord, keys, 1), 11))]
    state = resolve(first, objects=story.objects.get, anchor=None)
    numbers: defaultdict[str, int] = defaultdict(int, {actor: len(chain) for actor, chain in state.chains.items()})
    if not all(map(filled, databases)):
        fill_with(databases, story, first, leaves(story, len(first), numbers))
    source = Source(Path("no-ledger-here"), keys["hub"]["log"].public, story.objects.get)
    return Fold(source, None, state, (Enacted(accord.digest, 5, begun),), complete=True)


def filled(database: Database) -> bool:
    """Whether a benchmark has filled this database before."""
    with database.reading() as connection:
        return bool(connection.execute(select(t.marks.c.done)).scalar())


def fill_with(databases: list[Database], story: Story, first: list[Leaf], rest: Iterator[Leaf]) -> None:
    """Put the entries into all databases, batch by batch."""
    done, keep = 0, set(story.objects)
    while batch := [*(first if not done else []), *islice(rest, _BATCH)]:
        done += len(batch)
        with databases[0].reading() as connection:
            adding = new_batch(connection, story.objects.get)
        for leaf in batch:
            adding.take(leaf)
        for database in databases:
            with database.writing() as connection:
                write(database, connection, adding)
                connection.execute(update(t.marks).values(done=done, origin=story.accord.origin))
        recent = list(story.objects)[-40:]
        story.objects = {name: data for name, data in story.objects.items() if name in keep or name in recent}
    for database in databases:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE" if database.file is None else "ANALYZE")


# ── the queries ──────────────────────────────────────────────────────────────


def queries(index: Index, runs: int, entries: int, chance: random.Random) -> dict[str, Callable[[], object]]:
    """What pages ask, each time with other values."""

    def run() -> str:
        return f"run-{chance.randrange(runs) + 1}"

    def page(total: int) -> int:
        return chance.randrange(max(1, total // 50)) + 1

    kinds = index.kinds()
    proposal = index.releases().items[0].proposal
    return {
        "overview": index.overview,
        "members": index.members,
        "accords": index.accords,
        "cards, a page": lambda: index.cards(page=page(runs)),
        "entries, any page": lambda: index.acts(page=page(entries)),
        "entries of a kind, any page": lambda: index.acts(kind="round.close", page=page(kinds["round.close"])),
        "entries of a party, any page": lambda: index.acts(actor="hub", page=page(entries // 2)),
        "entries of a kind and a party, any page": lambda: index.acts(
            kind="hub.refused", actor="hub", page=page(kinds.get("hub.refused", 1))
        ),
        "entries of a run, any page": lambda: index.acts(run=run(), page=page(600)),
        "entries about a digest": lambda: index.acts(subject=proposal),
        "where a digest stands": lambda: index.mentions(digest(run(), 7, "bank-c")),
        "counts by kind": index.kinds,
        "refusals, any page": lambda: index.refusals(page=page(kinds.get("hub.refused", 1))),
        "refusals of a run": lambda: index.refusals(run=run()),
        "runs, newest": index.runs,
        "runs, any page by a figure": lambda: index.runs(order="federated", page=page(runs)),
        "runs of an outcome, by name": lambda: index.runs(status="done", name="9", order="loss"),
        "a run": lambda: index.run(run()),
        "rounds, any page": lambda: index.rounds(run(), page=page(ROUNDS)),
        "a round's members": lambda: index.asked(run(), chance.randrange(ROUNDS) + 1),
        "a member's rounds, any page": lambda: index.replies("bank-b", page=page(runs * ROUNDS)),
        "a curve": lambda: index.losses(run(), points=100),
        "figures of a run": lambda: index.figures(run()),
        "credit reports, any page": lambda: index.credits(page=page(runs)),
        "credit of a run": lambda: index.credit(run()),
        "verdicts, any page": lambda: index.verdicts(page=page(runs * 3)),
        "proposals": index.proposals,
        "votes": index.votes,
        "open votes": lambda: index.votes(is_open=True),
        "votes cast": lambda: index.cast(proposal),
    }


def measure(database: Database, fold: Fold, runs: int, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each query, with other values each time."""
    index = Index(database, fold.source, fold)
    entries = index.overview().entries
    return timed(queries(index, runs, entries, random.Random(7)), repeats)  # noqa: S311 - which page is looked at


def pages(database: Database, fold: Fold, folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds that the server takes for whole pages, asked in its process, without sign-in and network."""
    from fastapi.testclient import TestClient

    from foedus.core.clock import now
    from foedus.web.app import Site, build
    from foedus.workspace import create_coordinator, open_workspace
    from foedus.workspace.folder import PAGE

    workspace = open_workspace(folder) if (folder / PAGE).exists() else create_coordinator(folder, "hub")
    site = Site(workspace, Index(database, fold.source, fold), now)
    reader = TestClient(build(site), base_url="http://127.0.0.1:8600")

    def ask(path: str) -> Callable[[], None]:
        def get() -> None:
            if (answer := reader.get(path)).status_code != 200:
                raise SystemExit(f"{path}: {answer.status_code}")

        return get

    return timed({f"page {path}": ask(path) for path in PAGES}, repeats)


def timed(asked: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each: the median and 95th of a hundred of wall time, the same of processor time."""
    found = {}
    for name, ask in asked.items():
        ask()
        wall, cpu = [], []
        for _ in range(repeats):
            began, worked = perf_counter(), process_time()
            ask()
            wall.append((perf_counter() - began) * 1000)
            cpu.append((process_time() - worked) * 1000)
        found[name] = {
            "wall": at(wall, 0.5), "wall_p95": at(wall, 0.95), "cpu": at(cpu, 0.5), "cpu_p95": at(cpu, 0.95),
        }  # fmt: skip
    return found


def at(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 2)


def judged(answered: dict[str, dict[str, float]], by: str) -> str:
    """Whether all of it keeps to the aim, else how many do not and which takes longest."""
    goals = {what: PAGE_GOAL_MS if what.startswith("page /") else GOAL_MS for what in answered}
    slow = {what: ms[by] for what, ms in answered.items() if ms[by] > goals[what]}
    longest = max(slow, key=lambda what: slow[what] / goals[what], default="")
    return f"**missed** by {len(slow)} of {len(answered)}, {longest} most: {slow[longest]}" if slow else "**met**"


def section(result: dict[str, Any]) -> str:
    """The page's section on the index."""
    answered: dict[str, dict[str, dict[str, float]]] = result["milliseconds"]
    names = list(answered)
    rows = []
    for query in answered[names[0]]:
        cells = []
        for name in names:
            ms = answered[name][query]
            cells.append(f"{ms['wall']} / {ms['wall_p95']}")
            cells += [f"{ms['cpu']} / {ms['cpu_p95']}"] if name == "SQLite" else []
        rows.append(f"| {query} | " + " | ".join(cells) + " |")
    head = ["query"]
    for name in names:
        head += [f"{name}, wall", *(["its processor time"] if name == "SQLite" else [])]
    whole = result["entries"] > 0.99 * MILLION
    short = "" if whole else f" The aim is for {MILLION:,} entries: that is still to be measured, on an idle machine."
    told = []
    for name in names:
        told.append(f"{name}, wall time: {judged(answered[name], 'wall_p95')}")
        told += [f"its processor time: {judged(answered[name], 'cpu_p95')}"] if name == "SQLite" else []
    return "\n".join(
        [
            "## Queries of the hub's pages",
            "",
            f"{result['entries']:,} entries, {result['runs']:,} runs, {result['rounds']:,} closed rounds of five "
            "members, in the index of the ledger. Milliseconds of one query, by one reader, the database warm, "
            f"{result['repeats']} times each with other values: median / 95th of a hundred. SQLite works in the "
            "process that asks, so its processor time is all that it takes on an idle machine. The entries are made up "
            f"and were not signed; the SQLite file has {result['sqlite_megabytes']:,} MB.",
            "",
            "| " + " | ".join(head) + " |",
            "| --- " * len(head) + "|",
            *rows,
            "",
            f"The aim: {GOAL_MS:.0f} ms of wall time for 95 of a hundred queries, {PAGE_GOAL_MS:.0f} ms for whole "
            f"pages (asked in the server's process, without network and sign-in). {'; '.join(told)}. "
            f"{result['machine']}; load average {result['load']}.{short}",
            "",
            "```console",
            "$ python benchmarks/pages.py --postgres URL --write-docs",
            "```",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=MILLION)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--postgres", help="the URL of an empty database, to measure it as well")
    parser.add_argument("--folder", type=Path, help="where the SQLite file lies and stays")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        databases = {"SQLite": open_database(None, file=folder / "index.sqlite")}
        if asked.postgres:
            databases["PostgreSQL"] = open_database(asked.postgres, file=folder / "none")
        fold = make(list(databases.values()), asked.entries, asked.runs)
        answered = {name: measure(one, fold, asked.runs, asked.repeats) for name, one in databases.items()}
        for name, one in databases.items():
            answered[name] |= pages(one, fold, folder / "hub", asked.repeats)
        entries = Index(databases["SQLite"], fold.source, fold).overview().entries
        size = sum(path.stat().st_size for path in folder.glob("index.sqlite*"))
        for one in databases.values():
            one.close()
    result: dict[str, Any] = {
        "entries": entries,
        "runs": asked.runs,
        "rounds": asked.runs * ROUNDS,
        "repeats": asked.repeats,
        "milliseconds": answered,
        "sqlite_megabytes": round(size / 1e6),
        "load": round(os.getloadavg()[0], 1),
        "machine": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} processors",
    }
    print(json.dumps(result, indent=1) if asked.json else section(result))
    if asked.write_docs:
        write_section("pages", section(result))


if __name__ == "__main__":
    main()
