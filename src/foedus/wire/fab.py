"""The Flower app bundle (FAB) of the wire, the same bytes on every machine with the same Foedus, and its digest.

Written here and not by `flwr build`, which compresses: compressed bytes differ between builds of zlib, and hub and
members compare digests.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from importlib.resources import files

__all__ = ["bundle", "digest"]

_FILES = ("pyproject.toml", "foedus_wire/__init__.py", "foedus_wire/client_app.py", "foedus_wire/server_app.py")
_DATE = (1980, 1, 1, 0, 0, 0)


@cache
def bundle() -> bytes:
    """The bundle: a stored zip of the app's files and `.info/CONTENT`, which lists their digests and sizes in bits."""
    folder = files("foedus.wire.app")
    contents = {name: folder.joinpath(name).read_bytes() for name in _FILES}
    listed = [f"{name},{hashlib.sha256(data).hexdigest()},{len(data) * 8}" for name, data in contents.items()]
    contents[".info/CONTENT"] = "\n".join(listed).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return buffer.getvalue()


def digest() -> str:
    """What Flower calls the FAB's hash: 64 hexadecimal digits of SHA-256."""
    return hashlib.sha256(bundle()).hexdigest()
