"""A ledger folder with anything changed fails by name; nothing in it is without effect."""

import os
import random
import shutil
from pathlib import Path

import pytest

from foedus.core.envelope import Envelope, Signature
from foedus.core.errors import CallerError
from foedus.core.messages import LANGUAGES, error_text
from foedus.ledger.leaf import leaf_bytes
from foedus.ledger.log import Ledger
from foedus.ledger.merkle import leaf_hash
from foedus.ledger.note import cosign, witness_name
from foedus.ledger.tiles import Tile, bundle
from foedus.ledger.verify import verify_structure, verify_witnesses
from foedus.records.acts import Entry
from ledger.logs import BANKS, LOG, ORIGIN, START, WITNESSES, copied, envelope, filled, made, received, ticking
from samples import private_keys


def failure(folder, since=None):
    """The failed check of a folder, cosignatures included; none when all hold."""
    checks, leaves = verify_structure(folder, log_key=LOG.public, origin=ORIGIN, since=since)
    failed = [check for check in checks if check.outcome != "ok"]
    assert not (failed and leaves), "no entry is handed out when a check failed"
    if not failed:
        note = (folder / "checkpoint").read_bytes()
        failed = [c for c in verify_witnesses(note, origin=ORIGIN, witnesses=WITNESSES, needed=0) if c.outcome != "ok"]
    if not failed:
        return None
    (check,) = failed
    for lang in LANGUAGES:  # every failure can be told, in both languages
        assert str(error_text(check.error, lang=lang))
    assert check.text
    return check


def codes(folder, since=None):
    check = failure(folder, since)
    return check and (check.name, check.error.code, check.fields["file"])


def cosigned(folder, size):
    ledger = filled(folder, size)
    text = ledger.head.text
    for member in BANKS[:2]:
        line = cosign(text, witness_name(ORIGIN, member), private_keys(member)["witness"], lambda: START)
        ledger.add_cosignature(str(line), member=member, public=WITNESSES[member])
    return ledger


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_changed_byte_of_every_file_is_found_by_name(tmp_path):
    cosigned(tmp_path, 3)
    assert failure(tmp_path) is None
    rng = random.Random(7)  # noqa: S311 - which bits to flip
    expected = {
        "checkpoint": {"ledger.checkpoint", "ledger.files", "ledger.root", "ledger.cosignatures"},
        "tile/0/000.p/3": {"ledger.tiles"},
        "tile/entries/000.p/3": {"ledger.entries", "ledger.root"},
    }
    assert set(expected) == set(files_of(tmp_path))
    for name, checks in expected.items():
        data = (tmp_path / name).read_bytes()
        for at in range(len(data)) if len(data) < 1000 else rng.sample(range(len(data)), 300):
            changed = bytearray(data)
            changed[at] ^= 1 << rng.randrange(8)
            (tmp_path / name).write_bytes(changed)
            check = failure(tmp_path)
            assert check is not None, f"{name} byte {at}"
            assert check.name in checks
            assert check.fields["file"] == name
        (tmp_path / name).write_bytes(data)
    assert failure(tmp_path) is None


def test_every_file_of_a_larger_ledger_counts(tmp_path):
    ledger = made(tmp_path / "ledger", 300)
    assert len(files_of(ledger.folder)) == 6
    rng = random.Random(8)  # noqa: S311 - which bytes to change
    for name in files_of(ledger.folder):
        path = ledger.folder / name
        data = path.read_bytes()
        for change in (lambda d, at: d[:at] + bytes([d[at] ^ 1]) + d[at + 1 :], lambda d, at: d[:at] + d[at + 1 :],
                       lambda d, at: d[:at] + b"0" + d[at:], lambda d, at: d[:at]):  # fmt: skip
            path.write_bytes(change(data, rng.randrange(len(data))))
            check = failure(ledger.folder)
            assert check is not None, name
            assert check.fields["file"] == name
        path.write_bytes(data)
    assert failure(ledger.folder) is None


def test_every_removed_or_renamed_file_is_found_by_name(tmp_path):
    ledger = made(tmp_path / "ledger", 300)
    for name in files_of(ledger.folder):
        path = ledger.folder / name
        path.rename(path.with_name("elsewhere"))
        assert failure(ledger.folder).fields["file"] == name
        assert failure(ledger.folder).error.code == "ledger.missing-file"
        path.with_name("elsewhere").rename(path)
    assert failure(ledger.folder) is None


@pytest.mark.parametrize("name", ["note.txt", ".hidden", "tile/0/001", "tile/1/000.p/1", "tile/entries/000.p/2", "a/b"])
def test_every_added_file_is_found_by_name(tmp_path, name):
    filled(tmp_path, 3)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"more")
    assert failure(tmp_path).error.code == "ledger.unlisted-file"


def test_an_empty_folder_more_is_found(tmp_path):
    filled(tmp_path, 3)
    (tmp_path / "tile/7").mkdir()
    assert codes(tmp_path) == ("ledger.files", "ledger.unlisted-file", "tile/7")


