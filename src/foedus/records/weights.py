"""The weights of a mean: shares of the registered counts of training examples, none above a cap. Exact arithmetic.

The hub computes them before it combines and the fold recomputes them from the registered cards, so no reply can name
its own weight. What came late counts as fewer examples, before shares are taken: no share passes the cap for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from foedus.records import terms

__all__ = ["capped_shares", "round_shares"]

_NOBODY: Mapping[str, int] = MappingProxyType({})
_DROP = terms.Drop()


def round_shares(
    rule: terms.Mean, examples: Mapping[str, int], *, late: Mapping[str, int] = _NOBODY, lateness: terms.Late = _DROP
) -> dict[str, Fraction]:
    """The weights of the members in `examples`, by their registered counts: they sum to one, sorted by name.

    `late` tells how many rounds late a member's reply came: it counts `discount` times as much for each of them.

    Raises:
        ValueError: as `capped_shares`.
    """
    counts = dict.fromkeys(examples, 1) if rule.weights == "equal" else dict(examples)
    cap_bp = rule.cap_bp
    if rule.weights == "equal" or cap_bp * sum(1 for count in counts.values() if count > 0) <= 10_000:
        counts, cap_bp = {name: min(count, 1) for name, count in counts.items()}, 10_000
    discount = Fraction(lateness.discount) if isinstance(lateness, terms.NextRound) else Fraction(1)
    return capped_shares({name: count * discount ** late.get(name, 0) for name, count in counts.items()}, cap_bp)


def capped_shares(examples: Mapping[str, int] | Mapping[str, Fraction], cap_bp: int) -> dict[str, Fraction]:
    """Each member's share of all examples, none above `cap_bp` basis points; the shares sum to one.

    What a cap takes from a member goes to those below the cap in proportion to their examples, until none lies above.
    Where the cap cannot hold (fewer than 1 / cap members have examples), those that have examples share alike. A member
    without examples has the share 0. Sorted by name.

    Raises:
        ValueError: no member has examples, or a count is negative.
    """
    if any(count < 0 for count in examples.values()) or not any(examples.values()):
        raise ValueError(f"expected counts of examples, at least one above 0, got {dict(examples)}")
    cap = Fraction(cap_bp, 10_000)
    having = {name for name, count in examples.items() if count}
    if cap * len(having) <= 1:
        return {name: Fraction(int(name in having), len(having)) for name in sorted(examples)}
    capped: set[str] = set()
    while True:
        left = 1 - cap * len(capped)
        total = sum(examples[name] for name in having - capped)
        above = {name for name in having - capped if left * examples[name] > cap * total}
        if not above:
            break
        capped |= above
    return {name: cap if name in capped else left * examples[name] / total for name in sorted(examples)}
