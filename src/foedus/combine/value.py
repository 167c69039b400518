"""Credit: which member's updates made the validation loss fall, and by how much.

Utility is U = -loss. In round t the state moves from w to w' = w + Σᵢ stepᵢ, because a mean and a plain or Nesterov
step are linear: each member carries a momentum of its own. Along the straight path from w to w',

    U(w') - U(w) = -<G, w' - w> = Σᵢ -<G, stepᵢ>,   G = ∫₀¹ ∇loss(w + s·(w' - w)) ds

(Aumann and Shapley 1974). Member i's credit of the round is -<G, stepᵢ>: the shares sum to the fall, a member that
moves nothing gets 0, equal updates with equal weights get equal credit. G costs a few gradients, however many members.
With Adam or Yogi the divisor √v + τ depends on everybody; it is taken as given from the run's memory. The shares still
sum to the fall, but what a member did to the divisor is credited to nobody.

What credit does not say: what a member's *data* would be worth in another consortium, or after retraining without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations

import torch

from foedus.combine.outer import rule_of
from foedus.combine.update import Update
from foedus.core.errors import CallerError
from foedus.records import terms
from foedus.state import State, dot

__all__ = [
    "Round",
    "Values",
    "aumann_shapley",
    "point_between",
    "quadrature",
    "reconstruct",
    "shapley_exact",
]

Open = Callable[[], State]


@dataclass(frozen=True, slots=True)
class Round:
    """What credit needs of one closed round.

    `names`: what the round moved. `updates`: handles with the weights that were used (they sum to 1); a member that was
    left out is not listed. `memory`: the outer memory after the round; needed with Adam and Yogi only.
    """

    names: tuple[str, ...]
    updates: Sequence[Update]
    memory: Open | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """Credit by member and round. `total` is the fall of the loss, `residual` what the sum of credit leaves of it."""

    by_round: Mapping[str, tuple[float, ...]]
    total: float

    @property
    def values(self) -> dict[str, float]:
        """Each member's credit: the sum over rounds."""
        return {member: math.fsum(rounds) for member, rounds in self.by_round.items()}

    @property
    def residual(self) -> float:
        """`total` minus the sum of all values: the error of the quadrature and of rounding the state."""
        return self.total - math.fsum(value for rounds in self.by_round.values() for value in rounds)


# ── the path ─────────────────────────────────────────────────────────────────


def quadrature(points: int) -> tuple[tuple[float, float], ...]:
    """Gauss–Legendre on [0, 1]: rising (place, weight) pairs; exact for polynomials up to degree 2·points - 1.

    Places and weights have fifteen digits, so that no machine's last bit enters an ask.
    """
    pairs = []
    for i in range(points):
        x = -math.cos(math.pi * (i + 0.75) / (points + 0.5))
        for _ in range(50):
            value, slope = _legendre(points, x)
            x -= value / slope
        _, slope = _legendre(points, x)
        pairs.append((round((1 + x) / 2, 15), round(1 / ((1 - x * x) * slope * slope), 15)))
    return tuple(pairs)


def point_between(start: State, end: State, place: float) -> State:
    """The state start + place·(end - start), computed in float64 and rounded once to the dtype of `start`."""
    return {
        name: (tensor.to(torch.float64) + (end[name].to(torch.float64) - tensor.to(torch.float64)) * place).to(
            tensor.dtype
        )
        for name, tensor in start.items()
    }


def aumann_shapley(rounds: Sequence[Round], gradients: Sequence[Open], *, outer: terms.Outer, total: float) -> Values:
    """Each member's share of the fall in loss, round by round.

    `gradients[t]` opens G of round t: the path integral of the gradient of the validation loss, already averaged over
    members, for at least the round's names. `total` is loss(start) - loss(end), measured apart. Rounds must be all from
    the first on: momentum begins at 0. Members are walked one at a time: one momentum, one update and one G in memory.

    Raises:
        CallerError: `combine.no-memory` when Adam or Yogi lack the memory after a round; `combine.unknown-name` when G
            lacks a name that the round moved.
    """
    members = sorted({update.member for round_ in rounds for update in round_.updates})
    by_round = {}
    for member in members:
        values, momentum = [], State()
        for round_, gradient in zip(rounds, gradients, strict=True):
            step = _member_step(outer, round_, member, momentum)
            slope = gradient()
            if missing := sorted(step.keys() - slope.keys()):
                raise CallerError("combine.unknown-name", name=missing[0], count=len(missing))
            values.append(-dot({name: slope[name] for name in step}, step) if step else 0.0)
        by_round[member] = tuple(values)
    return Values(by_round, total)


# ── exact Shapley values ─────────────────────────────────────────────────────


