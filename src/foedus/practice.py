"""A consortium in one process: the demo, practice, and benchmarks. The same nodes, rules and ledger as anywhere.

One process reads every party's private keys here, which only an accord with `custody: one-process` allows; everything
that comes of it says so. Each member still answers through its own node, from its own folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from foedus.accord import compile_plan, findings, read_draft
from foedus.core.clock import Clock, now
from foedus.core.errors import CallerError, IdentityError, RunError
from foedus.core.files import write_atomic
from foedus.federate.answer import Shelf
from foedus.federate.engine import InProcess
from foedus.ledger.consortium import Consortium, RunState
from foedus.node import Node
from foedus.records.accord import Accord
from foedus.records.release import Snapshot
from foedus.records.tune import Trial
from foedus.release import desk
from foedus.release.propose import Draft
from foedus.resident.work import node_of, parts_of, register, shelf_of
from foedus.run import Hall, Outcome, Prune, name_for, run, run_trial, start_of
from foedus.search import Found, search
from foedus.state import State, from_bytes
from foedus.state.base import open_base
from foedus.track.event import Event, Report
from foedus.train.export import export
from foedus.train.model import Model, build
from foedus.workspace import (
    OwnLedger,
    Workspace,
    collect_acts,
    collect_cosignatures,
    collect_joined,
    consortium,
    cosign_head,
    create_coordinator,
    export_ledger,
    invite,
    join,
    keep_siblings,
    open_workspace,
    pending,
    private_key,
    propose_accord,
    prune_replies,
    readable_private_keys,
    receive_accord,
    sign_accord,
    take_ledger,
    working,
)

__all__ = [
    "Practice",
    "draft_from_run",
    "found",
    "open_practice",
    "parts_of",
    "publish",
    "register",
    "released_state",
    "run_here",
    "tune_here",
    "write_model",
]


@dataclass(frozen=True, slots=True)
class Practice:
    """A coordinator's workspace and its members', all at hand."""

    hub: Workspace
    members: Mapping[str, Workspace]
    passphrase: str | None = field(default=None, repr=False)

    def state(self) -> Consortium:
        """What the coordinator's ledger says now."""
        return consortium(self.hub)

    @property
    def accord(self) -> Accord:
        """The accord in force; RunError `run.no-accord` before."""
        state = self.state()
        if state.accord is None:
            missing = sorted({name for digest in state.accords for name in state.unsigned(digest)})
            raise RunError("run.no-accord", missing=", ".join(missing) or "–")
        return state.accord

    def share_ledger(self) -> None:
        """Every member takes the coordinator's ledger, verifying all of it."""
        copy = export_ledger(self.hub)
        for workspace in self.members.values():
            take_ledger(workspace, copy, passphrase=self.passphrase)


def found(folder: Path, draft: str, *, source: str, passphrase: str | None = None, clock: Clock = now) -> Practice:
    """A new consortium below a folder: a workspace for each party that the draft of an accord names, the accord signed
    by every member. `source` says where the draft is from.

    Raises:
        CallerError: `practice.real-accord` for an accord without `custody: one-process`; `accord.…` and
            `workspace.accord-has-problems` for one that cannot work; `workspace.exists`.
    """
    accord = read_draft(draft, source=source).accord
    if accord.custody != "one-process":
        raise CallerError("practice.real-accord", path=source, got=accord.custody)
    if problems := [one.code for one in findings(accord) if one.level == "problem"]:
        raise CallerError("workspace.accord-has-problems", source=source, codes=", ".join(problems))
    names, party = [member.name for member in accord.members], accord.coordinator.name
    hub = create_coordinator(
        folder / party, party, members=names, passphrase=passphrase, custody="one-process"
    )  # fmt: skip
    write_atomic(hub.draft, draft.encode())
    for member in accord.members:
        invitation = invite(hub, member.name, member.roles, passphrase=passphrase)
        collect_joined(hub, join(folder / member.name, invitation, passphrase=passphrase))
    made = keep_siblings([folder / name for name in (party, *names)])
    offer = propose_accord(made[party], passphrase=passphrase, clock=clock)
    for name in names:
        accord = receive_accord(made[name], offer.parcel, passphrase=passphrase)
        signature = sign_accord(made[name], accord, passphrase=passphrase, clock=clock)
        collect_acts(made[party], [signature], passphrase=passphrase, clock=clock)
    return open_practice(folder / party, passphrase=passphrase)


