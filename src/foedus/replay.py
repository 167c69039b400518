"""Recompute a release from the replies that members signed: the same conversation, driven by the record.

`replay_check` takes a bundle whose ledger holds, and a folder of asks, replies and the objects that they name, as
`foedus run export-replies` writes it. It drives `federate.rounds` with those replies instead of an engine and
compares, round by round, state, snapshot, order and weights with what the ledger says, then the state with the
released one. Combining is portable to the bit, so any machine must agree exactly. At last it computes the examination
again, intervals too, from the counts and replicates that members signed about that state, and compares it with the one
that was entered.

Shows that the released state is what these signed updates give under the accord, that its figures are what these signed
measurements give, and nothing else. Does not show that a member's training or counting was honest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

from foedus.accord import compile_plan
from foedus.core.checks import Check, ok
from foedus.core.clock import spell
from foedus.core.digest import sha256, sha256_file
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.core.objects import ObjectStore
from foedus.examine import examination
from foedus.examine.figures import Counts, read_counts
from foedus.federate.rounds import TOO_OLD, Came, first_snapshot, rounds, shares_among
from foedus.federate.talk import Answer, Answers, Closed, Gather, Send
from foedus.ledger import Ledger
from foedus.ledger.consortium import Consortium, RunState
from foedus.ledger.fold import resolve
from foedus.records.accord import Accord
from foedus.records.acts import CloseRound, LeftOut, Used
from foedus.records.asks import Ask, AskBody, Evaluate, Reply, Train
from foedus.records.base import open_record
from foedus.records.evidence import Examination, Figure
from foedus.records.plan import Plan
from foedus.records.release import LateReply, Proposal
from foedus.release.propose import published_examination
from foedus.state import State, digest, from_bytes, to_bytes
from foedus.workspace import kept_until

__all__ = ["export_replies", "replay_check"]


def export_replies(
    known: Consortium, run: str, *, asks: Mapping[str, bytes], store: ObjectStore, target: Path, at: datetime
) -> int:
    """Write every ask, reply and object that a run's rounds and evidence rest on into a folder; how many replies.

    Raises:
        CallerError: `replay.no-such-run`; `replay.kept-no-longer` when the accord's term for replies is over, `at`
            this time; `replay.other-files` where the folder holds something else;
            `objects.missing` for what is kept no longer.
    """
    if run not in known.runs:
        raise CallerError("replay.no-such-run", run=run, known=", ".join(known.runs) or "–")
    if target.exists() and (not target.is_dir() or any(path.name != "sha256" for path in target.iterdir())):
        raise CallerError("replay.other-files", path=str(target))
    if (end := kept_until(known, run, at=at)) and end <= at:
        days = known.accords[known.runs[run].accord].aggregation.keep_replies_days
        raise CallerError("replay.kept-no-longer", run=run, days=days, until=spell(end))
    out, count = ObjectStore(target), 0
    for name in _rested_on(known, run):
        document = store.get(name)
        reply = open_record(Reply, Envelope.from_bytes(document))
        if reply.ask not in asks:
            raise CallerError("objects.missing", digest=reply.ask)
        ask = open_record(Ask, Envelope.from_bytes(asks[reply.ask]))
        out.put(document)
        out.put(asks[reply.ask])
        for named in reply.objects.values():
            out.put(store.get(named))
        if ask.place.round == 1 and isinstance(ask.body, Train):
            out.put(store.get(ask.body.start))
        count += 1
    return count


def _rested_on(known: Consortium, run: str) -> Iterator[str]:
    """The replies that the rounds and the evidence of a run name."""
    for close in known.runs[run].closes:
        yield from (item.reply for item in (*close.used, *close.measured))
        yield from (one.reply for one in close.left_out if one.reply)
    for entered in known.evidence.values():
        if entered.run == run:
            yield from (item.reply for item in entered.replies)


def replay_check(bundle: Path, replies: Path) -> list[Check]:
    """The checks of a replay: one a round, the released state, its figures, its weights. The bundle must have been
    verified before.

    Raises: CallerError: `replay.no-such-folder`. Whatever does not hold comes back as the last check.
    """
    if not (replies / "sha256").is_dir():
        raise CallerError("replay.no-such-folder", path=str(replies))
    checks: list[Check] = []
    try:
        proposal, known, accord = _read(bundle)
        this = known.runs[proposal.run]
        plan = replace(compile_plan(accord), members=tuple(sorted(this.opened.roster)))
        with tempfile.TemporaryDirectory(prefix="foedus-replay-") as folder:
            store, changed = _copied(replies, ObjectStore(Path(folder)))
            book = _Book(known, this, accord, store, _asks_in(store, known, accord), changed)
            state = _drive(plan, book, checks)
            released = digest(state)
            if released != proposal.state:
                raise VerifyError("replay.other-release", expected=proposal.state, got=released)
            checks.append(ok("replay.state", digest=released))
            checks.append(_examined(bundle, proposal, accord, plan, book, state))
            checks.append(_model(bundle, accord, plan, state))
    except FoedusError as error:
        checks.append(_failed(error, after=len(checks)))
    return checks


def _read(bundle: Path) -> tuple[Proposal, Consortium, Accord]:
    """The bundle's proposal, its ledger folded, and the accord of its run."""
    named = {
        sha256_file(path): path for kind in ("accord", "objects") for path in sorted((bundle / kind).glob("*.json"))
    }
    named |= {sha256_file(path): path for path in [bundle / "report" / "proposal.json"]}
    proposal = Proposal.from_bytes((bundle / "report" / "proposal.json").read_bytes())

    def find(name: str) -> bytes | None:
        return named[name].read_bytes() if name in named else None

    known = resolve(Ledger(bundle / "ledger").leaves(), objects=find, anchor=None)
    return proposal, known, known.accords[proposal.accord]


