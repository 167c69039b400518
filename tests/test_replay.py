"""A release recomputed from the signed replies; whatever is changed, left out or exchanged is named."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from unittest.mock import patch

import pytest

from foedus import replay
from foedus.core.envelope import Envelope
from foedus.core.errors import VerifyError
from foedus.core.objects import ObjectStore
from foedus.records.asks import Reply
from foedus.records.base import open_record
from foedus.release import desk
from foedus.workspace import consortium, open_workspace
from lied import drafted, examined_falsely, made_up, narrowed
from practised import MEMBERS, anchor, bundle, done, examined, foedus, published, shared


@pytest.fixture
def replies(tmp_path):
    return shutil.copytree(published() / "replies", tmp_path / "replies")


def closes():
    return consortium(open_workspace(published() / "hub")).runs["run-1"].closes


def verify(replies, path=None):
    home = published()
    return foedus("verify", path or bundle(home), "--anchor", anchor(home), "--replay", replies)


def first_reply(replies):
    """The first listed reply of round 1: who sent it, its file, and the reply."""
    used = closes()[0].used[0]
    store = ObjectStore(replies)
    return used.member, store, open_record(Reply, Envelope.from_bytes(store.get(used.reply))), used.reply


def test_it_is_equal_to_the_bit_and_says_so_round_by_round(replies):
    answer = verify(replies)
    assert answer.code == 0, answer.err
    names = [one["name"] for one in answer.data["checks"] if one["name"].startswith("replay.")]
    assert names == ["replay.round", "replay.round", "replay.state", "replay.evidence", "replay.model"]
    assert {one["outcome"] for one in answer.data["checks"] if one["name"].startswith("replay.")} == {"ok"}
    assert "release.figures" not in [one["name"] for one in answer.data["checks"]]


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_it_is_equal_to_the_bit_on_every_kind_of_processor(replies, capability):
    home = published()
    words = ["verify", str(bundle(home)), "--anchor", anchor(home), "--replay", str(replies), "--json"]
    environment = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": capability,
        "FOEDUS_KNOWN": str(shared() / "known.json"),
    }
    ended = subprocess.run([sys.executable, "-m", "foedus", *words], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert [one["outcome"] for one in json.loads(ended.stdout)["checks"] if one["name"] == "replay.state"] == ["ok"]


def test_one_changed_value_of_an_update_is_named_with_member_and_round(replies):
    member, store, reply, _ = first_reply(replies)
    path = store.path(next(iter(reply.objects.values())))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    answer = verify(replies)
    assert (answer.code, answer.data["code"]) == (6, "replay.reply-changed")
    assert f"round 1: what {member} replied" in answer.err


def test_a_missing_reply_and_a_missing_update_are_named(replies):
    member, store, reply, name = first_reply(replies)
    store.path(next(iter(reply.objects.values()))).unlink()
    answer = verify(replies)
    assert (answer.code, answer.data["code"]) == (6, "replay.object-missing")
    assert member in answer.err
    store.path(name).unlink()
    answer = verify(replies)
    assert (answer.code, answer.data["code"]) == (6, "replay.reply-missing")
    assert member in answer.err


def measured_replies():
    """The measurements that the evidence names."""
    (entered,) = consortium(open_workspace(published() / "hub")).evidence.values()
    return entered.replies


def test_a_missing_or_changed_measurement_is_named(replies):
    store, item = ObjectStore(replies), measured_replies()[1]
    reply = open_record(Reply, Envelope.from_bytes(store.get(item.reply)))
    path = store.path(reply.objects["replicates"])
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    answer = verify(replies)
    assert (answer.code, answer.data["code"]) == (6, "replay.reply-changed")
    assert item.member in answer.err
    path.write_bytes(data)
    store.path(item.reply).unlink()
    answer = verify(replies)
    assert (answer.code, answer.data["code"]) == (6, "replay.reply-missing")
    assert item.member in answer.err
    assert [one["name"] for one in answer.data["checks"] if one["outcome"] == "fail"] == ["replay.evidence"]


def signed_by_all(home):
    """A release of the run that members approve without looking, and its replies."""
    draft, hub = drafted(home), home / "hub"
    votes = []
    with patch.object(desk, "with_own_figures", lambda _: lambda _, seen: seen):
        for member in MEMBERS:
            data, _ = desk.approve_draft(open_workspace(home / member), draft)
            (home / f"{member}.vote").write_bytes(data)
            votes.append(home / f"{member}.vote")
    done("gate", "approve", draft, "--collect", *votes, "--workspace", hub, at=home)
    done("release", "build", draft.name, "--workspace", hub)
    done("run", "export-replies", "run-1", home / "replies", "--workspace", hub)
    return ("verify", draft, "--anchor", anchor(home))


@pytest.mark.parametrize("lie", [narrowed, made_up])
def test_figures_that_the_members_did_not_measure_are_named(tmp_path, lie):
    home = examined_falsely(tmp_path, lie)
    words = signed_by_all(home)
    plain = foedus(*words, at=home)  # whose reader has seen no other ledger of this anchor
    assert plain.code == 0, plain.err
    assert {one["name"]: one["outcome"] for one in plain.data["checks"]}["release.figures"] == "claimed"
    answer = foedus(*words, "--replay", home / "replies", at=home)
    assert (answer.code, answer.data["code"]) == (6, "replay.other-figure")
    (failed,) = [one for one in answer.data["checks"] if one["outcome"] == "fail"]
    assert failed["name"] == "replay.evidence"


def test_the_replies_of_another_run_are_refused(tmp_path):
    home = shutil.copytree(examined(), tmp_path / "p")
    assert done("run", "start", "--workers", "0", "--workspace", home / "hub")["run"] == "run-2"
    done("run", "export-replies", "run-2", tmp_path / "other", "--workspace", home / "hub")
    answer = verify(tmp_path / "other")
    assert (answer.code, answer.data["code"]) == (6, "replay.reply-missing")


def test_a_weight_changed_in_the_ledger_is_found_before_anything_is_recomputed(replies, tmp_path):
    path = shutil.copytree(bundle(published()), tmp_path / "x.foedus")
    entries = next((path / "ledger" / "tile" / "entries").rglob("*.p/*"))
    data = entries.read_bytes()
    middle = len(data) // 2
    entries.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    answer = verify(replies, path)
    assert answer.code == 6
    assert answer.data["code"].startswith("ledger.")
    assert not [one for one in answer.data["checks"] if one["name"].startswith("replay.")]


def drive(replies, change):
    """Replay against a ledger in which the coordinator had entered other rounds."""
    proposal, known, accord = replay._read(bundle(published()))
    this = known.runs[proposal.run]
    store, changed = replay._copied(replies, ObjectStore(replies.parent / "copied"))
    book = replay._Book(known, change(this), accord, store, replay._asks_in(store, known, accord), changed)
    plan = replace(replay.compile_plan(accord), members=tuple(sorted(this.opened.roster)))
    return replay._drive(plan, book, [])


def other_round(this, number, **changes):
    rounds = list(this.closes)
    rounds[number - 1] = rounds[number - 1].model_copy(update=changes)
    return replace(this, closes=tuple(rounds))


def test_another_order_of_replies_or_another_weight_is_named(replies):
    used = closes()[0].used
    drive(replies, lambda this: this)
    with pytest.raises(VerifyError) as caught:
        drive(replies, lambda this: other_round(this, 1, used=tuple(reversed(used))))
    assert (caught.value.code, caught.value.fields["what"], caught.value.fields["round"]) == (
        "replay.differs",
        "used",
        1,
    )
    heavier = (used[0].model_copy(update={"weight": "0.9"}), *used[1:])
    with pytest.raises(VerifyError) as caught:
        drive(replies, lambda this: other_round(this, 1, used=heavier))
    assert (caught.value.code, caught.value.fields["what"]) == ("replay.differs", "used")


def test_a_reply_of_another_round_or_member_is_named(replies):
    first, second = closes()
    with pytest.raises(VerifyError) as caught:
        drive(replies, lambda this: other_round(this, 1, used=second.used))
    assert (caught.value.code, caught.value.fields["round"]) == ("replay.other-ask", 1)
    taken = first.used[0].model_copy(update={"reply": first.used[1].reply})
    with pytest.raises(VerifyError) as caught:
        drive(replies, lambda this: other_round(this, 1, used=(taken, *first.used[1:])))
    assert (caught.value.code, caught.value.fields["member"]) == ("replay.not-signed", taken.member)


def test_another_state_or_a_round_too_few_is_named(replies):
    with pytest.raises(VerifyError) as caught:
        drive(replies, lambda this: other_round(this, 2, state="sha256:" + "0" * 64))
    assert (caught.value.code, caught.value.fields["what"]) == ("replay.differs", "state")
    with pytest.raises(VerifyError) as caught:
        drive(replies, lambda this: replace(this, closes=this.closes[:1]))
    assert caught.value.code == "replay.rounds-missing"


def test_without_the_start_state_nothing_is_recomputed(replies):
    this = consortium(open_workspace(published() / "hub")).runs["run-1"]
    store = ObjectStore(replies)
    from foedus.state import digest, from_bytes

    for name in store:
        data = store.get(name)
        if not data.startswith(b"{") and digest(from_bytes(data)) == this.opened.start:
            store.path(name).unlink()
    answer = verify(replies)
    assert (answer.code, answer.data["code"]) == (6, "replay.no-start")


def test_a_folder_that_holds_no_replies_is_the_callers_mistake(tmp_path):
    answer = verify(tmp_path / "nowhere")
    assert (answer.code, answer.data["code"]) == (2, "replay.no-such-folder")


def test_replies_are_exported_into_a_folder_of_their_own(tmp_path):
    hub = published() / "hub"
    (tmp_path / "mine.txt").write_text("mine")
    answer = foedus("run", "export-replies", "run-1", tmp_path, "--workspace", hub)
    assert (answer.code, answer.data["code"]) == (2, "replay.other-files")
    answer = foedus("run", "export-replies", "run-9", tmp_path / "new", "--workspace", hub)
    assert (answer.code, answer.data["code"]) == (2, "replay.no-such-run")
    first = done("run", "export-replies", "run-1", tmp_path / "new", "--workspace", hub)
    assert done("run", "export-replies", "run-1", tmp_path / "new", "--workspace", hub) == first
