from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
import torch

from foedus.combine import (
    Round,
    Update,
    Values,
    aumann_shapley,
    combine,
    outer_apply,
    outer_init,
    point_between,
    quadrature,
    reconstruct,
    shapley_exact,
)
from foedus.core.errors import CallerError
from foedus.records import terms
from foedus.state import State, add, digest, scale

OUTERS = [terms.Plain(), terms.Nesterov(), terms.Adam(learning_rate="0.05"), terms.Yogi(learning_rate="0.05")]
MEAN = terms.Mean()


# ── a small task: members' data, a two-layer model, true gradients along the path ──


def model_loss(state: State, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    hidden = torch.tanh(x @ state["in"])
    return torch.nn.functional.cross_entropy(hidden @ state["out"], y)


def gradient(state: State, x: torch.Tensor, y: torch.Tensor) -> State:
    leaves = {name: tensor.double().clone().requires_grad_() for name, tensor in state.items()}
    slopes = torch.autograd.grad(model_loss(leaves, x, y), list(leaves.values()))
    return dict(zip(leaves, slopes, strict=True))


@dataclass
class Run:
    """A few rounds of a tiny federation, kept whole."""

    outer: terms.Outer
    loss: Callable[[State], float]
    states: list[State]
    gradients: list[State] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    def credit(self) -> Values:
        openers = [lambda g=g: g for g in self.gradients]
        total = self.loss(self.states[0]) - self.loss(self.states[-1])
        return aumann_shapley(self.rounds, openers, outer=self.outer, total=total)

    def rebuilt(self) -> Values:
        starts = [lambda s=s: s for s in self.states[:-1]]
        return reconstruct(self.rounds, starts, outer=self.outer, utility=lambda state: -self.loss(state))


def federation(
    outer: terms.Outer, *, rounds: int = 4, noise: dict[str, float] | None = None, idle: str = "",
    absent: dict[int, str] | None = None, alternate: bool = False, points: int = 3,
) -> Run:  # fmt: skip
    generator = torch.Generator().manual_seed(7)
    teacher = torch.randn(6, 3, generator=generator)
    noise = noise or {"a": 0.0, "b": 0.2, "c": 0.5, "d": 0.8}

    def sample(n: int, wrong: float) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(n, 6, generator=generator)
        y = (x @ teacher).argmax(dim=1)
        shuffled = torch.randint(0, 3, (n,), generator=generator)
        return x.double(), torch.where(torch.rand(n, generator=generator) < wrong, shuffled, y)

    data = {member: sample(200, wrong) for member, wrong in noise.items()}
    check = sample(400, 0.0)
    state = {"in": 0.3 * torch.randn(6, 8, generator=generator), "out": 0.3 * torch.randn(8, 3, generator=generator)}
    memory = outer_init(outer, state)
    run = Run(outer, lambda s: model_loss({n: t.double() for n, t in s.items()}, *check).item(), [state])
    for number in range(rounds):
        names = ("in", "out") if not alternate else (("in",), ("out",))[number % 2]
        updates = []
        present = [member for member in data if member != (absent or {}).get(number)]
        for member in present:
            local = dict(state)
            for _ in range(5):
                slope = gradient(local, *data[member])
                local = {
                    n: (t - 0.5 * slope[n].float() if n in names and member != idle else t) for n, t in local.items()
                }
            delta = {name: local[name] - state[name] for name in names}
            updates.append(Update(member, Fraction(1, len(present)), lambda d=delta: d))
        new, memory = outer_apply(outer, state, combine(MEAN, updates), memory)
        path = [scale(gradient(point_between(state, new, s), *check), w) for s, w in quadrature(points)]
        slope = path[0]
        for part in path[1:]:
            slope = add(slope, part)
        run.gradients.append(slope)
        run.rounds.append(Round(names, updates, lambda m=memory: m))
        run.states.append(new)
        state = new
    return run


def cosine(a: dict[str, float], b: dict[str, float]) -> float:
    dots = sum(a[m] * b[m] for m in a)
    return dots / math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))


