"""The hall, the coordinator's side: one run from top to bottom.

(1) an accord is in force today, and its plan can work;
(2) the base model is the pinned one; the start state is drawn from the public seed, or is the one of the release that
    an approved proposal names, and travels as bytes;
(3) `run.open`: roster, start state, numerics;
(4) rounds: the conversation yields asks, the engine carries them, replies are verified and stored as they arrive, and
    each round ends with `round.close`: the only point a run resumes from;
(5) `run.close`: which round's state goes on;
(6) the outcome is measured where the data is: each member alone with the same steps, then federated beside alone;
(7) `evidence.enter`: figures and credit, with the replies they rest on.

Kill it at any instant: started again, it goes on from the last closed round, sends the asks that it had signed, and
reaches the same state. Whose keys may be readable where is for whoever calls: `practice` holds them all in one process,
the hub's process none but the coordinator's.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from foedus.accord import compile_plan, in_force_on, require_reach
from foedus.core.clock import Clock
from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.core.objects import ObjectStore
from foedus.core.rng import PublicRng
from foedus.examine import credit_report, examination
from foedus.examine.figures import read_counts
from foedus.federate.engine import Engine
from foedus.federate.rounds import Came, Shares, first_snapshot, rounds, shares_among, weighted_loss, with_loss
from foedus.federate.talk import Answers, Closed, Gather, Send, open_state, put_state, sort_out
from foedus.ledger.consortium import Consortium, RunState
from foedus.post import Desk, Post
from foedus.records import terms
from foedus.records.accord import Accord
from foedus.records.acts import Carried, CloseRound, CloseRun, EnterEvidence, OpenRun, Used, put_apart, run_name
from foedus.records.asks import (
    Alone,
    Evaluate,
    Validate,
    safe_fields,
)
from foedus.records.base import Record
from foedus.records.evidence import CreditReport, Examination
from foedus.records.plan import Plan
from foedus.records.release import Snapshot
from foedus.records.tune import Trial
from foedus.state import State, check_alike, digest, to_bytes
from foedus.track.kept import EVENTS, goes_on

if TYPE_CHECKING:
    from foedus.train.model import Model

__all__ = ["Hall", "Outcome", "name_for", "numerics", "released_start", "run", "run_trial", "start_of"]

Prune = Callable[[int, str], bool]
"""Told of a round and the validation loss after it, whether a trial ends there."""


class Ledgered(Protocol):
    """The consortium's ledger, as a run needs it."""

    def state(self) -> Consortium:
        """What the entries say now."""

    def record(self, act: Record, objects: Iterable[bytes] = ()) -> None:
        """Sign an act as the coordinator, with the objects that it names, and append it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hall(Desk):
    """The coordinator's desk for one run, and the ledger that the run is written in.

    `elsewhere` says on what kind of machine each member works, where that is not this one; `run.open` keeps it.
    """

    ledger: Ledgered
    elsewhere: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave. `state` is the released state's digest, `released` the object it lies in."""

    run: str
    state: str
    released: str
    rounds: int
    released_round: int
    examination: Examination
    credit: CreditReport | None
    evidence: str


