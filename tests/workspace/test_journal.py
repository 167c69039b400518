"""The journal: whole lines only, each naming the one before."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.digest import sha256
from foedus.core.errors import RunError, VerifyError
from foedus.workspace.journal import Journal, read_journal

AT = "2026-11-22T12:00:00Z"
ASK, OTHER = sha256(b"ask"), sha256(b"other")


def three_lines(path):
    journal = Journal(path)
    journal.add(at=AT, event="reserved", ask=ASK, place="run-1/1/1/1")
    journal.add(at=AT, event="answered", ask=ASK, place="run-1/1/1/1", reply=OTHER, private={"alone": OTHER})
    journal.add(at=AT, event="refused", ask=OTHER, place="run-1/1/1/1", reply=ASK, detail="node.place-taken")
    return journal


def test_a_journal_opened_again_says_the_same(tmp_path):
    journal = three_lines(tmp_path / "journal.jsonl")
    again = Journal(tmp_path / "journal.jsonl")
    assert again.lines == journal.lines
    assert [line.n for line in again.lines] == [1, 2, 3]
    assert again.closed(ASK).reply == OTHER
    assert again.at_place("run-1/1/1/1").ask == ASK
    assert again.at_place("run-1/2/1/1") is None


def test_private_states_come_from_earlier_rounds_of_the_same_run(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for number, (run, round_) in enumerate([("run-1", 1), ("run-1", 2), ("run-2", 1)]):
        place, name = f"{run}/{round_}/1/1", sha256(str(number).encode())
        journal.add(at=AT, event="reserved", ask=name, place=place)
        journal.add(at=AT, event="answered", ask=name, place=place, reply=name, private={"alone": name})
    assert journal.private("run-1", 1) == {}
    assert journal.private("run-1", 2) == {"alone": sha256(b"0")}
    assert journal.private("run-1", 9) == {"alone": sha256(b"1")}
    assert journal.private("run-2", 2) == {"alone": sha256(b"2")}


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(min_value=1, max_value=10_000))
def test_a_line_torn_by_a_crash_is_dropped_and_the_next_takes_its_place(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    whole = three_lines(path)
    last = len(whole.lines[-1].to_bytes())
    path.write_bytes(path.read_bytes()[: -1 - cut % last])
    journal = Journal(path)
    assert journal.lines == whole.lines[:2]
    added = journal.add(at=AT, event="failed", ask=OTHER, place="run-1/1/1/1")
    assert added.n == 3
    assert read_journal(path) == [*whole.lines[:2], added]


@pytest.mark.parametrize("number", [1, 2])
def test_a_line_whose_words_were_changed_is_named_by_the_next(tmp_path, number):
    path = tmp_path / "journal.jsonl"
    three_lines(path)
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = lines[number - 1].replace(b"12:00:00", b"13:00:00")
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(VerifyError) as caught:
        read_journal(path)
    assert (caught.value.code, caught.value.fields) == ("journal.changed", {"line": number + 1})
    assert f"line {number + 1}" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[0], lines[0], *lines[1:]], 2),
        (lambda lines: [lines[0], b"not json", lines[2]], 2),
        (lambda lines: [lines[0], lines[1].replace(b'"n":2', b'"n": 2'), lines[2]], 2),
        (lambda lines: [lines[0], json.dumps({"n": 2}).encode(), lines[2]], 2),
    ],
    ids=["swapped", "removed", "doubled", "not-json", "respelt", "without-fields"],
)
def test_lines_moved_dropped_or_malformed_are_named(tmp_path, change, line):
    path = tmp_path / "journal.jsonl"
    three_lines(path)
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"\n".join(change(lines)) + b"\n")
    with pytest.raises(VerifyError) as caught:
        Journal(path)
    assert caught.value.fields == {"line": line}


def test_what_another_process_wrote_is_read_before_going_on(tmp_path):
    one, other = Journal(tmp_path / "journal.jsonl"), Journal(tmp_path / "journal.jsonl")
    one.add(at=AT, event="reserved", ask=ASK, place="run-1/1/1/1")
    assert other.lines == []
    other.refresh()
    other.add(at=AT, event="failed", ask=ASK, place="run-1/1/1/1")
    assert len(read_journal(tmp_path / "journal.jsonl")) == 2


def test_a_disk_that_is_full_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    journal = three_lines(tmp_path / "journal.jsonl")
    before = (tmp_path / "journal.jsonl").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("foedus.workspace.journal.os.fsync", full)
    with pytest.raises(RunError) as caught:
        journal.add(at=AT, event="reserved", ask=sha256(b"x"), place="run-1/2/1/1")
    assert caught.value.code == "files.cannot-write"
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    monkeypatch.undo()
    journal.add(at=AT, event="reserved", ask=sha256(b"x"), place="run-1/2/1/1")
    assert len(read_journal(tmp_path / "journal.jsonl")) == 4
