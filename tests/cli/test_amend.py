"""From an amended draft to a new version in force, by the commands that are printed; and options that do not apply."""

import shutil

import pytest

from foedus.workspace import consortium, open_workspace
from practised import MEMBERS, done, drawn_up, foedus, in_force, small_base


def commands(answer):
    return [line.split()[1:] for line in answer.out.splitlines() if line.startswith("  foedus ")]


@pytest.fixture
def home(tmp_path):
    home = shutil.copytree(in_force(), tmp_path / "p")
    draft = home / "hub" / "accord.yaml"
    shutil.copy(draft, tmp_path / "next.yaml")
    text = draft.read_text()
    (tmp_path / "next.yaml").write_text(text.replace("rounds: 2", "rounds: 4"))
    return tmp_path


def test_the_printed_lines_lead_from_amend_to_a_new_version_in_force(home):
    told = foedus("accord", "amend", "next.yaml", "--workspace", "p/hub", at=home, as_json=False)
    assert told.code == 0, told.err
    waiting, seen = commands(told), []
    while waiting:
        words = waiting.pop(0)
        if words[0] != "accord":
            continue
        told = foedus(*words, "--yes", at=home, as_json=False)
        assert told.code == 0, (words, told.err)
        seen.append(words[:2])
        if words[:2] == ["accord", "sign"] and words[2].endswith(".accord"):
            waiting = [*commands(told), *waiting]
    assert [words[1] for words in seen][:3] == ["check", "explain", "sign"]
    state = consortium(open_workspace(home / "p" / "hub"))
    assert state.accord is not None
    assert (state.accord.version, state.accord.training.rounds) == (2, 4)


def test_a_file_of_other_content_is_not_written_over(home):
    done("accord", "amend", "next.yaml", "--workspace", "p/hub", at=home)
    done("accord", "amend", "next.yaml", "--workspace", "p/hub", at=home)
    (home / "next.yaml").write_text((home / "next.yaml").read_text().replace("rounds: 4", "rounds: 6"))
    told = foedus("accord", "amend", "next.yaml", "--workspace", "p/hub", at=home)
    assert (told.code, told.data["code"]) == (2, "files.in-the-way")
    done("accord", "amend", "next.yaml", "--out", "six.accord", "--workspace", "p/hub", at=home)


def test_an_accord_that_amends_another_one_is_not_offered(home):
    first = done("accord", "show", "p/hub/accord.yaml", "--workspace", "p/hub", at=home)
    assert first["id"]
    name = done("accord", "amend", "next.yaml", "--workspace", "p/hub", at=home)["path"]
    other = (home / name).read_text().replace(first["id"], "sha256:" + "0" * 64)
    (home / "other.accord").write_text(other)
    told = foedus("accord", "sign", "other.accord", "--workspace", "p/hub", at=home)
    assert (told.code, told.data["code"]) == (2, "workspace.not-the-next")


def test_acts_are_collected_however_many_files_follow(tmp_path):
    drawn_up(tmp_path, small_base())
    offer = done("accord", "sign", "--workspace", tmp_path / "hub", at=tmp_path)["file"]
    acts = [
        done("accord", "sign", offer, "--yes", "--workspace", tmp_path / member, at=tmp_path)["file"]
        for member in MEMBERS
    ]
    told = done("accord", "sign", "--collect", *acts, "--workspace", tmp_path / "hub", at=tmp_path)
    assert told["in_force"]
    extra = foedus("accord", "sign", offer, "more", "--workspace", tmp_path / "bank-a", at=tmp_path)
    assert (extra.code, extra.data["code"]) == (2, "cli.unexpected-argument")


@pytest.mark.parametrize("count", ["0", "-1"])
def test_practice_without_members_is_an_error(tmp_path, count):
    told = foedus("new", tmp_path / "y", "--practice", count)
    assert (told.code, told.data["code"]) == (2, "workspace.bad-option")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(
    "option", [("--replay", "r"), ("--ledger", "l"), ("--first-use",), ("--allow-stale",)], ids=lambda one: one[0]
)
def test_verify_refuses_what_only_a_bundle_has(option):
    told = foedus("verify", in_force() / "hub" / "ledger", *option)
    assert (told.code, told.data["code"]) == (2, "verify.not-for-this")
    assert told.data["fields"]["options"] == option[0]


def test_verify_refuses_an_earlier_checkpoint_for_an_accord(tmp_path):
    shown = done("accord", "amend", "a.yaml", "--workspace", in_force() / "hub", at=_draft(tmp_path))
    (tmp_path / "kept").write_bytes((in_force() / "hub" / "ledger" / "checkpoint").read_bytes())
    told = foedus("verify", tmp_path / shown["path"], "--since", tmp_path / "kept")
    assert (told.code, told.data["code"]) == (2, "verify.not-for-this")


def _draft(folder):
    text = (in_force() / "hub" / "accord.yaml").read_text()
    (folder / "a.yaml").write_text(text.replace("rounds: 2", "rounds: 4"))
    return folder


def test_a_data_file_that_is_not_there_is_said_first(tmp_path):
    told = foedus("data", "card", "data.yaml", at=tmp_path)
    assert (told.code, told.data["code"]) == (2, "files.missing")
    assert told.data["fields"]["path"] == "data.yaml"