def open_practice(folder: Path, *, passphrase: str | None = None) -> Practice:
    """The practice consortium whose coordinator's workspace is this folder.

    Raises:
        CallerError: `workspace.none-here`, `workspace.wrong-role`.
        IdentityError: `practice.separate-custody` where the workspace is one of a real consortium.
    """
    hub = open_workspace(folder)
    hub.require("coordinator")
    if hub.page.custody != "one-process":
        raise _kept_apart(hub)
    members = {name: open_workspace(folder / where) for name, where in hub.page.siblings.items()}
    return Practice(hub, members, passphrase)


def _kept_apart(hub: Workspace) -> IdentityError:
    readable = readable_private_keys(hub.folder)
    return IdentityError("practice.separate-custody", party=hub.party, readable=", ".join(readable))


# ── a run ────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Shelves:
    """Shelves over one model in memory; members with a rank of their own have another."""

    practice: Practice
    accord: Accord
    base: Path
    model: Model
    run: str

    def of(self, member: str) -> Shelf:
        """A member's shelf: its parts are read here, in the process that answers, and are those that it committed to.

        Raises: CallerError: `practice.other-data`; as `open_parts`.
        """
        return shelf_of(self.practice.members[member], self.accord, base=self.base, model=self.model, run=self.run)


def nodes(practice: Practice, shelves: _Shelves, *, clock: Clock) -> dict[str, Node]:
    """Each member's node. It folds its own copy of the ledger to know what it signed."""
    return {
        name: node_of(
            workspace,
            shelves.accord,
            lambda name=name: shelves.of(name),  # type: ignore[misc]  # mypy reads no default of a lambda
            passphrase=practice.passphrase,
            clock=clock,
        )
        for name, workspace in practice.members.items()
    }


def run_here(
    practice: Practice,
    *,
    name: str | None = None,
    proposal: str | None = None,
    workers: int | None = None,
    report: Report = lambda _: None,
    clock: Clock = now,
) -> Outcome:
    """Carry a run to its end: the one of this name, the one that is open, or a new one, which may carry out an approved
    `proposal` and then starts from a release.

    Raises:
        CallerError: `run.bad-name`.
        RunError: `workspace.busy` while another run holds this workspace; as `run.run`.
        VerifyError: `base.differs` when the base model is not the pinned one.
    """
    with _ready(practice, workers, report, clock) as ready:
        name = name_for(practice.state(), name)
        with ready.carrying(name) as (hall, engine):
            return run(hall, name, engine=engine, start=ready.start, proposal=proposal)


def tune_here(
    practice: Practice, *, workers: int | None = None, report: Report = lambda _: None, clock: Clock = now
) -> Found:
    """Carry the search that the accord in force agrees on to its end, from wherever it stands.

    Raises: as `search.search`; `workspace.busy` and `base.differs` as `run_here`.
    """
    with _ready(practice, workers, report, clock) as ready:

        def carry(name: str, trial: Trial, prune: Prune) -> RunState:
            with ready.carrying(name) as (hall, engine):
                return run_trial(hall, name, trial, engine=engine, start=ready.start, prune=prune)

        return search(practice.state(), ready.accord, carry)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A practice consortium at work: what runs under one accord share."""

    practice: Practice
    accord: Accord
    base: Path
    model: Model
    start: State
    workers: int | None
    report: Report
    clock: Clock

    @contextmanager
    def carrying(self, name: str) -> Iterator[tuple[Hall, InProcess]]:
        """The hall of a run, and an engine that reaches every member's node."""
        hub = self.practice.hub
        hall = Hall(
            ledger=OwnLedger(hub, self.practice.passphrase, self.clock),
            act=private_key(hub, "act", passphrase=self.practice.passphrase),
            store=hub.objects,
            folder=hub.folder / "runs" / name,
            clock=self.clock,
            report=self._shared,
        )
        shelves = _Shelves(self.practice, self.accord, self.base, self.model, name)
        here = nodes(self.practice, shelves, clock=self.clock)
        count = min(os.cpu_count() or 1, len(here)) if self.workers is None else self.workers
        keep_late = self.accord.aggregation.late.name == "next-round"
        engine = InProcess(lambda member, message: here[member].handle(message), workers=count, keep_late=keep_late)
        (hall.folder / "stop").unlink(missing_ok=True)  # asked for while nothing ran
        try:
            yield hall, engine
        finally:
            engine.close()

    def _shared(self, event: Event) -> None:
        """Tell on what happens; once a run is open, every member's copy of the ledger says so, before it is asked."""
        if event.kind == "opened":
            self.practice.share_ledger()
        self.report(event)


