"""What people bring that is wrong: each is told with expected, got and do, ends with its exit code, and leaves the
workspace usable.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from foedus.data.key import KEY_FILE
from practised import (
    LABELS,
    MEMBERS,
    agreed,
    done,
    drawn_up,
    foedus,
    in_force,
    ready_to_run,
    registered,
    shared,
    small_base,
    write_rows,
)


@pytest.fixture
def home(tmp_path):
    """A consortium with an accord in force, to be spoilt."""
    return shutil.copytree(in_force(), tmp_path / "p")


def told(answer, exit_code, code):
    """The error is the one expected, and says its three things in words."""
    assert (answer.code, answer.data.get("code")) == (exit_code, code), answer.out + answer.err
    for part in ("expected", "got", "do"):
        assert answer.data[part]
        assert f"  {part}: " in answer.err
    assert "Traceback" not in answer.err


def card(home, member="bank-a"):
    place = home / member
    return foedus("data", "card", place / "data.yaml", "--register", "--workspace", place, at=home)


SPOILT = {
    "missing-file": (lambda path: path.unlink(), "data.missing-file"),
    "wrong-encoding": (
        lambda path: path.write_bytes("text,label\ncaf\xe9,change_pin\n".encode("latin-1")),
        "data.wrong-encoding",
    ),
    "empty-file": (lambda path: path.write_bytes(b""), "data.empty-file"),
    "unknown-label": (lambda path: path.write_text("text,label\nwhere is it,parking\n"), "data.unknown-label"),
    "long-line": (
        lambda path: path.write_text("text,label\n" + "x" * (10 << 20) + ",change_pin\n"),
        "data.line-too-long",
    ),
    "one-label": (
        lambda path: path.write_text("text,label\n" + "".join(f"pin {i},change_pin\n" for i in range(30))),
        "data.one-label",
    ),
    "no-header": (lambda path: path.write_text("a,b\nc,d\n"), "data.missing-column"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILT)
def test_data_that_cannot_be_read_is_named_and_mended_data_is_taken(home, kind):
    spoil, code = SPOILT[kind]
    spoil(home / "bank-a" / "train.csv")
    told(card(home), 2, code)
    assert not list(home.glob("*.card.act"))
    write_rows(home)
    assert card(home).code == 0


def test_not_a_number_in_a_row_is_named(home):
    place = home / "bank-a"
    (place / "train.jsonl").write_text('{"text": NaN, "label": "change_pin"}\n')
    text = (place / "data.yaml").read_text()
    (place / "data.yaml").write_text(text.replace("train.csv", "train.jsonl"))
    answer = card(home)
    assert answer.code == 2
    assert answer.data["code"].startswith("data.")
    (place / "data.yaml").write_text(text)
    assert card(home).code == 0


def test_a_label_that_only_one_member_has_is_no_fault(home):
    write_rows(home, skip=[("bank-b", LABELS[0]), ("bank-c", LABELS[0])])
    registered(home)
    figures = done("run", "start", "--workers", "0", "--workspace", home / "hub")["figures"]
    assert {one["member"] for one in figures} == {None, *MEMBERS}


def test_a_missing_signature_is_named_and_once_it_is_there_the_run_starts(tmp_path):
    home = tmp_path / "p"
    drawn_up(home, small_base())
    hub = home / "hub"
    offer = done("accord", "sign", "--workspace", hub, at=home)["file"]
    for member in MEMBERS[:2]:
        act = done("accord", "sign", offer, "--yes", "--workspace", home / member, at=home)["file"]
        waiting = done("accord", "sign", "--collect", act, "--workspace", hub, at=home)
    assert waiting["missing"] == ["bank-c"]
    answer = foedus("run", "start", "--workspace", hub)
    told(answer, 1, "run.no-accord")
    assert "bank-c" in answer.err
    told(card(home), 2, "data.no-accord")
    act = done("accord", "sign", offer, "--yes", "--workspace", home / "bank-c", at=home)["file"]
    done("accord", "sign", "--collect", act, "--workspace", hub, at=home)
    told(foedus("run", "start", "--workspace", hub), 1, "run.no-cards")
    assert card(home).code == 0


def test_an_expired_accord_opens_no_run(tmp_path):
    home = tmp_path / "p"
    drawn_up(home, small_base(), [("last: 2099-12-31", "last: 2026-01-02"), ("until: 2099-12-31", "until: 2026-01-02")])
    agreed(home)
    registered(home)
    answer = foedus("run", "start", "--workspace", home / "hub")
    told(answer, 1, "run.not-in-force")
    assert "2026-01-02" in answer.err
    assert done("run", "list", "--workspace", home / "hub")["runs"] == []


def test_another_members_key_is_refused_before_anything_is_signed(home):
    key = home / "bank-a" / "keys" / "act.pem"
    kept = key.read_bytes()
    key.write_bytes((home / "bank-b" / "keys" / "act.pem").read_bytes())
    told(card(home), 3, "workspace.key-not-here")
    key.write_bytes(kept)
    assert card(home).code == 0


def test_a_wrong_or_missing_passphrase_is_told(tmp_path):
    (tmp_path / "words").write_text("open sesame\n")
    done("new", tmp_path / "p", "--practice", "2", "--passphrase-file", tmp_path / "words")
    hub = tmp_path / "p" / "hub"
    sign = ["accord", "sign", "--workspace", hub]
    told(foedus(*sign, at=tmp_path), 3, "keys.passphrase-needed")
    told(foedus(*sign, at=tmp_path, env={"FOEDUS_PASSPHRASE": "open barley"}), 3, "keys.passphrase-wrong")
    assert foedus(*sign, at=tmp_path, env={"FOEDUS_PASSPHRASE": "open sesame"}).code == 0


def test_a_base_model_that_is_not_the_pinned_one_opens_no_run_and_the_pinned_one_does(tmp_path):
    base = shutil.copytree(small_base(), tmp_path / "base")
    home = tmp_path / "p"
    drawn_up(home, base)
    agreed(home)
    registered(home)
    weights = base / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    told(foedus("run", "start", "--workspace", home / "hub"), 6, "base.differs")
    weights.write_bytes(kept[: len(kept) // 2])
    answer = foedus("run", "start", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"]) != (5, "cli.bug")
    assert answer.data["code"].startswith("base.")
    weights.write_bytes(kept)
    assert done("run", "start", "--workers", "0", "--workspace", home / "hub")["run"] == "run-1"


def test_rows_changed_after_the_card_was_registered_cost_that_member_its_place(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    path = home / "bank-a" / "train.csv"
    path.write_text(path.read_text() + "may I change the pin,change_pin\n")
    answer = foedus("run", "start", "--workers", "0", "--workspace", home / "hub")
    rounds = done("run", "show", "run-1", "--workspace", home / "hub")["rounds"]
    assert answer.code == 0, answer.err
    assert [(one["member"], one["code"]) for one in rounds[0]["left_out"]] == [("bank-a", "practice.other-data")]
    lines = done("journal", "show", "--full", "--workspace", home / "bank-a")["lines"]
    assert "practice.other-data" in lines[1]["detail"]


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from foedus.cli.main import main
sys.argv = ["foedus", *{words!r}]
main()
"""


