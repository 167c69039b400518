"""Back-up of a workspace while it is used, and restoring it once all of it is verified.

A back-up is a tar file: the ledger as it stood at one head, then everything else, the objects last. Whatever an entry
or a run names was put before it was named, so it is in the back-up. Left out are what is derived or of the moment
(`index/`, sockets, locks, Flower's own state), and private keys, unless they are asked for and have a passphrase.

    with keys     the restored hub goes on by itself; keys that lie open in the workspace (TLS) are sealed
    without       put `keys/` back from where you keep it; members must get the certificate of a new authority

Restoring unpacks beside the target, checks the digest of every file, the ledger from its signed head to its fold, and
renames only then. **Between back-up and restoring, members may have seen entries that the back-up lacks**: a hub that
went on without them would sign a second history. `ledger` takes them from any member's copy.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from foedus.core import digest as digests
from foedus.core.clock import Clock, spell
from foedus.core.envelope import unb64
from foedus.core.errors import CallerError, IdentityError, RunError, VerifyError
from foedus.core.files import fsync_folder, read_bytes, write_atomic
from foedus.core.parcel import Parcel
from foedus.core.version import version
from foedus.ledger.fold import Consortium, resolve
from foedus.ledger.log import Ledger, head_digest
from foedus.ledger.verify import verify_structure
from foedus.records.backup import Backup
from foedus.records.base import open_record
from foedus.records.membership import LedgerCopy
from foedus.workspace.folder import COORDINATOR_PURPOSES, MEMBER_PURPOSES, Workspace, open_workspace, private_key

__all__ = ["PAGE", "back_up", "restore"]

PAGE = "backup.json"
_LEFT_OUT = ("index", "sockets", "hub/flower")
_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_LARGEST_KEY_BYTES = 1 << 16
_PIECE = 1 << 20
_NONCE_BYTES = 12


# ── backing up ───────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Archive:
    """A tar file that is being written, and the digests of what is in it."""

    tar: tarfile.TarFile
    vault: _Vault | None
    files: dict[str, str] = field(default_factory=dict)
    sealed: list[str] = field(default_factory=list)

    def add(self, path: Path, name: str) -> None:
        """Add a file, as it is at this instant; one that is gone by now, or holds a key that stays here, is passed
        over.
        """
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode) & 0o755
            if status.st_size <= _LARGEST_KEY_BYTES and _PRIVATE.search(data := file.read()):
                if self.vault is None:
                    return
                if b"ENCRYPTED" not in data:
                    data = self.vault.seal(name, data)
                    self.sealed.append(name)
                self._write(BytesIO(data), name, len(data), 0o600)
                return
            file.seek(0)
            self._write(file, name, status.st_size, mode)

    def add_database(self, path: Path, name: str) -> None:
        """Add an SQLite database, as its last transaction left it."""
        copy = sqlite3.connect(":memory:")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as here:
            here.backup(copy)
        here.close()
        data = copy.serialize()
        copy.close()
        self._write(BytesIO(data), name, len(data), 0o600)

    def _write(self, source: IO[bytes], name: str, size: int, mode: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, mode
        reader = _Hashing(source, size)
        self.tar.addfile(info, reader)  # type: ignore[arg-type]  # it reads, which is all that is asked of it
        self.files[name] = reader.digest


class _Hashing:
    """The first `size` bytes of a file, hashed as they are read; zeros where it has become shorter."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._left, self._hash = source, size, sha256()

    def read(self, count: int) -> bytes:
        count = min(count, self._left)
        data = self._source.read(count).ljust(count, b"\0")
        self._left -= len(data)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def back_up(workspace: Workspace, target: Path, *, with_keys: bool, passphrase: str | None, clock: Clock) -> Backup:
    """Write a back-up, readable by its owner only; nothing needs to be stopped for it.

    Raises:
        CallerError: `backup.file-exists`; `backup.keys-open` when keys are asked for and have no passphrase.
        IdentityError: as `load_private`.
        RunError: `files.cannot-write`.
    """
    if target.exists():
        raise CallerError("backup.file-exists", path=str(target))
    vault = _vault(workspace, passphrase) if with_keys else None
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                page = _write_all(_Archive(tar, vault), workspace, clock)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        fsync_folder(target.parent)
    except OSError as error:
        raise RunError("files.cannot-write", path=str(target), reason=error.strerror or str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return page


def _write_all(archive: _Archive, workspace: Workspace, clock: Clock) -> Backup:
    size, head = 0, None
    if (workspace.ledger / "checkpoint").exists():
        ledger = Ledger(workspace.ledger)
        with ledger.held():
            size, head = ledger.size, head_digest(workspace.ledger)
            for path, name in _below(workspace.folder, workspace.ledger):
                archive.add(path, name)
    objects = workspace.folder / "objects"
    for path, name in _below(workspace.folder, workspace.folder, skip=(workspace.ledger, objects)):
        if path.suffix == ".sqlite":
            archive.add_database(path, name)
        elif not path.name.endswith((".sqlite-wal", ".sqlite-shm")):
            archive.add(path, name)
    for path, name in _below(workspace.folder, objects):
        archive.add(path, name)
    page = Backup(
        party=workspace.party, made_at=spell(clock()), foedus=version(), size=size, head=head,
        salt=archive.vault.salt.hex() if archive.vault else None, sealed=tuple(archive.sealed), files=archive.files,
    )  # fmt: skip
    info = tarfile.TarInfo(PAGE)
    info.size, info.mode = len(page.to_bytes()), 0o600
    archive.tar.addfile(info, BytesIO(page.to_bytes()))
    return page


def _below(root: Path, folder: Path, *, skip: tuple[Path, ...] = ()) -> Iterator[tuple[Path, str]]:
    """The files below a folder and their names below `root`, in order; links, sockets, locks and what is left out are
    passed over.
    """
    left_out = {root / name for name in _LEFT_OUT} | set(skip)
    for here, folders, names in os.walk(folder):
        place = Path(here)
        folders[:] = sorted(name for name in folders if place / name not in left_out and not name.startswith("."))
        for name in sorted(names):
            path = place / name
            if not name.startswith(".") and name != "lock" and path.is_file() and not path.is_symlink():
                yield path, path.relative_to(root).as_posix()


# ── keys ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Vault:
    """Seals what would lie open, under a key that a passphrase gives."""

    salt: bytes
    key: bytes = field(repr=False)

    @staticmethod
    def of(passphrase: str, salt: bytes) -> _Vault:
        return _Vault(salt, Scrypt(salt=salt, length=32, n=1 << 15, r=8, p=1).derive(passphrase.encode()))

    def seal(self, name: str, data: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, data, name.encode())

    def open(self, name: str, data: bytes) -> bytes:
        try:
            return AESGCM(self.key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], name.encode())
        except InvalidTag as error:
            raise IdentityError("keys.passphrase-wrong", path=name) from error


