"""A store of objects on any URL that fsspec reaches: `s3://bucket/folder`, `memory://name`, `sftp://…`.

`file:///folder` is the plain store of files, with all that it promises. Elsewhere an object is as durable as the file
system says when it has taken it. Object stores (s3, gcs, abfs) take an object whole or not at all. Where a file system
can keep a torn part (sftp, smb), that part is shorter than the object: putting the object again writes it again, and
getting it is refused, since it does not have its digest. No cache is kept: another process sees what this one put.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from foedus.core.digest import DIGEST, hex_of, sha256
from foedus.core.errors import CallerError, RunError
from foedus.core.objects import ObjectStore

__all__ = ["RemoteStore", "store_at"]

T = TypeVar("T")


def store_at(url: str) -> ObjectStore:
    """The store at a URL. The file system is asked when an object first is.

    Raises:
        CallerError: `objects.bad-url` for a kind that fsspec does not know; `objects.package-missing` without the
            package that it needs; `cli.extra-missing` without fsspec.
    """
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise CallerError("cli.extra-missing", module="fsspec", extra="objects") from error
    if "://" not in url:
        raise CallerError("objects.bad-url", url=_safe(url))
    try:
        system, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise CallerError("objects.package-missing", url=_safe(url), reason=str(error)[:200]) from error
    except ValueError as error:
        raise CallerError("objects.bad-url", url=_safe(url)) from error
    if url.startswith(("file://", "local://")):
        return ObjectStore(Path(root))
    return RemoteStore(url, system, root)


class RemoteStore(ObjectStore):
    """The objects below a folder of a file system of fsspec's. Every method may raise RunError `objects.away`."""

    def __init__(self, url: str, system: Any, root: str) -> None:
        super().__init__(Path(root))
        self.url = url
        self._system = system
        self._folder = root

    def put(self, data: bytes | memoryview) -> str:
        """Store bytes and give their digest; a shorter object of that name, torn when it was put, is written again."""
        digest = sha256(data)
        name = self._name(digest)
        if self._size(name) != len(data):
            self._asked(lambda: self._system.makedirs(posixpath.dirname(name), exist_ok=True))
            self._asked(lambda: self._system.pipe_file(name, bytes(data)))
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of an object; CallerError `objects.missing`, VerifyError `objects.changed`."""
        data = self._fetched(digest)
        self._require(digest, data)
        return data

    def load(self, digest: str) -> bytearray:
        """The bytes of an object in memory that may be written to. Raises as `get`."""
        return bytearray(self.get(digest))

    def discard(self, digest: str) -> None:
        """Delete an object; one that is not there is no error."""
        with suppress(FileNotFoundError):
            self._asked(lambda: self._system.rm_file(self._name(digest)))

    def __contains__(self, digest: str) -> bool:
        return self._size(self._name(digest)) is not None

    def __iter__(self) -> Iterator[str]:
        folder = posixpath.join(self._folder, "sha256")
        there = self._asked(lambda: self._system.find(folder) if self._system.exists(folder) else [])
        for path in sorted(there):
            digest = f"sha256:{path[-65:-63]}{path[-62:]}"
            if DIGEST.fullmatch(digest):
                yield digest

    def _name(self, digest: str) -> str:
        self.path(digest)  # refuses what is no digest
        return posixpath.join(self._folder, "sha256", hex_of(digest)[:2], hex_of(digest)[2:])

    def _size(self, name: str) -> int | None:
        try:
            return int(self._asked(lambda: self._system.info(name))["size"])
        except FileNotFoundError:
            return None

    def _fetched(self, digest: str) -> bytes:
        try:
            data: bytes = self._asked(lambda: self._system.cat_file(self._name(digest)))
        except FileNotFoundError as error:
            raise CallerError("objects.missing", digest=digest) from error
        return data

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (FileNotFoundError, CallerError):
            raise
        except Exception as error:  # each file system has errors of its own
            raise RunError("objects.away", url=_safe(self.url), reason=str(error)[:200] or repr(error)) from error


def _safe(url: str) -> str:
    """A URL without a password in it."""
    scheme, found, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{found}{host.rpartition('@')[2]}{slash}{path}"[:200]
