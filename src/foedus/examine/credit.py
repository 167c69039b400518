"""Credit of a run from what members signed: their updates, and gradients or losses on their validation parts.

Utility is minus the mean validation loss, members weighted as in the rounds. Credit adds up to the loss of the start
state minus the loss of the released one; rounds after the released one count nothing. The report says how far the sum
is off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        RunError: `run.bad-state` for a stored update or gradient that is not what it was; `run.no-gradients` when a
            round has none; `run.credit-off` when the sum misses the fall by more than the tolerance.
    """
    start, end = Fraction(losses[0]), Fraction(losses[len(closes)])
    walked = [_round(plan, close, store) for close in closes]
    if isinstance(plan.credit, terms.Reconstruct):
        names = [start_state, *(Snapshot.from_bytes(store.get(close.snapshot)).state for close in closes[:-1])]
        befores = [partial(open_state, store, name, what="a round's start") for name in names]
        values = reconstruct(walked, befores, outer=plan.outer, utility=lambda state: -float(loss(state)))
    else:
        gradients = [_gradient(close, walk, store, shares) for close, walk in zip(closes, walked, strict=True)]
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


def _gradient(close: CloseRound, walked: Round, store: ObjectStore, shares: Shares) -> Callable[[], State]:
    """The members' gradients along a round, averaged as their losses are; 0 for a name that stayed where it was."""
    found: dict[str, str] = {}
    for item in close.measured:
        objects: Mapping[str, str] = _reply(item.reply, store).objects
        if "gradient" in objects:
            found[item.member] = objects["gradient"]
    if not found:
        raise RunError("run.no-gradients", round=close.round)
    weights = shares(tuple(found))

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
