"""The hall, the coordinator's side: one run from top to bottom.

(1) an accord is in force today, and its plan can work;
(2) the base model is the pinned one; the start state is drawn from the public seed and travels as bytes;
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
from datetime import timedelta
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from foedus.accord import compile_plan, in_force_on, require_reach
from foedus.core.clock import Clock, parse, spell
from foedus.core.digest import hex_of, sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import FoedusError, RunError
from foedus.core.files import write_atomic
from foedus.core.keys import PrivateKey
from foedus.core.objects import ObjectStore
from foedus.core.parcel import Parcel
from foedus.core.rng import PublicRng
from foedus.examine import credit_report, examination
from foedus.examine.figures import read_counts
from foedus.federate.engine import Engine
from foedus.federate.rounds import Came, Shares, first_snapshot, rounds, shares_among, weighted_loss, with_loss
from foedus.federate.talk import Answer, Answers, Closed, Gather, Send, open_state, put_state, sort_out
from foedus.ledger.consortium import Consortium, RunState
from foedus.records import terms
from foedus.records.accord import Accord
from foedus.records.acts import Carried, CloseRound, CloseRun, EnterEvidence, LeftOut, OpenRun, Used, put_apart
from foedus.records.asks import (
    Alone,
    Ask,
    AskBody,
    Evaluate,
    Gradient,
    Place,
    Reply,
    Train,
    Validate,
    safe_fields,
)
from foedus.records.base import Record, open_record
from foedus.records.evidence import CreditReport, Examination
from foedus.records.plan import Plan
from foedus.records.release import LateReply, Snapshot
from foedus.records.tune import Trial
from foedus.state import State, digest, to_bytes
from foedus.track.event import Event, Report
from foedus.track.kept import EVENTS, append_event, goes_on

if TYPE_CHECKING:
    from foedus.train.model import Model

__all__ = ["Hall", "Outcome", "next_name", "numerics", "run", "run_trial", "start_of"]

Prune = Callable[[int, str], bool]
"""Told of a round and the validation loss after it, whether a trial ends there."""


class Ledgered(Protocol):
    """The consortium's ledger, as a run needs it."""

    def state(self) -> Consortium:
        """What the entries say now."""

    def record(self, act: Record, objects: Iterable[bytes] = ()) -> None:
        """Sign an act as the coordinator, with the objects that it names, and append it."""


@dataclass(frozen=True, slots=True)
class Hall:
    """What a run needs from the coordinator's workspace. `folder` holds this run's asks and index of replies."""

    ledger: Ledgered
    act: PrivateKey
    store: ObjectStore
    folder: Path
    clock: Clock
    report: Report = field(default=lambda _: None)

    def tell(self, kind: str, **fields: Any) -> None:
        """Tell those who watch what happened, and when; it is kept in `events.jsonl` of the folder."""
        event = Event(kind, fields, spell(self.clock()))
        append_event(self.folder / EVENTS, event)
        self.report(event)


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


def next_name(state: Consortium) -> str:
    """The run that has no evidence yet and did not fail, else the next number. Trials of a search do not count."""
    examined = {entered.run for entered in state.evidence.values()}
    runs = {name: known for name, known in state.runs.items() if known.opened.trial is None}
    for name, known in runs.items():
        if name not in examined and (known.close is None or known.close.outcome != "failed"):
            return name
    return f"run-{len(runs) + 1}"


def run(hall: Hall, name: str, *, engine: Engine, start: State, carried: Carried = "inprocess") -> Outcome:
    """Carry the run of this name to its end, from wherever it stands. Whoever watches is told how it ended.

    `carried` says by which engine a new run is opened; one that is open may go on over another.

    Raises:
        CallerError: the accord's plan cannot work.
        RunError: `run.no-accord`, `run.not-in-force`, `run.no-cards`, `run.other-accord`, `run.other-start`,
            `run.over`, `run.too-few-members`, `run.stopped`.
    """
    with _telling_the_end(hall, name):
        return _run(hall, name, engine=engine, start=start, carried=carried)


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
    post: _Post
    weights: Shares
    snapshot: Snapshot
    this: RunState


def _run(hall: Hall, name: str, *, engine: Engine, start: State, carried: Carried) -> Outcome:
    # (1) to (5)
    done = _to_the_close(hall, name, engine, start, carried)
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
    trial: Trial | None = None, prune: Prune = lambda *_: False,
) -> _Closed:  # fmt: skip
    # (1) An accord is in force, and its plan can work.
    known = hall.ledger.state()
    accord = _accord_in_force(known, hall.clock)
    plan = compile_plan(accord, trial=trial)

    # (2), (3) Open the run, or find it open.
    fresh = name not in known.runs
    if fresh:
        _open(hall, known, plan, name, start, carried)
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
    post = _Post(hall, known, accord, name, roster, plan.deadline_seconds, engine)
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


def _open(hall: Hall, known: Consortium, plan: Plan, name: str, start: State, carried: Carried) -> None:
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
        run=name, roster=roster, start=digest(start), engine=carried, numerics=numerics(plan.craft.precision),
        trial=plan.trial,
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
    hall: Hall, post: _Post, plan: Plan, snapshot: Snapshot, shares: Shares, prune: Prune
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


