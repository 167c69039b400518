"""The folder: append, copies, receipts, cosignatures; and a process killed at every step that it takes."""

import json
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from foedus.core.errors import CallerError, IdentityError, RunError, VerifyError
from foedus.core.files import lock
from foedus.ledger import merkle
from foedus.ledger.leaf import leaf_bytes
from foedus.ledger.log import Ledger, head_digest
from foedus.ledger.note import COSIGNATURE, ED25519, Checkpoint, Note, cosign, sign, vkey, witness_name
from foedus.ledger.receipt import check_extension, check_receipt
from foedus.ledger.tiles import Tile, layout
from foedus.ledger.verify import verify_structure, verify_witnesses
from ledger.logs import BANKS, LOG, ORIGIN, START, WITNESSES, copied, envelope, filled, made, ticking
from samples import private_keys


def sound(folder):
    checks, leaves = verify_structure(folder, log_key=LOG.public, origin=ORIGIN)
    assert [check for check in checks if check.outcome != "ok"] == []
    return leaves


def code(error):
    return error.value.code


def test_entries_come_back_in_order_as_they_were_signed(tmp_path):
    ledger = filled(tmp_path / "ledger", 5)
    assert [leaf.index for leaf in ledger.leaves()] == [0, 1, 2, 3, 4]
    assert [leaf.entry.number for leaf in ledger.leaves(2)] == [3, 4, 5]
    assert [leaf.envelope for leaf in Ledger(tmp_path / "ledger").leaves()] == [envelope(n) for n in range(1, 6)]
    assert (ledger.origin, ledger.size, ledger.repaired) == (ORIGIN, 5, None)
    assert len(sound(tmp_path / "ledger")) == 5


