"""The weighted mean, and the weights of members. `combine` finds the function that implements what the accord names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from foedus.combine.update import Update, weighted_sum
from foedus.core.errors import CallerError
from foedus.core.registry import Implementations
from foedus.records import terms
from foedus.records.weights import round_shares
from foedus.state import State

__all__ = ["combine", "implements", "mean", "weights"]

implements: Implementations[Callable[[Any, Sequence[Update]], State]] = Implementations("combine rule")


def combine(settings: terms.Combine, updates: Sequence[Update]) -> State:
    """One delta from the members' updates, by the rule that the accord names. The order given does not matter."""
    return implements.of(settings)(settings, updates)


def weights(
    settings: terms.Mean,
    examples: Mapping[str, int],
    *,
    late: Mapping[str, int] | None = None,
    lateness: terms.Late | None = None,
) -> dict[str, Fraction]:
    """Each present member's weight from its registered count of training examples: exact, summing to 1, sorted by name.

    `late`: how many rounds late the replies of some came, which `lateness` discounts.

    Raises:
        CallerError: `combine.no-updates` without a member; `combine.no-examples` when examples count and no member has
            one, or a count is negative.
    """
    if not examples:
        raise CallerError("combine.no-updates")
    counted = settings.weights == "examples"
    if counted and (any(count < 0 for count in examples.values()) or not any(examples.values())):
        raise CallerError("combine.no-examples", got=dict(sorted(examples.items())))
    return round_shares(settings, examples, late=late or {}, lateness=lateness or terms.Drop())


@implements(terms.Mean)
def mean(_settings: terms.Mean, updates: Sequence[Update]) -> State:
    """The mean of the deltas: Σ wᵢ·kᵢ / Σ wᵢ (McMahan et al. 2017, arXiv:1602.05629, Algorithm 1).

    The weights are divided by their sum exactly before any is rounded, so scaling all of them changes no bit.

    Raises:
        CallerError: `combine.bad-weight` for a negative weight or weights that are all 0; what `weighted_sum` raises.
        RunError: what `weighted_sum` raises.
    """
    total = sum((update.weight for update in updates), Fraction(0))
    for update in updates:
        if update.weight < 0 or not total:
            raise CallerError("combine.bad-weight", member=update.member, got=update.weight)
    return weighted_sum([replace(update, weight=update.weight / total) for update in updates])
