"""`foedus gate approve` against a hub: by name, fetched and verified here; and `foedus login`."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from drafted import drafted
from foedus import workspace as ws
from foedus.cli import gate
from foedus.cli import shell as shell_room
from foedus.core.errors import CallerError, IdentityError
from foedus.release.paper import Change, paper_of
from foedus.resident.link import Link


@pytest.fixture
def met(tmp_path, monkeypatch):
    """A drafted consortium whose members' lines lead to its door; the clock is the machine's."""
    made = drafted(tmp_path)
    made.door.at = datetime.now(UTC)
    reached = []

    def to(hub, clock):
        reached.append(hub.address)
        return Link(hub, clock, made.link().send)

    monkeypatch.setattr(Link, "to", staticmethod(to))
    monkeypatch.chdir(tmp_path)
    made.reached = reached
    return made


def call(met, party, *words, code=0, yes=True):
    shell_room._current.workspace = met.members[party].folder
    shell_room._current.as_json, shell_room._current.yes = True, yes
    try:
        done = CliRunner().invoke(gate.app, list(map(str, words)), catch_exceptions=False)
    finally:
        shell_room._current.as_json = shell_room._current.yes = False
        shell_room._current.workspace = type(shell_room._current)().workspace
    assert done.exit_code == code, done.output
    return json.loads(done.stdout.strip().splitlines()[-1]), done.stderr


def test_a_draft_is_approved_by_its_name_and_the_vote_reaches_the_hub(met, tmp_path):
    name = f"{met.draft.proposal.name}-{met.draft.proposal.version}"
    said, shown = call(met, "bank-a", "approve", name)
    assert (said["sent"], said["file"], said["proposal"]) == (True, None, met.digest)
    assert "You are about to sign, as bank-a" in shown
    assert "the model" in shown
    assert list(tmp_path.glob("*.vote")) == []
    said, _ = call(met, "bank-b", "object", met.digest, "--reason", "not yet", "--hub", "elsewhere.example:9443")
    assert said["sent"]
    assert met.reached[-1] == "elsewhere.example:9443"
    tally = met.state().tally(met.digest, matter="release")
    assert (tally.approved, tally.objected) == (("bank-a",), ("bank-b",))


def test_a_vote_is_written_to_a_file_as_well_where_one_is_named(met, tmp_path):
    said, _ = call(met, "bank-a", "approve", met.digest, "-o", tmp_path / "mine.vote")
    assert said["sent"]
    assert (tmp_path / "mine.vote").is_file()


def test_when_the_hub_is_away_the_vote_waits_here_and_lies_in_a_file(met, tmp_path, monkeypatch):
    call(met, "bank-b", "approve", met.digest)
    folder = next((met.members["bank-b"].folder / "candidates").glob("*.foedus"))

    def away(*_):
        raise IdentityError("link.unreachable", hub="hub", reason="away")

    monkeypatch.setattr(Link, "to", staticmethod(lambda hub, clock: Link(hub, clock, away)))
    said, shown = call(met, "bank-a", "approve", folder)
    assert not said["sent"]
    assert (tmp_path / "bank-a.vote").is_file()
    assert "link.unreachable" in shown
    assert len(ws.pending(ws.open_workspace(met.members["bank-a"].folder))) == 1


def test_a_name_that_the_own_ledger_does_not_know_is_refused(met):
    with pytest.raises(CallerError, match=r"release\.no-such-release"):
        call(met, "bank-a", "approve", "bank-intents-9.9.9")


def test_nothing_is_signed_without_a_yes(met):
    with pytest.raises(CallerError, match=r"release\.needs-confirmation"):
        call(met, "bank-a", "approve", met.digest, yes=False)
    assert ws.pending(ws.open_workspace(met.members["bank-a"].folder)) == []


def test_a_voter_sees_the_figures_of_both_releases_and_then_the_parts_that_differ(met, capsys):
    paper = paper_of(
        met.draft.folder, anchor=ws.open_workspace(met.members["bank-a"].folder).page.anchor, at=met.door.at
    )
    one = paper.beside[0]
    assert one.draft.estimate == "0.98"
    before = replace(one, current=one.draft.model_copy(update={"estimate": "0.9"}))
    changes = (Change("model", "sha256:aaaa", "sha256:bbbb"),)
    later = replace(paper, previous="bank-intents 0.9.0", beside=(before, *paper.beside[1:]), changes=changes)
    gate._show(later, "bank-a", "approve")
    said = capsys.readouterr().out
    assert "Against the release in force, bank-intents 0.9.0" in said
    assert said.index("+0.0800") < said.index("model: sha256:aaaa → sha256:bbbb") < said.index("You are about to sign")
