"""Draft, vote, publish: what each step demands."""

import pytest

from foedus.core.errors import CallerError, VerifyError
from foedus.gates import waiver_subject
from foedus.records import acts
from foedus.release import oms, seal
from foedus.release.verify import verify_bundle
from release.tiny_consortium import LATER, MEMBERS, Consortium


def refused(function, *arguments, **keywords):
    with pytest.raises((VerifyError, CallerError)) as caught:
        function(*arguments, **keywords)
    return caught.value.code


def test_a_release_waits_for_its_quorum_and_says_who_is_silent(tmp_path):
    world = Consortium(tmp_path)
    world.draft()
    tally = world.collect(world.ballot("bank-a"))
    assert (tally.needed, tally.approved, tally.missing) == (2, ("bank-a",), ("bank-b", "bank-c"))
    assert refused(world.publish) == "release.votes-missing"
    world.collect(world.ballot("bank-b"))
    folder = world.publish()
    seen = verify_bundle(folder, anchor=world.accord.digest, at=LATER)
    assert seen.code == "verified"
    assert not (folder / "model.bank-c.sig").exists()
    world.publish()
    assert verify_bundle(folder, anchor=world.accord.digest, at=LATER).code == "verified"


def test_objections_reject_a_draft_for_good(tmp_path):
    world = Consortium(tmp_path)
    world.draft()
    world.collect(world.ballot("bank-a"), *(world.ballot(m, choice="object") for m in ("bank-b", "bank-c")))
    assert refused(world.publish) == "release.not-approved"
    seen = verify_bundle(world.folder(), anchor=world.accord.digest, at=LATER)
    assert "release.not-approved" in [one.error.code for one in seen.failures]


def test_a_member_who_changes_its_mind_takes_its_signature_back(tmp_path):
    world = Consortium(tmp_path)
    world.draft()
    world.collect(world.ballot("bank-a"))
    assert (world.folder() / "model.bank-a.sig").exists()
    world.collect(world.ballot("bank-a", choice="object"))
    assert not (world.folder() / "model.bank-a.sig").exists()


def test_the_same_ballot_twice_changes_nothing(tmp_path):
    world = Consortium(tmp_path)
    world.draft()
    ballot = world.ballot("bank-a")
    size = world.ledger.size
    for _ in range(2):
        assert world.collect(seal.Ballot.from_parcel(ballot.to_parcel())).approved == ("bank-a",)
    assert world.ledger.size == size + 1


def test_a_ballot_is_checked_before_it_is_entered(tmp_path):
    world = Consortium(tmp_path)
    world.draft()
    good = world.ballot("bank-a")
    size = world.ledger.size
    unsigned = seal.Ballot(good.member, good.vote, good.entry, None, good.cosignature)
    assert refused(world.collect, unsigned) == "release.signature-missing"
    files = oms.resources(world.folder() / "model")
    foreign = oms.sign(files, world.keys("bank-b")["release"])
    assert refused(world.collect, seal.Ballot(*(good.member, good.vote, good.entry), foreign, None)) == (
        "release.signature-wrong"
    )
    other = acts.Vote(subject="sha256:" + "7" * 64, choice="approve", matter="release")
    assert refused(world.collect, seal.Ballot("bank-a", other, good.entry, good.signature, None)) == (
        "release.vote-on-other-proposal"
    )
    assert world.ledger.size == size


def test_nobody_approves_a_draft_that_does_not_verify(tmp_path):
    world = Consortium(tmp_path)
    world.draft()
    (world.folder() / "model/config.json").write_text('{"model_type": "other"}')
    assert refused(world.ballot, "bank-a") == "release.model-changed"


def test_a_gate_waived_by_vote_lets_the_release_through_in_public(tmp_path):
    world = Consortium(tmp_path, figures={"intervals": {("difference", "bank-c"): ("-0.05", "0.08")}})
    draft = world.draft()
    assert refused(world.ballot, "bank-a") == "release.gates-not-clear"
    assert refused(seal.waive, draft.folder, "beauty", member="bank-a", act=world.act("bank-a"), reason="x") == (
        "release.no-such-gate"
    )
    ballots = [
        seal.waive(draft.folder, "no-harm", member=m, act=world.act(m), reason="few data") for m in ("bank-a", "bank-c")
    ]
    world.collect(*ballots)
    subject = waiver_subject(draft.proposal.verdicts, "no-harm")
    assert world.state().ballots["waive", subject].outcome == "approved"
    world.collect(*(world.ballot(member) for member in MEMBERS))
    seen = verify_bundle(world.publish(), anchor=world.accord.digest, at=LATER)
    assert seen.code == "verified"
    assert [one.fields for one in seen.checks if one.name == "release.waived"] == [{"gate": "no-harm"}]


def test_a_second_release_names_the_first_which_then_says_so(tmp_path):
    world = Consortium(tmp_path)
    world.release()
    first = next(s for s in world.state().proposals.values() if s.published).digest
    world.draft(version="2.0.0", previous=first)
    world.collect(*(world.ballot(member, version="2.0.0") for member in MEMBERS), version="2.0.0")
    second = world.publish("2.0.0")
    assert verify_bundle(second, anchor=world.accord.digest, at=LATER).code == "verified"
    old = verify_bundle(world.folder(), anchor=world.accord.digest, at=LATER, ledger=tmp_path / "ledger")
    assert old.code == "verified"
    assert {"by": "intents 2.0.0"} in [one.fields for one in old.checks if one.name == "release.replaced"]


def test_a_draft_needs_evidence_of_the_state_that_it_releases(tmp_path):
    world = Consortium(tmp_path)
    world.found()
    examination, credit = world.run()
    world.evidence = examination.model_copy(update={"state": "sha256:" + "9" * 64}), credit
    assert refused(world.draft) == "release.evidence-of-other-state"


def test_a_draft_does_not_write_over_another(tmp_path):
    world = Consortium(tmp_path)
    world.draft()
    assert refused(world.draft) == "release.folder-exists"


def test_what_is_no_ballot_is_refused(world):
    from foedus.core.parcel import Parcel

    assert refused(seal.Ballot.from_parcel, Parcel(())) == "release.no-ballot"