# ── asks out, replies in ─────────────────────────────────────────────────────

_ENGINE_SAYS = {
    "engine.late": "late",
    "engine.busy": "late",
    "engine.member-gone": "gone",
    "engine.unreachable": "gone",
}
_FIRST_NUMBER = {"train": 1, "measure": 2, "alone": 50, "evaluate": 1, "rebuild": 100}


@dataclass(slots=True)
class _Post:
    """Signs asks, has them carried, verifies and stores what comes back; what was sent and got before is used again."""

    hall: Hall
    known: Consortium
    accord: Accord
    name: str
    roster: str
    deadline_seconds: int
    engine: Engine
    settled: set[str] = field(default_factory=set)

    def exchange(self, send: Send) -> Answers:
        """The answers to one step's asks, by member in order."""
        got: dict[str, list[Answer | LeftOut | None]] = {}
        asked: dict[str, list[tuple[int, str, Envelope, AskBody]]] = {}
        for member in sorted(send.asks):
            got[member] = []
            for which, body in enumerate(send.asks[member]):
                name, document, answer = self._ask(member, send, which, body)
                got[member].append(answer)
                if answer is None:
                    asked.setdefault(member, []).append((which, name, document, body))
        sent = self.hall.clock()
        self.hall.tell(
            "asked",
            round=send.round, step=send.step, until=spell(sent + timedelta(seconds=self.deadline_seconds)),
            members=list(asked), kept=[member for member in got if member not in asked],
        )  # fmt: skip
        asks = {m: [(d, b) for _, _, d, b in parts] for m, parts in asked.items()}
        messages = _Messages(asks, self.hall.store, lambda m, size: self.hall.tell("working", member=m, bytes=size))
        for member, raw in self.engine.carry(messages, deadline_seconds=self.deadline_seconds):
            came = self._read(member, asked[member], raw)
            for (which, name, _, _), one in zip(asked[member], came, strict=True):
                got[member][which] = one
                if isinstance(one, Answer):
                    self._index(name, one.digest)
            self._tell(send, member, came, raw, (self.hall.clock() - sent).total_seconds())
        return {m: tuple(one or LeftOut(member=m, code="engine.late") for one in ones) for m, ones in got.items()}

    def _tell(self, send: Send, member: str, came: list[Answer | LeftOut], raw: bytes | str, seconds: float) -> None:
        """Tell what became of a message: the first of its asks that was not done decides."""
        kind, code, fields = "answered", "", dict[str, str]()
        for one in came:
            if isinstance(one, LeftOut):
                kind, code = _ENGINE_SAYS.get(one.code, "failed"), one.code
                break
            if one.reply.outcome != "done":
                kind, code, fields = one.reply.outcome, one.reply.code or "", safe_fields(one.reply.fields)
                break
        self.hall.tell(
            kind, round=send.round, step=send.step, member=member, code=code, fields=fields,
            bytes=len(raw) if isinstance(raw, bytes) else 0, seconds=round(seconds, 3),
        )  # fmt: skip

    def _ask(self, member: str, send: Send, which: int, body: AskBody) -> tuple[str, Envelope, Answer | None]:
        """The signed ask for a place: the one signed before, while it can still be answered; else a new attempt."""
        number = _FIRST_NUMBER[send.step] + send.offset + which
        attempt = 0
        while (path := self._ask_path(member, send.round, number, attempt + 1)).exists():
            attempt += 1
            document = Envelope.from_bytes(path.read_bytes())
            ask, name = open_record(Ask, document), sha256(document.to_bytes())
            answer = self._answered(name)
            done = answer is not None and answer.reply.outcome == "done"
            fresh = self.hall.clock() < parse(ask.not_after) and document.signed_by(self.hall.act.public)
            open_still = answer is None and fresh
            if ask.body == body and ask.roster == self.roster and (done or open_still):
                return name, document, answer
        ask = Ask(
            accord=self.accord.digest,
            place=Place(run=self.name, round=send.round, attempt=attempt + 1, number=number),
            member=member,
            roster=self.roster,
            not_after=spell(self.hall.clock() + timedelta(seconds=self.deadline_seconds)),
            body=body,
        )
        document = ask.sign(self.hall.act)
        write_atomic(path, document.to_bytes())
        return sha256(document.to_bytes()), document, None

    def _ask_path(self, member: str, round_: int, number: int, attempt: int) -> Path:
        return self.hall.folder / "asks" / member / f"{round_}-{number}-{attempt}.json"

    def _read(
        self, member: str, parts: list[tuple[int, str, Envelope, AskBody]], raw: bytes | str
    ) -> list[Answer | LeftOut]:
        """Verified answers, one an ask; or why not."""
        if isinstance(raw, str):
            return [LeftOut(member=member, code=raw) for _ in parts]
        try:
            parcel = Parcel.from_bytes(raw)
            if len(parcel.documents) != len(parts):
                raise RunError("run.bad-reply", kind="message", reason=f"{len(parcel.documents)} replies")
            return [
                self._verified(member, name, document, parcel)
                for (_, name, _, _), document in zip(parts, parcel.documents, strict=True)
            ]
        except FoedusError as error:
            return [LeftOut(member=member, code=f"reply:{error.code}") for _ in parts]

    def _verified(self, member: str, name: str, document: Envelope, parcel: Parcel) -> Answer:
        document.require(self.known.keys[member, "act"], who=member)
        reply = open_record(Reply, document)
        if reply.ask != name or reply.member != member:
            raise RunError("run.bad-reply", kind="reply", reason="it answers another ask")
        for wanted in reply.objects.values():
            if wanted not in parcel.objects:
                raise RunError("run.bad-reply", kind="reply", reason=f"object {wanted} is missing")
            self.hall.store.put(parcel.objects[wanted])
        return Answer(self.hall.store.put(document.to_bytes()), reply)

    def late(self, round_: int) -> Came:
        """Every reply to a training ask that came after its step's deadline, up to this round.

        What came is kept in the folder before it is handed on, so that a run that is killed has it again.
        """
        for member, raw in self.engine.late():
            try:
                parcel = Parcel.from_bytes(raw)
                for document in parcel.documents:
                    self._keep_late(member, document, parcel)
            except FoedusError as error:
                self.hall.tell("left-out", member=member, code=f"reply:{error.code}", reason=str(error)[:300])
        kept = [LateReply.from_bytes(path.read_bytes()) for path in sorted((self.hall.folder / "late").glob("*.json"))]
        return tuple(one for one in kept if one.round <= round_ and one.reply not in self.settled)

    def settle(self, close: CloseRound) -> None:
        """What became of late replies is told by a closed round: used, dropped, or in the snapshot's hand."""
        self.settled |= {item.reply for item in close.used} | {one.reply for one in close.late}
        self.settled |= {one.reply for one in close.left_out if one.reply}

    def _keep_late(self, member: str, document: Envelope, parcel: Parcel) -> None:
        """Keep a late reply that gives an update; one that measured or refused comes too late for anything."""
        name = open_record(Reply, document).ask
        paths = (self.hall.folder / "asks" / member).glob("*.json")
        answered = next((path for path in paths if sha256(path.read_bytes()) == name), None)
        if answered is None:
            raise RunError("run.bad-reply", kind="reply", reason="it answers no ask of this run")
        ask = open_record(Ask, Envelope.from_bytes(answered.read_bytes()))
        answer = self._verified(member, name, document, parcel)
        if isinstance(ask.body, Train) and answer.reply.outcome == "done":
            late = LateReply(member=member, reply=answer.digest, round=ask.place.round)
            write_atomic(self.hall.folder / "late" / f"{hex_of(answer.digest)}.json", late.to_bytes())
        self._index(name, answer.digest)

    def _index(self, ask: str, reply: str) -> None:
        write_atomic(self.hall.folder / "replies" / hex_of(ask), reply.encode())

    def _answered(self, ask: str) -> Answer | None:
        path = self.hall.folder / "replies" / hex_of(ask)
        if not path.exists():
            return None
        reply = path.read_text()
        return Answer(reply, open_record(Reply, Envelope.from_bytes(self.hall.store.get(reply))))


