"""Replies are kept for the accord's term, and no longer; what anything else needs is never deleted."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from apart import Sockets
from foedus.core.clock import parse
from foedus.core.envelope import Envelope
from foedus.core.objects import ObjectStore
from foedus.hub.serve import Hub
from foedus.practice import open_practice, released_state, run_here
from foedus.records.asks import Reply
from foedus.records.base import open_record
from foedus.records.release import Snapshot
from foedus.state import digest
from foedus.workspace import (
    consortium,
    kept_until,
    open_workspace,
    private_key,
    prune_answers,
    prune_replies,
    prune_when_idle,
    working,
)
from foedus.workspace.journal import read_journal
from practised import MEMBERS, done, examined, foedus

SECOND = timedelta(seconds=1)


@pytest.fixture
def home(tmp_path):
    home = shutil.copytree(examined(), tmp_path / "home")
    open_practice(home / "hub").share_ledger()
    return home


def hub(home):
    return open_workspace(home / "hub")


def end(home) -> datetime:
    """When the term of run-1's replies ends."""
    return parse(consortium(hub(home)).runs["run-1"].closed_at) + timedelta(days=30)


def recorded(home):
    """The replies that came in the run, and the objects that they name."""
    store = hub(home).objects
    names = {path.read_text() for path in (home / "hub" / "runs" / "run-1" / "replies").iterdir()}
    opened = [open_record(Reply, Envelope.from_bytes(store.get(name))) for name in names]
    return names, {named for one in opened for named in one.objects.values()}


def test_before_the_term_nothing_is_deleted(home):
    before, at = set(hub(home).objects), end(home) - SECOND
    assert prune_replies(hub(home), at=at) == ()
    assert [prune_answers(open_workspace(home / member), at=at) for member in MEMBERS] == [0, 0, 0]
    assert set(hub(home).objects) == before


def test_after_the_term_the_replies_and_what_only_they_name_are_gone_and_nothing_else(home):
    before, (replies, named) = set(hub(home).objects), recorded(home)
    state = digest(released_state(hub(home), "run-1"))
    assert replies
    assert named
    assert prune_replies(hub(home), at=end(home)) == ("run-1",)
    assert before - set(hub(home).objects) == replies | named
    assert prune_replies(hub(home), at=end(home)) == ()
    assert digest(released_state(hub(home), "run-1")) == state
    known = consortium(hub(home))
    for close in known.runs["run-1"].closes:
        snapshot = Snapshot.from_bytes(hub(home).objects.get(close.snapshot))
        assert snapshot.state in hub(home).objects
    assert done("verify", home / "hub" / "ledger", "--anchor", known.anchor)["code"] == "verified"
    assert done("release", "build", "--run", "run-1", "--version", "1.0", "--workspace", home / "hub")["folder"]
    done("run", "show", "run-1", "--workspace", home / "hub")


def test_a_deletion_that_was_cut_off_goes_on(home, monkeypatch):
    before, (replies, named) = set(hub(home).objects), recorded(home)
    calls = []
    discard = ObjectStore.discard

    def cut_off(self, name):
        calls.append(name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        discard(self, name)

    monkeypatch.setattr(ObjectStore, "discard", cut_off)
    with pytest.raises(KeyboardInterrupt):
        prune_replies(hub(home), at=end(home))
    monkeypatch.undo()
    assert prune_replies(hub(home), at=end(home)) == ("run-1",)
    assert before - set(hub(home).objects) == replies | named


def test_a_reply_cannot_take_with_it_what_is_kept_for_another_reason(home):
    known, here = consortium(hub(home)), hub(home)
    close = known.runs["run-1"].closes[-1]
    wanted = {
        "accord": known.accord_digest,
        "snapshot": close.snapshot,
        "state": Snapshot.from_bytes(here.objects.get(close.snapshot)).best_state,
        "evidence": next(iter(known.evidence)),
    }
    ask = "sha256:" + "0" * 64
    reply = Reply(ask=ask, member="bank-a", outcome="done", objects=wanted)
    document = reply.sign(private_key(open_workspace(home / "bank-a"), "act")).to_bytes()
    (here.folder / "runs" / "run-1" / "replies" / ("0" * 64)).write_text(here.objects.put(document))
    prune_replies(here, at=end(home))
    assert all(name in here.objects for name in wanted.values())


def test_a_run_that_can_still_be_examined_keeps_its_replies(home):
    known, at = consortium(hub(home)), end(home)
    unexamined = replace(known, evidence={})
    assert kept_until(known, "run-1", at=at) == at
    assert kept_until(unexamined, "run-1", at=at) is None
    never_closed = replace(known.runs["run-1"], close=None, closed_at=None)
    assert kept_until(replace(known, runs={"run-1": never_closed}), "run-1", at=at) is None
    overtaken = replace(unexamined, accord_digest="sha256:" + "0" * 64)
    assert kept_until(overtaken, "run-1", at=at) == at


def test_a_member_deletes_its_own_and_its_journal_goes_on_naming_them(home):
    member = open_workspace(home / "bank-a")
    lines = read_journal(member.folder / "node" / "journal.jsonl")
    store = ObjectStore(member.folder / "node" / "replies")
    kept = {line.reply for line in lines if line.reply}
    assert kept == set(store)
    assert prune_answers(member, at=end(home)) == len(kept)
    assert not set(store)
    assert read_journal(member.folder / "node" / "journal.jsonl") == lines
    assert prune_answers(member, at=end(home)) == 0


def test_a_run_that_begins_later_deletes_what_the_term_no_longer_keeps(home):
    replies, _ = recorded(home)
    practice, later = open_practice(home / "hub"), end(home)
    run_here(practice, workers=0, clock=lambda: later)
    assert not (home / "hub" / "runs" / "run-1" / "replies").exists()
    assert not replies & set(hub(home).objects)
    assert list((home / "hub" / "runs" / "run-2" / "replies").iterdir())
    runs = {line.place.split("/")[0] for line in read_journal(home / "bank-a" / "node" / "journal.jsonl")}
    assert runs == {"run-1", "run-2"}


def test_nothing_is_deleted_while_a_run_holds_the_workspace(home):
    with working(hub(home)):
        assert prune_when_idle(hub(home), at=end(home)) == ()
    assert prune_when_idle(hub(home), at=end(home)) == ("run-1",)


def test_an_export_after_the_term_says_why_there_is_none(home, monkeypatch):
    done("run", "export-replies", "run-1", home / "before", "--workspace", home / "hub")
    monkeypatch.setattr("foedus.core.clock.now", lambda: end(home))
    told = foedus("run", "export-replies", "run-1", home / "after", "--workspace", home / "hub")
    assert (told.code, told.data["code"]) == (2, "replay.kept-no-longer")
    assert told.data["fields"]["days"] == 30
    assert not (home / "after").exists()
    assert not (home / "hub" / "runs" / "run-1" / "replies").exists()


def test_a_hub_that_is_up_deletes_them_between_runs(home, monkeypatch):
    monkeypatch.setattr("foedus.hub.serve._REST_SECONDS", -1.0)
    now = [end(home) - SECOND]
    up = Hub.up(home / "hub", start=lambda *_, **__: Sockets({}), clock=lambda: now[0])
    up.rest()
    assert (home / "hub" / "runs" / "run-1" / "replies").exists()
    now[0] += SECOND
    up.rest()
    up.close()
    assert not (home / "hub" / "runs" / "run-1" / "replies").exists()
