"""What a process remembers of a ledger: read on, and believed only as far as the signed head confirms it."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from foedus import workspace as ws
from foedus.core.errors import VerifyError
from foedus.core.keys import generate
from foedus.core.parcel import Parcel
from foedus.ledger import Ledger
from foedus.ledger.note import Checkpoint, Note, sign
from foedus.ledger.tiles import Tile, bundle, unbundle
from foedus.records.acts import Refuse
from foedus.workspace import folded as room
from workspace.test_paper import card, clock, in_force


def refusal(number):
    return Refuse(code="wire.garbage", source=f"10.0.0.{number}", count=1, run=None, round=0)


def as_a_new_process(monkeypatch):
    monkeypatch.setattr(room, "_KEPT", type(room._KEPT)())
    monkeypatch.setattr(room, "_FOLDS", type(room._FOLDS)())


def exchange(ledger, index, data):
    """Put other bytes in the place of an entry's, as who can write to the folder may."""
    tile = Tile(-1, 0, ledger.size)
    leaves = unbundle((ledger.folder / tile.path).read_bytes(), tile)
    leaves[index] = data
    (ledger.folder / tile.path).write_bytes(bundle(leaves))


def test_an_act_reads_only_the_entries_that_came_since_the_last_look(tmp_path, monkeypatch):
    hub, _ = in_force(tmp_path)
    for number in range(30):
        ws.act(hub, refusal(number), clock=clock)
    before = ws.consortium(hub)
    read, hashed = Counter(), Counter()

    def counted(data, index):
        read[index] += 1
        return parse(data, index)

    def leaf_hash(data):
        hashed[data] += 1
        return hash_of(data)

    parse, hash_of = room.parse_leaf, room.leaf_hash
    monkeypatch.setattr(room, "parse_leaf", counted)
    monkeypatch.setattr(room, "leaf_hash", leaf_hash)
    ws.act(hub, refusal(31), clock=clock)
    assert ws.consortium(hub).size == before.size + 1
    assert read == {before.size: 1}
    assert list(hashed.values()) == [1]
    as_a_new_process(monkeypatch)
    assert ws.consortium(hub).size == before.size + 1
    assert read == dict.fromkeys(range(before.size), 1) | {before.size: 2}


def test_what_one_party_has_folded_no_other_of_its_process_folds_again(tmp_path, monkeypatch):
    hub, members = in_force(tmp_path)
    for number in range(5):
        ws.act(hub, refusal(number), clock=clock)
    whole = ws.consortium(hub)
    monkeypatch.setattr(room, "parse_leaf", lambda *_: pytest.fail("folded again"))
    for member in members.values():
        assert ws.take_ledger(member, ws.export_ledger(hub)) == whole
    monkeypatch.undo()
    as_a_new_process(monkeypatch)
    assert [ws.consortium(member) for member in members.values()] == [whole] * len(members)


def test_a_copy_that_was_changed_is_not_taken_for_that_of_another_party(tmp_path, monkeypatch):
    hub, members = in_force(tmp_path)
    ws.act(hub, refusal(1), clock=clock)
    for member in members.values():
        ws.take_ledger(member, ws.export_ledger(hub))
    as_a_new_process(monkeypatch)
    whole = ws.consortium(hub)
    mine = members["bank-a"]
    exchange(Ledger(mine.ledger), whole.size - 1, b"another entry")
    with pytest.raises(VerifyError):
        ws.consortium(mine)
    assert ws.consortium(members["bank-b"]) == whole


def test_what_was_remembered_is_what_a_new_process_reads(tmp_path, monkeypatch):
    hub, members = in_force(tmp_path)
    for number, member in enumerate(members.values()):
        ws.collect_acts(hub, [ws.make_act(member, card("a"), clock=clock)], clock=clock)
        ws.act(hub, refusal(number), clock=clock)
        ws.consortium(hub)
    grown = room.folded(hub)
    as_a_new_process(monkeypatch)
    assert room.folded(hub) == grown
    for leaf in Ledger(hub.ledger).leaves():
        assert grown.place(leaf.envelope) == leaf.index


def test_an_act_of_another_process_is_seen_at_the_next_look(tmp_path, monkeypatch):
    hub, _ = in_force(tmp_path)
    here = ws.consortium(hub).size
    kept = room._KEPT
    as_a_new_process(monkeypatch)
    ws.act(hub, refusal(1), clock=clock)
    monkeypatch.setattr(room, "_KEPT", kept)
    assert ws.consortium(hub).size == here + 1
    ws.act(hub, refusal(2), clock=clock)
    assert ws.consortium(hub).size == here + 2