class _Messages(Mapping[str, bytes]):
    """The message to each member, put together when it is read: the states that asks name are in memory once.

    An engine reads a message when it sends it: `read` is told the member and the size.
    """

    def __init__(
        self, asks: Mapping[str, list[tuple[Envelope, AskBody]]], store: ObjectStore, read: Callable[[str, int], None]
    ) -> None:
        self._asks, self._store, self._read = asks, store, read
        self._objects: dict[str, bytes] = {}

    def __getitem__(self, member: str) -> bytes:
        asks = self._asks[member]
        needed = {name for _, body in asks for name in _named(body)}
        for name in needed - self._objects.keys():
            self._objects[name] = self._store.get(name)
        message = Parcel(tuple(document for document, _ in asks), {n: self._objects[n] for n in needed}).to_bytes()
        self._read(member, len(message))
        return message

    def __iter__(self) -> Iterator[str]:
        return iter(self._asks)

    def __len__(self) -> int:
        return len(self._asks)


def _named(body: AskBody) -> tuple[str, ...]:
    """The states that an ask names: what must travel with it."""
    match body:
        case Train() | Alone():
            return (body.start,)
        case Validate():
            return (body.state,)
        case Gradient():
            return (body.start, body.end)
        case Evaluate():
            return (body.start, body.state)


# ── evidence and credit ──────────────────────────────────────────────────────


def _examine(
    hall: Hall, post: _Post, plan: Plan, snapshot: Snapshot, accord: Accord, first: str, state: str
) -> tuple[Examination, list[Used]]:
    """Each member alone with the same steps, then the counts of federated beside alone; auditors measure theirs."""
    from foedus.tasks import task_of

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
    task, counts, used = task_of(plan.task), {}, []
    for member, answer in measured.items():
        try:
            arms = read_counts(task, answer.reply, hall.store, plan.replicates, alone=member in trained)
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
    hall: Hall, post: _Post, plan: Plan, this: RunState, snapshot: Snapshot, first: str, shares: Shares
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
