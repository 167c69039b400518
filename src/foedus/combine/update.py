"""A member's update as a handle, and the one streaming sum that every linear rule is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import torch

from foedus.core.errors import CallerError, RunError
from foedus.state import State, check_alike, check_finite

__all__ = ["Update", "weighted_sum"]

_BLOCK = 1 << 16
"""Elements that are widened to float64 at a time (512 kB, within a cache): only speed depends on it, no bit does."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a member brings to a round. `open` reads the delta: called when its turn comes, then dropped."""

    member: str
    weight: Fraction
    open: Callable[[], State]


def weighted_sum(updates: Sequence[Update]) -> State:
    """The sum of weight · delta, in member order, in float64, rounded once to the updates' dtype.

    One update is open at a time, beside one float64 accumulator for each name. Weights are taken as they are.

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
    for update in ordered:
        _add(total, like, update)
    return {name: total.pop(name).to(like[name].dtype) for name in sorted(like)}


def _add(total: State, like: State, update: Update) -> None:
    """Open one update, see that it fits the first, add it, and let go of it. `like` keeps shapes and dtypes only."""
    delta = update.open()
    if not like:
        like.update({name: torch.empty_like(tensor, device="meta") for name, tensor in delta.items()})
        total.update({name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in delta.items()})
    with _naming(update.member):
        check_alike(like, delta)
        check_finite(delta)
    for name, tensor in delta.items():
        if not tensor.is_floating_point():
            raise RunError("combine.not-floating", member=update.member, name=name, got=tensor.dtype)
        _add_scaled(total[name].view(-1), tensor.detach().reshape(-1), float(update.weight))


def _add_scaled(total: torch.Tensor, values: torch.Tensor, weight: float) -> None:
    """The step total += weight · values. Multiply and add stay apart: some processors would fuse them, others not."""
    buffer = torch.empty(min(_BLOCK, len(values)), dtype=torch.float64)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        term = buffer[: len(block)]
        term.copy_(block)
        term *= weight
        total[start : start + len(block)] += term


@contextmanager
def _naming(member: str) -> Iterator[None]:
    """An error in a state becomes the error of the member that sent it: `state.not-finite` → `combine.not-finite`."""
    try:
        yield
    except CallerError as error:
        raise RunError("combine." + error.code.removeprefix("state."), member=member, **error.fields) from error
