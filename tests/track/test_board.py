"""The board: what the events of a run add up to, and how it is said."""

from datetime import UTC, datetime, timedelta

import pytest

from foedus.core.messages import set_language
from foedus.track.board import Board
from foedus.track.event import Event
from foedus.track.words import head_of, line_of, rows_of, size_text

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
OPENED = Event("opened", {"run": "run-1", "round": 0, "rounds": 3, "roster": ["bank-a", "bank-b", "bank-c"]})
ASKED = Event(
    "asked",
    {"round": 1, "step": "train", "until": "2026-11-22T12:10:00Z", "members": ["bank-a", "bank-b"], "kept": []},
)


def reply(kind, member="bank-a", code="", fields=(), size=2048, seconds=1.25):
    place = {"round": 1, "step": "train", "member": member, "bytes": size, "seconds": seconds}
    return Event(kind, {**place, "code": code, "fields": dict(fields)})


def board(*events):
    made = Board()
    for event in (OPENED, *events):
        made.see(event)
    return made


@pytest.fixture(autouse=True)
def _english():
    yield
    set_language("en")


def test_each_member_has_its_state_and_bytes_are_added_both_ways():
    seen = board(ASKED, Event("working", {"member": "bank-a", "bytes": 5000}), reply("answered"))
    assert rows_of(seen) == [
        ("bank-a", "answered", "1.2", "5 kB", "2 kB"),
        ("bank-b", "waiting", "", "", ""),
        ("bank-c", "not asked", "", "", ""),
    ]
    assert (seen.bytes_out, seen.bytes_in) == (5000, 2048)
    seen.see(Event("working", {"member": "bank-b", "bytes": 5000}))
    assert rows_of(seen)[1][:2] == ("bank-b", "training")
    seen.see(reply("late", "bank-b", "engine.late", size=0))
    assert rows_of(seen)[1][1] == "late"


def test_the_head_tells_round_step_time_left_bytes_and_loss():
    seen = board(ASKED)
    assert head_of(seen, NOW) == "run-1   round 1 of 3   training, round 1   0:10:00 left   out 0 B, in 0 B"
    assert seen.left(NOW + timedelta(hours=1)) == timedelta(0)
    seen.see(Event("round", {"round": 1, "loss": "0.5", "start_loss": "1.25", "left_out": {}}))
    assert head_of(seen, NOW).endswith("validation loss 0.5000 (at the start 1.2500)")
    assert "left" not in head_of(seen, NOW)
    set_language("zh")
    assert "第 1 轮，共 3 轮" in head_of(seen, NOW)


def test_a_next_step_begins_with_who_is_asked_and_who_had_answered():
    seen = board(ASKED, reply("failed", code="train.diverged"))
    fields = {"round": 1, "step": "measure", "until": "2026-11-22T12:20:00Z", "members": ["bank-b"], "kept": ["bank-a"]}
    seen.see(Event("asked", fields))
    assert {member: one.state for member, one in seen.members.items()} == {
        "bank-a": "kept",
        "bank-b": "waiting",
        "bank-c": "idle",
    }


def test_many_members_are_cut_to_those_asked_and_a_count_of_the_rest():
    names = [f"m-{number:03}" for number in range(100)]
    seen = Board()
    seen.see(Event("opened", {**OPENED.fields, "roster": names}))
    seen.see(Event("asked", {**ASKED.fields, "members": ["m-050", "m-090"]}))
    rows = rows_of(seen, limit=10)
    assert len(rows) == 11
    assert [row[0] for row in rows if row[1] == "waiting"] == ["m-050", "m-090"]
    assert rows[-1][0] == "and 90 more"


def test_how_it_ended_is_kept_until_it_is_resumed():
    seen = board(ASKED, Event("ended", {"run": "run-1", "code": "run.stopped", "fields": {}}))
    assert (seen.ended, seen.left(NOW)) == ("run.stopped", None)
    seen.see(Event("resumed", {**OPENED.fields, "round": 1}))
    assert (seen.ended, seen.round) == (None, 1)


def test_a_failure_is_told_with_its_code_what_came_and_what_to_do_in_both_languages():
    event = reply("failed", code="train.diverged", fields={"round": "2", "step": "7"})
    english = line_of(event)
    assert english.splitlines() == [
        "  training, round 1: bank-a failed: train.diverged",
        "      infinity or no number in round 2, step 7",
        "      Lower the learning rate or clip_norm, or warm up for longer.",
    ]
    set_language("zh")
    assert "bank-a 失败：train.diverged" in line_of(event)


def test_a_code_whose_fields_did_not_come_is_still_advised_on():
    assert line_of(reply("failed", code="answer.smallest-cell")).splitlines()[1:] == [
        "      fewer",
        "      Nothing is computed from so few. Add examples, or agree on another smallest cell.",
    ]
    told = line_of(reply("failed", code="workspace.busy"))  # its words name a folder, which never leaves the member
    assert "\n" in told
    assert "{" not in told


def test_a_refusal_names_the_clause_and_an_unknown_code_leads_to_the_journal():
    assert "because of the accord's clause `training.rounds`" in line_of(reply("refused", code="training.rounds"))
    assert "foedus journal send" in line_of(reply("failed", code="zoo.who-knows"))
    assert "foedus journal send" in line_of(reply("failed", code=""))
    assert "reply:envelope.malformed" in line_of(reply("failed", code="reply:envelope.malformed"))


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (3_400_000, "3.4 MB"), (5_000_000_000, "5.0 GB")]
)
def test_sizes_have_units(size, text):
    assert size_text(size) == text
