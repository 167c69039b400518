"""The events in a file: whole lines whatever happens, read later and from elsewhere."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.errors import CallerError, RunError
from foedus.track.event import Event
from foedus.track.kept import append_event, goes_on, read_events, tail

ONE = Event("working", {"member": "bank-a", "bytes": 7}, "2026-11-22T12:00:00Z")
END = Event("ended", {"run": "run-1", "code": "", "fields": {}}, "2026-11-22T12:00:01Z")


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8), max_size=4), st.text())
def test_an_event_is_the_same_after_the_wire(fields, kind):
    event = Event(kind, fields, "2026-11-22T12:00:00Z")
    assert Event.from_json(json.loads(json.dumps(event.to_json()))) == event


@pytest.mark.parametrize("value", [[], {}, {"at": "", "kind": "x"}, {"at": "", "kind": "x", "fields": {}, "more": 1}])
def test_anything_else_is_no_event(value):
    with pytest.raises(CallerError, match=r"track\.malformed"):
        Event.from_json(value)


def test_a_line_torn_at_any_byte_is_not_read_and_is_cut_off_when_the_next_comes(tmp_path):
    path = tmp_path / "run-1" / "events.jsonl"
    append_event(path, ONE)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole[:cut])
        assert read_events(path)[0] == [ONE]
        append_event(path, END)
        assert read_events(path) == ([ONE, END], path.stat().st_size)


def test_reading_goes_on_where_it_left_off(tmp_path):
    path = tmp_path / "events.jsonl"
    assert read_events(path) == ([], 0)
    append_event(path, ONE)
    _, offset = read_events(path)
    append_event(path, END)
    assert read_events(path, offset)[0] == [END]
    path.write_bytes(b"nonsense\n")
    with pytest.raises(CallerError, match="nonsense"):
        read_events(path)


def test_following_waits_for_what_comes_and_ends_with_the_run(tmp_path):
    path = tmp_path / "events.jsonl"
    coming = [ONE, END, ONE, END]

    def wait():
        append_event(path, coming.pop(0))

    assert list(tail(path, wait=wait)) == [ONE, END]
    append_event(path, ONE)  # resumed after it had ended: following goes on past the first end
    assert goes_on(path)
    coming[:] = [END]
    assert list(tail(path, wait=wait)) == [ONE, END, ONE, END]
    assert not goes_on(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError) as caught:
        append_event(tmp_path / "runs" / "events.jsonl", ONE)
    assert caught.value.code == "files.cannot-write"
