from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.combine import outer_apply, outer_init
from foedus.core.errors import CallerError
from foedus.records import terms
from foedus.state import State, digest, from_bytes, scale, to_bytes

ALL = [terms.Plain(), terms.Nesterov(), terms.Adam(), terms.Yogi()]


def draw(seed: int, dtype: torch.dtype = torch.float64) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(4, 3, generator=generator, dtype=dtype) for name in ("a", "b")}


def walk(settings: terms.Outer, state: State, deltas: list[State]) -> State:
    memory = outer_init(settings, state)
    for delta in deltas:
        state, memory = outer_apply(settings, state, delta, memory)
    return state


def test_plain_and_nesterov_by_hand():
    state, delta = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
    assert outer_apply(terms.Plain(), state, delta, {})[0]["w"].item() == 3
    settings = terms.Nesterov(learning_rate="0.5", momentum="0.5")
    memory = outer_init(settings, state)
    state, memory = outer_apply(settings, state, delta, memory)
    assert (state["w"].item(), memory["momentum/w"].item()) == (1 + 0.5 * (2 + 0.5 * 2), 2)
    state, memory = outer_apply(settings, state, delta, memory)
    assert (state["w"].item(), memory["momentum/w"].item()) == (2.5 + 0.5 * (2 + 0.5 * 3), 3)


def test_adam_and_yogi_by_hand():
    state, delta = {"w": torch.tensor([0.0], dtype=torch.float64)}, {"w": torch.tensor([2.0], dtype=torch.float64)}
    settings = {"learning_rate": "0.1", "beta1": "0.5", "beta2": "0.75", "tau": "1"}
    for kind, second in [(terms.Adam, 0.75 * 1 + 0.25 * 4), (terms.Yogi, 1 + 0.25 * 4)]:
        moved, memory = outer_apply(kind(**settings), state, delta, outer_init(kind(**settings), state))
        assert memory["second/w"].item() == second
        assert memory["first/w"].item() == 1
        assert moved["w"].item() == pytest.approx(0.1 * 1 / (second**0.5 + 1), abs=1e-15)
    small = {"w": torch.tensor([0.5], dtype=torch.float64)}
    _, memory = outer_apply(terms.Yogi(**settings), state, small, outer_init(terms.Yogi(**settings), state))
    assert memory["second/w"].item() == 1 - 0.25 * 0.25, "Yogi falls by the square, not towards it"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (terms.Plain(learning_rate="0.3"), {"lr": 0.3}),
        (terms.Nesterov(), {"lr": 0.7, "momentum": 0.9, "nesterov": True}),
        (terms.Nesterov(learning_rate="1", momentum="0.5"), {"lr": 1.0, "momentum": 0.5, "nesterov": True}),
    ],
)
def test_plain_and_nesterov_equal_torch_optim(settings, options):
    start, deltas = draw(0), [draw(i) for i in range(1, 7)]
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    optimiser = torch.optim.SGD(parameters.values(), **options)
    for delta in deltas:
        for name, parameter in parameters.items():
            parameter.grad = -delta[name]
        optimiser.step()
    ours = walk(settings, start, deltas)
    for name, parameter in parameters.items():
        torch.testing.assert_close(ours[name], parameter.detach(), rtol=0, atol=1e-14)


def test_nesterov_without_momentum_is_fedavg_to_the_bit():
    start, deltas = draw(0, torch.float32), [draw(i, torch.float32) for i in range(1, 4)]
    assert digest(walk(terms.Nesterov(learning_rate="1", momentum="0"), start, deltas)) == digest(
        walk(terms.Plain(), start, deltas)
    )


@pytest.mark.parametrize("kind", [terms.Adam, terms.Yogi])
def test_adaptive_steps_do_not_depend_on_the_scale_of_the_deltas_when_tau_is_nothing(kind):
    start, deltas = draw(0), [draw(i) for i in range(1, 5)]
    settings = kind(tau="0.000000000001")
    small, large = walk(settings, start, deltas), walk(settings, start, [scale(delta, 1024) for delta in deltas])
    for name in start:
        torch.testing.assert_close(small[name], large[name], rtol=0, atol=1e-9)
    plain = walk(terms.Plain(), start, [scale(delta, 1024) for delta in deltas])
    assert (plain["a"] - large["a"]).abs().max() > 100, "the control: a plain step does depend on it"


@pytest.mark.parametrize("settings", ALL, ids=lambda item: item.name)
def test_names_outside_the_delta_and_their_memory_do_not_move(settings):
    state = draw(0, torch.float32)
    memory = outer_init(settings, state)
    state, memory = outer_apply(settings, state, draw(1, torch.float32), memory)
    before = digest(state), digest(memory)
    moved, remembered = outer_apply(settings, state, {"a": draw(2, torch.float32)["a"]}, memory)
    assert (digest(state), digest(memory)) == before, "arguments stay as they were"
    assert torch.equal(moved["b"], state["b"])
    assert not torch.equal(moved["a"], state["a"])
    for key in memory:
        assert torch.equal(remembered[key], memory[key]) == key.endswith("/b")
    assert remembered.keys() == memory.keys()


@pytest.mark.parametrize("settings", ALL, ids=lambda item: item.name)
def test_a_walk_resumed_from_saved_bytes_ends_in_the_same_bits(settings):
    state = draw(0, torch.float32)
    memory = outer_init(settings, state)
    for i in range(1, 6):
        state, memory = from_bytes(to_bytes(state)), from_bytes(to_bytes(memory))
        state, memory = outer_apply(settings, state, draw(i, torch.float32), memory)
    assert digest(state) == digest(
        walk(settings, draw(0, torch.float32), [draw(i, torch.float32) for i in range(1, 6)])
    )
    assert all(tensor.dtype == torch.float64 for tensor in memory.values())


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ALL[:2]), st.integers(0, 500), st.floats(-3, 3))
def test_plain_and_nesterov_are_linear_in_the_deltas(settings, seed, factor):
    start = {name: torch.zeros_like(tensor) for name, tensor in draw(0).items()}
    one, two = [draw(seed), draw(seed + 1)], [draw(seed + 7), draw(seed + 8)]
    joined = [{name: x[name] + factor * y[name] for name in x} for x, y in zip(one, two, strict=True)]
    for name in start:
        expected = walk(settings, start, one)[name] + factor * walk(settings, start, two)[name]
        torch.testing.assert_close(walk(settings, start, joined)[name], expected, rtol=0, atol=1e-12)


def test_wrong_deltas_and_memories_are_named():
    state = draw(0, torch.float32)
    memory = outer_init(terms.Nesterov(), state)
    for delta, given_memory, code in [
        ({"c": state["a"]}, memory, "combine.unknown-name"),
        ({"a": state["a"]}, {}, "combine.no-memory"),
        ({"a": state["a"]}, {name: tensor.float() for name, tensor in memory.items()}, "combine.no-memory"),
        ({"a": state["a"][:2]}, memory, "state.shape-differs"),
        ({"a": state["a"].double()}, memory, "state.dtype-differs"),
    ]:
        with pytest.raises(CallerError) as caught:
            outer_apply(terms.Nesterov(), state, delta, given_memory)
        assert caught.value.code == code
        assert "expected" in str(caught.value)