def numerics(precision: str = "float32") -> dict[str, str]:
    """What the bits of a training step depend on: versions, processor features, threads, and the accord's precision."""
    import peft
    import torch
    import transformers

    return {
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "batches": "packed rows",
        "machine": platform.machine(),
        "peft": peft.__version__,
        "precision": precision,
        "python": platform.python_version(),
        "threads": "1 a worker",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def start_of(accord: Accord, plan: Plan, *, base: Path) -> tuple[State, Model]:
    """The start state of any run under this accord, and the model that it belongs to.

    Raises: CallerError: `accord.beyond-reach` where the accord's texts are longer than the base model takes.
    """
    from foedus.train.model import build, start_state

    require_reach(accord, base)
    model = build(base, plan.task, plan.method, dropout=plan.craft.dropout)
    return start_state(model, base=base, rng=PublicRng(accord.training.seed, "start")), model


def name_for(state: Consortium, asked: str | None) -> str:
    """The run to carry: the one that is asked for; else one under the accord in force that has no evidence yet and did
    not fail; else a new one with the next number that is free. Trials of a search do not count.

    Raises: CallerError: `run.bad-name`.
    """
    if asked is not None:
        return run_name(asked)
    examined = {entered.run for entered in state.evidence.values()}
    runs = {name: known for name, known in state.runs.items() if known.opened.trial is None}
    for name, known in runs.items():
        failed = known.close is not None and known.close.outcome == "failed"
        if name not in examined and not failed and known.accord == state.accord_digest:
            return name
    return next(name for number in count(len(runs) + 1) if (name := f"run-{number}") not in state.runs)


def run(
    hall: Hall, name: str, *, engine: Engine, start: State, carried: Carried = "inprocess", proposal: str | None = None
) -> Outcome:
    """Carry the run of this name to its end, from wherever it stands. Whoever watches is told how it ended.

    `carried` says by which engine a new run is opened; one that is open may go on over another. `proposal`: the
    `run.propose` that a new run carries out; it then starts from that release's state instead of `start`.

    Raises:
        CallerError: the accord's plan cannot work; `run.no-such-proposal`.
        RunError: `run.no-accord`, `run.not-in-force`, `run.no-cards`, `run.other-accord`, `run.other-proposal`,
            `run.other-start`, `run.over`, `run.too-few-members`, `run.start-does-not-fit`, `run.stopped`.
    """
    with _telling_the_end(hall, name):
        known = hall.ledger.state()
        proposal = _carried_out(known, name, proposal)
        if proposal is not None:
            start = released_start(known, hall.store, proposal, like=start)
        return _run(hall, name, engine=engine, start=start, carried=carried, proposal=proposal)


def _carried_out(known: Consortium, name: str, proposal: str | None) -> str | None:
    """The proposal that a run carries out: what its opening says, or for a new run what is asked."""
    if name not in known.runs:
        return proposal
    opened = known.runs[name].opened.proposal
    if proposal not in (None, opened):
        raise RunError("run.other-proposal", run=name, expected=opened or "–", got=proposal)
    return opened


def released_start(known: Consortium, store: ObjectStore, proposal: str, *, like: State) -> State:
    """The state of the release that a proposed run starts from, as the run that made it left it in the store.

    Raises:
        CallerError: `run.no-such-proposal`; `objects.missing` for what is kept no longer.
        RunError: `run.start-does-not-fit` where the accord in force trains other tensors than `like`.
    """
    if proposal not in known.run_proposals:
        raise CallerError("run.no-such-proposal", got=proposal, known=", ".join(known.run_proposals) or "–")
    release = known.proposals[known.run_proposals[proposal].act.release].proposal
    last = Snapshot.from_bytes(store.get(known.runs[release.run].closes[-1].snapshot))
    state = open_state(store, last.best_state, what="the release's state")
    try:
        check_alike(like, state)
    except CallerError as error:
        raise RunError("run.start-does-not-fit", release=f"{release.name} {release.version}") from error
    return state


def run_trial(
    hall: Hall, name: str, trial: Trial, *, engine: Engine, start: State, prune: Prune, carried: Carried = "inprocess"
) -> RunState:
    """Carry one trial of a search to its close: rounds with its settings, the validation loss after each, and no more.

    `prune` is told of every round in order, of those before an interruption too; where it says so after the last of
    them, the trial ends. A trial in which training diverged is closed as failed.

    Raises: as `run`.
    """
    with _telling_the_end(hall, name):
        try:
            return _to_the_close(hall, name, engine, start, carried, trial=trial, prune=prune).this
        except RunError as error:
            this = hall.ledger.state().runs.get(name)
            if this is None or error.code != "run.too-few-members" or "train.diverged" not in str(error.fields):
                raise
            _close(hall, this.opened.run, "failed", this.round, this.round, this.state_after(this.round))
            return hall.ledger.state().runs[name]


@contextmanager
def _telling_the_end(hall: Hall, name: str) -> Iterator[None]:
    """Tell those who watch how a run that was begun has ended."""
    try:
        yield
    except FoedusError as error:
        if goes_on(hall.folder / EVENTS):
            hall.tell("ended", run=name, code=error.code, fields=safe_fields(error.fields))
        raise
    hall.tell("ended", run=name, code="", fields={})


@dataclass(frozen=True, slots=True)
class _Closed:
    """A run whose rounds are over."""

    accord: Accord
    plan: Plan
    post: Post
    weights: Shares
    snapshot: Snapshot
    this: RunState


def _run(hall: Hall, name: str, *, engine: Engine, start: State, carried: Carried, proposal: str | None) -> Outcome:
    # (1) to (5)
    done = _to_the_close(hall, name, engine, start, carried, proposal=proposal)
    plan, post, snapshot, closes = done.plan, done.post, done.snapshot, done.this
    assert closes.close is not None  # noqa: S101 - it was closed just now, or before
    state = closes.close.state

    # (6) Measured where the data is.
    first = first_snapshot(name, start, hall.store).state
    evidence, replies = _examine(hall, post, plan, snapshot, done.accord, first, state)
    credit = _credit(hall, post, plan, closes, snapshot, first, done.weights)

    # (7) Evidence and credit into the ledger.
    objects = [evidence.to_bytes(), *([credit.to_bytes()] if credit else [])]
    enter = EnterEvidence(
        run=name, evidence=evidence.digest, credit=credit.digest if credit else None, replies=tuple(replies)
    )
    _record(hall, enter, objects)
    hall.tell(
        "examined",
        evidence=evidence.digest,
        figures=[figure.model_dump(mode="json") for figure in evidence.figures],
        credit=credit.model_dump(mode="json") if credit else None,
    )
    return Outcome(
        name, state, snapshot.best_state, snapshot.round, snapshot.best_round, evidence, credit, evidence.digest
    )


def _to_the_close(
    hall: Hall, name: str, engine: Engine, start: State, carried: Carried, *,
    trial: Trial | None = None, prune: Prune = lambda *_: False, proposal: str | None = None,
) -> _Closed:  # fmt: skip
    # (1) An accord is in force, and its plan can work.
    known = hall.ledger.state()
    accord = _accord_in_force(known, hall.clock)
    plan = compile_plan(accord, trial=trial)

    # (2), (3) Open the run, or find it open.
    fresh = name not in known.runs
    if fresh:
        _open(hall, known, plan, name, start, carried, proposal)
        known = hall.ledger.state()
    this = known.runs[name]
    if this.accord != accord.digest:
        raise RunError("run.other-accord", run=name, expected=this.accord, got=accord.digest)
    if this.opened.start != digest(start):
        raise RunError("run.other-start", run=name, expected=this.opened.start, got=digest(start))
    if any(entered.run == name for entered in known.evidence.values()):
        raise RunError("run.over", run=name)
    weights = shares_among({m: card.examples for m, card in this.cards.items()}, plan.combine, plan.late)
    roster = put_apart(this.opened)[0].digest
    post = Post(hall, known.keys, accord, name, roster, plan.deadline_seconds, engine)
    for close in this.closes:
        post.settle(close)

    # (4) Rounds.
    snapshot = _resume_point(hall, this, name, start)
    hall.tell(
        "opened" if fresh else "resumed",
        run=name, round=snapshot.round, rounds=plan.rounds, roster=list(this.opened.roster), accord=this.accord,
        engine=this.opened.engine, start=this.opened.start,
    )  # fmt: skip
    plan = _for(plan, this.opened.roster)
    if this.close is None:
        snapshot, pruned = _rounds(hall, post, plan, snapshot, weights, prune)

        # (5) Which state goes on.
        state = digest(open_state(hall.store, snapshot.best_state, what="the released state"))
        outcome: Any = "pruned" if pruned else "stopped-early" if snapshot.stopped else "done"
        _close(hall, name, outcome, snapshot.round, snapshot.best_round, state)
    return _Closed(accord, plan, post, weights, snapshot, hall.ledger.state().runs[name])


def _close(hall: Hall, name: str, outcome: Any, rounds: int, released: int, state: str) -> None:
    close = CloseRun(run=name, outcome=outcome, rounds=rounds, released_round=released, state=state)
    hall.ledger.record(close)
    hall.tell("closed", **close.model_dump(mode="json", exclude={"run"}))


def _accord_in_force(known: Consortium, clock: Clock) -> Accord:
    if known.accord is None:
        missing = sorted({name for digest in known.accords for name in known.unsigned(digest)})
        raise RunError("run.no-accord", missing=", ".join(missing) or "–")
    today = clock().date()
    if not in_force_on(known.accord, today):
        raise RunError("run.not-in-force", first=known.accord.valid.first, last=known.accord.valid.last, today=today)
    return known.accord


def _open(
    hall: Hall, known: Consortium, plan: Plan, name: str, start: State, carried: Carried, proposal: str | None
) -> None:
    """Write `run.open`: the contributors that registered a card and have not left."""
    here = {member.name for member in known.members}
    roster = tuple(m for m in plan.members if m in known.cards and m in here and m not in known.frozen)
    if len(roster) < plan.min_members:
        without = [m for m in plan.members if m not in roster]
        raise RunError("run.no-cards", expected=plan.min_members, got=len(roster), without=", ".join(without))
    asked = len(_for(plan, roster).drawn(name, 1))
    if asked < plan.min_members:
        raise RunError("run.too-few-asked", expected=plan.min_members, got=asked, roster=len(roster))
    opened = OpenRun(
        run=name, roster=roster, start=digest(start), engine=carried,
        numerics=numerics(plan.craft.precision) | dict(hall.elsewhere),
        trial=plan.trial, proposal=proposal,
    )  # fmt: skip
    _record(hall, opened, [to_bytes(start)])


def _record(hall: Hall, act: Record, objects: list[bytes]) -> None:
    """Append an act to the ledger; lists that are too long for an entry become one of its objects."""
    entry, lists = put_apart(act)
    hall.ledger.record(entry, [*objects, *([lists] if lists else [])])


def _for(plan: Plan, roster: tuple[str, ...]) -> Plan:
    """The plan for the members on the roster."""
    from dataclasses import replace

    return replace(plan, members=tuple(sorted(roster)))


def _resume_point(hall: Hall, this: RunState, name: str, start: State) -> Snapshot:
    """The snapshot of the last closed round; before the first, the start."""
    if not this.closes:
        return first_snapshot(name, start, hall.store)
    return Snapshot.from_bytes(hall.store.get(this.closes[-1].snapshot))


def _rounds(
    hall: Hall, post: Post, plan: Plan, snapshot: Snapshot, shares: Shares, prune: Prune
) -> tuple[Snapshot, bool]:
    """Drive the conversation to its end, or until `prune` ends it; the last snapshot, and whether it was pruned."""
    before = [prune(number, loss) for number, loss in enumerate(snapshot.losses[1:], start=1)]
    pruned = snapshot.round < plan.rounds and bool(before) and before[-1]
    talk = rounds(plan, snapshot, store=hall.store, shares=shares)
    step = None if pruned else next(talk, None)
    while step is not None:
        came: Answers | Came = {}
        match step:
            case Send():
                came = post.exchange(step)
            case Gather():
                came = post.late(step.round)
            case Closed():
                snapshot = step.snapshot
                post.settle(_close_round(hall, post.name, step))
                if (hall.folder / "stop").exists():
                    (hall.folder / "stop").unlink()
                    raise RunError("run.stopped", run=post.name, round=snapshot.round)
                worse = step.validation_loss is not None and prune(snapshot.round, step.validation_loss)
                if worse and snapshot.round < plan.rounds:
                    return snapshot, True
        try:
            step = talk.send(came)
        except StopIteration:
            step = None
    return snapshot, pruned


def _close_round(hall: Hall, name: str, closed: Closed) -> CloseRound:
    """Objects first, then the entry that names them."""
    snapshot = closed.snapshot
    close = CloseRound(
        run=name, round=snapshot.round, snapshot=snapshot.digest, state=closed.state, used=closed.used,
        measured=closed.measured, left_out=closed.left_out, late=snapshot.late,
        validation_loss=closed.validation_loss,
    )  # fmt: skip
    _record(hall, close, [snapshot.to_bytes()])
    hall.tell(
        "round",
        round=snapshot.round,
        used=[one.member for one in closed.used],
        weights={one.member: one.weight for one in closed.used},
        late={one.member: one.staleness for one in closed.used if one.staleness},
        left_out={one.member: one.code for one in closed.left_out if one.reply is None},
        loss=closed.validation_loss,
        start_loss=snapshot.losses[0] if snapshot.losses else None,
        state=closed.state,
    )
    return close


# ── evidence and credit ──────────────────────────────────────────────────────


def _examine(
    hall: Hall, post: Post, plan: Plan, snapshot: Snapshot, accord: Accord, first: str, state: str
) -> tuple[Examination, list[Used]]:
    """Each member alone with the same steps, then the counts of federated beside alone; auditors measure theirs."""
    fewer = accord.training.early_stopping is not None
    members = plan.members if plan.examines_all else plan.panel(post.name)
    alone = Alone(start=first, rounds=max(1, snapshot.round) if fewer else plan.rounds)
    answers = post.exchange(Send(max(1, snapshot.round), "alone", dict.fromkeys(members, (alone,))))
    trained, _ = sort_out(answers, 0)
    known = hall.ledger.state()
    auditors = [m.name for m in known.members if "contributor" not in m.roles and m.name in known.cards]
    ask = Evaluate(start=first, state=snapshot.best_state, replicates=plan.replicates)
    asked = sorted([*trained, *auditors])
    answers = post.exchange(Send(snapshot.round + 1, "evaluate", dict.fromkeys(asked, (ask,))))
    measured, _ = sort_out(answers, 0)
    counts, used = {}, []
    for member, answer in measured.items():
        try:
            arms = read_counts(plan, answer.reply, hall.store, state=state, alone=member in trained)
        except RunError as error:
            hall.tell("left-out", member=member, code=error.code, reason=error.fields["reason"])
            continue
        counts[member] = arms
        used.append(Used(member=member, reply=answer.digest, weight="0"))
    if len(counts.keys() & trained.keys()) < plan.min_members:
        reasons = f"{len(trained)} trained alone, {len(counts)} measured"
        got = len(counts.keys() & trained.keys())
        raise RunError("run.too-few-members", round=snapshot.round, expected=plan.min_members, got=got, reasons=reasons)
    evidence = examination(plan, run=post.name, state=state, members=counts)
    return evidence, used


def _credit(
    hall: Hall, post: Post, plan: Plan, this: RunState, snapshot: Snapshot, first: str, shares: Shares
) -> CreditReport | None:
    """The credit of each member, from the signed updates and gradients of the rounds up to the released one."""
    if isinstance(plan.credit, terms.NoCredit):
        return None
    assert this.close is not None  # noqa: S101 - a closed run is examined
    asked = count()

    def loss(state: State) -> Fraction:
        """A rebuilt state's loss, asked of the members like any other."""
        body = Validate(state=put_state(hall.store, state))
        step = Send(snapshot.round + 1, "rebuild", dict.fromkeys(plan.panel(post.name), (body,)), next(asked))
        answered = with_loss(sort_out(post.exchange(step), 0)[0])
        if len(answered) < plan.min_members:
            raise RunError(
                "run.too-few-members", round=snapshot.round, expected=plan.min_members, got=len(answered), reasons="–"
            )
        return weighted_loss(answered, shares(tuple(answered)))

    closes = this.closes[: this.close.released_round]
    return credit_report(
        plan, run=this.opened.run, closes=closes, losses=snapshot.losses, start_state=first, store=hall.store,
        shares=shares, loss=loss,
    )  # fmt: skip
