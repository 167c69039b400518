"""The hall with invented members: the same conversation, engine and nodes as a run, to see what holds at scale.

Nothing here proves anything: keys follow from the public seed, the members' rows are drawn from one file, and there is
no ledger, so nothing can be released. Costs grow with the members that are asked, not with those that exist: a node,
its journal and its rows are made when it is asked and are gone when the round is closed.

Kill it at any instant: started again in the same folder, it goes on after its last closed round.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foedus.accord import compile_plan
from foedus.core.clock import Clock, now
from foedus.core.errors import CallerError
from foedus.core.files import write_atomic
from foedus.core.keys import simulated_key
from foedus.core.objects import ObjectStore
from foedus.core.rng import PublicRng
from foedus.data.parts import Parts, open_parts
from foedus.examine import examination
from foedus.federate.answer import Shelf, counts_of
from foedus.federate.engine import InProcess
from foedus.federate.rounds import first_snapshot, rounds, shares_among
from foedus.federate.talk import Answers, Closed, Send, open_state
from foedus.node import Node
from foedus.post import Desk, Post
from foedus.records.accord import Accord
from foedus.records.evidence import Examination
from foedus.records.plan import Plan
from foedus.records.release import Snapshot
from foedus.run import start_of
from foedus.state import State, digest
from foedus.state.base import open_base
from foedus.tasks.score import bootstrap
from foedus.track.event import Report
from foedus.train.lower import prepare
from foedus.train.model import Model, load

__all__ = ["Simulation", "simulate"]

RUN = "simulation"


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulation gave. `figures` are of the file's test part; None where it has none."""

    state: str
    rounds: int
    members: int
    examination: Examination | None


def simulate(
    accord: Accord,
    data: Path,
    folder: Path,
    *,
    workers: int | None = None,
    report: Report = lambda _: None,
    clock: Clock = now,
) -> Simulation:
    """Carry the accord's simulated members through all its rounds. `data` is a mapping like a member's `data.yaml`.

    Raises:
        CallerError: `simulate.real-members`; `simulate.other-accord` where the folder holds another simulation; as
            `compile_plan` and `open_parts`.
        RunError: `run.too-few-members`.
        VerifyError: `base.differs`.
    """
    if (crowd := accord.simulated) is None:
        raise CallerError("simulate.real-members", count=len(accord.members))
    plan = compile_plan(accord)
    _claim(folder, accord)
    base = open_base(accord.base.source, accord.base.pin)
    start, model = start_of(accord, plan, base=base)
    secret = sha256(f"foedus simulated data\n{plan.seed}\n".encode()).digest()
    parts = open_parts(data, task=accord.task, member=RUN, secret_key=secret, smallest_cell=accord.data.smallest_cell)
    store = ObjectStore(folder / "objects")
    nodes = _Nodes(accord, plan, model, parts.train, folder / "nodes", clock)
    desk = Desk(
        act=simulated_key(plan.seed, accord.coordinator.name, "act"),
        store=store, folder=folder, clock=clock, report=report,
    )  # fmt: skip
    count = (os.cpu_count() or 1) if workers is None else workers
    torch.set_num_threads(1)  # bits of a training step depend on it
    engine = InProcess(nodes.deliver, workers=count)
    post = Post(desk, _Keys(accord), accord, RUN, accord.digest, plan.deadline_seconds, engine)
    saved = folder / "snapshot.json"
    snapshot = Snapshot.from_bytes(saved.read_bytes()) if saved.exists() else first_snapshot(RUN, start, store)
    desk.tell("opened", run=RUN, round=snapshot.round, rounds=plan.rounds, accord=accord.digest, engine="inprocess")
    shares = shares_among(dict.fromkeys(plan.members, crowd.examples), plan.combine)
    talk = rounds(plan, snapshot, store=store, shares=shares)
    try:
        step = next(talk, None)
        while step is not None:
            answers: Answers = {}
            match step:
                case Send():
                    answers = post.exchange(step)
                case Closed():  # `plan` keeps no late replies here, so there is nothing to gather
                    snapshot = step.snapshot
                    write_atomic(saved, snapshot.to_bytes())
                    _forget(folder, store, snapshot)
                    used = [one.member for one in step.used]
                    desk.tell("round", round=snapshot.round, used=used, state=step.state)
            try:
                step = talk.send(answers)
            except StopIteration:
                step = None
    finally:
        engine.close()
    state = open_state(store, snapshot.best_state, what="the last state")
    found = _examined(accord, plan, model, parts, state) if parts.test else None
    return Simulation(digest(state), snapshot.round, crowd.count, found)


