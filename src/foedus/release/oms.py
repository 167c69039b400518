"""OpenSSF Model Signing v1.0: signatures over a model folder, with P-256 keys, readable by `model_signing verify key`.

    https://github.com/ossf/model-signing-spec

A signature is a Sigstore bundle v0.3 that holds a DSSE envelope over an in-toto statement; the statement lists the
SHA-256 of every file. The root digest is the SHA-256 of those digests, raw, in the order of the names. It does not
bind the names: the statement does, which is why every approver signs the statement and a verifier writes it anew from
the folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from foedus.core import canonical
from foedus.core.digest import hex_of, sha256_file
from foedus.core.envelope import Envelope, seal
from foedus.core.errors import FoedusError, VerifyError
from foedus.core.keys import PrivateKey, public_pem

__all__ = ["IN_TOTO", "resources", "root", "sign", "statement", "verify"]

IN_TOTO = "application/vnd.in-toto+json"
_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PREDICATE = "https://model_signing/signature/v1.0"


def resources(folder: Path) -> dict[str, str]:
    """The digest of every file below a folder by its relative name, sorted by name; VerifyError `release.link` for a
    link.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).parts):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise VerifyError("release.link", path=name)
        if path.is_file():
            found[name] = sha256_file(path)
    return found


def root(files: dict[str, str]) -> str:
    """The root digest of `resources`."""
    whole = hashlib.sha256()
    for name in _ordered(files):
        whole.update(bytes.fromhex(hex_of(files[name])))
    return "sha256:" + whole.hexdigest()


def _ordered(files: dict[str, str]) -> list[str]:
    """Names in the order of the reference implementation: compared part by part."""
    return sorted(files, key=lambda name: name.split("/"))


def statement(model: str, files: dict[str, str]) -> bytes:
    """The in-toto statement that is signed: `model` names the folder."""
    return canonical.encode(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": model, "digest": {"sha256": hex_of(root(files))}}],
            "predicateType": _PREDICATE,
            "predicate": {
                "resources": [
                    {"name": name, "algorithm": "sha256", "digest": hex_of(files[name])} for name in _ordered(files)
                ],
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [],
                },
            },
        }
    )


def sign(files: dict[str, str], key: PrivateKey, *, model: str = "model") -> bytes:
    """A signature file over `resources` of a model folder named `model`, by a P-256 key."""
    envelope = seal(statement(model, files), IN_TOTO, [key])
    bundle = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _hint(key.public)}, "tlogEntries": []},
        "dsseEnvelope": envelope.to_json(),
    }
    return canonical.encode(bundle)


def verify(data: bytes, files: dict[str, str], public: str, *, signer: str, model: str = "model") -> None:
    """Check that a signature file is exactly what `signer`, who holds the key `public`, signs over these files.

    Stricter than the standard asks: canonical JSON, one signature, the whole statement equal to the one written here.

    Raises:
        VerifyError: `release.signature-malformed`, `release.signature-wrong` (another key or a changed signature) or
            `release.signature-of-other-files`.
    """
    envelope = _open(data, public, signer)
    if len(envelope.signatures) != 1 or envelope.payload_type != IN_TOTO:
        raise VerifyError("release.signature-malformed", signer=signer)
    if not envelope.signed_by(public):
        raise VerifyError("release.signature-wrong", signer=signer)
    if envelope.payload != statement(model, files):
        raise VerifyError("release.signature-of-other-files", signer=signer)


def _open(data: bytes, public: str, signer: str) -> Envelope:
    try:
        value: Any = canonical.decode(data)
        envelope = Envelope.from_json(value["dsseEnvelope"])
        expected = {
            "mediaType": _MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": _hint(public)}, "tlogEntries": []},
            "dsseEnvelope": envelope.to_json(),
        }
    except (FoedusError, KeyError, TypeError) as error:
        raise VerifyError("release.signature-malformed", signer=signer) from error
    if value != expected:
        hint = value.get("verificationMaterial")
        code = "malformed" if hint == expected["verificationMaterial"] else "wrong"
        raise VerifyError(f"release.signature-{code}", signer=signer)
    return envelope


def _hint(public: str) -> str:
    return hashlib.sha256(public_pem(public)).hexdigest()
