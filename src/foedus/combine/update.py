"""A member's update as a handle, and the one streaming sum that every linear rule is made of."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TypeVar

import torch

from foedus.combine.compiled import PAYS_FROM, AddSpan, compiled
from foedus.core.errors import CallerError, RunError
from foedus.state import State, check_alike, check_finite

__all__ = ["Update", "weighted_sum"]

Result = TypeVar("Result")

_BLOCK = 1 << 15
"""Elements that are widened to float64 at a time (256 kB, within a cache): only speed depends on it, no bit does."""

_SPAN = 1 << 20
"""Elements that one thread adds up."""

_OPEN_BYTES = 1 << 29
"""Updates are held open together up to so many bytes, else one at a time: each pass over the sums serves them all."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a member brings to a round.

    `open` reads the delta: called when its turn comes, then dropped; and once more where a sum is not finite.
    """

    member: str
    weight: Fraction
    open: Callable[[], State]


def weighted_sum(updates: Sequence[Update]) -> State:
    """The sum of weight · delta, in member order, in float64, rounded once to the updates' dtype.

    Updates are open one at a time, small ones a few at a time (512 MB in all), beside one float64 sum for each name.
    Weights are taken as they are.

    Raises:
        CallerError: `combine.no-updates`, `combine.duplicate-member`.
        RunError: `combine.names-differ`, `combine.shape-differs`, `combine.dtype-differs`, `combine.not-floating`,
            `combine.not-finite`, each naming the member.
    """
    ordered = sorted(updates, key=lambda update: update.member)
    if not ordered:
        raise CallerError("combine.no-updates")
    for one, other in pairwise(ordered):
        if one.member == other.member:
            raise CallerError("combine.duplicate-member", member=one.member)
    like: State = {}
    total: State = {}
    add_span: AddSpan = _add_span
    group: list[tuple[Update, State]] = []
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for update in ordered:
            delta = _opened(update, like)
            if not like:
                like.update({name: torch.empty_like(tensor, device="meta") for name, tensor in delta.items()})
                total.update({name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in delta.items()})
                if len(ordered) * sum(tensor.numel() for tensor in delta.values()) >= PAYS_FROM:
                    add_span = compiled() or _add_span
            group.append((update, delta))
            size_bytes = sum(tensor.nbytes for tensor in delta.values())
            del delta
            if size_bytes * (len(group) + 1) > _OPEN_BYTES:
                _add(pool, total, group, add_span)
                group.clear()
        _add(pool, total, group, add_span)
        group.clear()
        return {name: _rounded(pool, name, total.pop(name), like[name].dtype, ordered) for name in sorted(like)}


def _opened(update: Update, like: State) -> State:
    """A member's delta, once it is known to fit the first one, of which `like` keeps shapes and dtypes only."""
    delta = update.open()
    with _naming(update.member):
        check_alike(like or delta, delta)
    for name, tensor in delta.items():
        if not tensor.is_floating_point():
            raise RunError("combine.not-floating", member=update.member, name=name, got=tensor.dtype)
    return delta


def _add(pool: Executor, total: State, group: Sequence[tuple[Update, State]], add_span: AddSpan) -> None:
    """The step total += Σ weight · delta over a group, in its order: block by block, so that sums stay in a cache."""
    for name, one in total.items():
        values = [(float(update.weight), delta[name].detach().reshape(-1)) for update, delta in group]
        add = add_span if all(delta.dtype == torch.float32 for _, delta in values) else _add_span
        _by_spans(pool, one.numel(), partial(add, one.view(-1), values))


def _rounded(
    pool: Executor, name: str, total: torch.Tensor, dtype: torch.dtype, ordered: Sequence[Update]
) -> torch.Tensor:
    """The sums of one name in the updates' dtype.

    What is not finite in an update is not finite in its sum either: so the updates are looked at only then.
    """
    rounded = torch.empty(total.shape, dtype=dtype)
    if not all(_by_spans(pool, total.numel(), partial(_round_span, total.view(-1), rounded.view(-1)))):
        for update in ordered:
            with _naming(update.member):
                check_finite(update.open())
        raise CallerError("state.not-finite", name=name)
    return rounded


def _by_spans(pool: Executor, length: int, work: Callable[[int, int], Result]) -> list[Result]:
    """What `work(first, end)` gives for each span of a tensor, on all cores."""
    return list(pool.map(lambda first: work(first, min(first + _SPAN, length)), range(0, length, _SPAN)))


def _add_span(total: torch.Tensor, values: Sequence[tuple[float, torch.Tensor]], first: int, end: int) -> None:
    """One thread's share. Multiply and add stay apart: some processors would fuse them, others not."""
    buffer = torch.empty(_BLOCK, dtype=torch.float64)
    for start in range(first, end, _BLOCK):
        sums = total[start : min(start + _BLOCK, end)]
        term = buffer[: len(sums)]
        for weight, delta in values:
            term.copy_(delta[start : start + len(sums)])
            term *= weight
            sums += term


def _round_span(total: torch.Tensor, rounded: torch.Tensor, first: int, end: int) -> bool:
    """One thread's share of the rounding, and whether its sums are finite: the extremes are NaN if any value is."""
    sums = total[first:end]
    rounded[first:end] = sums
    return all(math.isfinite(extreme) for extreme in torch.aminmax(sums))


@contextmanager
def _naming(member: str) -> Iterator[None]:
    """An error in a state becomes the error of the member that sent it: `state.not-finite` → `combine.not-finite`."""
    try:
        yield
    except CallerError as error:
        raise RunError("combine." + error.code.removeprefix("state."), member=member, **error.fields) from error