def test_a_link_is_no_file_even_to_the_right_bytes(tmp_path):
    filled(tmp_path / "ledger", 3)
    path = tmp_path / "ledger/tile/0/000.p/3"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert codes(tmp_path / "ledger") == ("ledger.files", "ledger.unlisted-file", "tile/0/000.p/3")
    path.unlink()
    os.mkfifo(path)
    assert codes(tmp_path / "ledger") == ("ledger.files", "ledger.unlisted-file", "tile/0/000.p/3")


def test_a_ledger_under_another_name_or_key_is_refused(tmp_path):
    filled(tmp_path, 1)
    for key, origin, expected in (
        (private_keys("bank-a")["act"].public, ORIGIN, "ledger.not-signed-by-log"),
        (LOG.public, "foedus/others", "ledger.wrong-origin"),
    ):
        checks, leaves = verify_structure(tmp_path, log_key=key, origin=origin)
        assert [check.error.code for check in checks] == [expected]
        assert leaves == []


def test_a_folder_without_a_checkpoint_and_no_folder_at_all_are_told_apart(tmp_path):
    assert codes(tmp_path) == ("ledger.checkpoint", "ledger.missing-file", "checkpoint")
    with pytest.raises(CallerError) as caught:
        verify_structure(tmp_path / "nothing", log_key=LOG.public, origin=ORIGIN)
    assert caught.value.code == "ledger.none-here"


def test_an_empty_ledger_is_a_ledger(tmp_path):
    filled(tmp_path, 0)
    assert failure(tmp_path) is None
    assert files_of(tmp_path) == ["checkpoint"]


def test_an_entry_exchanged_together_with_its_tile_is_found_at_the_signed_root(tmp_path):
    ledger = filled(tmp_path, 3)
    leaves = [leaf.data for leaf in ledger.leaves()]
    forged = [leaves[0], leaf_bytes(envelope(7), "2026-11-22T08:00:01Z"), leaves[2]]
    (tmp_path / "tile/entries/000.p/3").write_bytes(bundle(forged))
    assert codes(tmp_path) == ("ledger.root", "ledger.entry-changed", "tile/entries/000.p/3")
    assert failure(tmp_path).fields["index"] == 1
    (tmp_path / "tile/0/000.p/3").write_bytes(b"".join(map(leaf_hash, forged)))
    assert codes(tmp_path) == ("ledger.root", "ledger.root-differs", "checkpoint")


def test_entries_in_another_order_are_found(tmp_path):
    ledger = filled(tmp_path, 3)
    leaves = [leaf.data for leaf in ledger.leaves()]
    (tmp_path / "tile/entries/000.p/3").write_bytes(bundle([leaves[1], leaves[0], leaves[2]]))
    assert failure(tmp_path).error.code == "ledger.entry-changed"


def test_a_log_that_signs_times_that_go_back_is_caught(tmp_path):
    ledger = filled(tmp_path / "ledger", 2)
    first, second = ledger.leaves()
    for name, leaves in (("good", [first.data, second.data]), ("bad", [second.data, first.data])):
        folder = tmp_path / name
        if name == "good":
            assert codes(received(folder, leaves).folder) is None
            continue
        # `receive` refuses such entries; so a dishonest log's folder is put together by hand.
        shutil.copytree(tmp_path / "good", folder)
        forge(folder, leaves)
        assert codes(folder) == ("ledger.order", "ledger.time-goes-back", "tile/entries/000.p/2")


def forge(folder, leaves):
    """What a log could sign if it broke its own rules."""
    from foedus.ledger import merkle
    from foedus.ledger.note import Checkpoint, Note, sign

    hashes = list(map(leaf_hash, leaves))
    head = Checkpoint(ORIGIN, len(leaves), merkle.root(hashes))
    (folder / Tile(-1, 0, len(leaves)).path).write_bytes(bundle(leaves))
    (folder / Tile(0, 0, len(leaves)).path).write_bytes(b"".join(hashes))
    (folder / "checkpoint").write_bytes(Note(head.text, (sign(head.text, ORIGIN, LOG),)).to_bytes())


GOOD = leaf_bytes(envelope(1), "2026-11-22T08:00:00Z")
SIGNED = envelope(1)


def respelt(old, new):
    assert old in SIGNED.payload
    return Envelope(SIGNED.payload_type, SIGNED.payload.replace(old, new), SIGNED.signatures)