def test_the_layout_is_that_of_tlog_tiles():
    # The example of the specification: 70,000 entries.
    tiles = list(layout(70_000))
    hashes = [tile for tile in tiles if tile.level >= 0]
    assert len([tile for tile in hashes if tile.level == 0 and tile.width == 256]) == 273
    assert Tile(0, 273, 112) in hashes
    assert [tile for tile in hashes if tile.level > 0] == [Tile(1, 0, 256), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert {tile.path for tile in layout(256)} == {"tile/entries/000", "tile/0/000", "tile/1/000.p/1"}
    assert Tile(0, 1_234_067, 256).path == "tile/0/x001/x234/067"
    for tile in tiles:
        assert Tile.parse(tile.path) == tile
    for path in ("tile/00/000", "tile/0/00", "tile/0/x000/001", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000/"):
        assert Tile.parse(path) is None


def test_the_same_envelope_again_gives_the_same_index_and_changes_nothing(tmp_path):
    ledger = filled(tmp_path / "ledger", 3)
    before = ledger.checkpoint()
    assert ledger.append(envelope(2), key=LOG, clock=ticking()) == 1
    assert Ledger(tmp_path / "ledger").append(envelope(3), key=LOG, clock=ticking()) == 2
    assert (ledger.checkpoint(), ledger.size) == (before, 3)


def test_the_time_of_recording_never_goes_back(tmp_path):
    ledger = filled(tmp_path / "ledger", 2)
    ledger.append(envelope(3), key=LOG, clock=lambda: START - timedelta(days=1))
    times = [leaf.recorded_at for leaf in ledger.leaves()]
    assert times == ["2026-11-22T08:00:00Z", "2026-11-22T08:00:01Z", "2026-11-22T08:00:01Z"]


def test_only_the_log_key_appends(tmp_path):
    ledger = filled(tmp_path / "ledger", 1)
    with pytest.raises(IdentityError) as caught:
        ledger.append(envelope(2), key=private_keys("bank-a")["act"], clock=ticking())
    assert code(caught) == "ledger.wrong-log-key"
    assert len(sound(tmp_path / "ledger")) == 1


def test_what_is_no_entry_with_one_signature_or_too_large_is_refused(tmp_path):
    ledger = filled(tmp_path / "ledger", 1)
    keys = private_keys("bank-a")
    for wrong in (envelope(2).with_signature(keys["witness"]), Checkpointish().sign(keys["act"])):
        with pytest.raises(VerifyError) as caught:
            ledger.append(wrong, key=LOG, clock=ticking())
        assert code(caught) == "ledger.bad-entry"
    large = envelope(2)
    large = type(large)(large.payload_type, b'{"x":"' + b"y" * 40_000 + b'"}', large.signatures)
    with pytest.raises(CallerError) as caught:
        ledger.append(large, key=LOG, clock=ticking())
    assert code(caught) == "ledger.entry-too-large"
    assert ledger.append(envelope(2), key=LOG, clock=ticking()) == 1
    assert len(sound(tmp_path / "ledger")) == 2


class Checkpointish:
    """A signed document that is no entry."""

    def sign(self, key):
        from foedus.core.envelope import seal

        return seal(b"{}", "application/vnd.foedus.reply+json", [key])


def test_a_ledger_is_begun_once(tmp_path):
    filled(tmp_path / "ledger", 1)
    with pytest.raises(CallerError) as caught:
        Ledger.create(tmp_path / "ledger", origin=ORIGIN, key=LOG)
    assert code(caught) == "ledger.exists"
    with pytest.raises(CallerError) as caught:
        Ledger(tmp_path / "nothing")
    assert code(caught) == "ledger.none-here"


def test_two_writers_see_each_others_entries(tmp_path):
    one = filled(tmp_path / "ledger", 1)
    two = Ledger(tmp_path / "ledger")
    assert one.append(envelope(2), key=LOG, clock=ticking()) == 1
    assert two.append(envelope(3), key=LOG, clock=ticking()) == 2
    assert [leaf.entry.number for leaf in one.leaves()] == [1, 2]  # the bundle was replaced beneath: the same entries
    one.refresh()
    assert one.size == 3
    assert len(sound(tmp_path / "ledger")) == 3


def test_four_threads_append_without_losing_an_entry(tmp_path):
    filled(tmp_path / "ledger", 0)

    def work(actor):
        ledger = Ledger(tmp_path / "ledger")
        for number in range(1, 6):
            ledger.append(envelope(number, actor=actor), key=LOG, clock=ticking())

    threads = [threading.Thread(target=work, args=[actor]) for actor in (*BANKS, "bank-d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    leaves = sound(tmp_path / "ledger")
    for actor in (*BANKS, "bank-d"):
        assert [leaf.entry.number for leaf in leaves if leaf.entry.actor == actor] == [1, 2, 3, 4, 5]


def test_an_open_ledger_reads_on_where_another_writer_was_and_its_receipts_hold(tmp_path):
    ledger, other = made(tmp_path / "ledger", 250), Ledger(tmp_path / "ledger")
    for number in range(251, 263):
        writer = (ledger, other)[number % 2]
        assert writer.append(envelope(number), key=LOG, clock=ticking(), since=number - 2) == number - 1
    ledger.refresh()
    for index in (0, 249, 255, 256, 261):
        leaf = list(Ledger(ledger.folder).data())[index]
        assert check_receipt(ledger.proof(index), leaf, origin=ORIGIN, log_key=LOG.public).size == 262
    assert len(sound(ledger.folder)) == 262


def test_a_changed_tile_is_seen_before_a_root_is_signed_over_it(tmp_path):
    ledger = filled(tmp_path / "ledger", 5)
    tile = ledger.folder / "tile/0/000.p/5"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    with pytest.raises(VerifyError) as caught:
        Ledger(ledger.folder).append(envelope(6), key=LOG, clock=ticking())
    assert caught.value.code == "ledger.root-differs"
    assert Ledger(ledger.folder).size == 5


def test_full_tiles_and_the_levels_above_them(tmp_path):
    full = made(tmp_path / "ledger", 250)
    for number in range(251, 265):
        full.append(envelope(number), key=LOG, clock=ticking())
    assert (tmp_path / "ledger/tile/1/000.p/1").stat().st_size == 32
    assert (tmp_path / "ledger/tile/0/000").stat().st_size == 8192
    assert not (tmp_path / "ledger/tile/0/000.p").exists()
    assert len(sound(tmp_path / "ledger")) == 264
    assert check_receipt(full.proof(260), list(full.leaves())[260].data, origin=ORIGIN, log_key=LOG.public).size == 264
    for size in (255, 256, 257, 264):
        copy = copied(tmp_path / f"copy-{size}", full, size)
        assert len(sound(copy.folder)) == size
        assert copy.extend_from(tmp_path / "ledger", log_key=LOG.public) == 264 - size
        assert len(sound(copy.folder)) == 264


# ── receipts ─────────────────────────────────────────────────────────────────


def test_each_receipt_proves_its_entry_and_no_other(tmp_path):
    ledger = filled(tmp_path / "ledger", 7)
    leaves = [leaf.data for leaf in ledger.leaves()]
    for index, leaf in enumerate(leaves):
        receipt = ledger.proof(index)
        assert check_receipt(receipt, leaf, origin=ORIGIN, log_key=LOG.public).size == 7
        with pytest.raises(VerifyError) as caught:
            check_receipt(receipt, leaves[index - 1], origin=ORIGIN, log_key=LOG.public)
        assert code(caught) == "ledger.not-included"
    with pytest.raises(CallerError) as caught:
        ledger.proof(7)
    assert code(caught) == "ledger.no-such-entry"


def test_every_changed_byte_of_a_receipt_or_an_extension_is_refused(tmp_path):
    ledger = filled(tmp_path / "ledger", 3)
    older = ledger.checkpoint()
    ledger.append(envelope(4), key=LOG, clock=ticking())
    leaf = next(ledger.leaves(2)).data
    receipt, extension = ledger.proof(2), ledger.extension(3)
    assert check_extension(extension, older, origin=ORIGIN, log_key=LOG.public).size == 4
    for whole, check in (
        (receipt, lambda data: check_receipt(data, leaf, origin=ORIGIN, log_key=LOG.public)),
        (extension, lambda data: check_extension(data, older, origin=ORIGIN, log_key=LOG.public)),
    ):
        for at in range(len(whole)):
            changed = bytearray(whole)
            changed[at] ^= 1 << at % 8
            with pytest.raises(VerifyError):
                check(bytes(changed))


def test_a_receipt_of_another_log_is_refused_by_name(tmp_path):
    ledger = filled(tmp_path / "ledger", 1)
    leaf = next(ledger.leaves()).data
    with pytest.raises(VerifyError) as caught:
        check_receipt(ledger.proof(0), leaf, origin="foedus/others", log_key=LOG.public)
    assert code(caught) == "ledger.wrong-origin"
    with pytest.raises(VerifyError) as caught:
        check_receipt(ledger.proof(0), leaf, origin=ORIGIN, log_key=private_keys("bank-a")["act"].public)
    assert code(caught) == "ledger.not-signed-by-log"


# ── copies and cosignatures ──────────────────────────────────────────────────


def test_a_copy_follows_and_an_older_head_changes_nothing(tmp_path):
    ledger = filled(tmp_path / "ledger", 3)
    older = ledger.checkpoint()
    copy = copied(tmp_path / "copy", ledger, 2)
    assert copy.extend_from(tmp_path / "ledger", log_key=LOG.public) == 1
    ledger.append(envelope(4), key=LOG, clock=ticking())
    newer = [leaf.data for leaf in ledger.leaves(3)]
    assert copy.extend(newer, ledger.checkpoint(), log_key=LOG.public) == 1
    assert copy.extend([], older, log_key=LOG.public) == 0
    assert copy.size == 4
    assert head_digest(tmp_path / "copy") == head_digest(tmp_path / "ledger")
    assert len(sound(tmp_path / "copy")) == 4


def test_a_second_history_is_refused_and_proven(tmp_path):
    ledger, other = filled(tmp_path / "ledger", 3), filled(tmp_path / "other", 2)
    later = ticking(START + timedelta(hours=1))
    other.append(envelope(9), key=LOG, clock=later)
    copy = copied(tmp_path / "copy", ledger, 3)
    with pytest.raises(VerifyError) as caught:
        copy.extend([], other.checkpoint(), log_key=LOG.public)
    assert code(caught) == "ledger.forked"
    assert caught.value.fields["theirs"] == Note.from_bytes(other.checkpoint()).text
    other.append(envelope(10), key=LOG, clock=later)
    with pytest.raises(VerifyError) as caught:
        copy.extend_from(tmp_path / "other", log_key=LOG.public)
    assert code(caught) == "ledger.not-an-extension"
    with pytest.raises(VerifyError) as caught:
        check_extension(other.extension(3), ledger.checkpoint(), origin=ORIGIN, log_key=LOG.public)
    assert code(caught) == "ledger.forked"
    assert len(sound(tmp_path / "copy")) == 3


def test_a_copy_takes_no_missing_false_or_back_dated_entries(tmp_path):
    ledger = filled(tmp_path / "ledger", 3)
    copy = copied(tmp_path / "copy", ledger, 1)
    newer = [leaf.data for leaf in ledger.leaves(1)]
    early = leaf_bytes(envelope(4), "2020-01-01T00:00:00Z")
    hashes = [merkle.leaf_hash(leaf.data) for leaf in ledger.leaves()] + [merkle.leaf_hash(early)]
    head = Checkpoint(ORIGIN, 4, merkle.root(hashes))
    dated_back = Note(head.text, (sign(head.text, ORIGIN, LOG),)).to_bytes()
    for leaves, checkpoint, expected in (
        (newer[:1], ledger.checkpoint(), "ledger.wrong-count"),
        ([newer[0], leaf_bytes(envelope(8), "2026-11-22T09:00:00Z")], ledger.checkpoint(), "ledger.not-an-extension"),
        ([newer[0], b"{}"], ledger.checkpoint(), "ledger.bad-entry"),
        ([*newer, early], dated_back, "ledger.time-goes-back"),
    ):
        with pytest.raises(VerifyError) as caught:
            copy.extend(leaves, checkpoint, log_key=LOG.public)
        assert code(caught) == expected
        assert len(sound(tmp_path / "copy")) == 1
    assert copy.extend(newer, ledger.checkpoint(), log_key=LOG.public) == 2


def cosignature(ledger, member, seconds=0):
    name = witness_name(ORIGIN, member)
    text = Note.from_bytes(ledger.checkpoint()).text
    return str(cosign(text, name, private_keys(member)["witness"], lambda: START + timedelta(seconds=seconds)))


def test_cosignatures_are_collected_and_end_with_the_head_that_they_sign(tmp_path):
    ledger = filled(tmp_path / "ledger", 2)
    for member in ("bank-b", "bank-a", "bank-b"):
        ledger.add_cosignature(cosignature(ledger, member), member=member, public=WITNESSES[member])
    lines = Note.from_bytes(ledger.checkpoint()).lines
    assert [line.name for line in lines] == [ORIGIN, f"{ORIGIN}/bank-a", f"{ORIGIN}/bank-b"]
    assert len(sound(tmp_path / "ledger")) == 2
    checks = verify_witnesses(ledger.checkpoint(), origin=ORIGIN, witnesses=WITNESSES, needed=2)
    assert [(check.name, check.outcome) for check in checks] == [
        ("ledger.cosignatures", "ok"),
        ("ledger.witnesses", "ok"),
    ]
    checks = verify_witnesses(ledger.checkpoint(), origin=ORIGIN, witnesses=WITNESSES, needed=3)
    assert checks[1].text == "split view not excluded: 2 of 3 witnesses"
    assert checks[1].outcome == "warn"
    late = cosignature(ledger, "bank-c")
    before = head_digest(tmp_path / "ledger")
    ledger.append(envelope(3), key=LOG, clock=ticking())
    assert head_digest(tmp_path / "ledger") != before
    assert [line.name for line in Note.from_bytes(ledger.checkpoint()).lines] == [ORIGIN]
    with pytest.raises(VerifyError) as caught:
        ledger.add_cosignature(late, member="bank-c", public=WITNESSES["bank-c"])
    assert code(caught) == "ledger.bad-cosignature"


def test_a_cosignature_by_a_stranger_is_named(tmp_path):
    ledger = filled(tmp_path / "ledger", 1)
    ledger.add_cosignature(cosignature(ledger, "bank-a"), member="bank-a", public=WITNESSES["bank-a"])
    known = {"bank-b": WITNESSES["bank-b"]}
    (check,) = verify_witnesses(ledger.checkpoint(), origin=ORIGIN, witnesses=known, needed=1)
    assert check.error.code == "ledger.unknown-witness"
    assert check.fields["name"] == f"{ORIGIN}/bank-a"


# ── crashes ──────────────────────────────────────────────────────────────────


def killed_at(step, work):
    """Run `work` in a child that kills itself at its `step`-th act on the file system; whether it got that far."""
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event, _):
            nonlocal seen
            if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("size", [0, 3, 255])
def test_a_writer_killed_at_any_step_leaves_the_entry_or_not_and_the_next_opening_says_which(tmp_path, size):
    made(tmp_path / "ledger", size)
    outcomes, step, alive = set(), 0, False
    while not alive:
        step += 1
        folder = Path(shutil.copytree(tmp_path / "ledger", tmp_path / f"at-{step}" / "ledger"))
        opened = Ledger(folder)
        alive = not killed_at(step, lambda opened=opened: opened.append(envelope(1000), key=LOG, clock=ticking()))
        again = Ledger(folder)
        found = sound(folder)
        assert len(found) == again.size
        outcomes.add((again.size - size, again.repaired and again.repaired.split(".")[0]))
        assert again.append(envelope(1000), key=LOG, clock=ticking()) == size
        assert len(sound(folder)) == size + 1
    assert step > 12
    assert {added for added, _ in outcomes} == {0, 1}
    assert (0, "An append was interrupted") in outcomes
    assert (1, None) in outcomes
    if size:
        assert (1, "An append was interrupted after its entry was recorded; old files were removed") in outcomes


def test_a_copy_killed_at_any_step_of_an_extension_can_be_extended_again(tmp_path):
    ledger = filled(tmp_path / "source", 6)
    newer = [leaf.data for leaf in ledger.leaves(2)]
    step, alive = 0, False
    while not alive:
        step += 1
        copy = copied(tmp_path / f"at-{step}", ledger, 2)
        alive = not killed_at(step, lambda copy=copy: copy.extend(newer, ledger.checkpoint(), log_key=LOG.public))
        again = Ledger(copy.folder)
        assert len(sound(copy.folder)) in (2, 6)
        again.extend_from(tmp_path / "source", log_key=LOG.public)
        assert len(sound(copy.folder)) == 6


def test_a_writer_killed_at_random_instants_loses_nothing_that_it_was_told_was_recorded(tmp_path):
    rng = random.Random(20261122)  # noqa: S311 - instants, not secrets
    filled(tmp_path / "ledger", 0)
    recorded = 0
    for _ in range(12):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            ledger = Ledger(tmp_path / "ledger")
            for number in range(ledger.size + 1, 10_000):
                ledger.append(envelope(number), key=LOG, clock=ticking())
                os.write(writer, b".")
        os.close(writer)
        time.sleep(rng.uniform(0.02, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(reader, "rb") as told:  # noqa: PTH123 - a descriptor
            recorded += len(told.read())
        size = Ledger(tmp_path / "ledger").size
        assert size in (recorded, recorded + 1)  # killed after recording, before telling
        recorded = size
        assert len(sound(tmp_path / "ledger")) == size
    assert recorded > 0


def test_a_full_disk_leaves_the_old_ledger_valid(tmp_path):
    ledger = filled(tmp_path / "ledger", 6)
    before = ledger.checkpoint()
    bundle = next((tmp_path / "ledger/tile/entries/000.p").iterdir()).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (10, bundle + 10):  # the head does not fit; the head fits and the entries do not
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(RunError) as caught:
                ledger.append(envelope(7), key=LOG, clock=ticking())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert code(caught) == "files.cannot-write"
        assert ledger.checkpoint() == before
        assert len(sound(tmp_path / "ledger")) == 6
    assert ledger.append(envelope(7), key=LOG, clock=ticking()) == 6


def test_repair_removes_nothing_that_an_append_cannot_have_left(tmp_path):
    ledger = filled(tmp_path / "ledger", 2)
    old = ledger.checkpoint()
    ledger.append(envelope(3), key=LOG, clock=ticking())
    ledger.append(envelope(4), key=LOG, clock=ticking())
    (tmp_path / "ledger/checkpoint").write_bytes(old)  # an old head put back: its entries are there under other names
    with pytest.raises(VerifyError) as caught:
        Ledger(tmp_path / "ledger")
    assert code(caught) == "ledger.unlisted-file"
    assert (tmp_path / "ledger/tile/entries/000.p/4").exists()


def test_opening_leaves_the_files_of_a_writer_at_work_alone(tmp_path):
    filled(tmp_path / "ledger", 2)
    begun = tmp_path / "ledger/tile/entries/000.p/.3.0123abcd.tmp"
    begun.write_bytes(b"half")
    with lock(tmp_path / ".ledger.lock"):
        assert Ledger(tmp_path / "ledger").repaired is None
        assert begun.exists()
    assert "not recorded" in Ledger(tmp_path / "ledger").repaired
    assert not begun.exists()


def test_reading_writes_nothing_beside_the_ledger(tmp_path):
    filled(tmp_path / "ledger", 2)
    (tmp_path / ".ledger.lock").unlink()
    ledger = Ledger(tmp_path / "ledger")
    list(ledger.leaves())
    ledger.proof(0)
    sound(tmp_path / "ledger")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


def test_the_ledger_of_the_golden_vector_is_written_byte_for_byte(tmp_path):
    vector = json.loads((Path(__file__).parent.parent / "vectors" / "ledger.json").read_text())
    ledger = filled(tmp_path / "ledger", 2)
    ledger.add_cosignature(cosignature(ledger, "bank-a"), member="bank-a", public=WITNESSES["bank-a"])
    assert [leaf.data.decode() for leaf in ledger.leaves()] == vector["leaves"]
    assert ledger.checkpoint().decode() == vector["checkpoint"]
    assert ledger.proof(1).decode() == vector["receipt_of_1"]
    assert vkey(ORIGIN, ED25519, LOG.public) == vector["log_vkey"]
    assert vkey(witness_name(ORIGIN, "bank-a"), COSIGNATURE, WITNESSES["bank-a"]) == vector["witness_vkey"]
    found = {path.relative_to(ledger.folder).as_posix(): path for path in ledger.folder.rglob("*") if path.is_file()}
    assert {name: sha256(path.read_bytes()).hexdigest() for name, path in found.items()} == vector["files"]
