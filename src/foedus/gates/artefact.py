"""Artefact: the files of a model are what they seem and can do no harm by being loaded.

Covered: only safetensors and known kinds of text, no code, no pickle, no links, no hidden or oddly named files;
headers well formed, tensors tiling the buffer without gap or overlap; every floating-point value finite; the size
bounded. Not covered: what the weights do (a backdoor is finite too).

safetensors: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, BinaryIO

from foedus.records.evidence import Verdict
from foedus.records.terms import Artefact

__all__ = ["ArtefactFacts", "Problem", "Tensor", "artefact", "inspect", "read_header"]

TEXT_SUFFIXES = (".json", ".jsonl", ".md", ".txt", ".jinja")
DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HEADER_LIMIT = 64 << 20
_TEXT_LIMIT = 256 << 20
_CHUNK = 8 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a model folder must not have. `code` is stable; `path` is relative to the folder."""

    code: str
    path: str
    detail: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.code, self.path, self.detail) if part)


@dataclass(frozen=True, slots=True)
class ArtefactFacts:
    """What `inspect` saw of a model folder. `values` counts tensor elements; without `problems` all of them are
    finite.
    """

    files: int
    size_bytes: int
    values: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a safetensors file; `begin` and `end` count bytes after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def artefact(clause: Artefact, facts: ArtefactFacts | None) -> tuple[Verdict, ...]:
    """One verdict: pass without problems, fail with the first of them as the reason; inconclusive when nobody
    looked.
    """
    threshold = f"<= {clause.max_bytes} bytes, safetensors and text, all values finite"
    if facts is None:
        return (Verdict(gate=clause.name, outcome="inconclusive", threshold=threshold, reason="no-evidence"),)
    problems = [str(problem) for problem in facts.problems]
    if facts.size_bytes > clause.max_bytes:
        problems.append(f"too-large {facts.size_bytes} bytes")
    return (
        Verdict(
            gate=clause.name,
            outcome="fail" if problems else "pass",
            n=facts.values,
            threshold=threshold,
            reason=problems[0][:500] if problems else "clean",
        ),
    )


def inspect(folder: Path, *, max_bytes: int) -> ArtefactFacts:
    """Look at every file of a model folder. Reads no file once more than `max_bytes` have been found."""
    problems: list[Problem] = []
    files: list[tuple[str, Path, int]] = []
    for name, path, mode, size in _walk(folder):
        if any(not _NAME.fullmatch(part) or part.endswith(".") for part in name.split("/")):
            problems.append(Problem("odd-name", _spell(name)))
        elif not S_ISREG(mode):
            problems.append(Problem("not-a-file", name))
        elif path.suffix not in (".safetensors", *TEXT_SUFFIXES):
            problems.append(Problem("unknown-kind", name))
        else:
            files.append((name, path, size))
    size_bytes = sum(size for _, _, size in files)
    if not any(path.suffix == ".safetensors" for _, path, _ in files):
        problems.append(Problem("no-weights", "model"))
    values = 0
    if size_bytes <= max_bytes:
        for name, path, _ in files:
            try:
                values += _weights(path) if path.suffix == ".safetensors" else _text(path)
            except ValueError as error:
                code, _, detail = str(error).partition(" ")
                problems.append(Problem(code, name, _spell(detail)))
    return ArtefactFacts(len(files), size_bytes, values, tuple(problems))


def _walk(folder: Path) -> Iterator[tuple[str, Path, int, int]]:
    """(relative name, path, mode, size) of all that is no plain folder, in order; links are not followed."""
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        status = path.lstat()
        if S_ISDIR(status.st_mode):
            for name, inner, mode, size in _walk(path):
                yield f"{path.name}/{name}", inner, mode, size
        else:
            yield path.name, path, status.st_mode, status.st_size


def _spell(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200].encode("utf-8", "replace").decode()


