"""A member signs only figures that its own machine measured, and is told where it could not compare."""

import shutil
from unittest.mock import patch

import pytest

from foedus import run as hall
from foedus.core.clock import now
from foedus.release.own_figures import with_own_figures
from foedus.release.paper import paper_of
from foedus.workspace import open_workspace
from lied import drafted, examined_falsely, made_up
from practised import done, examined, foedus, ready_to_run


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    home = shutil.copytree(examined(), tmp_path_factory.mktemp("honest") / "p")
    drafted(home)
    return home


def approve(home, member="bank-a", choice="approve"):
    words = ["--reason", "not what I measured"] if choice == "object" else []
    draft = next((home / "hub" / "releases").glob("*.foedus"))
    return foedus("gate", choice, draft, *words, "--yes", "--workspace", home / member, at=home, as_json=False)


def test_what_a_member_measured_is_compared_and_said_before_it_signs(honest):
    answer = approve(honest)
    assert answer.code == 0, answer.err
    assert "the counts of bank-a are those that its machine signed" in answer.out


def test_counts_that_a_member_did_not_measure_are_not_signed(tmp_path):
    home = examined_falsely(tmp_path, made_up)
    draft = drafted(home)
    assert done("gate", "check", draft, "--workspace", home / "hub")["clear"]
    answer = approve(home)
    assert answer.code == 6
    assert "release.own-figures-differ" in answer.err + answer.out
    member = open_workspace(home / "bank-a")
    paper = paper_of(draft, anchor=member.page.anchor, at=now(), find=member.find, compare=with_own_figures(member))
    assert not paper.can_approve
    assert "release.own-figures-differ" in paper.headline
    assert approve(home, choice="object").code == 0


def test_a_reply_that_a_member_did_not_sign_is_not_taken_for_its_own(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    honest = hall.EnterEvidence

    def enter(*, replies, **fields):
        others = tuple(one.model_copy(update={"reply": "sha256:" + "0" * 64}) for one in replies)
        return honest(replies=others, **fields)

    with patch.object(hall, "EnterEvidence", enter):
        done("run", "start", "--workers", "0", "--workspace", home / "hub")
    drafted(home)
    answer = approve(home)
    assert answer.code == 6
    assert "release.own-reply-differs" in answer.err + answer.out


def test_without_a_kept_reply_a_member_is_told_that_nothing_was_compared(honest, tmp_path):
    home = shutil.copytree(honest, tmp_path / "p")
    shutil.rmtree(home / "bank-c" / "node" / "replies")
    answer = approve(home, "bank-c")
    assert answer.code == 0, answer.err
    assert "not compared; this machine keeps no measurement of bank-c" in answer.out
