"""DSSE: what is signed, what is refused."""

import base64
import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core import canonical
from foedus.core.envelope import Envelope, b64, pae, seal, unb64
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.core.keys import from_seed

ANNA, BEN = from_seed(b"a" * 32), from_seed(b"b" * 32)


def test_pae_is_the_example_of_the_specification():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_securesystemslib_accepts_an_envelope_of_ours():
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.signer import SSlibKey

    sealed = seal(b"agreed", "text/plain", [ANNA])
    [signature] = sealed.to_json()["signatures"]
    public = SSlibKey(signature["keyid"], "ed25519", "ed25519", {"public": ANNA.public.removeprefix("ed25519:")})
    assert Theirs.from_dict(copy.deepcopy(sealed.to_json())).verify([public], 1)


@given(st.binary(max_size=200), st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_sealed_payload_comes_back_and_is_signed(payload, kind):
    if any(0xD800 <= ord(c) < 0xE000 for c in kind):
        return
    sealed = seal(payload, kind, [ANNA, BEN])
    back = Envelope.from_bytes(sealed.to_bytes())
    assert back == sealed
    assert back.signed_by(ANNA.public)
    assert back.signed_by(BEN.public)


def test_every_single_bit_of_an_envelope_counts():
    data = seal(b'{"agreed":true}', "text/plain", [ANNA]).to_bytes()
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            try:
                envelope = Envelope.from_bytes(bytes(changed))
                envelope.require(ANNA.public, who="anna")
            except FoedusError:
                continue
            pytest.fail(f"bit {bit} of byte {position} changed unseen")


def test_one_types_signature_never_passes_for_anothers():
    sealed = seal(b"agreed", "text/plain", [ANNA])
    assert not Envelope("text/html", sealed.payload, sealed.signatures).signed_by(ANNA.public)


def test_a_signature_under_another_key_id_does_not_count():
    sealed = seal(b"agreed", "text/plain", [ANNA])
    with pytest.raises(VerifyError) as caught:
        sealed.require(BEN.public, who="ben")
    assert caught.value.code == "envelope.not-signed"
    assert "ben" in str(caught.value)


def test_a_signature_can_be_added_and_the_first_stays():
    both = seal(b"agreed", "text/plain", [ANNA]).with_signature(BEN)
    assert both == seal(b"agreed", "text/plain", [ANNA, BEN])


@given(st.binary(max_size=64))
@settings(max_examples=60, deadline=None)
def test_base64_has_one_spelling(data):
    text = b64(data)
    assert unb64(text) == data
    for other in {text + "\n", text + "=", text.rstrip("="), "-" + text[1:], " " + text} - {text}:
        with pytest.raises(CallerError) as caught:
            unb64(other)
        assert caught.value.code == "envelope.bad-base64"


def test_the_last_character_of_lazy_base64_cannot_change_unseen():
    assert base64.b64decode("QQ==") == base64.b64decode("QR==") == b"A"
    with pytest.raises(CallerError):
        unb64("QR==")


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.pop("payload"),
        lambda v: v.update(more=1),
        lambda v: v.update(payload=None),
        lambda v: v.update(signatures={}),
        lambda v: v.update(signatures=["x"]),
        lambda v: v["signatures"][0].update(cert="x"),
        lambda v: v["signatures"][0].pop("keyid"),
    ],
)
def test_another_shape_is_no_envelope(change):
    value = seal(b"agreed", "text/plain", [ANNA]).to_json()
    change(value)
    with pytest.raises(CallerError) as caught:
        Envelope.from_bytes(canonical.encode(value))
    assert caught.value.code == "envelope.malformed"
