"""A release is cosigned, taken back by a vote, and from then on refused, through the commands that people type."""

import shutil

import pytest

from foedus.cli import ledger as ledgers
from foedus.cli import main, release
from foedus.core.errors import CallerError, VerifyError
from foedus.core.messages import set_language
from foedus.records.evidence import CreditReport, Examination
from foedus.release import desk
from foedus.release.revoke import newer_ledger, revoke_release, vote_to_revoke
from foedus.workspace import collect_cosignatures, consortium, cosign_head, export_ledger, take_ledger
from release.test_desk import MEMBERS, call, parties, verifier  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def published(parties):  # noqa: F811 - the fixture of that name
    """A release that all three banks approved, and whose ledger they hold."""
    hub = parties["hub"]
    state = consortium(hub)
    (entered,) = state.evidence.values()
    drafted = desk.draft_release(
        hub,
        version="1.0.0",
        run="r1",
        model=hub.folder / "runs" / "r1" / "model",
        examination=Examination.from_bytes(hub.objects.get(entered.evidence)),
        credit=CreditReport.from_bytes(hub.objects.get(entered.credit)) if entered.credit else None,
        cards={member: hub.objects.get(card.card) for member, card in state.runs["r1"].cards.items()},
    )
    votes = [desk.approve_draft(parties[member], drafted.folder)[0] for member in MEMBERS]
    desk.collect_ballots(hub, drafted.folder, votes)
    desk.publish_release(hub, drafted.folder)
    share(parties)
    return parties, drafted.folder, state.anchor


def share(parties):  # noqa: F811
    for member in MEMBERS:
        take_ledger(parties[member], export_ledger(parties["hub"]))


def outcomes(seen):
    return {check["name"]: check["outcome"] for check in seen["checks"]}


def test_members_cosign_the_head_until_a_split_view_is_excluded(published, tmp_path, monkeypatch):
    parties, folder, anchor = published  # noqa: F811
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOEDUS_KNOWN", str(tmp_path / "known.json"))
    hub = parties["hub"]
    assert outcomes(call(verifier(), None, folder, "--anchor", anchor))["ledger.split-view"] == "warn"
    files = [call(ledgers.app, parties[member], "cosign")["file"] for member in MEMBERS]
    collected = call(ledgers.app, hub, "collect", *files)
    assert collected["count"] == len(MEMBERS) >= collected["needed"] > 0
    assert call(ledgers.app, hub, "collect", files[0])["count"] == len(MEMBERS), "the same one again counts once"
    desk.publish_release(hub, folder)
    seen = outcomes(call(verifier(), None, folder, "--anchor", anchor))
    assert (seen["ledger.witnesses"], "ledger.split-view" in seen) == ("ok", False)


def test_a_cosignature_of_another_head_or_by_a_stranger_is_refused(published):
    parties, _, _ = published  # noqa: F811
    hub, bank = parties["hub"], parties["bank-a"]
    note = cosign_head(bank)
    older = note.replace(b"\n%d\n" % consortium(bank).size, b"\n%d\n" % (consortium(bank).size - 1))
    stranger = note.replace(b"/bank-a ", b"/bank-z ")
    with pytest.raises(VerifyError, match="unknown-witness"):
        collect_cosignatures(hub, [stranger])
    with pytest.raises(VerifyError, match="bad-cosignature"):
        collect_cosignatures(hub, [older])
    with pytest.raises(CallerError, match="wrong-role"):
        cosign_head(hub)


def test_a_vote_takes_a_release_back_and_then_it_is_refused(published, tmp_path, monkeypatch):
    parties, folder, anchor = published  # noqa: F811
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOEDUS_KNOWN", str(tmp_path / "known.json"))
    set_language("en")
    hub, app = parties["hub"], release.app
    assert main.GROUPS["release"] is app
    before = shutil.copytree(folder, tmp_path / "before.foedus")
    assert call(verifier(), None, before, "--anchor", anchor)["code"] == "verified"
    assert newer_ledger(hub, before) is None

    votes = []
    for member in MEMBERS:
        sent = call(app, parties[member], "revoke", folder, "--reason", "a label was wrong", "-o", f"{member}.vote")
        votes.append(sent["file"])
    first = call(app, hub, "revoke", folder, "--reason", "a label was wrong", "--collect", votes[0])
    assert (first["outcome"], first["approved"]) == (None, ["bank-a"])
    assert call(verifier(), None, folder, "--anchor", anchor)["code"] == "verified", "one vote revokes nothing"
    more = [word for vote in votes for word in ("--collect", vote)]
    assert call(app, hub, "revoke", folder, "--reason", "a label was wrong", *more)["outcome"] == "approved"
    size = consortium(hub).size
    revoke_release(hub, folder, [], reason="again")
    assert consortium(hub).size == size, "revoked once"

    assert call(verifier(), None, folder, "--anchor", anchor, code=6)["code"] == "release.revoked"
    known = call(verifier(), None, before, "--anchor", anchor, "--ledger", hub.ledger, code=6)
    assert known["code"] == "release.revoked"
    for place, who in ((folder, None), (before, hub)):
        monkeypatch.setenv("FOEDUS_KNOWN", str(tmp_path / "fresh.json"))
        with pytest.raises(VerifyError, match="revoked"):
            call(app, who or hub, "predict", place, "--text", "where is my card")
    share(parties)
    assert newer_ledger(parties["bank-b"], before) == parties["bank-b"].ledger
    with pytest.raises(VerifyError, match="fold"):
        vote_to_revoke(parties["bank-a"], folder, reason="twice")
