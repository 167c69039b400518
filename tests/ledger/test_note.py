"""Notes, checkpoints and cosignatures: the published examples, and every change of a byte."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foedus.core.envelope import unb64
from foedus.core.errors import CallerError, VerifyError
from foedus.core.keys import from_seed, verify
from foedus.ledger.merkle import EMPTY_ROOT
from foedus.ledger.note import (
    COSIGNATURE,
    ED25519,
    Checkpoint,
    Line,
    Note,
    cosign,
    cosigned_at,
    key_hash,
    read_vkey,
    require_head,
    sign,
    signed_by,
    vkey,
    witness_name,
)
from samples import private_keys

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "note.json").read_text())
EXAMPLE = VECTORS["checkpoint"]
LOG = private_keys("hub")["log"]
WITNESS = private_keys("bank-a")["witness"]
HEAD = Checkpoint("foedus/banks", 7, EMPTY_ROOT)


@pytest.mark.parametrize("vector", VECTORS["notes"], ids=lambda vector: vector["vkey"].partition("+")[0])
def test_published_notes_verify_under_their_published_keys(vector):
    name, kind, public = read_vkey(vector["vkey"])
    note = Note.from_bytes(f"{vector['text']}\n{vector['line']}".encode())
    assert (kind, note.text, str(note.lines[0])) == (ED25519, vector["text"], vector["line"])
    assert signed_by(note, name, public)
    assert vkey(name, kind, public) == vector["vkey"]


def test_signing_with_the_published_private_key_gives_the_published_note():
    vector = VECTORS["notes"][1]
    key = from_seed(unb64(vector["skey"].split("+", 4)[4])[1:])
    assert str(sign(vector["text"], "PeterNeumann", key)) == vector["line"]


def test_the_published_checkpoint_and_cosignature_are_read_as_published():
    note = Note.from_bytes(f"{EXAMPLE['text']}\n{EXAMPLE['lines']}".encode())
    assert Checkpoint.parse(note.text).text == EXAMPLE["text"]
    assert Checkpoint.parse(note.text).size == 20852163
    witness = note.lines[1]
    assert (witness.name, witness.key_hash.hex()) == ("witness.example.com/w1", "8d66cf3f")
    assert int.from_bytes(witness.signature[:8], "big") == EXAMPLE["cosigned_at"]


def test_a_cosignature_signs_the_published_message():
    line = cosign(EXAMPLE["text"], "w", WITNESS, lambda: datetime.fromtimestamp(EXAMPLE["cosigned_at"], UTC))
    assert verify(WITNESS.public, line.signature[8:], EXAMPLE["cosigned_message"].encode())
    assert cosigned_at(EXAMPLE["text"], line, "w", WITNESS.public) == EXAMPLE["cosigned_at"]


def test_key_ids_differ_by_name_key_and_type():
    ids = {key_hash(n, k, p) for n in "ab" for k in (ED25519, COSIGNATURE) for p in (LOG.public, WITNESS.public)}
    assert len(ids) == 8


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[1:],
        lambda text: text.replace("530d903a", "530d903b"),
        lambda text: text.replace("530d903a", "530D903A"),
        lambda text: text[:-1] + "l",
        lambda text: text + "=",
        lambda text: text.replace("example", "ex ample"),
        lambda text: text.replace("+Aeky", "+Beky"),
        lambda text: "",
        lambda text: "a+b",
    ],
)
def test_another_verifier_key_is_refused(change):
    with pytest.raises(CallerError) as caught:
        read_vkey(change(VECTORS["notes"][0]["vkey"]))
    assert caught.value.code == "ledger.bad-vkey"


def test_a_p256_key_signs_no_notes():
    with pytest.raises(CallerError) as caught:
        vkey("name", ED25519, private_keys("bank-a")["release"].public)
    assert caught.value.code == "ledger.not-ed25519"


def test_a_name_with_a_space_or_a_plus_signs_no_notes():
    for name in ("", "a b", "a+b", "a\n"):
        with pytest.raises(CallerError) as caught:
            sign(HEAD.text, name, LOG)
        assert caught.value.code == "ledger.bad-name"


def signed_head():
    at = lambda: datetime(2026, 11, 22, tzinfo=UTC)  # noqa: E731
    name = witness_name(HEAD.origin, "bank-a")
    return Note(HEAD.text, (sign(HEAD.text, HEAD.origin, LOG), cosign(HEAD.text, name, WITNESS, at)))


def test_every_changed_bit_of_a_cosigned_head_is_refused():
    data = signed_head().to_bytes()
    for at in range(len(data)):
        for bit in (0, 1, 5, 7):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            with pytest.raises(VerifyError):
                whole_head(bytes(changed))
    assert whole_head(data) == HEAD


def whole_head(data):
    note = Note.from_bytes(data)
    head = require_head(note, origin=HEAD.origin, log_key=LOG.public)
    log, witness = note.lines
    if log.name != HEAD.origin:
        raise VerifyError("ledger.not-signed-by-log", origin=HEAD.origin)
    cosigned_at(note.text, witness, witness_name(HEAD.origin, "bank-a"), WITNESS.public)
    return head


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\xe2\x80\x94 name AAAA\n",  # a key id without a signature
        b"text\n\n- name AAAAAAA=\n",
        "text\n\n— name AAAAAAA=".encode(),  # no last newline
        "text\n\n— name AAAAAAB=\n".encode(),  # another spelling of the last byte
        "text\n\n— name  AAAAAAA=\n".encode(),
        "te\txt\n\n— name AAAAAAA=\n".encode(),
        "text\r\n\n— name AAAAAAA=\n".encode(),
        b"te\xffxt\n\n\xe2\x80\x94 name AAAAAAA=\n",
        b"x" * 70_000 + "\n\n— name AAAAAAA=\n".encode(),
    ],
)
def test_what_is_no_note_in_its_one_spelling_is_refused(data):
    with pytest.raises(VerifyError) as caught:
        Note.from_bytes(data)
    assert caught.value.code == "ledger.bad-note"


@pytest.mark.parametrize(
    "text",
    [
        "foedus/banks\n07\n" + HEAD.text.split("\n")[2] + "\n",
        "foedus/banks\n-1\n" + HEAD.text.split("\n")[2] + "\n",
        "\n7\n" + HEAD.text.split("\n")[2] + "\n",
        HEAD.text + "an extension line\n",
        HEAD.text.replace("FU=", "FV="),
        "foedus/banks\n7\nAAAA\n",
    ],
)
def test_what_is_no_checkpoint_in_its_one_spelling_is_refused(text):
    with pytest.raises(VerifyError) as caught:
        Checkpoint.parse(text)
    assert caught.value.code == "ledger.bad-checkpoint"


def test_a_signature_by_an_unknown_key_says_nothing_and_a_false_one_by_a_known_key_refuses_the_note():
    by_other = Note(HEAD.text, (sign(HEAD.text, HEAD.origin, WITNESS),))
    assert not signed_by(by_other, HEAD.origin, LOG.public)
    true = sign(HEAD.text, HEAD.origin, LOG)
    false = Line(true.name, true.key_hash, bytes(64))
    with pytest.raises(VerifyError) as caught:
        signed_by(Note(HEAD.text, (true, false)), HEAD.origin, LOG.public)
    assert caught.value.code == "ledger.bad-signature"


def test_a_plain_signature_never_passes_for_a_cosignature():
    name = witness_name(HEAD.origin, "bank-a")
    for line in (sign(HEAD.text, name, WITNESS), Line(name, key_hash(name, COSIGNATURE, WITNESS.public), bytes(72))):
        with pytest.raises(VerifyError) as caught:
            cosigned_at(HEAD.text, line, name, WITNESS.public)
        assert caught.value.code == "ledger.bad-cosignature"
