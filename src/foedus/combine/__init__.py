"""Updates into one delta, and the delta into a new state.

Every way of combining has one signature:

    state, memory = outer(state, combine(pre(updates)), memory)

`pre` maps updates to updates (none is declared yet), `combine` gives one delta, `outer` moves the state. All are pure:
the outer memory is a state that the caller carries and saves. Everything that leads to a release uses + − × ÷ √ element
by element, in member order, so replaying a run gives equal bits on every processor.
"""

from __future__ import annotations

from collections.abc import Sequence

from foedus.combine.lora import Adapter, WireBytes, adapter_of, dense, half_names, wire_bytes
from foedus.combine.mean import combine, weights
from foedus.combine.outer import outer_apply, outer_init
from foedus.combine.update import Update, weighted_sum
from foedus.combine.value import Round, Values, aumann_shapley, point_between, quadrature, reconstruct, shapley_exact
from foedus.records import terms
from foedus.state import State

__all__ = [
    "Adapter",
    "Round",
    "Update",
    "Values",
    "WireBytes",
    "adapter_of",
    "aumann_shapley",
    "combine",
    "dense",
    "half_names",
    "outer_apply",
    "outer_init",
    "point_between",
    "quadrature",
    "reconstruct",
    "shapley_exact",
    "step",
    "weighted_sum",
    "weights",
    "wire_bytes",
]


def step(
    rule: terms.Combine, outer: terms.Outer, *, state: State, memory: State, updates: Sequence[Update]
) -> tuple[State, State]:
    """One round: the new state and the new outer memory, from the updates of its members."""
    return outer_apply(outer, state, combine(rule, updates), memory)
