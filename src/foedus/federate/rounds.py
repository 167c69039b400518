"""The conversation of a run: asks out, updates in, one new state a round.

`rounds` is a generator without transport. It yields `Send` and receives answers; at each round's end it yields
`Closed` with a snapshot, and goes on from any snapshot to the same end. A round is two messages:

(1) train from the state, to the members that the round's draw names; combine the updates; take the outer step;
(2) measure the new state, to the run's panel: validation loss, and for credit the gradient along the way that the
    round took.

Where the accord keeps late replies, `Gather` asks for them before updates are combined and before the round closes. A
late update enters the next round of its half, unless its member has answered that round anew: one member, one update.

Measuring closes the round rather than riding with the next one's training: so early stopping never pays for a round
that it throws away, and everything said of a round lies between two `round.close`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import torch

from foedus.combine import Update, combine, half_names, outer_apply, outer_init
from foedus.combine.lora import dense
from foedus.core.errors import CallerError, RunError
from foedus.core.objects import ObjectStore
from foedus.federate.talk import (
    Answer,
    Answers,
    Closed,
    Gather,
    Send,
    open_answer,
    open_state,
    put_state,
    sort_out,
)
from foedus.records import terms
from foedus.records.acts import LeftOut, Used
from foedus.records.asks import AskBody, Gradient, Train, Validate
from foedus.records.base import decimal
from foedus.records.plan import Plan
from foedus.records.release import LateReply, Snapshot
from foedus.state import State, check_alike, check_finite, digest

__all__ = [
    "TOO_OLD",
    "Came",
    "Shares",
    "Talk",
    "first_snapshot",
    "open_update",
    "rounds",
    "shares_among",
    "weighted_loss",
    "with_loss",
]

TOO_OLD = "late.too-old"
"""Why a late reply is dropped that no round can take any more."""

Came = tuple[LateReply, ...]
Talk = Generator[Send | Gather | Closed, Answers | Came, Snapshot]


class Shares(Protocol):
    """The weights of members, by who of them answered: from their registered cards, capped.

    `late`: how many rounds late the replies of some came.
    """

    def __call__(self, members: tuple[str, ...], late: Mapping[str, int] | None = None) -> Mapping[str, Fraction]:
        """Weights that sum to one."""


def first_snapshot(run: str, state: State, store: ObjectStore) -> Snapshot:
    """What a run starts from: round 0."""
    name = put_state(store, state)
    return Snapshot(run=run, round=0, state=name, memory=None, best_state=name)


def rounds(plan: Plan, snapshot: Snapshot, *, store: ObjectStore, shares: Shares) -> Talk:
    """The rounds after `snapshot`; its return value is the last snapshot.

    Raises:
        RunError: `run.too-few-members` when fewer than `plan.min_members` updates came; `run.bad-state`.
    """
    state = open_state(store, snapshot.state, what="the snapshot's state")
    memory = outer_init(plan.outer, state)
    if snapshot.memory is not None:
        memory = open_state(store, snapshot.memory, what="the outer step's memory")
    while snapshot.round < plan.rounds and not snapshot.stopped:
        number = snapshot.round + 1

        # (1) Train, combine, step.
        train = Train(start=snapshot.state, half=plan.halves[number - 1], trial=plan.trial)
        answers = yield Send(number, "train", dict.fromkeys(plan.drawn(snapshot.run, number), (train,)))
        replies, left_out = sort_out(_answers(answers), 0)
        trained = half_names(state, plan.halves[number - 1])
        like = {name: state[name] for name in trained}
        replies, broken = _usable(plan, replies, like, store)
        late = _Late(plan, number, snapshot.late, {answer.digest for answer in replies.values()})
        if late.kept:
            late.take(_came((yield Gather(number, "train"))))
            replies = late.enter(replies, like, store)
        left_out = sorted((one for one in [*left_out, *broken] if one.member not in replies), key=lambda o: o.member)
        _enough(plan, number, len(replies), left_out)
        weights = shares(tuple(replies), late.staleness)
        delta = combine(plan.combine, [_update(plan, m, a, weights[m], store) for m, a in replies.items()])
        before = state
        state, memory = outer_apply(plan.outer, state, delta, memory)
        name = put_state(store, state)

        # (2) Measure.
        bodies = _measure(plan, snapshot, name)
        panel = plan.panel(snapshot.run)
        answers = _answers((yield Send(number, "measure", dict.fromkeys(panel, bodies)))) if bodies else {}
        measured: list[Used] = []
        losses = list(snapshot.losses)
        for which, body in enumerate(bodies):
            answered, silent = sort_out(answers, which)
            if isinstance(body, Validate):
                answered = with_loss(answered)
                _enough(plan, number, len(answered), silent)
                if body.state == name or not snapshot.round:
                    losses.append(decimal(weighted_loss(answered, shares(tuple(answered)))))
            else:
                answered = _with_gradient(answered, before, state, store)
                _enough(plan, number, len(answered), silent)
            fixed = shares(tuple(answered))
            measured += [_used(m, a, fixed[m]) for m, a in answered.items()]

        if late.kept:
            late.take(_came((yield Gather(number, "close"))))
        in_hand, left_out = late.in_hand(), [*left_out, *late.dropped()]
        snapshot = _next(plan, snapshot, name, put_state(store, memory), tuple(losses), in_hand)
        used = tuple(_used(m, answer, weights[m], late.staleness.get(m, 0)) for m, answer in replies.items())
        yield Closed(snapshot, digest(state), used, tuple(measured), tuple(left_out), losses[-1] if bodies else None)
    return snapshot


def _answers(came: Answers | Came) -> Answers:
    assert not isinstance(came, tuple)  # noqa: S101 - a `Send` is given answers
    return came


def _came(came: Answers | Came) -> Came:
    assert isinstance(came, tuple)  # noqa: S101 - a `Gather` is given late replies
    return came


@dataclass(slots=True)
class _Late:
    """The late replies of one round: in hand, entered (`staleness`, by member) and dropped."""

    plan: Plan
    number: int
    hand: tuple[LateReply, ...]
    seen: set[str]
    staleness: dict[str, int] = field(default_factory=dict)
    out: list[LeftOut] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether the accord keeps late replies."""
        return isinstance(self.plan.late, terms.NextRound)

    def take(self, came: Came) -> None:
        """Late replies that were not seen before come into the hand."""
        self.seen |= {one.reply for one in self.hand}
        fresh = {one.reply: one for one in came if one.reply not in self.seen}
        self.hand = tuple(sorted((*self.hand, *fresh.values()), key=lambda one: (one.member, one.round)))

    def enter(self, replies: Mapping[str, Answer], like: State, store: ObjectStore) -> dict[str, Answer]:
        """The replies and, of members without one, the latest late reply of this half that fits; in member order."""
        entered = dict(replies)
        for one in sorted(self.hand, key=lambda one: -one.round):
            if not self._may_enter(one, self.number):
                continue
            answer = open_answer(one.reply, store)
            if one.member in entered:
                self._drop(one, "late.superseded")
            elif (code := _fault(self.plan, answer, like, store)) is not None:
                self._drop(one, code)
            else:
                entered[one.member], self.staleness[one.member] = answer, self.number - one.round
                self._leave(one)
        return {member: entered[member] for member in sorted(entered)}

    def in_hand(self) -> tuple[LateReply, ...]:
        """What waits for a later round; what none can take any more is dropped."""
        later = range(self.number + 1, self.plan.rounds + 1)
        for one in self.hand:
            if not any(self._may_enter(one, number) for number in later):
                self._drop(one, TOO_OLD)
        return self.hand

    def dropped(self) -> list[LeftOut]:
        """Late replies that enter no round, by member."""
        return sorted(self.out, key=lambda one: (one.member, one.reply or ""))

    def _may_enter(self, one: LateReply, number: int) -> bool:
        most = self.plan.late.max_rounds if isinstance(self.plan.late, terms.NextRound) else 0
        return 1 <= number - one.round <= most and self.plan.halves[number - 1] == self.plan.halves[one.round - 1]

    def _drop(self, one: LateReply, code: str) -> None:
        self.out.append(LeftOut(member=one.member, code=code, reply=one.reply))
        self._leave(one)

    def _leave(self, one: LateReply) -> None:
        self.seen.add(one.reply)
        self.hand = tuple(other for other in self.hand if other != one)


