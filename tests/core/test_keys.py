"""Keys: round trips, files, passphrases, and what is refused."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from foedus.core.errors import CallerError, IdentityError
from foedus.core.keys import (
    PURPOSES,
    from_seed,
    generate,
    key_id,
    load_private,
    public_key,
    public_pem,
    save_private,
    verify,
)

RIGHT, WRONG = "电池 horse", "battery horse"


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_signature_holds_for_its_key_and_its_bytes_only(purpose):
    key, other = generate(purpose), generate(purpose)
    signature = key.sign(b"agreed")
    assert verify(key.public, signature, b"agreed")
    assert not verify(key.public, signature, b"agreed.")
    assert not verify(other.public, signature, b"agreed")
    changed = signature[:-1] + bytes([signature[-1] ^ 1])
    assert not verify(key.public, changed, b"agreed")
    assert not verify(key.public, b"", b"agreed")


def test_ed25519_is_the_one_of_rfc_8032():
    # RFC 8032, section 7.1, test 2.
    key = from_seed(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.public == "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


def test_acts_witnesses_and_logs_are_ed25519_and_releases_p256():
    kinds = {purpose: generate(purpose).public.partition(":")[0] for purpose in PURPOSES}
    assert kinds == {"act": "ed25519", "witness": "ed25519", "log": "ed25519", "release": "p256"}


def test_a_keys_repr_shows_the_public_half_only():
    key = from_seed(b"\x07" * 32)
    assert repr(key) == f"PrivateKey(public={key.public!r})"


@pytest.mark.parametrize("purpose", ["act", "release"])
@pytest.mark.parametrize("passphrase", [None, "correct horse 电池"])
def test_a_saved_key_loads_again_and_only_its_owner_can_read_it(tmp_path, purpose, passphrase):
    key = generate(purpose)
    path = tmp_path / "keys" / "key.pem"
    save_private(path, key, passphrase=passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_private(path, passphrase=passphrase).public == key.public
    assert (b"ENCRYPTED" in path.read_bytes()) == (passphrase is not None)


def refused(path, *, passphrase=None):
    with pytest.raises(IdentityError) as caught:
        load_private(path, passphrase=passphrase)
    assert str(path) in str(caught.value)
    return caught.value.code


def test_what_is_wrong_with_a_private_key_file_is_named(tmp_path):
    path = tmp_path / "key.pem"
    save_private(path, generate("act"), passphrase=RIGHT)
    assert refused(path) == "keys.passphrase-needed"
    assert refused(path, passphrase=WRONG) == "keys.passphrase-wrong"
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        assert refused(path, passphrase=RIGHT) == "keys.readable-by-others"
    path.chmod(0o600)
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert refused(path) == "keys.unreadable"
    path.write_bytes(b"")
    assert refused(path) == "keys.unreadable"


@pytest.mark.parametrize(
    "strange", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(public_exponent=65537, key_size=2048)]
)
def test_other_kinds_of_key_are_refused(tmp_path, strange):
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        strange.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(IdentityError) as caught:
        load_private(path)
    assert caught.value.code == "keys.unsupported"


def test_a_missing_key_file_is_the_callers_mistake(tmp_path):
    with pytest.raises(CallerError) as caught:
        load_private(tmp_path / "none.pem")
    assert caught.value.code == "files.missing"


@pytest.mark.parametrize(
    "spelling",
    [
        lambda text: text.upper(),
        lambda text: text + "0",
        lambda text: text[:-1],
        lambda text: " " + text,
        lambda text: text.replace("ed25519", "rsa"),
        lambda text: "p256:04" + "00" * 64,  # no point of the curve
        lambda text: "",
    ],
)
def test_a_public_key_has_one_spelling(spelling):
    text = generate("act").public
    with pytest.raises(CallerError) as caught:
        public_key(spelling(text))
    assert caught.value.code == "keys.bad-public"


@pytest.mark.parametrize("purpose", ["act", "release"])
def test_other_tools_read_the_public_key_and_the_id_is_its_digest(purpose):
    from hashlib import sha256

    key = generate(purpose)
    read = serialization.load_pem_public_key(public_pem(key.public))
    der = read.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert key_id(key.public) == sha256(der).hexdigest()
