"""Certificates and node keys: made once, renewed in time, closed to others, and refused when they are another's."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from foedus.core.clock import now
from foedus.core.errors import CallerError
from foedus.wire import tls

HOSTS = ["hub.example.org", "192.0.2.7", "2001:db8::7"]


def handshake(trusted, served, name):
    """Whether a client that trusts one authority takes the certificate of another for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.certificate, served.key)
    near, far = socket.socketpair()

    def answer():
        with near:
            try:
                context.wrap_socket(near, server_side=True).close()
            except (ssl.SSLError, OSError):
                return

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with far, ssl.create_default_context(cafile=str(trusted.ca)).wrap_socket(far, server_hostname=name) as client:
            return client.version()
    finally:
        thread.join()


def test_members_take_the_hubs_certificate_for_each_of_its_names_and_for_no_other(tmp_path):
    hub = tls.authority(tmp_path, HOSTS, clock=now)
    for name in [*HOSTS, "localhost", "127.0.0.1"]:
        assert handshake(hub, hub, name) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(hub, hub, "other.example.org")


def test_another_authority_is_refused(tmp_path):
    ours, theirs = (tls.authority(tmp_path / name, HOSTS, clock=now) for name in ("a", "b"))
    assert ours.fingerprint != theirs.fingerprint
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ours, theirs, HOSTS[0])


def test_a_certificate_is_made_once_and_again_for_a_new_name_or_before_its_end(tmp_path):
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    first = tls.authority(tmp_path, HOSTS, clock=lambda: begun)
    made, authority = first.certificate.read_bytes(), first.fingerprint
    assert tls.authority(tmp_path, HOSTS[:1], clock=lambda: begun).certificate.read_bytes() == made
    assert tls.authority(tmp_path, HOSTS, clock=lambda: begun + timedelta(days=330)).certificate.read_bytes() == made
    with_name = tls.authority(tmp_path, [*HOSTS, "new.example.org"], clock=lambda: begun).certificate.read_bytes()
    assert with_name != made
    later = tls.authority(tmp_path, HOSTS, clock=lambda: begun + timedelta(days=340))
    assert later.certificate.read_bytes() != with_name
    assert later.fingerprint == authority


def test_a_crash_between_key_and_certificate_leaves_nothing_that_is_used(tmp_path):
    hub = tls.authority(tmp_path, HOSTS, clock=now)
    hub.certificate.unlink()
    again = tls.authority(tmp_path, HOSTS, clock=now)
    assert handshake(again, again, HOSTS[0]) == "TLSv1.3"


def test_an_ended_authority_says_that_members_need_new_invitations(tmp_path):
    tls.authority(tmp_path, HOSTS, clock=lambda: datetime(2010, 1, 1, tzinfo=UTC))
    with pytest.raises(CallerError, match="authority-ended"):
        tls.authority(tmp_path, HOSTS, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_private_keys_are_their_owners_alone(tmp_path):
    hub = tls.authority(tmp_path / "tls", HOSTS, clock=now)
    tls.node_key(tmp_path / "node.key")
    for path in (hub.key, tmp_path / "tls" / "ca.key", tmp_path / "node.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_a_node_key_is_made_once_on_the_curve_that_flower_wants(tmp_path):
    public = tls.node_key(tmp_path / "node.key")
    assert tls.node_key(tmp_path / "node.key") == public
    assert serialization.load_pem_public_key(public.encode()).curve.name == "secp384r1"
    assert b"OPENSSH PRIVATE KEY" in (tmp_path / "node.key").read_bytes()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_what_is_no_node_key_is_named(tmp_path, content):
    (tmp_path / "node.key").write_bytes(content)
    with pytest.raises(CallerError, match="not-a-node-key"):
        tls.node_key(tmp_path / "node.key")


def test_what_is_no_certificate_or_no_host_is_named(tmp_path):
    with pytest.raises(CallerError, match="not-a-certificate"):
        tls.fingerprint(b"nonsense")
    with pytest.raises(CallerError, match="bad-host"):
        tls.authority(tmp_path, ["hüb.example"], clock=now)