def _enough(plan: Plan, number: int, got: int, left_out: Sequence[LeftOut]) -> None:
    if got < plan.min_members:
        reasons = "; ".join(f"{one.member}: {one.code}" for one in left_out) or "–"
        raise RunError("run.too-few-members", round=number, expected=plan.min_members, got=got, reasons=reasons)


def _measure(plan: Plan, before: Snapshot, state: str) -> tuple[AskBody, ...]:
    """What is asked of a new state; of the start state too, once.

    Credit needs each member's fall in loss. Who was late in the round before did not measure the state before: where
    the accord keeps late replies, every round asks of both.
    """
    if plan.early_stopping is None and isinstance(plan.credit, terms.NoCredit) and plan.trial is None:
        return ()
    path = isinstance(plan.credit, terms.AumannShapley)
    both = not before.round or (path and isinstance(plan.late, terms.NextRound))
    asks: list[AskBody] = [Validate(state=before.state)] if both else []
    asks.append(Validate(state=state))
    if isinstance(plan.credit, terms.AumannShapley):
        asks.append(Gradient(start=before.state, end=state, points=plan.credit.points))
    return tuple(asks)


def _next(
    plan: Plan, before: Snapshot, state: str, memory: str, losses: tuple[str, ...], late: tuple[LateReply, ...]
) -> Snapshot:
    """The snapshot after a round: which round is best so far, and whether the run stops here.

    Without early stopping the last round is the best. With it, rounds are compared after each `plan.pair`.
    """
    number = before.round + 1
    best_round, best_state, stopped = number, state, False
    if (rule := plan.early_stopping) is not None:
        ends = range(plan.pair, number + 1, plan.pair)
        best_round, stale = 0, 0
        for end in ends:
            if Fraction(losses[end]) < Fraction(losses[best_round]) - Fraction(rule.min_delta):
                best_round, stale = end, 0
            else:
                stale += 1
        best_state = state if best_round == number else before.best_state
        stopped = stale >= rule.patience
    return Snapshot(
        run=before.run, round=number, state=state, memory=memory, losses=losses,
        best_round=best_round, best_state=best_state, late=late, stopped=stopped,
    )  # fmt: skip