LARGE = Entry(
    accord="sha256:" + "b" * 64, actor="bank-a", number=1, prev=None, type="vote.cast", body={"x": "y" * 36_000}
).sign(private_keys("bank-a")["act"])


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"{}",
        GOOD + b"\n",
        GOOD.replace(b'{"entry"', b'{ "entry"'),
        GOOD.replace(b"Z", b"+00:00"),
        GOOD.replace(b"2026-11-22T", b"2026-11-31T"),
        GOOD.replace(b'"recorded_at"', b'"recorded_at":"2026-11-22T08:00:00Z","recorded_at"'),
        GOOD.replace(b"foedus.entry", b"foedus.reply"),
        leaf_bytes(Envelope(SIGNED.payload_type, SIGNED.payload, ()), "2026-11-22T08:00:00Z"),
        leaf_bytes(Envelope(SIGNED.payload_type, SIGNED.payload, SIGNED.signatures * 2), "2026-11-22T08:00:00Z"),
        leaf_bytes(Envelope(SIGNED.payload_type, b" " + SIGNED.payload, SIGNED.signatures), "2026-11-22T08:00:00Z"),
        leaf_bytes(Envelope(SIGNED.payload_type, b'{"v":1}', SIGNED.signatures), "2026-11-22T08:00:00Z"),
        leaf_bytes(
            Envelope(SIGNED.payload_type, SIGNED.payload, (Signature("A" * 64, bytes(64)),)), "2026-11-22T08:00:00Z"
        ),
        leaf_bytes(respelt(b'"v":1', b'"v":true'), "2026-11-22T08:00:00Z"),
        leaf_bytes(respelt(b'"number":1', b'"number":true'), "2026-11-22T08:00:00Z"),
        leaf_bytes(respelt(b',"v":1', b""), "2026-11-22T08:00:00Z"),
        leaf_bytes(respelt(b'"number":1', b'"number":1.0'), "2026-11-22T08:00:00Z"),
        leaf_bytes(respelt(b'"number":1', b'"more":1,"number":1'), "2026-11-22T08:00:00Z"),
        leaf_bytes(LARGE, "2026-11-22T08:00:00Z"),
    ],
)
def test_an_entry_in_any_other_form_is_refused_even_under_a_signed_root(tmp_path, leaf):
    filled(tmp_path, 1)
    forge(tmp_path, [leaf])
    assert codes(tmp_path) == ("ledger.entries", "ledger.bad-entry", "tile/entries/000.p/1")
    forge(tmp_path, [GOOD])
    assert codes(tmp_path) is None


def test_other_spellings_of_the_base64_of_a_payload_are_refused(tmp_path):
    filled(tmp_path, 1)
    for number in range(1, 200):  # until the payload's base64 ends in '=', whose last letter has unused bits
        good = leaf_bytes(envelope(1, reason="y" * number), "2026-11-22T08:00:00Z")
        if b'=","payloadType"' in good and b'==","payloadType"' not in good:
            break
    at = good.index(b'=","payloadType"') - 1
    forge(tmp_path, [good[:at] + bytes([good[at] + 1]) + good[at + 1 :]])
    assert codes(tmp_path) == ("ledger.entries", "ledger.bad-entry", "tile/entries/000.p/1")


def test_an_older_checkpoint_must_be_a_prefix(tmp_path):
    ledger = filled(tmp_path / "ledger", 2)
    kept = ledger.checkpoint()
    ledger.append(envelope(3), key=LOG, clock=ticking())
    assert failure(tmp_path / "ledger", since=kept) is None
    assert failure(tmp_path / "ledger", since=ledger.checkpoint()) is None
    shorter = copied(tmp_path / "shorter", ledger, 1)
    assert codes(shorter.folder, since=kept) == ("ledger.since", "ledger.shorter-than-before", "checkpoint")
    other = filled(tmp_path / "other", 1)
    for number in (5, 6, 7):
        other.append(envelope(number), key=LOG, clock=ticking(START.replace(hour=9)))
    assert codes(other.folder, since=kept) == ("ledger.since", "ledger.forked", "checkpoint")
    assert failure(other.folder, since=kept[:-3]).error.code == "ledger.bad-note"


def test_a_boast_of_a_size_costs_nothing(tmp_path):
    from foedus.ledger.merkle import EMPTY_ROOT
    from foedus.ledger.note import Checkpoint, Note, sign

    filled(tmp_path, 1)
    head = Checkpoint(ORIGIN, 10**17, EMPTY_ROOT)
    (tmp_path / "checkpoint").write_bytes(Note(head.text, (sign(head.text, ORIGIN, LOG),)).to_bytes())
    assert codes(tmp_path) == ("ledger.files", "ledger.missing-file", "tile/entries/000")


def test_lines_may_not_be_doubled_reordered_or_strange(tmp_path):
    cosigned(tmp_path, 1)
    text, _, lines = (tmp_path / "checkpoint").read_text().partition("\n\n")
    log, one, two = lines.splitlines(keepends=True)
    for order in ([log, two, one], [one, log, two], [log, one, one], [log, log], [log, log.replace(ORIGIN, "x/y")]):
        (tmp_path / "checkpoint").write_text(text + "\n\n" + "".join(order))
        assert codes(tmp_path) == ("ledger.checkpoint", "ledger.untidy-signatures", "checkpoint")
    (tmp_path / "checkpoint").write_text(text + "\n\n" + log + two)
    assert failure(tmp_path) is None


def test_an_opened_ledger_with_a_missing_tile_says_so(tmp_path):
    filled(tmp_path, 2)
    Path(tmp_path / "tile/0/000.p/2").unlink()
    with pytest.raises(Exception, match="missing-file"):
        Ledger(tmp_path)
