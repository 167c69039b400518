"""Files written so that a crash leaves the old one or the new one, never a part; and one lock for one writer."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from foedus.core.errors import CallerError, RunError

__all__ = ["fsync_folder", "lock", "read_bytes", "read_into", "read_text", "sweep", "write_atomic"]

_LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write_atomic(path: Path, data: bytes | memoryview, *, mode: int = 0o644) -> None:
    """Write a file whole: to a temporary neighbour, flushed to disk, then renamed over.

    Raises:
        RunError: `files.cannot-write` when the disk is full or the folder cannot be written; the old file stays.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunError("files.cannot-write", path=str(path), reason=error.strerror or str(error)) from error


def sweep(folder: Path) -> None:
    """Remove what a killed `write_atomic` left anywhere in a folder. Nobody may be writing there meanwhile."""
    for path in folder.rglob(".*.tmp"):
        if _LEFT_OVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make a rename in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bytes(path: Path, *, limit_bytes: int = 1 << 30) -> bytes:
    """A file's bytes.

    Raises:
        CallerError: `files.missing`, `files.unreadable` or `files.too-large`.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            parts = [file.read(size)] if size <= limit_bytes else []
            while size <= limit_bytes and (more := file.read(1 << 20)):  # a pipe or a device tells no size
                parts.append(more)
                size += len(more)
        if size > limit_bytes:
            raise CallerError("files.too-large", path=str(path), size_bytes=size, limit_bytes=limit_bytes)
        return b"".join(parts)
    except FileNotFoundError as error:
        raise CallerError("files.missing", path=str(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise CallerError("files.unreadable", path=str(path), reason=reason) from error


def read_into(path: Path) -> bytearray:
    """A file's bytes in memory that may be written to, read without a second copy.

    Raises:
        CallerError: `files.missing` or `files.unreadable`.
    """
    try:
        with path.open("rb") as file:
            data = bytearray(os.fstat(file.fileno()).st_size)
            got = file.readinto(data)
            return data if got == len(data) else data[:got]
    except FileNotFoundError as error:
        raise CallerError("files.missing", path=str(path)) from error
    except OSError as error:
        raise CallerError("files.unreadable", path=str(path), reason=error.strerror or str(error)) from error


def read_text(path: Path, *, limit_bytes: int = 1 << 26) -> str:
    """A UTF-8 file's text; CallerError `files.not-utf8` for any other encoding."""
    try:
        return read_bytes(path, limit_bytes=limit_bytes).decode()
    except UnicodeDecodeError as error:
        raise CallerError("files.not-utf8", path=str(path), offset=error.start) from error


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock file; the operating system frees it when the process ends, however it ends.

    Raises:
        RunError: `files.locked` when another process holds it and `wait` is false; `files.cannot-write`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RunError("files.cannot-write", path=str(path), reason=error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise RunError("files.locked", path=str(path)) from error
        yield
    finally:
        os.close(descriptor)