def limited(limit, *words):
    """`foedus` in a process of its own that can write no file longer than `limit` bytes: as on a full disk."""
    code = LIMITED.format(limit=limit, words=[str(word) for word in words])
    environment = {**os.environ, "FOEDUS_KNOWN": str(shared() / "known.json"), "FOEDUS_LANG": "en"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


def test_a_full_disk_ends_a_run_with_a_named_error_and_the_run_goes_on_when_there_is_room(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    hub = home / "hub"
    ended = limited(12_000, "run", "start", "--workers", "0", "--workspace", hub, "--json")
    assert ended.returncode == 1, ended.stderr
    assert json.loads(ended.stdout)["code"] == "files.cannot-write"
    assert done("run", "start", "--workers", "0", "--workspace", hub)["run"] == "run-1"
    assert len(done("run", "list", "--workspace", hub)["runs"]) == 1


def test_a_full_disk_loses_no_act(home):
    place = home / "bank-a"
    done("data", "check", place / "data.yaml", "--workspace", place)
    ended = limited(1_000, "data", "card", place / "data.yaml", "--register", "--workspace", place, "--json")
    assert ended.returncode == 1, ended.stderr
    assert json.loads(ended.stdout)["code"] == "files.cannot-write"
    assert card(home).code == 0
    assert (place / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_workspace_that_is_none_and_a_torn_page_are_told(tmp_path, home):
    told(foedus("run", "start", "--workspace", tmp_path), 2, "workspace.none-here")
    page = home / "hub" / "workspace.json"
    kept = page.read_bytes()
    page.write_bytes(kept[:40])
    answer = foedus("run", "list", "--workspace", home / "hub")
    assert answer.code == 2, answer.err
    page.write_bytes(kept)
    assert done("run", "list", "--workspace", home / "hub")["runs"] == []
