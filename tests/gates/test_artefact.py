import math
import os
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.gates import artefact as room
from foedus.gates.artefact import ArtefactFacts, artefact, inspect
from foedus.records.terms import Artefact
from gates.hand_made import floats, model, safetensors


def problems(folder, max_bytes=1 << 20):
    return [str(problem) for problem in inspect(folder, max_bytes=max_bytes).problems]


def test_a_plain_model_folder_passes(tmp_path):
    facts = inspect(model(tmp_path / "m"), max_bytes=1 << 20)
    assert facts.problems == ()
    assert (facts.files, facts.values) == (2, 4)
    (verdict,) = artefact(Artefact(), facts)
    assert (verdict.outcome, verdict.reason, verdict.n) == ("pass", "clean", 4)


def test_facts_that_nobody_measured_are_inconclusive():
    (verdict,) = artefact(Artefact(), None)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "no-evidence")


def test_a_model_above_the_bound_fails(tmp_path):
    folder = model(tmp_path / "m")
    clause = Artefact(max_bytes=10)
    (verdict,) = artefact(clause, inspect(folder, max_bytes=clause.max_bytes))
    assert verdict.outcome == "fail"
    assert verdict.reason.startswith("too-large")


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("pytorch_model.bin", b"\x80\x04.", "unknown-kind pytorch_model.bin"),
        ("weights.pkl", b"\x80\x04.", "unknown-kind weights.pkl"),
        ("modeling.py", b"import os", "unknown-kind modeling.py"),
        (".hidden.json", b"{}", "odd-name .hidden.json"),
        ("a b.json", b"{}", "odd-name a b.json"),
        ("sub/.x/a.json", b"{}", "odd-name sub/.x/a.json"),
        ("more.json", b"{", "not-json more.json"),
        ("more.json", b'{"a": 1, "a": 2}', "not-json more.json"),
        ("more.json", b"[" * 100_000, "not-json more.json"),
        ("vocab.txt", b"\xff\xfe", "not-utf8 vocab.txt at byte 0"),
        ("vocab.txt", b"a\x00b", "binary vocab.txt"),
        ("config.json", b'{"auto_map": {}}', "names-code config.json auto_map"),
    ],
)
def test_what_a_model_folder_must_not_hold_is_named(tmp_path, name, data, problem):
    folder = model(tmp_path / "m")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    assert problems(folder) == [problem]
    assert artefact(Artefact(), inspect(folder, max_bytes=1 << 20))[0].reason == problem


def test_links_and_devices_are_refused_and_not_followed(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.json")
    assert problems(folder) == ["not-a-file link.json", "not-a-file pipe.json", "not-a-file up"]


def test_a_folder_without_weights_is_no_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert problems(tmp_path) == ["no-weights model"]


GOOD = floats(1, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        (1 << 60).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{]",
        (4).to_bytes(8, "little") + "{}".encode("utf-16-le"),
        safetensors({"a": ("F32", [3], GOOD)}),
        safetensors({"a": ("F32", [-2, -1], GOOD)}),
        safetensors({"a": ("C64", [1], GOOD)}),
        safetensors({"a": ("F32", [2], GOOD)}) + b"more",
        safetensors({"a": ("F32", [2], GOOD)})[:-1],
        safetensors({"a": ("F32", [2], GOOD)}).replace(b"[0, 8]", b"[1, 9]"),
        safetensors({"a": ("F32", [2], GOOD), "b": ("F32", [2], GOOD)}).replace(b"[8, 16]", b"[0,  8]"),
        safetensors({"a": ("F32", [2], GOOD), "b": ("F32", [2], GOOD)}).replace(b'"b"', b'"a"'),
        safetensors({"a": ("F32", [2], GOOD)}, metadata={"format": 1}),
        safetensors({"a": ("F32", [True, 2], GOOD)}),
    ],
)
def test_a_malformed_header_is_refused(tmp_path, data):
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(data)
    (found,) = problems(folder)
    assert found.startswith(("bad-header model.safetensors", "bad-offsets model.safetensors"))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(("dtype", "kind"), [("F64", "d"), ("F32", "f"), ("F16", "e")])
def test_one_value_that_is_not_finite_is_found_anywhere(tmp_path, monkeypatch, value, dtype, kind):
    monkeypatch.setattr(room, "_CHUNK", 16)
    folder = model(tmp_path / "m")
    for place in (0, 6, 8, 16):
        values = [0.5] * 17
        values[place] = value
        (folder / "model.safetensors").write_bytes(safetensors({"t": (dtype, [17], floats(*values, kind=kind))}))
        assert problems(folder) == ["not-finite model.safetensors t"]


def test_whole_numbers_may_have_any_bits(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(
        safetensors({"t": ("I64", [2], b"\xff" * 16), "u": ("U8", [1], b"\x7f")})
    )
    assert problems(folder) == []


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([("F64", "d", 8), ("F32", "f", 4), ("F16", "e", 2)]), st.binary(min_size=8, max_size=64))
def test_the_scan_agrees_with_looking_at_each_value(kind, data):
    dtype, code, width = kind
    data = data[: len(data) // width * width]
    values = struct.unpack(f"<{len(data) // width}{code}", data)
    assert room._NOT_FINITE[dtype](data) == (not all(map(math.isfinite, values)))


@settings(deadline=None, max_examples=200)
@given(st.binary(min_size=2, max_size=64))
def test_the_scan_of_bfloat16_agrees_with_its_float32(data):
    data = data[: len(data) // 2 * 2]
    values = [struct.unpack("<f", b"\x00\x00" + data[i : i + 2])[0] for i in range(0, len(data), 2)]
    assert room._NOT_FINITE["BF16"](data) == (not all(map(math.isfinite, values)))


def test_a_hundred_megabytes_take_seconds_even_when_every_exponent_is_nearly_full(tmp_path):
    folder = model(tmp_path / "m")
    body = struct.pack("<f", 3e38) * (25 << 20)
    (folder / "model.safetensors").write_bytes(safetensors({"t": ("F32", [25 << 20], body)}))
    started = time.process_time()
    facts = inspect(folder, max_bytes=1 << 30)
    assert facts == ArtefactFacts(2, facts.size_bytes, 25 << 20, ())
    assert time.process_time() - started < 5
