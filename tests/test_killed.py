"""Commands killed before each change of a file: given once more, they lose nothing and do nothing twice.

The child of a fork runs the command and kills itself at one of its changes; which change, goes up until none is left.
"""

import itertools
import json
import os
import shutil
import signal
import sys
from functools import cache
from pathlib import Path

import pytest

import practised
from practised import MEMBERS, done

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


def ends(home, change, *words, at):
    """Whether the command, killed at its change of this number within `home`, came to its own end before that."""
    child = os.fork()
    if child == 0:
        numbers = itertools.count()

        def look(event, arguments):
            opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
            inside = bool(arguments) and isinstance(arguments[0], str | os.PathLike)
            inside = inside and home in (Path.cwd() / arguments[0]).resolve().parents
            if inside and (opened or event in CHANGES) and next(numbers) == change:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(look)
        try:
            code = practised.foedus(*words, at=at).code
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.waitstatus_to_exitcode(status) == 0
    return True


def every_instant(made, place, *words, who, least):
    """A copy of the folder `made` for each instant at which the command was killed; it has ended well since."""
    for change in itertools.count():
        home = shutil.copytree(made, place / str(change))
        at = home / who
        over = ends(home, change, *words, at=at)
        if over:
            assert change >= least
            return
        yield home, done(*words, at=at)
        shutil.rmtree(home)


@cache
def offered():
    home = practised.shared() / "offered"
    practised.drawn_up(home, practised.small_base())
    done("accord", "sign", "-o", home / "offer", "--workspace", home / "hub", at=home)
    return home


@pytest.mark.slow
def test_a_signature_on_an_accord_is_one_act_however_often_its_command_was_killed(tmp_path):
    for home, signed in every_instant(
        offered(), tmp_path, "accord", "sign", "../offer", "--yes", who="bank-a", least=3
    ):
        done("accord", "sign", "--collect", home / "bank-a" / signed["file"], at=home / "hub")
        entries = done("ledger", "show", at=home / "hub")["entries"]
        assert [entry["actor"] for entry in entries if entry["type"] == "accord.sign"] == ["bank-a"]
        assert len(list((home / "bank-a" / "outbox").glob("*.act"))) == 1


@pytest.mark.slow
def test_a_proposed_accord_is_one_act_however_often_its_command_was_killed(tmp_path):
    home = practised.shared() / "drawn up"
    practised.drawn_up(home, practised.small_base())
    for copy, offer in every_instant(home, tmp_path, "accord", "sign", who="hub", least=3):
        done("accord", "sign", copy / "hub" / offer["file"], "--yes", at=copy / "bank-a")
        entries = done("ledger", "show", at=copy / "hub")["entries"]
        assert [entry["type"] for entry in entries] == ["accord.propose"]


@pytest.mark.slow
def test_a_card_is_registered_once_however_often_its_command_was_killed(tmp_path):
    words = ("data", "card", "data.yaml", "--register")
    for home, card in every_instant(practised.in_force(), tmp_path, *words, who="bank-a", least=3):
        done("accord", "sign", "--collect", home / "bank-a" / card["registered"], at=home / "hub")
        entries = done("ledger", "show", at=home / "hub")["entries"]
        assert [entry["type"] for entry in entries if entry["actor"] == "bank-a"].count("data.register") == 1


@pytest.mark.slow
def test_a_draft_of_a_release_is_whole_however_often_its_command_was_killed(tmp_path):
    words = ("release", "build", "--run", "run-1", "--version", "1.0")
    for home, draft in every_instant(practised.examined(), tmp_path, *words, who="hub", least=20):
        done("gate", "approve", draft["folder"], "--yes", "--workspace", home / "bank-a", at=home / "hub")


@pytest.mark.slow
def test_a_release_is_published_once_however_often_its_command_was_killed(tmp_path):
    made = shutil.copytree(practised.examined(), tmp_path / "voted")
    hub = made / "hub"
    draft = done("release", "build", "--run", "run-1", "--version", "1.0", at=hub)["folder"]
    for member in MEMBERS:
        vote = done("gate", "approve", hub / draft, "--yes", "--workspace", made / member, at=made)["file"]
        done("gate", "approve", hub / draft, "--collect", made / vote, "--workspace", hub, at=made)
    name = Path(draft).name
    for home, _ in every_instant(made, tmp_path, "release", "build", name, who="hub", least=10):
        anchor = json.loads((home / "hub" / "workspace.json").read_text())["anchor"]
        seen = done("verify", home / "hub" / "releases" / name, "--anchor", anchor, at=home / "hub")
        assert seen["outcome"] == "verified"


@cache
def proposed():
    """A consortium with a draft of a release to vote on."""
    home = shutil.copytree(practised.examined(), practised.shared() / "proposed")
    draft = done("release", "build", "--run", "run-1", "--version", "1.0", at=home / "hub")["folder"]
    return home, Path("..") / "hub" / draft


def votes(home):
    return [one["actor"] for one in done("ledger", "show", at=home / "hub")["entries"] if one["type"] == "vote.cast"]


@pytest.mark.slow
def test_votes_are_entered_once_each_however_often_their_collection_was_killed(tmp_path):
    made, draft = shutil.copytree(proposed()[0], tmp_path / "voted"), proposed()[1]
    files = []
    for member in MEMBERS[:2]:
        vote = done("gate", "approve", draft, "--yes", "-o", "a.vote", at=made / member)["file"]
        files.append(Path("..") / member / vote)
    words = ("gate", "approve", draft, "--collect", *files)
    for home, tally in every_instant(made, tmp_path, *words, who="hub", least=5):
        assert tally["outcome"] == "approved"
        assert sorted(votes(home)) == sorted(MEMBERS[:2])
        done("release", "build", draft.name, at=home / "hub")


@pytest.mark.slow
def test_an_amendment_is_whole_and_goes_its_way_however_often_its_command_was_killed(tmp_path):
    made = shutil.copytree(practised.in_force(), tmp_path / "edited")
    text = (made / "hub" / "accord.yaml").read_text()
    (made / "hub" / "accord.yaml").write_text(text.replace("rounds: 2", "rounds: 3"))
    words = ("accord", "amend", "accord.yaml", "--out", "next.accord")
    for home, amended in every_instant(made, tmp_path, *words, who="hub", least=1):
        assert [one["path"] for one in amended["changes"]] == ["training.rounds"]
        offer = done("accord", "sign", at=home / "hub")
        assert offer["accord"] == amended["id"] == done("accord", "show", "next.accord", at=home / "hub")["id"]
        for member in MEMBERS:
            signed = done("accord", "sign", home / "hub" / offer["file"], "--yes", at=home / member)["file"]
            collected = done("accord", "sign", "--collect", home / member / signed, at=home / "hub")
        assert collected["in_force"] == amended["id"]
