"""A run that starts from a release: proposed, voted on, opened, and what the fold refuses of it."""

import json
from pathlib import Path

import pytest

from foedus.core.errors import VerifyError
from foedus.core.messages import LANGUAGES, error_text
from foedus.records import acts
from foedus.records.watch import ExpectedGain, Monitoring
from samples import sample_accord
from scene import START, Scene, digest, open_run

GAIN = ExpectedGain(metric="accuracy", now="0.7", expected="0.8", basis="the first release")
LAST = digest("r1 state 4")


def propose(release, why="labels moved"):
    return acts.ProposeRun(release=release, why=why, evidence=(digest("report"),), gain=GAIN)


def opening(proposal, *, run="r2", start=LAST):
    return open_run(run=run).model_copy(update={"start": start, "proposal": proposal})


def approved(scene, release, by="bank-a"):
    entry = scene.act(by, propose(release))
    scene.vote(entry, "run")
    scene.close_vote(entry, "run")
    return entry


def refused(scene, code):
    with pytest.raises(VerifyError) as caught:
        scene.fold()
    assert caught.value.code == f"fold.{code}"
    assert caught.value.fields["index"] == len(scene.leaves) - 1
    assert all(str(error_text(caught.value, lang=lang)) for lang in LANGUAGES)


def test_an_approved_proposal_opens_a_run_from_the_state_of_its_release():
    scene = Scene()
    release = scene.released()
    entry = scene.act("bank-a", propose(release))
    state = scene.fold()
    assert state.matter_of(entry) == "run"
    assert state.run_proposals[entry].by == "bank-a"
    assert state.run_proposals[entry].run is None
    assert state.tally(entry).needed == 2
    scene.vote(entry, "run")
    scene.close_vote(entry, "run")
    scene.act("hub", opening(entry))
    state = scene.fold()
    assert state.run_proposals[entry].run == "r2"
    assert state.runs["r2"].opened.start == state.proposals[release].proposal.state == LAST


def test_the_coordinator_may_propose_a_run_too_and_an_objection_can_end_it():
    scene = Scene()
    entry = scene.act("hub", propose(scene.released()))
    scene.vote(entry, "run", "object")
    scene.close_vote(entry, "run", "rejected")
    assert scene.fold().ballots["run", entry].outcome == "rejected"
    scene.act("hub", opening(entry))
    refused(scene, "not-approved")


def test_a_run_that_was_not_voted_on_does_not_open():
    scene = Scene()
    scene.act("hub", opening(scene.act("bank-a", propose(scene.released()))))
    refused(scene, "not-approved")


def test_a_run_of_a_proposal_starts_from_nowhere_else():
    scene = Scene()
    scene.act("hub", opening(approved(scene, scene.released()), start=START))
    refused(scene, "other-start")


def test_a_proposal_is_carried_out_once_and_again_only_after_a_failure():
    scene = Scene()
    entry = approved(scene, scene.released())
    scene.act("hub", opening(entry))
    scene.act("hub", acts.CloseRun(run="r2", outcome="failed", rounds=0, released_round=0, state=LAST))
    scene.act("hub", opening(entry, run="r3"))
    assert scene.fold().run_proposals[entry].run == "r3"
    scene.act("hub", opening(entry, run="r4"))
    refused(scene, "run-twice")


def test_a_run_starts_from_no_release_that_is_not_in_use():
    scene = Scene()
    scene.ready()
    scene.act("bank-a", propose(digest("nothing")))
    refused(scene, "not-in-use")
    scene = Scene()
    release = scene.released()
    entry = approved(scene, release)
    scene.vote(release, "revoke")
    scene.close_vote(release, "revoke")
    scene.act("hub", acts.Revoke(proposal=release, reason="wrong labels"))
    scene.act("hub", opening(entry))
    refused(scene, "not-in-use")


def test_only_whom_the_clause_names_may_propose():
    scene = Scene(sample_accord().model_copy(update={"monitoring": Monitoring(proposers=("bank-b", "hub"))}))
    release = scene.released()
    scene.act("bank-b", propose(release))
    scene.fold()
    scene.act("bank-a", propose(release, "again"))
    refused(scene, "not-entitled")


def test_a_proposed_run_cannot_be_waived():
    scene = Scene()
    entry = scene.act("bank-a", propose(scene.released()))
    scene.vote(entry, "waive", by=("bank-a",))
    refused(scene, "unknown-subject")


def test_what_was_signed_before_there_were_proposals_keeps_its_digest():
    accord = sample_accord()
    assert b"monitoring" not in accord.to_bytes()
    assert b"proposal" not in open_run().to_bytes()
    watched = accord.model_copy(update={"monitoring": Monitoring()})
    assert type(accord).from_bytes(watched.to_bytes()) == watched
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "accord.json").read_text()):
        assert type(accord).from_bytes(vector["canonical"].encode()).digest == vector["id"]


def test_a_null_where_nothing_stood_is_another_spelling():
    scene = Scene()
    scene.released()
    entry = scene.entry("hub", open_run(run="r2"))
    body = {**entry.body, "proposal": None}
    scene.record(entry.model_copy(update={"body": body}))
    refused(scene, "bad-body")
