"""A consortium in one process: from signed accord to a release that verifies, stopped, killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foedus.core.errors import RunError
from foedus.practice import open_practice, run_here
from foedus.workspace import consortium, open_workspace, working
from practised import (
    MEMBERS,
    agreed,
    anchor,
    bundle,
    done,
    drawn_up,
    examined,
    foedus,
    published,
    ready_to_run,
    registered,
    shared,
    small_base,
)


def state_of(home):
    return consortium(open_workspace(home / "hub")).runs["run-1"].close.state


def test_a_published_release_verifies_and_the_first_line_says_practice():
    home = published()
    answer = foedus("verify", bundle(home), "--anchor", anchor(home), as_json=False)
    assert answer.code == 0, answer.out
    assert answer.out.startswith("practice: one process held every key")
    data = done("verify", bundle(home), "--anchor", anchor(home))
    assert (data["code"], data["practice"], data["checks"][0]["name"]) == ("verified", True, "release.practice")


def test_without_the_anchor_it_is_unanchored():
    assert foedus("verify", bundle(published())).code == 6


def test_the_released_model_answers():
    home = published()
    data = done(
        "release", "predict", bundle(home), "--text", "change my pin", "--text", "exchange rate", "--workspace",
        home / "hub",
    )  # fmt: skip
    assert len(data["answers"]) == 2
    for one in data["answers"]:
        assert one["label"] in one["probabilities"]
    empty = foedus("release", "predict", bundle(home), "--text", " ", "--workspace", home / "hub")
    assert (empty.code, empty.data["code"]) == (2, "serve.empty-text")


def test_every_next_line_of_a_step_can_be_run_as_printed(tmp_path):
    home = shutil.copytree(examined(), tmp_path / "p")
    answer = foedus("release", "build", "--run", "run-1", "--workspace", "p/hub", at=tmp_path, as_json=False)
    commands = [line.split() for line in answer.out.splitlines() if line.startswith("  foedus ")]
    assert len(commands) == 1 + len(MEMBERS)
    votes = []
    for words in commands:
        told = foedus(*words[1:], "--yes", at=tmp_path, as_json=False)
        assert told.code == 0, told.err
        votes += [line.split() for line in told.out.splitlines() if "--collect" in line]
    for words in votes:
        told = foedus(*words[1:], at=tmp_path, as_json=False)
        assert told.code == 0, told.err
    last = [line.split() for line in told.out.splitlines() if line.startswith("  foedus release build")]
    told = foedus(*last[0][1:], at=tmp_path, as_json=False)
    then = [line.split() for line in told.out.splitlines() if line.startswith("  foedus ")]
    assert [words[1] for words in then] == ["verify", "release", "run"]
    for words in then:
        assert foedus(*words[1:], at=tmp_path, as_json=False).code == 0
    assert (home / "hub" / "releases").is_dir()


def test_a_draft_of_an_unknown_or_open_run_is_refused(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    answer = foedus("release", "build", "--run", "run-7", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"]) == (2, "practice.no-evidence")
    answer = foedus("release", "build", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"]) == (2, "release.nothing-named")


def test_a_run_stopped_between_rounds_resumes_to_the_same_state(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")

    def stop(event):
        if event.kind == "opened":
            done("run", "stop", "run-1", "--workspace", home / "hub")

    with pytest.raises(RunError) as caught:
        run_here(open_practice(home / "hub"), workers=0, report=stop)
    assert caught.value.code == "run.stopped"
    assert done("run", "list", "--workspace", home / "hub")["runs"][0]["round"] == 1
    resumed = done("run", "resume", "run-1", "--workers", "0", "--workspace", home / "hub")
    assert resumed["state"] == state_of(examined())


def rotated(home, *changes):
    """A practice consortium in which parties took new keys: pairs of a party and a purpose."""
    for party, purpose in changes:
        file = done("member", "rotate-key", purpose, "--workspace", home / party, at=home)["file"]
        done("accord", "sign", "--collect", file, "--workspace", home / "hub", at=home)


def test_keys_taken_between_two_runs_serve_the_second_and_its_release_replays(tmp_path):
    home = shutil.copytree(examined(), tmp_path / "p")
    hub = home / "hub"
    rotated(home, ("hub", "act"), ("bank-a", "act"), ("bank-a", "release"), ("bank-b", "witness"))
    done("run", "start", "--name", "run-2", "--workers", "0", "--workspace", hub)
    closes = consortium(open_workspace(hub)).runs["run-2"].closes
    assert [[one.member for one in close.used] for close in closes] == [list(MEMBERS)] * 2
    draft = done("release", "build", "--run", "run-2", "--version", "1.0", "--workspace", hub, at=home)["folder"]
    votes = [
        done("gate", "approve", draft, "--yes", "--workspace", home / member, at=home)["file"] for member in MEMBERS
    ]
    done("gate", "approve", draft, "--collect", *votes, "--workspace", hub, at=home)
    done("release", "build", Path(draft).name, "--workspace", hub, at=home)
    for name in ("run-1", "run-2"):
        done("run", "export-replies", name, home / name, "--workspace", hub)
    told = done("verify", bundle(home), "--anchor", anchor(home), "--replay", home / "run-2", at=home)
    assert [one["name"] for one in told["checks"] if one["name"] == "replay.state"] == ["replay.state"]


def test_a_coordinator_that_took_a_new_key_in_the_middle_of_a_run_signs_its_open_asks_anew(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    practice = open_practice(home / "hub")

    def cut_off(event):
        if event.kind == "answered" and event.fields["step"] == "train" and event.fields["round"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(practice, workers=0, report=cut_off)
    rotated(home, ("hub", "act"))
    resumed = done("run", "resume", "run-1", "--workers", "0", "--workspace", home / "hub")
    assert resumed["state"] == state_of(examined())


@pytest.mark.parametrize(
    "line",
    [
        "round 1 closed",
        pytest.param("training, round 1: bank-b", marks=pytest.mark.slow),
        pytest.param("training alone: bank-a", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_started_again_reaches_the_same_state(tmp_path, line):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    command = [sys.executable, "-m", "foedus", "run", "start", "--workers", "0", "--workspace", str(home / "hub")]
    child = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, "FOEDUS_LANG": "en"}
    )
    told = []
    for text in child.stderr:
        told.append(text)
        if line in text:
            child.send_signal(signal.SIGKILL)
            break
    child.stderr.close()
    assert child.wait() == -signal.SIGKILL, told
    again = done("run", "start", "--workers", "0", "--workspace", home / "hub")
    assert (again["run"], again["state"]) == ("run-1", state_of(examined()))
    assert len(done("run", "list", "--workspace", home / "hub")["runs"]) == 1


def test_two_runs_at_once_in_one_workspace_are_refused(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    with working(open_workspace(home / "hub")):
        answer = foedus("run", "start", "--workers", "0", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"]) == (1, "workspace.busy")
    assert done("run", "list", "--workspace", home / "hub")["runs"] == []


def test_a_consortium_with_keys_held_apart_is_refused_with_the_readable_keys_named(tmp_path):
    done("new", tmp_path / "hub", "--names", "bank-a,bank-b")
    for name in ("bank-a", "bank-b"):
        done("member", "invite", name, "--workspace", tmp_path / "hub", at=tmp_path)
        done("member", "join", f"{name}.invitation", "--workspace", name, at=tmp_path)
    answer = foedus("run", "start", "--workspace", tmp_path / "hub")
    assert (answer.code, answer.data["code"]) == (3, "practice.separate-custody")
    assert answer.data["fields"]["readable"] == "bank-a, bank-b, hub"


def test_practice_workspaces_under_an_accord_of_separate_custody_do_not_run(tmp_path):
    drawn_up(tmp_path / "p", small_base(), [("custody: one-process", "custody: separate")])
    agreed(tmp_path / "p")
    registered(tmp_path / "p")
    answer = foedus("run", "start", "--workspace", tmp_path / "p" / "hub")
    assert (answer.code, answer.data["code"]) == (3, "practice.separate-custody")


def test_a_member_cannot_start_a_run():
    answer = foedus("run", "start", "--workspace", ready_to_run() / "bank-a")
    assert (answer.code, answer.data["code"]) == (2, "workspace.wrong-role")


def test_a_member_in_practice_takes_the_ledger_by_itself_and_between_organisations_not(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    before = consortium(open_workspace(home / "bank-a")).size
    done("data", "check", home / "bank-a" / "data.yaml", "--workspace", home / "bank-a")
    after = consortium(open_workspace(home / "bank-a")).size
    assert after == consortium(open_workspace(home / "hub")).size > before
    page = json.loads((home / "bank-b" / "workspace.json").read_text())
    assert page["siblings"]["hub"] == "../hub"
    assert shared() not in home.parents
