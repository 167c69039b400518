"""The bundle: a folder NAME-VERSION.foedus, or the same files as one zip.

    model/…                     the model, as other libraries load it; its README.md is the model card
    model.MEMBER.sig            a member's signature over model/ (OpenSSF Model Signing)
    accord/accord.json          the accord in force; accord/HEX.json: every other accord that the ledger names
    cards/MEMBER.json           salted data cards
    report/….json               proposal, examination, verdicts, credit
    attest/gates.test-result.dsse    the verdicts as an in-toto attestation
    attest/witnessed            the ledger's head as members cosigned it when they voted
    objects/HEX.json            earlier proposals and long lists that the ledger names
    ledger/…                    a copy of the ledger
    CHECKSUMS                   SHA-256 of every file but itself and ledger/

Opening refuses whatever the layout does not name: other files, links, devices, empty folders, odd or escaping paths.
A zip is stored, not compressed, and must be byte for byte the one that `pack` writes, so that nothing hides between
its entries.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foedus.core.digest import hex_of, sha256_file
from foedus.core.errors import CallerError, RunError, VerifyError
from foedus.core.files import read_bytes, write_atomic

__all__ = [
    "LIMIT_BYTES",
    "LIMIT_FILES",
    "checksums",
    "compare_checksums",
    "files_of",
    "is_bundle",
    "opened",
    "pack",
    "require_path",
    "signature_name",
]

LIMIT_BYTES = 64 << 30
LIMIT_FILES = 100_000
_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_PATH = re.compile(
    rf"model(?:/{_PART}){{1,8}}"
    r"|model\.[a-z0-9][a-z0-9._-]{0,62}\.sig"
    r"|accord/(?:accord|[0-9a-f]{64})\.json"
    r"|cards/[a-z0-9][a-z0-9._-]{0,62}\.json"
    r"|report/(?:proposal|examination|verdicts|credit)\.json"
    r"|attest/(?:gates\.test-result\.dsse|witnessed)"
    r"|objects/[0-9a-f]{64}\.json"
    rf"|ledger(?:/{_PART}){{1,8}}"
    r"|CHECKSUMS"
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def signature_name(member: str) -> str:
    """Where a member's signature over the model lies."""
    return f"model.{member}.sig"


def is_bundle(path: Path) -> bool:
    """Whether a path looks like a bundle, whole or not: a zip, or a folder with a model or a proposal."""
    if path.is_dir():
        return any((path / name).exists() for name in ("CHECKSUMS", "model", "report/proposal.json"))
    return path.is_file() and zipfile.is_zipfile(path)


def files_of(folder: Path) -> dict[str, int]:
    """Every file of a bundle's folder by relative path, sorted, with its size.

    Raises:
        VerifyError: `release.link`, `release.not-a-file`, `release.empty-folder`, `release.odd-path` or
        `release.too-large`.
    """
    found: dict[str, int] = {}
    for name, status in _walk(folder, ""):
        if stat.S_ISLNK(status.st_mode):
            raise VerifyError("release.link", path=name)
        if not stat.S_ISREG(status.st_mode):
            raise VerifyError("release.not-a-file", path=name)
        require_path(name)
        found[name] = status.st_size
        if len(found) > LIMIT_FILES or sum(found.values()) > LIMIT_BYTES:
            raise VerifyError("release.too-large", limit_files=LIMIT_FILES, limit_bytes=LIMIT_BYTES)
    _refuse_twins(found)
    return dict(sorted(found.items()))


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if not entries and prefix:
        raise VerifyError("release.empty-folder", path=prefix.rstrip("/"))
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, status


def require_path(name: str) -> None:
    """VerifyError `release.odd-path` for a path that the layout does not name."""
    if not _PATH.fullmatch(name) or ".." in name:
        raise VerifyError("release.odd-path", path=repr(name[:200]))


