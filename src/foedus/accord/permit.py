"""Whether the accord lets a member answer an ask. A node looks here before it works, whatever it is told."""

from __future__ import annotations

from datetime import date
from typing import assert_never

from foedus.accord.plan import halves
from foedus.records import terms
from foedus.records.accord import Accord, Member
from foedus.records.asks import Alone, Ask, Evaluate, Gradient, Train, Validate
from foedus.records.draw import eligible
from foedus.records.tune import Trial

__all__ = ["in_force_on", "permit"]


def in_force_on(accord: Accord, day: date) -> bool:
    """Whether runs may open and asks be answered on that day."""
    return accord.valid.first <= day.isoformat() <= accord.valid.last


def permit(accord: Accord, ask: Ask, *, member: str, today: date) -> str | None:
    """The clause that forbids `member` to answer, as a dotted path; None when every clause allows it.

    It does not look at signatures, at the roster, at the deadline of the ask or at the journal: those are the node's.
    """
    me = accord.member(member)
    if ask.accord != accord.digest:
        return "accord"
    if me is None or ask.member != member:
        return "members"
    if not in_force_on(accord, today):
        return "valid"
    return _role(me, ask) or _grant(accord, me, today) or _round(accord, ask) or _work(accord, ask)


def _role(me: Member, ask: Ask) -> str | None:
    trains = "contributor" in me.roles
    return None if trains or isinstance(ask.body, Evaluate) else "members.roles"


def _grant(accord: Accord, me: Member, today: date) -> str | None:
    if accord.simulated or "contributor" not in me.roles:
        return None
    grant = next((grant for grant in accord.data.grants if grant.member == me.name), None)
    if grant is None or grant.until < today.isoformat() or not set(accord.purpose.uses) <= set(grant.uses):
        return "data.grants"
    return None


def _round(accord: Accord, ask: Ask) -> str | None:
    """Training has the rounds of the accord; what measures a state may come before the first and after the last."""
    low, high = (1, 0) if isinstance(ask.body, Train) else (0, 1)
    return None if low <= ask.place.round <= accord.training.rounds + high else "training.rounds"


def _work(accord: Accord, ask: Ask) -> str | None:
    body, credit, training = ask.body, accord.credit, accord.training
    match body:
        case Train():
            if ask.member not in eligible(accord, (ask.member,)):
                return "aggregation.participation"
            if body.trial is not None and not _may_try(accord, body.trial, ask.place.round):
                return "tune"
            return None if body.half == halves(accord)[ask.place.round - 1] else "training.method"
        case Validate():
            searched = accord.tune is not None
            wanted = searched or training.early_stopping is not None or not isinstance(credit, terms.NoCredit)
            return None if wanted else "credit"
        case Gradient():
            agreed = isinstance(credit, terms.AumannShapley) and body.points == credit.points
            return None if agreed else "credit"
        case Alone():
            # A run that stopped early took fewer rounds, and the member alone is given no more than the federation.
            fewer = training.early_stopping is not None and body.rounds < training.rounds
            return None if fewer or body.rounds == training.rounds else "evaluation"
        case Evaluate():
            return None if body.replicates == accord.evaluation.replicates else "evaluation.replicates"
        case _:
            assert_never(body)


def _may_try(accord: Accord, trial: Trial, number: int) -> bool:
    """Whether a round of this trial is one of the search that was agreed on."""
    tune = accord.tune
    return tune is not None and tune.permits(trial) and number <= (tune.rounds or accord.training.rounds)
