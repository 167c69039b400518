"""`foedus journal`: what a node answered, to be seen by its member and sent by its member alone."""

import stat

from practised import done, examined, foedus, ready_to_run


def test_every_ask_was_reserved_before_it_was_answered():
    lines = done("journal", "show", "--workspace", examined() / "bank-a")["lines"]
    events = {}
    for one in lines:
        events.setdefault(one["place"], []).append(one["event"])
    assert len(events) > 4
    assert set(map(tuple, events.values())) == {("reserved", "answered")}
    assert [one["n"] for one in lines] == list(range(1, len(lines) + 1))


def test_it_is_a_table_for_people_in_both_languages():
    place = examined() / "bank-a"
    assert "run-1/1/1/1" in foedus("journal", "show", "--workspace", place, as_json=False).out
    assert "已答复" in foedus("journal", "show", "--workspace", place, "--lang", "zh", as_json=False).out
    nothing = foedus("journal", "show", "--workspace", ready_to_run() / "bank-a", as_json=False)
    assert (nothing.code, nothing.out.strip()) == (0, "This node was asked nothing yet.")


def test_what_is_sent_is_the_journal_whole_and_it_verifies(tmp_path):
    place = examined() / "bank-a"
    sent = done("journal", "send", tmp_path / "bank-a.journal", "--workspace", place)
    assert stat.S_IMODE((tmp_path / "bank-a.journal").stat().st_mode) == 0o600
    assert (tmp_path / "bank-a.journal").read_bytes() == (place / "node" / "journal.jsonl").read_bytes()
    assert sent["lines"] == len((tmp_path / "bank-a.journal").read_bytes().splitlines())
    assert done("verify", tmp_path / "bank-a.journal")["what"] == "journal"


def test_a_changed_line_is_named(tmp_path):
    place = examined() / "bank-a"
    done("journal", "send", tmp_path / "j", "--workspace", place)
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join([lines[0], *lines[2:]]))
    assert foedus("verify", tmp_path / "j").code == 6


def test_the_coordinator_has_no_journal_of_a_node(tmp_path):
    for words in (["show"], ["send", tmp_path / "x"]):
        answer = foedus("journal", *words, "--workspace", examined() / "hub")
        assert (answer.code, answer.data["code"]) == (2, "workspace.wrong-role")