def _vault(workspace: Workspace, passphrase: str | None) -> _Vault:
    """The vault of a passphrase that opens every key of this party."""
    for path in sorted((workspace.folder / "keys").glob("*.pem")):
        if b"ENCRYPTED" not in read_bytes(path, limit_bytes=_LARGEST_KEY_BYTES):
            raise CallerError("backup.keys-open", path=str(path))
    for purpose in COORDINATOR_PURPOSES if workspace.is_coordinator else MEMBER_PURPOSES:
        private_key(workspace, purpose, passphrase=passphrase)
    return _Vault.of(passphrase or "", secrets.token_bytes(16))


# ── restoring ────────────────────────────────────────────────────────────────


def restore(
    source: Path, target: Path, *, passphrase: str | None = None, ledger: bytes | None = None
) -> tuple[Workspace, Consortium, Backup]:
    """The workspace of a back-up in a new folder, what its ledger says, and the back-up's page.

    `ledger` is a member's copy (`foedus ledger export`): the entries that the back-up lacks are taken from it.

    Raises:
        CallerError: `backup.folder-exists`; `backup.malformed` for a file that is no back-up; `parcel.…`, `records.…`.
        IdentityError: `keys.passphrase-needed`, `keys.passphrase-wrong` where keys are sealed.
        RunError: `files.cannot-write`.
        VerifyError: `backup.file-differs`; `ledger.…`, `fold.…`: nothing is put in place.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CallerError("backup.folder-exists", folder=str(target))
    staging = target.absolute().with_name(f".{target.name}.{secrets.token_hex(4)}.restoring")
    try:
        staging.mkdir(parents=True, mode=0o700)
        page = _unpack(source, staging)
        _unseal(staging, page, passphrase)
        workspace = open_workspace(staging)
        state = _verified(workspace, page, ledger)
        if target.exists():
            target.rmdir()
        staging.replace(target)
        fsync_folder(target.absolute().parent)
    except OSError as error:
        raise RunError("files.cannot-write", path=str(target), reason=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return open_workspace(target), state, page


def _unpack(source: Path, staging: Path) -> Backup:
    """Write the files of a back-up and require that they are those that its page lists."""
    found: dict[str, str] = {}
    page: Backup | None = None
    try:
        with tarfile.open(source, mode="r:") as tar:
            for info in tar:
                file = tar.extractfile(info) if info.isreg() and page is None and info.name not in found else None
                if file is None or not _is_plain(info.name):
                    raise CallerError("backup.malformed", path=str(source), got=info.name[:100])
                if info.name == PAGE:
                    page = Backup.from_bytes(file.read())
                else:
                    found[info.name] = _copy(file, staging / info.name, info.mode & 0o755)
    except FileNotFoundError as error:
        raise CallerError("files.missing", path=str(source)) from error
    except (tarfile.TarError, EOFError) as error:
        raise CallerError("backup.malformed", path=str(source), got=str(error)[:100]) from error
    if page is None:
        raise CallerError("backup.malformed", path=str(source), got=f"no {PAGE}")
    for name in sorted({*page.files, *found}):
        if page.files.get(name) != found.get(name):
            raise VerifyError("backup.file-differs", file=name, expected=page.files.get(name), got=found.get(name))
    return page


def _is_plain(name: str) -> bool:
    """Whether a name leads to a place below the folder, and is spelt in the one way."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name and "\0" not in name