def test_an_entry_that_is_exchanged_in_the_folder_is_not_taken_for_the_one_that_was_folded(tmp_path, monkeypatch):
    hub, _ = in_force(tmp_path)
    ws.act(hub, refusal(1), clock=clock)
    known = ws.consortium(hub)
    ledger = Ledger(hub.ledger)
    last = list(ledger.data())[-1]
    exchange(ledger, ledger.size - 1, last.replace(b'"recorded_at":"2026-06-01', b'"recorded_at":"2026-06-02'))
    assert ws.consortium(hub) == known
    as_a_new_process(monkeypatch)
    with pytest.raises(VerifyError) as caught:
        ws.consortium(hub)
    assert caught.value.code == "ledger.root-differs"


def test_a_ledger_that_was_put_back_is_folded_from_the_start_and_then_goes_on(tmp_path):
    hub, _ = in_force(tmp_path)
    before = ws.consortium(hub)
    shutil.copytree(hub.ledger, tmp_path / "before")
    ws.act(hub, refusal(1), clock=clock)
    ws.act(hub, refusal(2), clock=clock)
    longer = ws.consortium(hub)
    shutil.rmtree(hub.ledger)
    shutil.copytree(tmp_path / "before", hub.ledger)
    for act in sorted(hub.outbox.glob("*.act"))[-2:]:
        act.unlink()
    assert ws.consortium(hub) == before
    assert before.size == longer.size - 2
    ws.act(hub, refusal(3), clock=clock)
    ws.act(hub, refusal(4), clock=clock)
    other = ws.consortium(hub)
    assert (other.size, set(other.refusals)) == (
        longer.size, {("", 0, "wire.garbage", f"10.0.0.{number}") for number in (3, 4)}
    )  # fmt: skip


def test_a_head_that_the_log_did_not_sign_or_that_counts_other_entries_is_refused(tmp_path, monkeypatch):
    hub, _ = in_force(tmp_path)
    path, honest = hub.ledger / "checkpoint", (hub.ledger / "checkpoint").read_bytes()
    head = Checkpoint.parse(Note.from_bytes(honest).text)
    as_a_new_process(monkeypatch)
    path.write_bytes(Note(head.text, (sign(head.text, head.origin, generate("log")),)).to_bytes())
    with pytest.raises(VerifyError) as caught:
        ws.consortium(hub)
    assert caught.value.code == "ledger.not-signed-by-log"
    other = Checkpoint(head.origin, head.size, b"\x07" * 32)
    path.write_bytes(Note(other.text, (sign(other.text, head.origin, ws.private_key(hub, "log")),)).to_bytes())
    with pytest.raises(VerifyError) as caught:
        ws.consortium(hub)
    assert caught.value.code == "ledger.root-differs"
    path.write_bytes(honest)
    assert ws.consortium(hub).size == head.size


def test_an_entry_that_is_not_recorded_has_no_place_whatever_its_number(tmp_path):
    hub, members = in_force(tmp_path)
    made = Parcel.from_bytes(ws.make_act(members["bank-a"], card("a"), clock=clock)).documents[0]
    assert room.folded(hub).place(made) is None
    ws.collect_acts(hub, [Parcel.of([made]).to_bytes()], clock=clock)
    assert room.folded(hub).place(made) == room.folded(hub).state.size - 1
    first = Parcel.from_bytes(ws.make_act(members["bank-b"], card("b"), clock=clock)).documents[0]
    for forgotten in members["bank-b"].outbox.glob("*"):  # as one does who signs two acts under one number
        if int(forgotten.stem) > 1:
            forgotten.unlink()
    second = Parcel.from_bytes(ws.make_act(members["bank-b"], card("c"), clock=clock)).documents[0]
    indices = ws.collect_acts(hub, [Parcel.of([first, second]).to_bytes()], clock=clock)
    assert [room.folded(hub).place(one) for one in (first, second)] == indices
    assert ws.collect_acts(hub, [Parcel.of([first, second]).to_bytes()], clock=clock) == indices


def test_what_is_remembered_of_a_folder_is_found_again_wherever_the_process_goes(tmp_path, monkeypatch):
    hub, _ = in_force(tmp_path)
    monkeypatch.chdir(hub.folder)
    here = ws.open_workspace(Path())
    ws.act(here, refusal(1), clock=clock)
    monkeypatch.chdir(tmp_path)
    ws.act(hub, refusal(2), clock=clock)
    assert len(ws.consortium(hub).refusals) == 2
