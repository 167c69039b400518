"""Foedus on the same task, two ways.

    ours.py run FOLDER                what a user runs: a practice consortium's run, with ledger, nodes, journals, keys
    ours.py conversation              the conversation of rounds, the engine and the members' work, and nothing besides

`run` is stopped as `foedus run stop` does it, after the last round: evaluation is no part of the comparison. Of the
conversation every saving can be turned off, one at a time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from task import folder, mark, mark_first_step, recipe, start_state, write_state

from foedus.accord import compile_plan
from foedus.core.errors import RunError
from foedus.core.objects import ObjectStore
from foedus.data.examples import Example
from foedus.federate.answer import Shelf, answer
from foedus.federate.engine import InProcess
from foedus.federate.rounds import first_snapshot, rounds, shares_among
from foedus.federate.talk import Answer, Send, open_state
from foedus.practice import open_practice, run_here
from foedus.records import terms
from foedus.records.accord import Accord
from foedus.records.asks import Ask, Place, Reply
from foedus.records.plan import Plan
from foedus.records.release import Snapshot
from foedus.state import State, from_bytes
from foedus.track.event import Event
from foedus.train.model import build

RUN = "run-1"
NOTHING = "sha256:" + "0" * 64
"""Where an ask names an accord or a roster: the conversation alone has none."""


def run(consortium: Path) -> State:
    """The product: all of it, up to the last round's close."""
    practice = open_practice(consortium / "hub")
    last = practice.accord.training.rounds

    def report(event: Event) -> None:
        if event.kind == "opened":
            mark("round", number=1)
        if event.kind == "round":
            mark("round", number=event.fields["round"] + 1)
            if event.fields["round"] == last:
                (practice.hub.folder / "runs" / RUN / "stop").touch()

    try:
        run_here(practice, name=RUN, report=report)
    except RunError as error:
        if error.code != "run.stopped":
            raise
    mark("end")
    closed = practice.state().runs[RUN].closes[-1]
    last_state = Snapshot.from_bytes(practice.hub.objects.get(closed.snapshot)).state
    return from_bytes(practice.hub.objects.get(last_state))


def conversation(*, workers: int, packs: bool, keeps: bool, first_only: bool) -> State:
    """The rounds alone: asks and replies travel as they do in a run, unsigned, and nobody keeps a ledger."""
    torch.set_num_threads(1)
    plan = compile_plan(Accord.from_bytes((folder() / "accord.json").read_bytes()))
    model = build(Path(recipe()["model"]), plan.task, plan.method, dropout=plan.craft.dropout, packs=packs)
    model.depth = model.depth if keeps else 0
    model.reads_first = model.reads_first and first_only
    shelves = {member: Shelf(member, {"train": examples(member, plan)}, model, plan) for member in plan.members}
    with tempfile.TemporaryDirectory() as place:
        store = ObjectStore(Path(place))

        def deliver(member: str, message: bytes) -> bytes:
            ask = Ask.from_bytes(message)
            given = answer(ask, shelves[member], {}, store.get)
            objects = {name: store.put(data) for name, data in given.objects.items()}
            return Reply(ask=ask.digest, member=member, outcome="done", body=given.body, objects=objects).to_bytes()

        engine = InProcess(deliver, workers=workers)
        try:
            return driven(plan, engine, store)
        finally:
            engine.close()


def driven(plan: Plan, engine: InProcess, store: ObjectStore) -> State:
    shares = shares_among(dict.fromkeys(plan.members, 1), terms.Mean())
    talk = rounds(plan, first_snapshot(RUN, start_state(), store), store=store, shares=shares)
    try:
        step = next(talk)
        while True:
            if isinstance(step, Send):
                mark("round", number=step.round)
                messages = {member: ask(member, step).to_bytes() for member in step.asks}
                came = dict(engine.carry(messages, deadline_seconds=36_000))
                step = talk.send({member: (read(came[member]),) for member in sorted(came)})
            else:
                step = next(talk)
    except StopIteration as end:
        mark("end")
        return open_state(store, end.value.state, what="the last state")


def unfused(made: type[torch.optim.AdamW], *groups: Any, **settings: Any) -> torch.optim.AdamW:
    return made(*groups, **{**settings, "fused": False})


def examples(member: str, plan: Plan) -> tuple[Example, ...]:
    rows = json.loads((folder() / "data" / f"{member}.json").read_text())
    return tuple(Example(row["text"], label=plan.task.labels[row["label"]]) for row in rows)


def ask(member: str, step: Send) -> Ask:
    place = Place(run=RUN, round=step.round, number=1)
    (body,) = step.asks[member]
    return Ask(accord=NOTHING, place=place, member=member, roster=NOTHING, not_after="2100-01-01T00:00:00Z", body=body)


def read(came: bytes | str) -> Answer:
    if isinstance(came, str):
        raise SystemExit(f"a member did not answer: {came}")
    reply = Reply.from_bytes(came)
    return Answer(reply.digest, reply)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    ways = parser.add_subparsers(dest="way", required=True)
    ways.add_parser("run").add_argument("consortium", type=Path)
    other = ways.add_parser("conversation")
    other.add_argument("--workers", type=int, required=True)
    other.add_argument("--padded", action="store_true", help="batches padded, through the whole stock network")
    other.add_argument("--keep-nothing", action="store_true", help="frozen lower layers computed each time")
    other.add_argument("--all-tokens", action="store_true", help="the last layer for every token")
    other.add_argument("--unfused", action="store_true", help="AdamW as PyTorch runs it where nothing is said")
    options = parser.parse_args()
    mark_first_step()
    if options.way == "conversation" and options.unfused:
        torch.optim.AdamW = partial(unfused, torch.optim.AdamW)
    if options.way == "run":
        end = run(options.consortium)
    else:
        end = conversation(
            workers=options.workers, packs=not options.padded, keeps=not options.keep_nothing,
            first_only=not options.all_tokens,
        )  # fmt: skip
    write_state(end)
