"""Credit of a run from what members signed: their updates, and gradients or losses on their validation parts.

Utility is minus the mean validation loss, members weighted by their examples. Credit adds up to the loss of the start
state minus the loss of the released one; rounds after the released one count nothing. The report says how far the sum
is off.

Along a path a round's fall in loss is that of the members that measured the round whole: the loss before it, the loss
after it, and the gradient between, with the same weights for all three. The falls are chained, so that credit adds up
though not every member measures every round; where all do, the released loss is the one that was measured. Whose own
measurement is missing is credited all the same: what its update was worth is measured by the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
            fewer than `min_members` measured a round; `run.credit-off` when the sum misses the fall by more than the
            tolerance.
    """
    start, end = Fraction(losses[0]), Fraction(losses[len(closes)])
    walked = [_round(plan, close, store) for close in closes]
    if isinstance(plan.credit, terms.Reconstruct):
        names = [start_state, *(Snapshot.from_bytes(store.get(close.snapshot)).state for close in closes[:-1])]
        befores = [partial(open_state, store, name, what="a round's start") for name in names]
        values = reconstruct(walked, befores, outer=plan.outer, utility=lambda state: -float(loss(state)))
    else:
        measured = _measured(closes, store)
        weights = [_weights(plan, close, found, shares) for close, found in zip(closes, measured, strict=True)]
        falls = [_fall(found, given) for found, given in zip(measured, weights, strict=True)]
        if closes:
            exact = sum((weights[0][m] * measured[0][m].before for m in weights[0]), Fraction(0))
            start, end = _rounded(exact), _rounded(exact - sum(falls, Fraction(0)))
        gradients = [_gradient(*round_, store) for round_ in zip(measured, walked, weights, strict=True)]
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


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a member measured of a round: its loss before and after, and the object with its gradient."""

    before: Fraction
    after: Fraction
    gradient: str


def _measured(closes: Sequence[CloseRound], store: ObjectStore) -> list[dict[str, _Measured]]:
    """For each round, the members that measured it whole. Where a round does not ask of the state before it, a
    member's loss there is what it measured in the round before.
    """
    rounds: list[dict[str, _Measured]] = []
    known: dict[str, Fraction] = {}
    for close in closes:
        losses: dict[str, list[Fraction]] = {}
        gradients: dict[str, str] = {}
        for item in close.measured:
            reply = _reply(item.reply, store)
            if "gradient" in reply.objects:
                gradients[item.member] = reply.objects["gradient"]
            else:
                losses.setdefault(item.member, []).append(Fraction(reply.body["loss"]))
        both = max(map(len, losses.values()), default=1) > 1
        said = {member: one for member, one in losses.items() if len(one) == 1 + both}
        before = {member: one[0] for member, one in said.items()} if both else known
        rounds.append(
            {
                member: _Measured(before[member], one[-1], gradients[member])
                for member, one in said.items()
                if member in before and member in gradients
            }
        )
        known = {member: one[-1] for member, one in said.items()}
    return rounds


def _weights(
    plan: Plan, close: CloseRound, measured: Mapping[str, _Measured], shares: Shares
) -> Mapping[str, Fraction]:
    """The weights of the members that measured a round whole."""
    if len(measured) < plan.min_members:
        names = ", ".join(sorted(measured)) or "–"
        fields = {"round": close.round, "expected": plan.min_members, "got": len(measured), "members": names}
        raise RunError("run.too-few-measured", **fields)
    return shares(tuple(sorted(measured)))


def _fall(measured: Mapping[str, _Measured], weights: Mapping[str, Fraction]) -> Fraction:
    return sum((weights[m] * (one.before - one.after) for m, one in measured.items()), Fraction(0))


def _rounded(value: Fraction) -> Fraction:
    """In the nine digits that the report states."""
    return Fraction(decimal(value))


def _gradient(
    measured: Mapping[str, _Measured], walked: Round, weights: Mapping[str, Fraction], store: ObjectStore
) -> Callable[[], State]:
    """The members' gradients along a round, averaged as their losses are; 0 for a name that stayed where it was."""

    def opened() -> State:
        mean = weighted_sum(
            [
                Update(member, weights[member], partial(open_state, store, one.gradient, what="a gradient"))
                for member, one in measured.items()
            ]
        )
        return zeros_like(walked.updates[0].open()) | mean

    return opened


def _reply(digest: str, store: ObjectStore) -> Reply:
    return open_record(Reply, Envelope.from_bytes(store.get(digest)))