def _failed(error: FoedusError, *, after: int) -> Check:
    """The check that an error ends a replay with; `after` so many that held."""
    if error.code == "replay.other-release":
        return Check("replay.state", "fail", {"digest": error.fields["expected"]}, error)
    if error.code == "replay.other-model":
        return Check("replay.model", "fail", {"base": error.fields["base"]}, error)
    return Check("replay.round", "fail", {"round": error.fields.get("round", after + 1)}, error)


def _copied(replies: Path, store: ObjectStore) -> tuple[ObjectStore, frozenset[str]]:
    """The recorded objects in a store of our own, and the names of those that no longer have their digest. Nothing is
    written to the record.
    """
    record, changed = ObjectStore(replies), set()
    for name in record:
        try:
            store.put(record.get(name))
        except VerifyError:
            changed.add(name)
    return store, frozenset(changed)


def _asks_in(store: ObjectStore, known: Consortium, accord: Accord) -> dict[str, Ask]:
    """Every ask in the record that the coordinator signed, by digest."""
    asks, ever = {}, known.key_log.get((accord.coordinator.name, "act"), ())
    for name in store:
        data = store.get(name)
        if data.startswith(b'{"payload"') and Ask.payload_type().encode() in data:
            envelope = Envelope.from_bytes(data)
            signed = any(envelope.signed_by(public) for _, public in ever)
            if signed and envelope.payload_type == Ask.payload_type():
                asks[name] = open_record(Ask, envelope)
    return asks


