"""The weights of a mean: shares of the registered counts of training examples, none above a cap. Exact arithmetic.

The hub computes them before it combines and the fold recomputes them from the registered cards, so no reply can name
its own weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

__all__ = ["capped_shares", "equal_shares"]


def equal_shares(members: Mapping[str, object] | frozenset[str] | tuple[str, ...]) -> dict[str, Fraction]:
    """One n-th for each of n members, sorted by name."""
    return {name: Fraction(1, len(members)) for name in sorted(members)}


def capped_shares(examples: Mapping[str, int], cap_bp: int) -> dict[str, Fraction]:
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
