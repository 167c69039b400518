"""Credit of a run from what members signed: their updates, and gradients or losses on their validation parts.

Utility is minus the mean validation loss, members weighted by their examples. Credit adds up to the loss of the start
state minus the loss of the released one; rounds after the released one count nothing. The report says how far the sum
is off.

Along a path the falls of the rounds add up only where the same members, with the same weights, measured every state:
so the loss is that of the members that measured all of them. Whose own measurement is missing is credited all the same:
what an update was worth is measured by the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from foedus.combine import Round, Update, Values, aumann_shapley, reconstruct, weighted_sum
from foedus.core.envelope import Envelope
from foedus.core.errors import RunError
from foedus.core.objects import ObjectStore
from foedus.federate.rounds import Shares, open_update
from foedus.federate.talk import open_state
from foedus.records import terms
from foedus.records.acts import CloseRound
from foedus.records.asks import Reply
from foedus.records.base import decimal, open_record
from foedus.records.evidence import Credit, CreditReport
from foedus.records.plan import Plan
from foedus.records.release import Snapshot
from foedus.state import State, zeros_like

__all__ = ["credit_report"]

TOLERANCE = Fraction(5, 100)
"""How much of the fall in loss the sum of credits may miss. With three points the error of quadrature was 0.01 to 1.2 %
where it was measured; it grows with the steps."""

Loss = Callable[[State], Fraction]


def credit_report(
    plan: Plan, *, run: str, closes: Sequence[CloseRound], losses: Sequence[str], start_state: str, store: ObjectStore,
    shares: Shares, loss: Loss,
) -> CreditReport:  # fmt: skip
    """Credit of each member for the rounds in `closes`.

    `start_state`: the object that the run began with. `loss` asks the members for the loss of a rebuilt state; only
    exact Shapley values by reconstruction need it.

    Raises:
        RunError: `run.bad-state` for a stored update or gradient that is not what it was; `run.too-few-measured` when
            fewer than `min_members` measured every state; `run.credit-off` when the sum misses the fall by more than
            the tolerance.
    """
    start, end = Fraction(losses[0]), Fraction(losses[len(closes)])
    walked = [_round(plan, close, store) for close in closes]
    if isinstance(plan.credit, terms.Reconstruct):
        names = [start_state, *(Snapshot.from_bytes(store.get(close.snapshot)).state for close in closes[:-1])]
        befores = [partial(open_state, store, name, what="a round's start") for name in names]
        values = reconstruct(walked, befores, outer=plan.outer, utility=lambda state: -float(loss(state)))
    else:
        measured = [_measured(close, store) for close in closes]
        weights = _weights(plan, measured, shares)
        if closes:
            start = _mean({m: measured[0][m].losses[0] for m in weights}, weights)
            end = _mean({m: measured[-1][m].losses[-1] for m in weights}, weights)
        gradients = [_gradient(found, walk, store, weights) for found, walk in zip(measured, walked, strict=True)]
        values = aumann_shapley(walked, gradients, outer=plan.outer, total=float(start - end))
    return _report(plan, run, start, end, values)


def _report(plan: Plan, run: str, start: Fraction, end: Fraction, values: Values) -> CreditReport:
    shares = tuple(
        Credit(
            member=member,
            value=decimal(sum((Fraction(decimal(v)) for v in by_round), Fraction(0))),
            by_round=tuple(decimal(v) for v in by_round),
        )
        for member, by_round in sorted(values.by_round.items())
    )
    total = start - end
    given = plan.outer.linear or isinstance(plan.credit, terms.Reconstruct)
    residual = total - sum((Fraction(credit.value) for credit in shares), Fraction(0))
    tolerance = max(abs(total) * TOLERANCE, Fraction(1, 10**6))
    if abs(residual) > tolerance:
        raise RunError("run.credit-off", total=decimal(total), residual=decimal(residual), tolerance=decimal(tolerance))
    return CreditReport(
        run=run,
        method=plan.credit.name,
        start_loss=decimal(start),
        released_loss=decimal(end),
        total=decimal(total),
        residual=decimal(residual),
        tolerance=decimal(tolerance),
        note="" if given else "preconditioner taken as given",
        credits=shares,
    )


def _round(plan: Plan, close: CloseRound, store: ObjectStore) -> Round:
    """The updates of a round as handles, with the weights that the ledger states."""
    updates = []
    names: tuple[str, ...] = ()
    for item in close.used:
        update = _reply(item.reply, store).objects["update"]
        names = names or tuple(sorted(open_update(plan, update, store)))
        weight = Fraction(item.weight)
        updates.append(Update(item.member, weight, partial(open_update, plan, update, store)))
    memory = Snapshot.from_bytes(store.get(close.snapshot)).memory
    opened = None if memory is None or plan.outer.linear else partial(open_state, store, memory, what="outer memory")
    return Round(names, updates, opened)


@dataclass(slots=True)
class _Measured:
    """What a member measured in a round: the losses in the order of the asks, and the object with its gradient."""

    losses: list[Fraction] = field(default_factory=list)
    gradient: str | None = None


def _measured(close: CloseRound, store: ObjectStore) -> dict[str, _Measured]:
    """The members that answered every ask of a round's measuring. The first round asks of the start state too."""
    found: dict[str, _Measured] = {}
    for item in close.measured:
        one, reply = found.setdefault(item.member, _Measured()), _reply(item.reply, store)
        if "gradient" in reply.objects:
            one.gradient = reply.objects["gradient"]
        else:
            one.losses.append(Fraction(reply.body["loss"]))
    asked = 2 if close.round == 1 else 1
    return {member: one for member, one in found.items() if one.gradient and len(one.losses) == asked}


def _weights(plan: Plan, measured: Sequence[Mapping[str, _Measured]], shares: Shares) -> Mapping[str, Fraction]:
    """The weights of the members that measured every round."""
    if not measured:
        return {}
    always = sorted(set.intersection(*(set(found) for found in measured)))
    if len(always) < plan.min_members:
        raise RunError("run.too-few-measured", expected=plan.min_members, got=len(always), members=", ".join(always))
    return shares(tuple(always))


def _mean(losses: Mapping[str, Fraction], weights: Mapping[str, Fraction]) -> Fraction:
    """The weighted mean, in the nine digits that the report states."""
    return Fraction(decimal(sum((weights[m] * loss for m, loss in losses.items()), Fraction(0))))


def _gradient(
    measured: Mapping[str, _Measured], walked: Round, store: ObjectStore, weights: Mapping[str, Fraction]
) -> Callable[[], State]:
    """The members' gradients along a round, averaged as their losses are; 0 for a name that stayed where it was."""
    found = {member: measured[member].gradient or "" for member in weights}

    def opened() -> State:
        mean = weighted_sum(
            [
                Update(member, weights[member], partial(open_state, store, name, what="a gradient"))
                for member, name in found.items()
            ]
        )
        return zeros_like(walked.updates[0].open()) | mean

    return opened


def _reply(digest: str, store: ObjectStore) -> Reply:
    return open_record(Reply, Envelope.from_bytes(store.get(digest)))