# ── the path ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("points", [1, 2, 3, 5, 8])
def test_the_quadrature_is_exact_for_polynomials(points):
    pairs = quadrature(points)
    assert [place for place, _ in pairs] == sorted(place for place, _ in pairs)
    for degree in range(2 * points):
        assert sum(w * s**degree for s, w in pairs) == pytest.approx(1 / (degree + 1), abs=1e-13)


def test_three_points_are_the_textbook_ones():
    root = math.sqrt(0.6) / 2
    expected = [(0.5 - root, 5 / 18), (0.5, 8 / 18), (0.5 + root, 5 / 18)]
    assert quadrature(3) == tuple(pytest.approx(pair, abs=1e-15) for pair in expected)


def test_a_point_on_the_path_by_hand():
    point = point_between({"w": torch.tensor([1.0])}, {"w": torch.tensor([5.0])}, 0.25)
    assert point["w"].item() == 2


def test_credit_of_one_plain_round_by_hand():
    # loss = w²/2 from w = 4 to 4 - 1/2·2 - 1/2·4 = 1: the fall is 8 - 1/2; G is the mean slope 5/2.
    updates = [Update(m, Fraction(1, 2), lambda v=v: {"w": torch.tensor([v])}) for m, v in [("a", -2.0), ("b", -4.0)]]
    values = aumann_shapley(
        [Round(("w",), updates)], [lambda: {"w": torch.tensor([2.5])}], outer=terms.Plain(), total=7.5
    )
    assert values.values == {"a": 2.5, "b": 5.0}
    assert values.residual == 0


# ── the axioms, on the small model ───────────────────────────────────────────


@pytest.mark.parametrize("outer", OUTERS, ids=lambda item: item.name)
def test_credit_sums_to_the_fall_of_the_loss(outer):
    credit = federation(outer).credit()
    assert credit.total > 0.05
    assert abs(credit.residual) < 0.01 * credit.total
    assert sum(credit.values.values()) + credit.residual == pytest.approx(credit.total)


@pytest.mark.parametrize("outer", OUTERS, ids=lambda item: item.name)
def test_credit_sums_also_with_resting_halves_and_absent_members(outer):
    run = federation(outer, rounds=5, alternate=True, absent={1: "b", 2: "a", 4: "c"})
    credit = run.credit()
    assert abs(credit.residual) < 0.01 * credit.total
    falls = [run.loss(before) - run.loss(after) for before, after in zip(run.states, run.states[1:], strict=False)]
    for number, fall in enumerate(falls):
        assert sum(values[number] for values in credit.by_round.values()) == pytest.approx(fall, rel=0.02, abs=1e-5)


def test_without_a_momentum_of_its_own_the_sum_would_be_wrong():
    run = federation(terms.Nesterov(), rounds=5)
    run.outer = terms.Plain(learning_rate="0.7")
    credit = run.credit()
    assert abs(credit.residual) > 0.1 * credit.total, "the control: credit of the updates alone misses the momentum"


@pytest.mark.parametrize("outer", OUTERS, ids=lambda item: item.name)
def test_a_member_that_moves_nothing_has_exactly_no_credit(outer):
    credit = federation(outer, rounds=3, idle="c").credit()
    assert credit.by_round["c"] == (0.0, 0.0, 0.0)
    assert credit.values["a"] != 0


@pytest.mark.parametrize("outer", OUTERS, ids=lambda item: item.name)
def test_two_members_with_equal_updates_have_equal_credit(outer):
    run = federation(outer, rounds=3)
    for index, round_ in enumerate(run.rounds):
        twin = next(update for update in round_.updates if update.member == "a")
        others = [update for update in round_.updates if update.member != "b"]
        run.rounds[index] = Round(round_.names, [*others, Update("b", twin.weight, twin.open)], round_.memory)
    credit = run.credit()
    assert credit.by_round["a"] == credit.by_round["b"]


def test_credit_is_linear_in_the_loss_and_blind_to_the_order_of_members():
    run = federation(terms.Nesterov(), rounds=3)
    credit = run.credit()
    run.gradients = [scale(slope, 4) for slope in run.gradients]
    run.rounds = [Round(round_.names, list(reversed(round_.updates)), round_.memory) for round_ in run.rounds]
    four = run.credit()
    assert {member: 4 * value for member, value in credit.values.items()} == four.values


