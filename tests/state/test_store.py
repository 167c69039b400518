from __future__ import annotations

import json
import math

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.errors import CallerError
from foedus.state import digest, from_bytes, to_bytes
from foedus.state.store import HEADER_LIMIT

STATE = {
    "b.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a": torch.tensor(2.5, dtype=torch.float64),
    "h": torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16),
    "z": torch.tensor([True, False, True]),
    "n": torch.tensor([-1, 7]),
    "leer/空": torch.zeros(0, 4),
}


def refused(data: bytes) -> str:
    with pytest.raises(CallerError) as caught:
        from_bytes(data)
    assert str(caught.value).count("\n") == 3
    return caught.value.code


def build(header: object, body: bytes = b"", *, pad: int = 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % pad)
    return len(text).to_bytes(8, "little") + text + body


META = {"__metadata__": {"format": "pt"}}


def entry(begin: int, end: int, *, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_the_bytes_of_a_small_state_are_known():
    expected = build(META | {"x": entry(0, 4)}, b"\x00\x00\x80\x3f")
    assert to_bytes({"x": torch.ones(1)}) == expected
    assert from_bytes(expected)["x"].tolist() == [1.0]


def test_order_of_insertion_does_not_matter_and_rewriting_is_equal():
    data = to_bytes(STATE)
    assert to_bytes(dict(reversed(STATE.items()))) == data
    assert to_bytes(from_bytes(data)) == data
    assert digest(from_bytes(data)) == digest(STATE)
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_the_stock_library_reads_the_file():
    loaded = safetensors.torch.load(to_bytes(STATE))
    assert digest(loaded) == digest(STATE)


def test_a_writable_buffer_is_not_copied_and_a_read_only_one_is():
    data = bytearray(to_bytes({"x": torch.ones(4)}))
    shared = from_bytes(data)["x"]
    shared[0] = 7
    assert from_bytes(bytes(data))["x"][0] == 7
    frozen = bytes(data)
    from_bytes(frozen)["x"][0] = 9
    assert from_bytes(frozen)["x"][0] == 7, "the bytes, whose digest was checked, never change"


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name.isprintable()),
        st.tuples(
            st.sampled_from([torch.float32, torch.float16, torch.float64, torch.int32, torch.uint8, torch.bool]),
            st.lists(st.integers(0, 4), max_size=3),
        ),
        max_size=5,
    )
)
def test_every_state_comes_back(shapes):
    state = {
        name: (torch.arange(math.prod(shape)) % 2).reshape(shape).to(dtype) for name, (dtype, shape) in shapes.items()
    }
    for kind in (bytes, bytearray):
        back = from_bytes(kind(to_bytes(state)))
        assert digest(back) == digest(state)
        assert {name: tensor.dtype for name, tensor in back.items()} == {name: state[name].dtype for name in state}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00\x00",
        (HEADER_LIMIT + 1).to_bytes(8, "little") + b" " * 64,
        (1 << 63).to_bytes(8, "little") + b"{}",
        build(b"{not json"),
        build(b"[" * 100_000),
        build([1]),
        build({}),
        build({"__metadata__": {"format": "tf"}}),
        build({"__metadata__": {"format": "pt", "more": "x"}}),
        build(META | {"x": entry(0, 4)}, b"\0" * 3),
        build(META | {"x": entry(0, 4)}, b"\0" * 5),
        build(META | {"x": entry(4, 8)}, b"\0" * 8),
        build(META | {"x": entry(0, 4), "y": entry(8, 12)}, b"\0" * 12),
        build(META | {"x": entry(0, 4), "y": entry(0, 4)}, b"\0" * 4),
        build(META | {"x": entry(0, 8)}, b"\0" * 8),
        build(META | {"x": entry(0, 4, shape=(-1, -1))}, b"\0" * 4),
        build(META | {"x": entry(0, 4, shape=(True,))}, b"\0" * 4),
        build(META | {"x": entry(0, 4) | {"more": 1}}, b"\0" * 4),
        build(META | {"x": 4}, b"\0" * 4),
        build(META | {"x": entry(0, 0, shape=(0, 1 << 60))}),
        build(b'{"__metadata__":{"format":"pt"},"x":{"data_offsets":[0,4.0],"dtype":"F32","shape":[1]}}', b"\0" * 4),
        build(b'{"__metadata__":{"format":"pt"},"__metadata__":{"format":"pt"}}'),
        build(META | {"x": entry(0, 1, dtype="BOOL")}, b"\x02"),
    ],
)
def test_a_malformed_file_is_refused(data):
    assert refused(data) == "state.malformed"


def test_other_spellings_of_the_same_state_are_refused():
    body = b"\0" * 8
    good = META | {"x": entry(0, 4), "y": entry(4, 8)}
    assert to_bytes(from_bytes(build(good, body))) == build(good, body)
    assert refused(build(META | {"x": entry(4, 8), "y": entry(0, 4)}, body)) == "state.not-canonical"
    assert refused(build(good, body, pad=64)) == "state.not-canonical"
    assert refused(build(json.dumps(good).encode(), body)) == "state.not-canonical"
    assert refused(safetensors.torch.save({"x": torch.zeros(1), "y": torch.zeros(1)})) == "state.malformed"
    assert refused(build(META | {"x": entry(0, 8, dtype="C64")}, body)) == "state.bad-dtype"


def test_every_changed_byte_of_the_header_is_noticed():
    data = to_bytes({"layer.weight": torch.arange(3.0), "z": torch.ones(2, 2)})
    end = 8 + int.from_bytes(data[:8], "little")
    for position in range(end):
        for flip in (1, 32):
            changed = bytearray(data)
            changed[position] ^= flip
            try:
                state = from_bytes(bytes(changed))
            except CallerError:
                continue
            assert digest(state) != digest(from_bytes(data)), f"byte {position} may change unseen"


def test_nan_is_refused_on_request():
    data = to_bytes({"x": torch.tensor([1.0, math.nan])})
    assert math.isnan(from_bytes(data)["x"][1])
    with pytest.raises(CallerError) as caught:
        from_bytes(data, finite=True)
    assert caught.value.code == "state.not-finite"


@pytest.mark.parametrize("name", ["", "__metadata__"])
def test_a_reserved_name_is_refused(name):
    with pytest.raises(CallerError) as caught:
        to_bytes({name: torch.zeros(1)})
    assert caught.value.code == "state.bad-name"