def _claim(folder: Path, accord: Accord) -> None:
    """The folder is this accord's: new, empty, or one that an earlier start left."""
    page = folder / "accord.json"
    if page.exists() and page.read_bytes() != accord.to_bytes():
        raise CallerError("simulate.other-accord", folder=folder, expected=accord.digest)
    if not page.exists() and folder.exists() and any(folder.iterdir()):
        raise CallerError("simulate.folder-not-empty", folder=folder)
    write_atomic(page, accord.to_bytes())


def _forget(folder: Path, store: ObjectStore, snapshot: Snapshot) -> None:
    """Drop what no later round reads: nodes, asks, replies, and every state but the snapshot's."""
    for name in ("nodes", "asks", "replies"):
        shutil.rmtree(folder / name, ignore_errors=True)
    kept = {snapshot.state, snapshot.memory, snapshot.best_state}
    for name in list(store):
        if name not in kept:
            store.path(name).unlink()


@dataclass(slots=True)
class _Nodes:
    """The members' side: a node is made for each message. Workers share the model and the rows of the process they
    were forked from.
    """

    accord: Accord
    plan: Plan
    model: Model
    rows: tuple[Any, ...]
    folder: Path
    clock: Clock

    def deliver(self, member: str, message: bytes) -> bytes:
        node = Node(
            member=member,
            accord=self.accord,
            signed=True,
            asker=simulated_key(self.plan.seed, self.accord.coordinator.name, "act").public,
            act=simulated_key(self.plan.seed, member, "act"),
            folder=self.folder / member,
            make_shelf=lambda: Shelf(member, {"train": self.drawn(member)}, self.model, self.plan),
            clock=self.clock,
        )
        return node.handle(message)

    def drawn(self, member: str) -> tuple[Any, ...]:
        """The member's examples: drawn from the file's training part, none twice while there are enough."""
        assert self.accord.simulated is not None  # noqa: S101 - `simulate` saw to it
        order = PublicRng(self.plan.seed, "simulated", member).shuffled(range(len(self.rows)))
        return tuple(self.rows[order[i % len(order)]] for i in range(self.accord.simulated.examples))


class _Keys(Mapping[tuple[str, str], str]):
    """The simulated members' public keys, each made when it is asked for."""

    def __init__(self, accord: Accord) -> None:
        self._accord = accord

    def __getitem__(self, place: tuple[str, str]) -> str:
        member = self._accord.member(place[0])
        if member is None or place[1] != "act":
            raise KeyError(place)
        return member.keys.act

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, "act") for name in self._accord.contributors)

    def __len__(self) -> int:
        return len(self._accord.contributors)


def _examined(accord: Accord, plan: Plan, model: Model, parts: Parts, state: State) -> Examination:
    """The figures of the last state on the file's test part, under the coordinator's name."""
    load(model, state)
    encoded = prepare(model, model.task.encode(model.tokenizer, parts.test))
    counts = counts_of(model, encoded, parts.test)
    rng = PublicRng(plan.seed, RUN, "bootstrap")
    drawn = bootstrap({"federated": counts}, rng, replicates=plan.replicates, groups=model.task.groups(parts.test))[
        "federated"
    ]
    rows = np.concatenate([counts.sum(axis=0, keepdims=True), drawn])
    name = accord.coordinator.name
    return examination(plan, run=RUN, state=digest(state), members={name: (len(parts.test), {"federated": rows})})