def test_more_wrong_labels_mean_less_credit():
    values = federation(terms.Plain(), rounds=4).credit().values
    assert sorted(values, key=values.__getitem__, reverse=True) == ["a", "b", "c", "d"]


def test_one_update_is_open_at_a_time():
    run = federation(terms.Nesterov(), rounds=3)
    opened: list[tuple[str, int]] = []

    def watched(update: Update, number: int) -> Update:
        return Update(update.member, update.weight, lambda: opened.append((update.member, number)) or update.open())

    run.rounds = [
        Round(round_.names, [watched(update, number) for update in round_.updates], round_.memory)
        for number, round_ in enumerate(run.rounds)
    ]
    run.credit()
    assert opened == [(member, number) for member in "abcd" for number in range(3)], "member by member, each once"


def test_adam_without_its_memory_and_a_gradient_without_a_name_are_refused():
    run = federation(terms.Adam(), rounds=1)
    run.rounds = [Round(round_.names, round_.updates) for round_ in run.rounds]
    with pytest.raises(CallerError) as caught:
        run.credit()
    assert caught.value.code == "combine.no-memory"
    run = federation(terms.Plain(), rounds=1)
    run.gradients = [{"in": run.gradients[0]["in"]}]
    with pytest.raises(CallerError) as caught:
        run.credit()
    assert caught.value.code == "combine.unknown-name"


# ── exact Shapley values ─────────────────────────────────────────────────────


def test_closed_form_games():
    additive = shapley_exact("abc", lambda s: sum({"a": 1, "b": 5, "c": -2}[m] for m in s))
    assert additive == {"a": 1, "b": 5, "c": -2}
    unanimity = shapley_exact("abcd", lambda s: int({"a", "c"} <= s))
    assert unanimity == {"a": 0.5, "b": 0, "c": 0.5, "d": 0}
    glove = shapley_exact("lrs", lambda s: int("l" in s and bool(s & {"r", "s"})))
    assert glove == {"l": 2 / 3, "r": 1 / 6, "s": 1 / 6}
    votes = {"a": 2, "b": 1, "c": 1}
    majority = shapley_exact("abc", lambda s: int(sum(votes[m] for m in s) >= 3))
    assert majority == {"a": 2 / 3, "b": 1 / 6, "c": 1 / 6}
    airport = shapley_exact("abc", lambda s: -max(({"a": 1, "b": 2, "c": 4}[m] for m in s), default=0))
    assert airport == {"a": -1 / 3, "b": -5 / 6, "c": -17 / 6}


def test_each_coalition_is_asked_for_once_and_too_many_are_refused():
    asked: list[frozenset[str]] = []
    shapley_exact("abcde", lambda s: asked.append(s) or len(s))
    assert len(asked) == len(set(asked)) == 32
    with pytest.raises(CallerError) as caught:
        shapley_exact([str(i) for i in range(17)], len)
    assert caught.value.code == "combine.too-many-players"


@pytest.mark.parametrize("outer", OUTERS, ids=lambda item: item.name)
def test_path_credit_points_where_exact_shapley_by_reconstruction_points(outer):
    run = federation(outer, rounds=3)
    path, exact = run.credit(), run.rebuilt()
    assert cosine(path.values, exact.values) >= 0.99
    assert exact.total == pytest.approx(path.total, rel=1e-4), "all members' steps rebuild the run"
    assert abs(exact.residual) < 1e-9


def test_reconstruction_gives_an_idle_member_nothing_and_serves_eight_members_at_most():
    run = federation(terms.Nesterov(), rounds=2, idle="b")
    assert run.rebuilt().values["b"] == 0
    round_ = Round(("w",), [Update(f"m{i}", Fraction(1, 9), lambda: {"w": torch.ones(1)}) for i in range(9)])
    with pytest.raises(CallerError) as caught:
        reconstruct([round_], [lambda: {"w": torch.ones(1)}], outer=terms.Plain(), utility=lambda state: 0.0)
    assert caught.value.code == "combine.too-many-players"


def test_the_path_needs_its_three_points():
    straight, coarse = federation(terms.Nesterov()), federation(terms.Nesterov(), points=1)
    assert digest(straight.states[-1]) == digest(coarse.states[-1])
    assert abs(straight.credit().residual) < abs(coarse.credit().residual)
