"""What a run tells of its members: states, sizes, and failures as codes with fields of a fixed form."""

import pytest

from federation import memory_folder
from foedus.core.errors import RunError
from foedus.core.parcel import Parcel
from foedus.records.asks import Reply, Train, safe_fields
from foedus.records.base import open_record
from foedus.track.kept import read_events
from samples import private_keys
from test_run import bent, quick


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


def told(fed, kind):
    return [event.fields for event in fed.events if event.kind == kind]


def failing(fed, fields, code="train.diverged"):
    """bank-b does not train: it says that its training diverged, or what `code` says, with these fields."""

    def bend(member, asks, handle):
        if member != "bank-b" or not isinstance(asks[0].body, Train):
            return handle()
        parcel = Parcel.from_bytes(handle())
        reply = open_record(Reply, parcel.documents[0])
        bad = Reply(ask=reply.ask, member=member, outcome="failed", code=code, fields=fields)
        return Parcel((bad.sign(private_keys(member)["act"]),), {}).to_bytes()

    return bent(fed, bend)


def test_a_failure_comes_as_a_code_with_its_fields_and_a_text_in_a_field_is_not_shown(tmp_path):
    fed = quick(tmp_path / "fed", rounds=1)
    fields = {"round": "1", "step": "7", "part": "the text of row 12", "expected": "patient Lee", "other": "5"}
    fed.run(deliver=failing(fed, fields))
    [failed] = told(fed, "failed")
    assert (failed["member"], failed["code"], failed["step"]) == ("bank-b", "train.diverged", "train")
    assert failed["fields"] == {"round": "1", "step": "7"}
    [closed] = told(fed, "round")
    assert closed["left_out"] == {"bank-b": "train.diverged"}
    assert closed["used"] == ["bank-a", "bank-c"]
    assert "Lee" not in (fed.folder / "runs" / "run-1" / "events.jsonl").read_text()


@pytest.mark.parametrize("code", ["[bold]oh[/bold]", "Patient Lee, row 12", "a" * 101, None])
def test_a_code_that_is_no_code_is_not_shown(tmp_path, code):
    fed = quick(tmp_path / "fed", rounds=1)
    fed.run(deliver=failing(fed, {}, code))
    assert [one["code"] for one in told(fed, "failed")] == ["run.no-reason"]


def test_what_is_told_is_what_is_kept_and_every_asked_member_is_accounted_for(tmp_path):
    fed = quick(tmp_path / "fed", rounds=1)
    fed.run()
    assert read_events(fed.folder / "runs" / "run-1" / "events.jsonl")[0] == [
        type(event).from_json(event.to_json()) for event in fed.events
    ]
    asked = [(one["round"], one["step"], member) for one in told(fed, "asked") for member in one["members"]]
    answered = [(one["round"], one["step"], one["member"]) for one in told(fed, "answered")]
    assert sorted(asked) == sorted(answered)
    assert len(told(fed, "working")) == len(asked)
    assert all(one["bytes"] > 100 for one in (*told(fed, "working"), *told(fed, "answered")))
    assert told(fed, "ended") == [{"run": "run-1", "code": "", "fields": {}}]


def test_a_run_that_cannot_go_on_says_why_and_one_that_never_began_says_nothing(tmp_path):
    fed = quick(tmp_path / "fed", rounds=1)

    def nobody(member, message):
        raise RunError("node.too-large", got=1, expected=0)

    with pytest.raises(RunError):
        fed.run(deliver=nobody)
    assert [one["code"] for one in told(fed, "failed")] == ["node.too-large"] * 3
    assert told(fed, "ended") == [
        {"run": "run-1", "code": "run.too-few-members", "fields": {"expected": "2", "round": "1"}}
    ]
    fed.run()
    assert [event.kind for event in fed.events].count("resumed") == 1
    count = len(fed.events)
    with pytest.raises(RunError, match="over"):
        fed.run()
    assert len(fed.events) == count


@pytest.mark.parametrize(
    "fields",
    [{"part": "Train"}, {"round": "1.5"}, {"step": "1e9"}, {"expected": "five"}, {"got": "5"}, {"round": "1" * 20}],
)
def test_a_field_of_another_form_or_name_is_left_out(fields):
    assert safe_fields(fields) == {}
