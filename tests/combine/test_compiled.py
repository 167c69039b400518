from __future__ import annotations

import math
import struct
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foedus.combine import Update, weighted_sum
from foedus.combine.compiled import _BLOCK, compiled
from foedus.combine.update import _add_span
from foedus.core.errors import RunError
from foedus.state import State, digest

pytest.importorskip("numba")

ODD = (0.0, -0.0, 1e-45, -1.2e-38, 3.4028234663852886e38, 1.0, 1 / 3)
finite = st.one_of(st.sampled_from(ODD), st.floats(width=32, allow_nan=False, allow_infinity=False))


def both(start: torch.Tensor, values: list[tuple[float, torch.Tensor]], first: int, end: int) -> list[bytes]:
    """The sums' bytes after one step by torch, and after one that is compiled."""
    step = compiled()
    assert step is not None
    found = []
    for add in (_add_span, step):
        total = start.clone()
        add(total, values, first, end)
        found.append(total.numpy().tobytes())
    return found


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 40))
def test_compiled_sums_equal_those_of_torch_to_the_bit(data, members, length):
    row = st.lists(finite, min_size=length, max_size=length)
    weight = st.one_of(st.sampled_from((0.0, 5e-324, 1.0)), st.floats(0, 1))
    values = [(data.draw(weight), torch.tensor(data.draw(row), dtype=torch.float32)) for _ in range(members)]
    first = data.draw(st.integers(0, length - 1))
    start = torch.tensor(data.draw(row), dtype=torch.float64)
    by_torch, by_code = both(start, values, first, data.draw(st.integers(first, length)))
    assert by_torch == by_code


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3 * _BLOCK + 7), st.integers(1, 12), st.integers(0, 1 << 30))
@example(2 * _BLOCK + 1, 3, 0)
def test_compiled_sums_of_several_blocks_equal_those_of_torch_to_the_bit(length, members, seed):
    rng = torch.Generator().manual_seed(seed)
    scales = 10.0 ** torch.randint(-45, 38, (length,), generator=rng).to(torch.float64)
    values = [((m + 1) / 7, (torch.randn(length, generator=rng) * scales).float()) for m in range(members)]
    by_torch, by_code = both(torch.zeros(length, dtype=torch.float64), values, 0, length)
    assert by_torch == by_code


def test_the_comparison_would_see_a_fused_multiply_add(monkeypatch):
    """The control: the same source, allowed to fuse, gives other bits where the processor can fuse."""
    import numba

    if " fma " not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("this processor has no fused multiply-add")
    strict = numba.cfunc
    monkeypatch.setattr(numba, "cfunc", lambda signature: strict(signature, fastmath={"contract"}))
    compiled.cache_clear()
    try:
        values = [(1 / 3, torch.randn(99, generator=torch.Generator().manual_seed(m))) for m in range(3)]
        by_torch, fused = both(torch.zeros(99, dtype=torch.float64), values, 0, 99)
        assert by_torch != fused
    finally:
        compiled.cache_clear()


def updates(states: list[State]) -> list[Update]:
    return [Update(f"m{i:02}", Fraction(i + 1, 17), state.copy) for i, state in enumerate(states)]


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr("foedus.combine.update.PAYS_FROM", 0)


def test_a_sum_that_is_compiled_has_the_digest_of_one_that_is_not(monkeypatch):
    rng = torch.Generator().manual_seed(3)
    kinds = {"a": torch.float32, "b": torch.bfloat16, "c": torch.float64}
    states = [{k: torch.randn(5, 999, generator=rng).to(dtype) for k, dtype in kinds.items()} for _ in range(7)]
    states[2]["a"] = states[2]["a"].t().contiguous().t()
    expected = digest(weighted_sum(updates(states)))
    monkeypatch.setattr("foedus.combine.update.PAYS_FROM", 0)
    monkeypatch.setattr("foedus.combine.update._SPAN", 1000)
    assert digest(weighted_sum(updates(states))) == expected


def test_small_sums_do_not_load_the_compiler():
    from subprocess import run

    code = (
        "import sys, torch; from fractions import Fraction; from foedus.combine import Update, weighted_sum;"
        "weighted_sum([Update('a', Fraction(1), lambda: {'w': torch.ones(1000)})]); print('numba' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "False\n"


def test_without_numba_torch_adds(monkeypatch, always):
    expected = weighted_sum(updates([{"w": torch.ones(3)}] * 2))
    compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)
    try:
        assert compiled() is None
        assert torch.equal(weighted_sum(updates([{"w": torch.ones(3)}] * 2))["w"], expected["w"])
    finally:
        compiled.cache_clear()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_compiled_sums_refuse_what_is_not_finite_and_name_the_member(always, bad):
    states = [{"w": torch.ones(9)} for _ in range(4)]
    states[2]["w"] = torch.tensor([1.0] * 8 + [bad])
    with pytest.raises(RunError) as caught:
        weighted_sum(updates(states))
    assert (caught.value.code, caught.value.fields["member"]) == ("combine.not-finite", "m02")


def test_a_sum_of_many_updates_by_hand(always):
    states = [{"w": torch.tensor([float(i), -0.0, 2.0**-149])} for i in range(3)]
    got = weighted_sum([Update(f"m{i}", Fraction(1, 2), s.copy) for i, s in enumerate(states)])["w"]
    assert got.tolist() == [1.5, 0.0, 2.0**-148]
    assert struct.pack("<f", got[1].item()) == b"\0\0\0\0", "the sum begins at +0"