@dataclass(frozen=True, slots=True)
class _Book:
    """The record: replies as the ledger lists them, verified when they are opened."""

    known: Consortium
    this: RunState
    accord: Accord
    store: ObjectStore
    asks: Mapping[str, Ask]
    changed: frozenset[str]

    def answers(self, send: Send) -> Answers:
        """What the members answered to this step, by the record."""
        close = self.this.closes[send.round - 1]
        listed = [item for item in close.used if not item.staleness] if send.step == "train" else close.measured
        found: dict[str, list[Answer | LeftOut]] = {}
        opened = [(item, *self.open(item, close.round)) for item in listed]
        for member, bodies in send.asks.items():
            mine = [(answer, ask) for item, answer, ask in opened if item.member == member]
            found[member] = [self._match(member, body, mine, close) for body in bodies]
        return {member: tuple(answers) for member, answers in found.items()}

    def late(self, gather: Gather) -> Came:
        """What had come too late, by the record: before combining, what entered or was dropped; then the rest."""
        close = self.this.closes[gather.round - 1]
        too_old = gather.step == "close"
        came = [
            LateReply(member=one.member, reply=one.reply, round=self._round_of(one.member, one.reply, close))
            for one in close.left_out
            if one.reply and (one.code == TOO_OLD) == too_old
        ]
        if too_old:
            return (*came, *close.late)
        entered = [(item, self.open(item, close.round)[1].place.round) for item in close.used if item.staleness]
        return (*came, *(LateReply(member=item.member, reply=item.reply, round=n) for item, n in entered))

    def _round_of(self, member: str, name: str, close: CloseRound) -> int:
        """The round whose ask a dropped late reply answers."""
        if name not in self.store:
            raise VerifyError("replay.reply-missing", member=member, round=close.round, digest=name)
        ask = self.asks.get(open_record(Reply, Envelope.from_bytes(self.store.get(name))).ask)
        if ask is None:
            raise VerifyError("replay.other-ask", member=member, round=close.round)
        return ask.place.round

    def _match(self, member: str, body: AskBody, mine: list[tuple[Answer, Ask]], close: CloseRound) -> Answer | LeftOut:
        for answer, ask in mine:
            if ask.body == body:
                return answer
        if isinstance(body, Train) and mine:
            raise VerifyError("replay.other-ask", member=member, round=close.round)
        code = next((one.code for one in close.left_out if one.member == member), "engine.late")
        return LeftOut(member=member, code=code)

    def open(self, item: Used, number: int) -> tuple[Answer, Ask]:
        """A reply with its ask: signed by the member, and answering an ask that the coordinator signed for this
        round. VerifyError `replay.…`.
        """
        if item.reply in self.changed:
            raise VerifyError("replay.reply-changed", member=item.member, round=number, name=item.reply)
        if item.reply not in self.store:
            raise VerifyError("replay.reply-missing", member=item.member, round=number, digest=item.reply)
        document = Envelope.from_bytes(self.store.get(item.reply))
        ever = self.known.key_log.get((item.member, "act"), ())
        if not any(document.signed_by(public) for _, public in ever):
            raise VerifyError("replay.not-signed", member=item.member, round=number)
        reply = open_record(Reply, document)
        for wanted in (reply.ask, *reply.objects.values()):
            if wanted in self.changed:
                raise VerifyError("replay.reply-changed", member=item.member, round=number, name=wanted)
        ask = self.asks.get(reply.ask)
        fits = (
            ask is not None
            and reply.member == item.member == ask.member
            and (ask.place.run, ask.place.round) == (self.this.opened.run, number - item.staleness)
            and ask.accord == self.this.accord
        )
        if ask is None or not fits:
            raise VerifyError("replay.other-ask", member=item.member, round=number)
        for name, wanted in reply.objects.items():
            if wanted not in self.store:
                raise VerifyError("replay.object-missing", member=item.member, round=number, name=name)
        return Answer(item.reply, reply), ask


def _drive(plan: Plan, book: _Book, checks: list[Check]) -> State:
    """The conversation from the recorded start to its end; every round compared with the ledger."""
    this = book.this
    first = first_snapshot(this.opened.run, _start(book), book.store)
    shares = shares_among({member: card.examples for member, card in this.cards.items()}, plan.combine, plan.late)
    talk = rounds(plan, first, store=book.store, shares=shares)
    snapshot, step = first, next(talk, None)
    while step is not None:
        came: Answers | Came = {}
        if isinstance(step, Send):
            if step.round > len(this.closes):
                raise VerifyError("replay.rounds-missing", expected=step.round, got=len(this.closes))
            came = book.answers(step)
        elif isinstance(step, Gather):
            came = book.late(step)
        else:
            _compare(step, this.closes[step.snapshot.round - 1])
            snapshot = step.snapshot
            checks.append(ok("replay.round", round=snapshot.round))
        try:
            step = talk.send(came)
        except StopIteration:
            step = None
    return from_bytes(book.store.get(snapshot.best_state))