def _text(path: Path) -> int:
    if path.stat().st_size > _TEXT_LIMIT:
        raise ValueError("text-too-large")
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not-utf8 at byte {error.start}") from error
    if "\x00" in text:
        raise ValueError("binary")
    if path.suffix == ".json":
        value = _json(text, "not-json")
        if isinstance(value, dict) and "auto_map" in value:
            raise ValueError("names-code auto_map")
    return 0


def _json(text: str, code: str) -> Any:
    """The JSON value of a text; ValueError that begins with `code` for no JSON, too deep, or a name twice."""
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ValueError(code) from error


# ── safetensors ──────────────────────────────────────────────────────────────


def read_header(file: BinaryIO, size: int) -> tuple[list[Tensor], int]:
    """The tensors of a safetensors file of `size` bytes in order of their bytes, and where the bytes begin.

    Raises:
        ValueError: `bad-header …` or `bad-offsets …` for anything but what the format says, exactly.
    """
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) != 8 or not 2 <= length <= min(_HEADER_LIMIT, size - 8):
        raise ValueError(f"bad-header length {length}")
    try:
        header = _json(file.read(length).decode(), "bad-header not JSON")
    except UnicodeDecodeError as error:
        raise ValueError("bad-header not UTF-8") from error
    if not isinstance(header, dict):
        raise ValueError("bad-header not an object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("bad-header metadata")
    tensors = sorted((_tensor(name, value) for name, value in header.items()), key=lambda t: (t.begin, t.end))
    at = 0
    for tensor in tensors:
        if tensor.begin != at:
            raise ValueError(f"bad-offsets {tensor.name} begins at {tensor.begin}, not {at}")
        at = tensor.end
    if at != size - 8 - length:
        raise ValueError(f"bad-offsets tensors end at {at} of {size - 8 - length} bytes")
    return tensors, 8 + length


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name twice")
    return value


def _tensor(name: str, value: Any) -> Tensor:
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if len(value) == 3:
            whole = all(type(v) is int and v >= 0 for v in (*shape, begin, end))
            if whole and dtype in DTYPE_BYTES and prod(shape) * DTYPE_BYTES[dtype] == end - begin:
                return Tensor(name, dtype, tuple(shape), begin, end)
    raise ValueError(f"bad-header tensor {name}")


def _weights(path: Path) -> int:
    with path.open("rb") as file:
        tensors, start = read_header(file, path.stat().st_size)
        for tensor in tensors:
            not_finite = _NOT_FINITE.get(tensor.dtype)
            if not_finite is None:
                continue
            file.seek(start + tensor.begin)
            left = tensor.end - tensor.begin
            while left:
                chunk = file.read(min(left, _CHUNK))
                if not chunk:
                    raise ValueError("bad-offsets file ends early")
                if not_finite(chunk):
                    raise ValueError(f"not-finite {tensor.name}")
                left -= len(chunk)
    return sum(prod(tensor.shape) for tensor in tensors)


def _scan(width: int, high_mask: int, low_mask: int) -> Callable[[bytes], bool]:
    """Whether a little-endian array holds an infinity or NaN: all exponent bits are 1.

    They lie in the two uppermost bytes of each value: `high_mask` of the last byte and `low_mask` of the one before.
    Both bytes of all values are cut out by slicing and marked by `bytes.translate`; one AND of two big integers joins
    the marks.
    """
    high = bytes(byte & high_mask == high_mask for byte in range(256))
    low = bytes(byte & low_mask == low_mask for byte in range(256))

    def not_finite(data: bytes) -> bool:
        suspects = data[width - 1 :: width].translate(high)
        if 1 not in suspects:
            return False
        seconds = data[width - 2 :: width].translate(low)
        return bool(int.from_bytes(suspects, "little") & int.from_bytes(seconds, "little"))

    return not_finite


_NOT_FINITE: dict[str, Callable[[bytes], bool]] = {
    "F64": _scan(8, 0x7F, 0xF0),
    "F32": _scan(4, 0x7F, 0x80),
    "BF16": _scan(2, 0x7F, 0x80),
    "F16": _scan(2, 0x7C, 0x00),
}