def _usable(
    plan: Plan, replies: Mapping[str, Answer], like: State, store: ObjectStore
) -> tuple[dict[str, Answer], list[LeftOut]]:
    """Replies whose update fits `like`, what this round trains, and is finite; the others, with the reason."""
    found = {member: _fault(plan, answer, like, store) for member, answer in replies.items()}
    good = {member: answer for member, answer in replies.items() if found[member] is None}
    return good, [LeftOut(member=member, code=code) for member, code in found.items() if code is not None]


def _fault(plan: Plan, answer: Answer, like: State, store: ObjectStore) -> str | None:
    try:
        update = open_update(plan, answer.reply.objects["update"], store)
        check_alike(like, update)
        check_finite(update)
    except (CallerError, RunError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, CallerError) else error
        return _FAULTS.get(cause.code, "update.malformed")
    except KeyError:
        return "update.malformed"
    return None


_FAULTS = {
    "state.names-differ": "update.wrong-names",
    "state.shape-differs": "update.wrong-shape",
    "state.dtype-differs": "update.wrong-type",
    "state.not-finite": "update.not-finite",
}


def open_update(plan: Plan, name: str, store: ObjectStore) -> State:
    """A member's update as a delta of the state: for stacked LoRA, the products of its factors."""
    update = open_state(store, name, what="an update")
    if isinstance(plan.method, terms.Lora) and plan.method.combine == "stack":
        return dense(update, alpha=plan.method.alpha)
    return update


def _update(plan: Plan, member: str, answer: Answer, weight: Fraction, store: ObjectStore) -> Update:
    name = answer.reply.objects["update"]
    return Update(member=member, weight=weight, open=lambda: open_update(plan, name, store))


def _used(member: str, answer: Answer, weight: Fraction, staleness: int = 0) -> Used:
    return Used(member=member, reply=answer.digest, weight=decimal(weight), staleness=staleness)


def with_loss(answered: Mapping[str, Answer]) -> dict[str, Answer]:
    """The answers whose body holds a loss in its one spelling; a member that sends none does not enter the mean."""
    return {m: a for m, a in answered.items() if _is_decimal(a.reply.body.get("loss"))}


def _is_decimal(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) < 40 and decimal(value) == value
    except ValueError:
        return False


def weighted_loss(answered: Mapping[str, Answer], weights: Mapping[str, Fraction]) -> Fraction:
    """The mean of the members' mean losses under their weights; see `with_loss`."""
    return sum((weights[m] * Fraction(a.reply.body["loss"]) for m, a in answered.items()), Fraction(0))


def _with_gradient(
    answered: Mapping[str, Answer], before: State, after: State, store: ObjectStore
) -> dict[str, Answer]:
    """The answers with a finite gradient for every name that the round moved."""
    like = {name: tensor for name, tensor in before.items() if not torch.equal(tensor, after[name])}

    def fits(answer: Answer) -> bool:
        try:
            check_alike(like, open_state(store, answer.reply.objects["gradient"], what="a gradient"))
        except (CallerError, RunError, KeyError):
            return False
        return True

    return {member: answer for member, answer in answered.items() if fits(answer)}


def shares_among(examples: Mapping[str, int], settings: terms.Mean, lateness: terms.Late | None = None) -> Shares:
    """Weights by who answered, from the registered counts of training examples."""
    from foedus.combine import weights

    def shares(members: tuple[str, ...], late: Mapping[str, int] | None = None) -> Mapping[str, Fraction]:
        return weights(settings, {member: examples[member] for member in members}, late=late, lateness=lateness)

    return shares