def shapley_exact(players: Sequence[str], utility: Callable[[frozenset[str]], float | Fraction]) -> dict[str, float]:
    """Shapley values by definition (Shapley 1953): 2**n utilities, each asked for once. Sorted by player.

    φᵢ = Σ over coalitions S without i of |S|!·(n-|S|-1)!/n! · (U(S ∪ i) - U(S)), summed as fractions, so a game of
    whole numbers has its exact values.

    Raises:
        CallerError: `combine.too-many-players` beyond 16.
    """
    names = sorted(players)
    if len(names) > 16:
        raise CallerError("combine.too-many-players", got=len(names), most=16)
    n = len(names)
    worth = {
        frozenset(chosen): Fraction(utility(frozenset(chosen)))
        for size in range(n + 1)
        for chosen in combinations(names, size)
    }
    share = [Fraction(math.factorial(s) * math.factorial(n - s - 1), math.factorial(n)) for s in range(n)]
    return {
        name: float(
            sum(
                (share[len(s)] * (worth[s | {name}] - worth[s]) for s in worth if name not in s),
                Fraction(0),
            )
        )
        for name in names
    }


def reconstruct(
    rounds: Sequence[Round], starts: Sequence[Open], *, outer: terms.Outer, utility: Callable[[State], float]
) -> Values:
    """Exact Shapley values, round by round, over models rebuilt without members.

    An absent member contributes 0 and the weights stay: giving its weight to the others would exaggerate its worth.

    `starts[t]` opens the state before round t; `utility` is -loss of a state. 2**n utilities a round; the steps of all
    members of a round are in memory. `total` is the sum of the rounds' U(all) - U(none): `residual` is rounding alone.

    Raises:
        CallerError: `combine.too-many-players` beyond eight members; those of `aumann_shapley`.
    """
    members = sorted({update.member for round_ in rounds for update in round_.updates})
    if len(members) > terms.Reconstruct.max_members:
        raise CallerError("combine.too-many-players", got=len(members), most=terms.Reconstruct.max_members)
    momenta: dict[str, State] = {member: {} for member in members}
    by_round: dict[str, list[float]] = {member: [] for member in members}
    falls = []
    for round_, start in zip(rounds, starts, strict=True):
        state = start()
        steps = {member: _member_step(outer, round_, member, momenta[member]) for member in members}
        game = _game(state, steps, utility)
        for member, value in shapley_exact(members, game).items():
            by_round[member].append(value)
        falls.append(game(frozenset(members)) - game(frozenset()))
    return Values({member: tuple(values) for member, values in by_round.items()}, math.fsum(falls))


# ── one member's part of a round ─────────────────────────────────────────────


def _member_step(outer: terms.Outer, round_: Round, member: str, momentum: State) -> State:
    """What of the round's step is this member's, in float64. Its momentum moves on, in place, for the round's names.

    A member that was left out still moves by the momentum that it built up before; one that never took part does not.
    """
    update = next((update for update in round_.updates if update.member == member), None)
    if update is None and not momentum:
        return {}
    delta = update.open() if update else {}
    weight = float(update.weight) if update else 0.0
    memory = round_.memory() if round_.memory else {}
    step: State = {}
    for name in round_.names:
        if name in delta:
            part = delta[name].to(torch.float64) * weight
        elif (known := _any_slot(momentum, name)) is not None:
            part = torch.zeros_like(known)
        else:
            continue
        step[name] = _linear_move(outer, name, part, momentum, memory)
    return step


def _linear_move(outer: terms.Outer, name: str, part: torch.Tensor, momentum: State, memory: State) -> torch.Tensor:
    """The outer step as a linear map of one member's part, which sums over members to the step that was taken."""
    rule = rule_of(outer)
    slots = {slot: momentum.get(f"{slot}/{name}", torch.full_like(part, value)) for slot, value in rule.start.items()}
    step, slots = rule.move(part, slots)
    if isinstance(outer, terms.Adam | terms.Yogi):
        second = memory.get(f"second/{name}")
        if second is None:
            raise CallerError("combine.no-memory", slot="second", name=name)
        slots = {"first": slots["first"]}
        step = slots["first"] * float(outer.learning_rate) / (second.sqrt() + float(outer.tau))
    momentum.update({f"{slot}/{name}": value for slot, value in slots.items()})
    return step


def _any_slot(momentum: State, name: str) -> torch.Tensor | None:
    return next((tensor for key, tensor in momentum.items() if key.partition("/")[2] == name), None)


def _game(
    state: State, steps: Mapping[str, State], utility: Callable[[State], float]
) -> Callable[[frozenset[str]], float]:
    """The utility of a coalition: of the state moved by its members' steps. Each is computed once."""

    @cache
    def worth(chosen: frozenset[str]) -> float:
        return utility(_moved(state, [steps[member] for member in sorted(chosen)]))

    return worth


def _moved(state: State, steps: Sequence[State]) -> State:
    moved = dict(state)
    for name, tensor in state.items():
        total = tensor.to(torch.float64)
        for step in steps:
            if name in step:
                total = total + step[name]
        moved[name] = total.to(tensor.dtype)
    return moved


def _legendre(n: int, x: float) -> tuple[float, float]:
    """The Legendre polynomial of degree n and its slope, at x inside (-1, 1)."""
    before, value = 0.0, 1.0
    for k in range(1, n + 1):
        before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
    return value, n * (x * value - before) / (x * x - 1)