def _start(book: _Book) -> State:
    """The start state: the object that the first round's asks name and whose digest `run.open` gives."""
    first = {ask.body.start for ask in book.asks.values() if isinstance(ask.body, Train) and ask.place.round == 1}
    for name in sorted(first):
        if name in book.store and digest(state := from_bytes(book.store.get(name))) == book.this.opened.start:
            return state
    raise VerifyError("replay.no-start", expected=book.this.opened.start)


def _compare(closed: Closed, said: CloseRound) -> None:
    """What the conversation came to, against what the coordinator entered."""
    facts = {
        "state": (said.state, closed.state),
        "snapshot": (said.snapshot, closed.snapshot.digest),
        "used": (_listed(said.used), _listed(closed.used)),
        "measured": (_listed(said.measured), _listed(closed.measured)),
    }
    for what, (expected, got) in facts.items():
        if expected != got:
            raise VerifyError("replay.differs", round=said.round, what=what, expected=expected, got=got)


def _listed(used: tuple[Used, ...]) -> str:
    return ", ".join(f"{one.member} {one.weight} {one.reply[7:19]}" for one in used)


def _examined(bundle: Path, proposal: Proposal, accord: Accord, plan: Plan, book: _Book, state: State) -> Check:
    """The examination computed again from what members signed about the released state, against the one entered."""
    replies = book.known.evidence[proposal.evidence].replies
    fields = {"members": len(replies)}
    try:
        members = {item.member: _counts(item, proposal, plan, book, state) for item in replies}
        again = examination(plan, run=proposal.run, state=proposal.state, members=members)
        entered = Examination.from_bytes((bundle / "report" / "examination.json").read_bytes())
        shown = published_examination(accord, again)
        for ours, theirs in zip_longest(shown.figures, entered.figures):
            if ours != theirs:
                place = ours or theirs
                raise VerifyError(
                    "replay.other-figure",
                    arm=place.arm, member=place.member or "–", metric=place.metric, expected=_spelt(ours),
                    got=_spelt(theirs),
                )  # fmt: skip
        if again.digest != proposal.evidence:
            raise VerifyError("replay.other-evidence", expected=again.digest, got=proposal.evidence)
    except FoedusError as error:
        return Check("replay.evidence", "fail", fields, error)
    return ok("replay.evidence", **fields)


def _counts(item: Used, proposal: Proposal, plan: Plan, book: _Book, state: State) -> tuple[int, Counts]:
    """What a member measured of the released state: asked for after the last round, and no other state."""
    number = book.this.round + 1
    answer, ask = book.open(item, number)
    body = ask.body
    asked = isinstance(body, Evaluate) and (body.state, body.replicates) == (sha256(to_bytes(state)), plan.replicates)
    if not asked:
        raise VerifyError("replay.other-ask", member=item.member, round=number)
    alone = item.member in plan.members
    return read_counts(plan, answer.reply, book.store, state=proposal.state, alone=alone)


def _spelt(figure: Figure | None) -> str:
    return f"{figure.estimate} ({figure.low} – {figure.high}), n {figure.n}" if figure else "–"


def _model(bundle: Path, accord: Accord, plan: Plan, state: State) -> Check:
    """The weights in `model/` are the state folded into the pinned base; recorded where the base is not at hand."""
    from foedus.core.files import read_bytes
    from foedus.state.base import open_base
    from foedus.train.export import export
    from foedus.train.model import build

    try:
        base = open_base(accord.base.source, accord.base.pin)
    except FoedusError:
        return Check("replay.model", "recorded", {"base": accord.base.source})
    with tempfile.TemporaryDirectory(prefix="foedus-replay-") as name:
        model = build(base, plan.task, plan.method)
        export(
            model, from_bytes(to_bytes(state)), base=base, folder=Path(name), form=accord.release.form,
            rank=accord.release.rank, source=accord.base.source,
        )  # fmt: skip
        for path in sorted(Path(name).glob("*.safetensors")):
            limit = 1 << 40
            if read_bytes(path, limit_bytes=limit) != read_bytes(bundle / "model" / path.name, limit_bytes=limit):
                raise VerifyError("replay.other-model", file=path.name, base=accord.base.source)
    return ok("replay.model", base=accord.base.source)
