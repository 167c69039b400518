"""The hub's own certificate authority and certificate, and a member's key for Flower's node authentication.

The authority signs one certificate, the hub's. Members trust exactly this authority (its certificate travels in the
invitation, its fingerprint can be compared by voice), so no public authority can stand in for the hub. Node keys say
which SuperNode is speaking; they are transport keys and never evidence: what a member answers is signed with its act
key.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from foedus.core.clock import Clock
from foedus.core.digest import sha256
from foedus.core.errors import CallerError
from foedus.core.files import lock, read_bytes, write_atomic

__all__ = ["Authority", "authority", "fingerprint", "node_key"]

_AUTHORITY_DAYS = 3650
_CERTIFICATE_DAYS = 365
_RENEW_DAYS = 30
_SKEW = timedelta(hours=1)  # a member's clock may be behind the hub's


@dataclass(frozen=True, slots=True)
class Authority:
    """Where the hub's certificates lie. `ca` is public and goes to the members; `key` never leaves the hub."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """The digest of the authority's certificate, which an invitation carries."""
        return fingerprint(read_bytes(self.ca))


def authority(folder: Path, hosts: Sequence[str], *, clock: Clock) -> Authority:
    """The hub's authority and certificate in `folder`, made at the first call.

    The certificate is made anew 30 days before its end and when `hosts` (names or addresses under which members reach
    the hub) are not all in it; the authority stays, so members need nothing new. `localhost` and 127.0.0.1 are always
    in it.

    Raises:
        CallerError: `wire.bad-host`; `wire.authority-ended` when the authority itself has ended.
    """
    names = _names([*hosts, "localhost", "127.0.0.1"])
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = Authority(folder / "ca.pem", folder / "hub.pem", folder / "hub.key")
    with lock(folder / "lock", wait=True):
        now = clock()
        if not made.ca.exists():
            _make_authority(folder, now)
        if not _serves(made, names, now):
            _make_certificate(folder, made, names, now)
    return made


def fingerprint(pem: bytes) -> str:
    """The digest (`sha256:…`) of a certificate's DER form, as `openssl x509 -fingerprint -sha256` computes it.

    Raises:
        CallerError: `wire.not-a-certificate`.
    """
    return sha256(_certificate(pem).public_bytes(serialization.Encoding.DER))


def node_key(path: Path) -> str:
    """The public form (PEM) of the node key at `path`, which is made, readable by its owner only, where it is missing.

    The private form is what Flower reads: an OpenSSH key on the curve P-384, without a passphrase, because a node
    starts without a person.

    Raises:
        CallerError: `wire.not-a-node-key`.
    """
    if not path.exists():
        private = ec.generate_private_key(ec.SECP384R1())
        written = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        write_atomic(path, written, mode=0o600)
    try:
        private_key = serialization.load_ssh_private_key(read_bytes(path), None)
    except ValueError as error:
        raise CallerError("wire.not-a-node-key", path=str(path)) from error
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise CallerError("wire.not-a-node-key", path=str(path))
    public = private_key.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
            continue
        except ValueError:
            pass
        try:
            names.append(x509.DNSName(host))
        except ValueError as error:
            raise CallerError("wire.bad-host", host=host) from error
    return names


def _make_authority(folder: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Foedus hub {os.urandom(4).hex()}")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _dated(now, _AUTHORITY_DAYS)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    write_atomic(folder / "ca.key", _private_pem(key), mode=0o600)
    write_atomic(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _make_certificate(folder: Path, made: Authority, names: Sequence[x509.GeneralName], now: datetime) -> None:
    issuer = _certificate(read_bytes(made.ca))
    if issuer.not_valid_after_utc <= now:
        raise CallerError("wire.authority-ended", path=str(made.ca), ended=str(issuer.not_valid_after_utc))
    issuer_key = serialization.load_pem_private_key(read_bytes(folder / "ca.key"), None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise CallerError("wire.not-a-certificate", got=str(folder / "ca.key"))
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = (
        _dated(now, _CERTIFICATE_DAYS)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Foedus hub")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    made.certificate.unlink(missing_ok=True)  # a crash between the next two lines must not leave a pair that differs
    write_atomic(made.key, _private_pem(key), mode=0o600)
    write_atomic(made.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _serves(made: Authority, names: Sequence[x509.GeneralName], now: datetime) -> bool:
    if not (made.certificate.exists() and made.key.exists()):
        return False
    certificate = _certificate(read_bytes(made.certificate))
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    fresh = certificate.not_valid_after_utc - now > timedelta(days=_RENEW_DAYS)
    return fresh and set(names) <= set(held)


def _dated(now: datetime, days: int) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _SKEW).not_valid_after(now + timedelta(days=days))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CallerError("wire.not-a-certificate", got=repr(pem[:40])) from error