def _copy(file: IO[bytes], path: Path, mode: int) -> str:
    hashed = sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        while piece := file.read(_PIECE):
            hashed.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return f"sha256:{hashed.hexdigest()}"


def _unseal(staging: Path, page: Backup, passphrase: str | None) -> None:
    if page.sealed and not passphrase:
        raise IdentityError("keys.passphrase-needed", path=page.sealed[0])
    if page.sealed and passphrase and page.salt:
        vault = _Vault.of(passphrase, bytes.fromhex(page.salt))
        for name in page.sealed:
            path = staging / name
            write_atomic(path, vault.open(name, read_bytes(path)), mode=0o600)


def _verified(workspace: Workspace, page: Backup, copy: bytes | None) -> Consortium:
    """The fold of the restored ledger, once every check of it held; with the entries that a member's copy adds."""
    for name, digest in page.files.items():
        if name.startswith("objects/sha256/") and digests.hex_of(digest) != "".join(name.split("/")[2:]):
            raise VerifyError("backup.file-differs", file=name, expected=name, got=digest)
    if page.head is None:
        return Consortium()
    log_key = workspace.page.coordinator_keys.log
    ledger = Ledger(workspace.ledger)
    if copy is not None:
        parcel = Parcel.from_bytes(copy)
        told = open_record(LedgerCopy, parcel.documents[0])
        if told.start > ledger.size:
            raise CallerError("workspace.copy-leaves-gap", size=ledger.size, start=told.start)
        added = [unb64(leaf) for leaf in told.leaves[ledger.size - told.start :]]
        ledger.extend(added, unb64(told.checkpoint), log_key=log_key)
        for data in parcel.objects.values():
            workspace.objects.put(data)
    checks, leaves = verify_structure(workspace.ledger, log_key=log_key, origin=ledger.origin)
    for check in checks:
        if check.error:
            raise check.error
    return resolve(leaves, objects=workspace.find, anchor=workspace.page.anchor)