@contextmanager
def _ready(practice: Practice, workers: int | None, report: Report, clock: Clock) -> Iterator[_Ready]:
    """Hold the coordinator's workspace, and have accord, base model and start state at hand."""
    with working(practice.hub):
        # An act that a crash left between outbox and ledger is recorded first: the run goes on from what was signed.
        collect_acts(practice.hub, pending(practice.hub), passphrase=practice.passphrase, clock=clock)
        practice.share_ledger()
        prune_replies(practice.hub, at=clock())
        accord = practice.accord
        if accord.custody != "one-process":
            raise _kept_apart(practice.hub)
        base = open_base(accord.base.source, accord.base.pin)
        _one_thread()
        start, model = start_of(accord, compile_plan(accord), base=base)
        yield _Ready(practice, accord, base, model, start, workers, report, clock)
        prune_replies(practice.hub, at=clock())


def _one_thread() -> None:
    """Bits of a training step depend on the number of threads: one a worker, everywhere."""
    import torch

    torch.set_num_threads(1)


# ── a release ────────────────────────────────────────────────────────────────


def draft_from_run(
    hub: Workspace,
    run_name: str,
    *,
    version: str,
    name: str | None = None,
    passphrase: str | None = None,
    clock: Clock = now,
) -> Draft:
    """Write the model of a run and all that goes with it, let the gates judge, and propose it.

    Raises:
        CallerError: `practice.no-evidence`, `release.no-such-run`, `release.folder-exists`.
        VerifyError: `base.differs`.
    """
    model = write_model(hub, run_name)
    return desk.draft_of_run(hub, run_name, version=version, model=model, name=name, passphrase=passphrase, clock=clock)


def publish(practice: Practice, draft: Path, *, clock: Clock = now) -> None:
    """Publish an approved draft, and let every member take the ledger, verify it and cosign its head for the bundle.

    Raises: as `desk.publish_release`.
    """
    hub, secret = practice.hub, practice.passphrase
    desk.publish_release(hub, draft, passphrase=secret, clock=clock)
    practice.share_ledger()
    present = [practice.members[member.name] for member in practice.state().members]
    collect_cosignatures(hub, [cosign_head(member, passphrase=secret, clock=clock) for member in present])
    desk.publish_release(hub, draft, passphrase=secret, clock=clock)


def released_state(hub: Workspace, run_name: str) -> State:
    """The state that a finished run goes on with; CallerError `practice.no-evidence` while it is open."""
    runs = consortium(hub).runs
    known = runs.get(run_name)
    if known is None or known.close is None or not known.closes or known.opened.trial is not None:
        raise CallerError("practice.no-evidence", run=run_name, known=", ".join(runs) or "–")
    last = Snapshot.from_bytes(hub.objects.get(known.closes[-1].snapshot))
    return from_bytes(hub.objects.get(last.best_state))


def write_model(hub: Workspace, run_name: str) -> Path:
    """Write the model folder of a finished run as the accord's release clause says; `runs/RUN/model` of the
    workspace.
    """
    state = released_state(hub, run_name)
    folder = hub.folder / "runs" / run_name / "model"
    accord = consortium(hub).accords[consortium(hub).runs[run_name].accord]
    plan = compile_plan(accord)
    base = open_base(accord.base.source, accord.base.pin)
    shutil.rmtree(folder, ignore_errors=True)
    export(
        build(base, plan.task, plan.method, dropout=None),
        state,
        base=base,
        folder=folder,
        form=accord.release.form,
        rank=accord.release.rank,
        source=accord.base.source,
    )
    return folder
