"""`foedus journal`: what a node answered, to be seen by its member and sent by its member alone."""

import base64
import json
import stat

from foedus.records.journal import SentJournal
from foedus.workspace import open_workspace, private_key
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


def test_what_is_sent_is_signed_and_shown_by_the_coordinator_after_checking(tmp_path):
    place, file = examined() / "bank-a", tmp_path / "bank-a.journal"
    sent = done("journal", "send", file, "--workspace", place)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    own = done("journal", "show", "--full", "--workspace", place)["lines"]
    shown = done("journal", "show", file, "--full", "--workspace", examined() / "hub")
    assert (shown["member"], shown["lines"], sent["lines"]) == ("bank-a", own, len(own))
    told = foedus("journal", "show", file, "--workspace", examined() / "hub", as_json=False).out
    assert told.startswith("bank-a signed these lines at 20")


def test_only_the_lines_that_the_member_chose_are_sent(tmp_path):
    place, hub, file = examined() / "bank-a", examined() / "hub", tmp_path / "some"
    assert done("journal", "send", file, "--line", "2", "--line", "1", "--workspace", place)["lines"] == 2
    assert [one["n"] for one in done("journal", "show", file, "--workspace", hub)["lines"]] == [1, 2]
    for words, code in ((["--line", "99"], "journal.no-such-line"), (["--failed"], "journal.nothing-chosen")):
        answer = foedus("journal", "send", tmp_path / "none", *words, "--workspace", place)
        assert (answer.code, answer.data["code"]) == (2, code)
        assert not (tmp_path / "none").exists()


def test_lines_that_another_signed_or_that_were_dropped_between_are_refused(tmp_path):
    place, hub, file = examined() / "bank-a", examined() / "hub", tmp_path / "sent"
    done("journal", "send", file, "--workspace", place)
    data = json.loads(file.read_bytes())
    inner = json.loads(base64.b64decode(data["payload"]))
    inner["lines"][1]["detail"] = "nothing happened"
    changed = SentJournal.from_json(inner)
    for key, code in (("bank-b", "envelope.not-signed"), ("bank-a", "journal.changed")):
        act = private_key(open_workspace(examined() / key), "act")
        file.write_bytes(changed.sign(act).to_bytes())
        answer = foedus("journal", "show", file, "--workspace", hub)
        assert (answer.code, answer.data["code"]) == (6, code)


def test_a_journal_where_it_lies_verifies_and_a_dropped_line_is_named(tmp_path):
    lines = (examined() / "bank-a" / "node" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(lines))
    assert done("verify", tmp_path / "j")["what"] == "journal"
    (tmp_path / "j").write_bytes(b"".join([lines[0], *lines[2:]]))
    assert foedus("verify", tmp_path / "j").code == 6


def test_the_coordinator_has_no_journal_of_a_node(tmp_path):
    for words in (["show"], ["send", tmp_path / "x"]):
        answer = foedus("journal", *words, "--workspace", examined() / "hub")
        assert (answer.code, answer.data["code"]) == (2, "workspace.wrong-role")