def _refuse_twins(names: dict[str, int]) -> None:
    """Two names that a file system may hold for one."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise VerifyError("release.twice", path=name, other=other)


# ── CHECKSUMS ────────────────────────────────────────────────────────────────


def checksums(folder: Path) -> bytes:
    """What CHECKSUMS must hold: a line `HEX  PATH` a file, sorted by path; without itself and without `ledger/`."""
    names = [name for name in files_of(folder) if _is_listed(name)]
    return "".join(f"{hex_of(sha256_file(folder / name))}  {name}\n" for name in names).encode()


def _is_listed(name: str) -> bool:
    return name != "CHECKSUMS" and not name.startswith("ledger/")


def compare_checksums(folder: Path) -> bytes:
    """Compare every file with CHECKSUMS, and give its bytes.

    Raises:
        VerifyError: `release.checksums-missing`, `release.file-missing`, `release.file-unlisted`,
        `release.file-changed` (each names the path) or `release.checksums-malformed`.
    """
    path = folder / "CHECKSUMS"
    if not path.is_file():
        raise VerifyError("release.checksums-missing")
    data = read_bytes(path, limit_bytes=1 << 28)
    actual = checksums(folder)
    if data == actual:
        return data
    try:
        pairs = [line.split("  ", 1) for line in data.decode("ascii").splitlines()]
        listed = {name: digest for digest, name in pairs}
    except ValueError as error:
        raise VerifyError("release.checksums-malformed") from error
    found = {name: digest for digest, name in (line.split("  ", 1) for line in actual.decode().splitlines())}
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            raise VerifyError("release.file-missing", path=name[:200])
        if name not in listed:
            raise VerifyError("release.file-unlisted", path=name)
        if listed[name] != found[name]:
            raise VerifyError("release.file-changed", path=name, expected=listed[name][:80], got=found[name])
    raise VerifyError("release.checksums-malformed")


# ── zip ──────────────────────────────────────────────────────────────────────


def pack(folder: Path, target: Path) -> None:
    """Write a bundle's folder as one zip: sorted, stored, one date, so the same files always give the same bytes."""
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with temporary.open("wb") as file:
            _write_zip(folder, list(files_of(folder)), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError("files.cannot-write", path=str(target), reason=error.strerror or str(error)) from error


def _write_zip(folder: Path, names: list[str], file: IO[bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            info.file_size = (folder / name).stat().st_size
            with archive.open(info, "w") as out, (folder / name).open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of a bundle: itself, or a zip unpacked into a temporary folder that is removed afterwards.

    Raises:
        CallerError: `files.missing` or `release.no-bundle`.
        VerifyError: as `files_of`, and `release.zip-…` for a zip that `pack` did not write.
    """
    if path.is_dir():
        files_of(path)
        yield path
        return
    if not path.exists():
        raise CallerError("files.missing", path=str(path))
    if not zipfile.is_zipfile(path):
        raise CallerError("release.no-bundle", path=str(path))
    with tempfile.TemporaryDirectory(prefix="foedus-") as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        _unpack(path, folder)
        yield folder


def _unpack(path: Path, folder: Path) -> None:
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _refuse_odd_entries(infos, size)
            for info in infos:
                target = folder / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("xb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, OverflowError, struct.error) as error:
        raise VerifyError("release.zip-malformed", reason=str(error)[:200]) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a seek to where no file can be: the archive's own offsets are wrong
            raise VerifyError("release.zip-malformed", reason=str(error)[:200]) from error
        raise RunError("files.cannot-write", path=str(folder), reason=error.strerror or str(error)) from error
    again = folder.with_name("again.zip")
    with again.open("wb") as file:
        _write_zip(folder, list(files_of(folder)), file)
    if sha256_file(again) != sha256_file(path):
        raise VerifyError("release.zip-not-canonical", path=path.name)


def _refuse_odd_entries(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Everything that could escape, overwrite or swell is refused before the first byte is written."""
    seen: dict[str, int] = {}
    for info in infos:
        name = info.orig_filename
        if stat.S_ISLNK(info.external_attr >> 16):
            raise VerifyError("release.link", path=repr(name[:200]))
        require_path(name)
        if name in seen:
            raise VerifyError("release.twice", path=name, other=name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise VerifyError("release.zip-compressed", path=name)
        seen[name] = info.file_size
    if sum(seen.values()) > min(size, LIMIT_BYTES) or len(seen) > LIMIT_FILES:
        raise VerifyError("release.too-large", limit_files=LIMIT_FILES, limit_bytes=min(size, LIMIT_BYTES))
    _refuse_twins(seen)


def write_checksums(folder: Path) -> str:
    """Write CHECKSUMS, and give its digest."""
    write_atomic(folder / "CHECKSUMS", checksums(folder))
    return sha256_file(folder / "CHECKSUMS")
