"""Whom a round asks to train, and who measures: drawn from the accord's public seed, so that everyone draws the same.

The coordinator asks by it, the fold and a replay check by it. A round's draw depends on seed, run and round; the panel
that measures is drawn once a run. A state's losses can be compared, and credit adds up, only where the same members
measure from round to round: so a sample measures nothing of its own, and the panel never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from foedus.core.rng import PublicRng
from foedus.records.accord import Accord, Participation

__all__ = ["drawn", "eligible", "panel", "sample_size"]


def eligible(accord: Accord, names: Sequence[str]) -> tuple[str, ...]:
    """Of these members, those that rounds may ask to train: with a name and a tag that the clause lists; an empty list
    lets all in.
    """
    rule = accord.aggregation.participation
    tagged = {member.name for member in accord.members if set(rule.tags) & set(member.tags)}
    return tuple(
        name for name in names if (not rule.members or name in rule.members) and (not rule.tags or name in tagged)
    )


def sample_size(rule: Participation, count: int) -> int:
    """How many of `count` eligible members a round asks: `sample`, or `share_bp` of them rounded up; else all."""
    if rule.sample is not None:
        return min(rule.sample, count)
    if rule.share_bp is not None:
        return min(count, max(1, -(-rule.share_bp * count // 10_000)))
    return count


def drawn(rule: Participation, names: Sequence[str], *, seed: str, run: str, round: int) -> tuple[str, ...]:  # noqa: A002 - a place in a run
    """The eligible members `names`, sorted, that this round asks to train; sorted."""
    return _drawn(tuple(names), sample_size(rule, len(names)), (seed, "participation", run, round))


def panel(rule: Participation, roster: Sequence[str], names: Sequence[str], *, seed: str, run: str) -> tuple[str, ...]:
    """The members of the roster that measure every round's state; sorted.

    All of them, or with `sample` or `share_bp` as many as a round asks of the eligible `names`.
    """
    if rule.sample is None and rule.share_bp is None:
        return tuple(roster)
    return _drawn(tuple(roster), sample_size(rule, len(names)), (seed, "panel", run))


@lru_cache(maxsize=16)
def _drawn(names: tuple[str, ...], count: int, stream: tuple[str | int, ...]) -> tuple[str, ...]:
    if count >= len(names):
        return names
    seed, *purpose = stream
    return tuple(sorted(PublicRng(str(seed), *purpose).shuffled(names)[:count]))
