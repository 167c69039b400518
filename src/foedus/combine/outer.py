"""The outer step: how a combined delta moves the state. Pure: (init, apply), with the memory as a value.

The memory is a state of float64 tensors named `<slot>/<name>`. Only names in the delta move; every other name, and its
memory, stays as it was: with alternating LoRA the resting half keeps its momentum. Arithmetic is + − × ÷ √ element by
element in float64; the state is rounded once to its dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from foedus.core.errors import CallerError
from foedus.core.registry import Implementations
from foedus.records import terms
from foedus.state import State, check_alike

__all__ = ["Rule", "implements", "outer_apply", "outer_init", "rule_of"]

Slots = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Rule:
    """An outer step for one tensor: what it remembers at first, and (delta, slots) → (step, new slots), in float64."""

    start: Mapping[str, float]
    move: Callable[[torch.Tensor, Slots], tuple[torch.Tensor, Slots]]


implements: Implementations[Callable[[Any], Rule]] = Implementations("outer step")


def rule_of(settings: terms.Outer) -> Rule:
    """The rule that implements these settings."""
    return implements.of(settings)(settings)


def outer_init(settings: terms.Outer, state: State) -> State:
    """The memory before the first round."""
    return {
        f"{slot}/{name}": torch.full(state[name].shape, value, dtype=torch.float64)
        for slot, value in rule_of(settings).start.items()
        for name in sorted(state)
    }


def outer_apply(settings: terms.Outer, state: State, delta: State, memory: State) -> tuple[State, State]:
    """The new state and the new memory. The arguments stay as they were; tensors that do not move are shared.

    Raises:
        CallerError: `combine.unknown-name` when the delta has a name that the state lacks, `combine.no-memory` when the
            memory is not that of these settings and this state; `state.shape-differs`, `state.dtype-differs`.
    """
    rule = rule_of(settings)
    if unknown := sorted(delta.keys() - state.keys()):
        raise CallerError("combine.unknown-name", name=unknown[0], count=len(unknown))
    check_alike({name: state[name] for name in delta}, delta)
    moved, remembered = dict(state), dict(memory)
    for name in sorted(delta):
        slots = {slot: _slot(memory, slot, name, state[name].shape) for slot in rule.start}
        step, slots = rule.move(delta[name].to(torch.float64), slots)
        moved[name] = (state[name].to(torch.float64) + step).to(state[name].dtype)
        remembered |= {f"{slot}/{name}": value for slot, value in slots.items()}
    return moved, remembered


@implements(terms.Plain)
def plain(settings: terms.Plain) -> Rule:
    """The step state += η·Δ. With η = 1 and a mean this is FedAvg."""
    rate = float(settings.learning_rate)
    return Rule({}, lambda delta, _: (delta * rate, {}))


@implements(terms.Nesterov)
def nesterov(settings: terms.Nesterov) -> Rule:
    """The step m ← µ·m + Δ; state += η·(Δ + µ·m). Equals `torch.optim.SGD(nesterov=True)` on the gradient -Δ."""
    rate, momentum = float(settings.learning_rate), float(settings.momentum)

    def move(delta: torch.Tensor, slots: Slots) -> tuple[torch.Tensor, Slots]:
        new = slots["momentum"] * momentum + delta
        return (delta + new * momentum) * rate, {"momentum": new}

    return Rule({"momentum": 0.0}, move)


@implements(terms.Adam)
def adam(settings: terms.Adam) -> Rule:
    """The step m ← β₁·m + (1-β₁)·Δ; v ← β₂·v + (1-β₂)·Δ²; state += η·m / (√v + τ).

    As in Reddi et al. 2021, Algorithm 2: v begins at τ², m at 0, and neither is corrected for its start (Kingma and Ba
    divide by 1-β₁ᵗ and 1-β₂ᵗ; this algorithm does not), so the first steps are shorter than η.
    """
    keep, take = _halves(settings.beta2)
    return _adaptive(settings, lambda second, square: second * keep + square * take)


@implements(terms.Yogi)
def yogi(settings: terms.Yogi) -> Rule:
    """As Adam, but v ← v - (1-β₂)·Δ²·sign(v - Δ²): v falls no faster than it rises (Reddi et al. 2021, Algorithm 2)."""
    _, take = _halves(settings.beta2)
    return _adaptive(settings, lambda second, square: second - square * take * torch.sign(second - square))


def _adaptive(settings: terms.Adam | terms.Yogi, follow: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Rule:
    rate, tau = float(settings.learning_rate), float(settings.tau)
    keep, take = _halves(settings.beta1)

    def move(delta: torch.Tensor, slots: Slots) -> tuple[torch.Tensor, Slots]:
        first = slots["first"] * keep + delta * take
        second = follow(slots["second"], delta * delta)
        return first * rate / (second.sqrt() + tau), {"first": first, "second": second}

    return Rule({"first": 0.0, "second": tau * tau}, move)


def _halves(beta: str) -> tuple[float, float]:
    """β and 1-β, each the float nearest to the decimal as written."""
    return float(beta), float(1 - Fraction(beta))


def _slot(memory: State, slot: str, name: str, shape: torch.Size) -> torch.Tensor:
    tensor = memory.get(f"{slot}/{name}")
    if tensor is None or tensor.shape != shape or tensor.dtype != torch.float64:
        raise CallerError("combine.no-memory", slot=slot, name=name)
    return tensor
