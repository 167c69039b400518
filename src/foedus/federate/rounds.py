"""The conversation of a run: asks out, updates in, one new state a round.

`rounds` is a generator without transport. It yields `Send` and receives answers; at each round's end it yields
`Closed` with a snapshot, and goes on from any snapshot to the same end. A round is two messages to each member:

(1) train from the state; combine the updates; take the outer step;
(2) measure the new state: validation loss, and for credit the gradient along the way that the round took.

Measuring closes the round rather than riding with the next one's training: so early stopping never pays for a round
that it throws away, and everything said of a round lies between two `round.close`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from fractions import Fraction

import torch

from foedus.combine import Update, combine, half_names, outer_apply, outer_init
from foedus.combine.lora import dense
from foedus.core.errors import CallerError, RunError
from foedus.core.objects import ObjectStore
from foedus.federate.talk import Answer, Answers, Closed, Send, open_state, put_state, sort_out
from foedus.records import terms
from foedus.records.acts import LeftOut, Used
from foedus.records.asks import AskBody, Gradient, Train, Validate
from foedus.records.base import decimal
from foedus.records.plan import Plan
from foedus.records.release import Snapshot
from foedus.state import State, check_alike, check_finite, digest

__all__ = ["Talk", "first_snapshot", "open_update", "rounds", "shares_among", "weighted_loss", "with_loss"]

Talk = Generator[Send | Closed, Answers, Snapshot]
Shares = Callable[[tuple[str, ...]], Mapping[str, Fraction]]
"""The weights of members, by who of them answered: from their registered cards, capped."""


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
        train = Train(start=snapshot.state, half=plan.halves[number - 1])
        answers = yield Send(number, "train", dict.fromkeys(plan.members, (train,)))
        replies, left_out = sort_out(answers, 0)
        trained = half_names(state, plan.halves[number - 1])
        replies, broken = _usable(plan, replies, {name: state[name] for name in trained}, store)
        left_out = sorted([*left_out, *broken], key=lambda one: one.member)
        _enough(plan, number, len(replies), left_out)
        weights = shares(tuple(replies))
        delta = combine(plan.combine, [_update(plan, m, a, weights[m], store) for m, a in replies.items()])
        before = state
        state, memory = outer_apply(plan.outer, state, delta, memory)
        name = put_state(store, state)

        # (2) Measure.
        bodies = _measure(plan, snapshot, name)
        answers = (yield Send(number, "measure", dict.fromkeys(plan.members, bodies))) if bodies else {}
        measured: list[Used] = []
        losses = list(snapshot.losses)
        for which, body in enumerate(bodies):
            answered, silent = sort_out(answers, which)
            if isinstance(body, Validate):
                answered = with_loss(answered)
                _enough(plan, number, len(answered), silent)
                losses.append(decimal(weighted_loss(answered, shares(tuple(answered)))))
            else:
                answered = _with_gradient(answered, before, state, store)
                _enough(plan, number, len(answered), silent)
            fixed = shares(tuple(answered))
            measured += [_used(m, a, fixed[m]) for m, a in answered.items()]

        snapshot = _next(plan, snapshot, name, put_state(store, memory), tuple(losses))
        used = tuple(_used(member, answer, weights[member]) for member, answer in replies.items())
        yield Closed(snapshot, digest(state), used, tuple(measured), tuple(left_out), losses[-1] if bodies else None)
    return snapshot


def _enough(plan: Plan, number: int, got: int, left_out: Sequence[LeftOut]) -> None:
    if got < plan.min_members:
        reasons = "; ".join(f"{one.member}: {one.code}" for one in left_out) or "–"
        raise RunError("run.too-few-members", round=number, expected=plan.min_members, got=got, reasons=reasons)


def _measure(plan: Plan, before: Snapshot, state: str) -> tuple[AskBody, ...]:
    """What is asked of a new state; of the start state too, once."""
    if plan.early_stopping is None and isinstance(plan.credit, terms.NoCredit):
        return ()
    asks: list[AskBody] = [] if before.round else [Validate(state=before.state)]
    asks.append(Validate(state=state))
    if isinstance(plan.credit, terms.AumannShapley):
        asks.append(Gradient(start=before.state, end=state, points=plan.credit.points))
    return tuple(asks)


def _next(plan: Plan, before: Snapshot, state: str, memory: str, losses: tuple[str, ...]) -> Snapshot:
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
        best_round=best_round, best_state=best_state, stopped=stopped,
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


def _used(member: str, answer: Answer, weight: Fraction) -> Used:
    return Used(member=member, reply=answer.digest, weight=decimal(weight))


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


def shares_among(examples: Mapping[str, int], settings: terms.Mean) -> Shares:
    """Weights by who answered, from the registered counts of training examples."""
    from foedus.combine import weights

    return lambda members: weights(settings, {member: examples[member] for member in members})
