"""What a member votes on: fetched by digest, in parts; a hub that shows one thing and asks for another is caught."""

import json
from datetime import timedelta
from fractions import Fraction
from types import SimpleNamespace

import pytest

from drafted import drafted
from foedus import workspace as ws
from foedus.core.digest import sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError, VerifyError
from foedus.core.keys import generate
from foedus.core.parcel import Parcel
from foedus.hub import candidates
from foedus.hub.reception import PREFIX, Turnstile
from foedus.records.door import Candidate, CandidateFile
from foedus.records.evidence import Examination
from foedus.release.desk import approve_draft, publish_release
from foedus.release.paper import paper_of, side_by_side
from foedus.release.verify import verify_bundle
from foedus.resident.candidate import fetch_candidate, fetch_evidence, find_proposal, open_proposals
from foedus.resident.join import sync
from foedus.resident.link import Link
from gates.hand_made import figure


@pytest.fixture
def met(tmp_path):
    return drafted(tmp_path)


def home(met, party="bank-a"):
    return ws.open_workspace(met.members[party].folder)


def fetched(met, party="bank-a", link=None, **more):
    return fetch_candidate(home(met, party), link or met.link(), met.digest, act=met.act(party), **more)


def looked_at(met, folder, party="bank-a"):
    return paper_of(folder, anchor=home(met, party).page.anchor, at=met.door.at)


def test_every_member_fetches_verifies_votes_and_the_release_verifies(met):
    for party in met.members:
        folder = fetched(met, party)
        paper = looked_at(met, folder, party)
        assert paper.can_approve
        assert paper.proposal.digest == met.digest
        approve_draft(home(met, party), folder, clock=met.door.clock)
        sync(home(met, party), met.link())
    assert met.state().tally(met.digest, matter="release").outcome == "approved"
    publish_release(met.hub, met.draft.folder, clock=met.door.clock)
    seen = verify_bundle(met.draft.folder, anchor=met.state().anchor, at=met.door.at)
    assert seen.outcome == "verified"
    assert met.door.refused == []


def test_the_evidence_of_a_release_is_taken_by_its_digest_and_nothing_else_is(met):
    workspace, act = home(met), met.act("bank-a")
    wanted = met.draft.proposal.evidence
    workspace.objects.path(wanted).unlink(missing_ok=True)

    def lies(member, proposal, file, offset, key):
        return b"" if offset else b"another examination"

    fetch_evidence(workspace, SimpleNamespace(part=lies), met.digest, act=act)
    assert wanted not in workspace.objects
    fetch_evidence(workspace, met.link(), None, act=act)
    fetch_evidence(workspace, met.link(), "sha256:" + "0" * 64, act=act)
    fetch_evidence(workspace, met.link(), met.digest, act=act)
    assert Examination.from_bytes(workspace.objects.get(wanted)).run == "r1"


def test_a_draft_stands_beside_the_release_in_force_figure_by_figure(met):
    draft = [
        figure("federated", None, "0.8", "0.9", "0.95"), figure("federated", "bank-a", "0.7", "0.8", "0.9"),
        figure("alone", "bank-a", "0.6", "0.7", "0.8"), figure("difference", "bank-a", "0.05", "0.1", "0.2"),
    ]  # fmt: skip
    current = [figure("federated", None, "0.7", "0.85", "0.9"), figure("difference", None, "0", "0.1", "0.2")]
    whole, member = side_by_side(draft, current)
    assert (whole.member, whole.change, whole.harm) == (None, Fraction("0.05"), None)
    assert (member.member, member.current, member.change, member.harm.estimate) == ("bank-a", None, None, "0.1")
    paper = looked_at(met, fetched(met))
    members = [one.member for one in paper.beside]
    assert members == [None, None, "bank-a", "bank-a", "bank-b", "bank-b"]
    assert all(one.current is None for one in paper.beside)
    assert paper.beside[0].draft.estimate == "0.98"


def test_what_is_shown_begins_with_what_failed_and_cannot_be_approved(tmp_path):
    met = drafted(tmp_path, good=False)
    folder = fetched(met)
    paper = looked_at(met, folder)
    outcomes = [verdict.outcome for verdict in paper.verdicts]
    assert outcomes[0] == "fail"
    assert outcomes == sorted(outcomes, key=["fail", "inconclusive", "pass"].index)
    assert not paper.can_approve
    before = ws.outbox(home(met))
    with pytest.raises(VerifyError):
        approve_draft(home(met), folder, clock=met.door.clock)
    assert ws.outbox(home(met)) == before
    approve_draft(home(met), folder, choice="object", reason="too weak", clock=met.door.clock)
    sync(home(met), met.link())
    assert met.state().tally(met.digest, matter="release").objected == ("bank-a",)


# ── a hub that shows one thing and asks for another ──────────────────────────


class Liar:
    """A hub's link that changes what comes back: `listed` the list of files, `part` the bytes of one."""

    def __init__(self, met, *, listed=lambda candidate: candidate, part=lambda file, data: data):
        self.met, self.change_list, self.change_part = met, listed, part

    def link(self):
        true = self.met.link()

        def send(method, path, body):
            status, data = true.send(method, path, body)
            if path != PREFIX + "candidate":
                return status, data
            asked = json.loads(Parcel.from_bytes(body).documents[0].payload)
            if asked["file"] is not None:
                told = self.change_part(asked["file"], data)
                return (status if told is data else 200), told
            listed = Candidate.from_bytes(Parcel.from_bytes(data).documents[0].payload)
            told = Envelope(Candidate.payload_type(), self.change_list(listed).to_bytes(), ())
            return status, Parcel((told,)).to_bytes()

        return Link(true.hub, true.clock, send)


def with_file(listed, path, **changes):
    files = [file.model_copy(update=changes) if file.path == path else file for file in listed.files]
    return listed.model_copy(update={"files": tuple(files)})


def test_files_of_another_proposal_are_refused(met):
    liar = Liar(met, listed=lambda one: one.model_copy(update={"proposal": sha256(b"another")}))
    with pytest.raises(VerifyError, match=r"link\.other-candidate"):
        fetched(met, link=liar.link())


def test_another_proposal_under_the_asked_name_is_refused(met):
    other = met.draft.proposal.model_copy(update={"version": "6.6.6"}).to_bytes()
    liar = Liar(
        met,
        listed=lambda one: with_file(one, "report/proposal.json", content=sha256(other), size=len(other)),
        part=lambda file, data: other if file == sha256(other) else data,
    )
    with pytest.raises(VerifyError, match=r"link\.other-candidate"):
        fetched(met, link=liar.link())


def test_a_model_that_is_not_the_proposed_one_is_shown_as_such_and_not_approved(met):
    """The hub serves other weights, and lists them by their true digest."""
    weights = met.draft.folder / "model" / "vocab.txt"
    weights.write_bytes(b"another model\n")
    folder = fetched(met)
    paper = looked_at(met, folder)
    assert not paper.can_approve
    assert paper.seen.code.startswith("release.")
    with pytest.raises(VerifyError):
        approve_draft(home(met), folder, clock=met.door.clock)
    assert ws.pending(home(met)) == []


def test_verdicts_that_were_painted_over_are_caught(tmp_path):
    met = drafted(tmp_path, good=False)
    path = met.draft.folder / "report" / "verdicts.json"
    path.write_bytes(path.read_bytes().replace(b'"outcome":"fail"', b'"outcome":"pass"'))
    paper = looked_at(met, fetched(met))
    assert not paper.can_approve
    assert paper.seen.failures[0].name == "release.files"


def test_bytes_that_are_not_the_listed_ones_are_refused_and_not_kept(met):
    liar = Liar(met, part=lambda _, data: data[:-1] + b"x")
    with pytest.raises(VerifyError, match=r"link\.other-file"):
        fetched(met, link=liar.link())
    parts = home(met).folder / "candidates" / "parts"
    assert list(parts.iterdir()) == []
    assert fetched(met).is_dir()


ESCAPES = ["../../workspace.json", "/etc/passwd", "model/../../x", "keys/act.pem", "model.x.sig/y"]


@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_the_layout_does_not_name_is_refused_before_a_byte_is_written(met, path):
    def listed(one):
        more = CandidateFile(path=path, size=1, content=sha256(b"x"))
        return one.model_copy(update={"files": (*one.files, more)})

    with pytest.raises(VerifyError, match=r"release\.odd-path"):
        fetched(met, link=Liar(met, listed=listed).link())
    assert not (home(met).folder / "candidates").exists()


def test_a_list_that_would_fill_the_disk_is_refused(met):
    liar = Liar(met, listed=lambda one: with_file(one, "model/config.json", size=1 << 50))
    with pytest.raises(VerifyError, match=r"release\.too-large"):
        fetched(met, link=liar.link())


def test_a_proposal_that_the_own_ledger_does_not_know_is_not_fetched(met):
    with pytest.raises(CallerError, match=r"release\.no-such-release"):
        fetch_candidate(home(met), met.link(), sha256(b"invented"), act=met.act("bank-a"))
    with pytest.raises(CallerError, match=r"release\.no-such-release"):
        find_proposal(ws.consortium(home(met)), "invented-1.0.0")


# ── parts, breaks, changes meanwhile ─────────────────────────────────────────


def test_what_breaks_off_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "PART_BYTES", 1000)
    met = drafted(tmp_path, model_bytes=10_000)
    asked = []

    def breaking(after):
        true = met.link()

        def send(method, path, body):
            if path == PREFIX + "candidate":
                asked.append(body)
                if len(asked) == after:
                    raise IdentityError("link.unreachable", hub="hub", reason="away")
            return true.send(method, path, body)

        return Link(true.hub, true.clock, send)

    fetched(met, "bank-b", link=breaking(after=-1))
    at_once = len(asked)
    asked.clear()
    with pytest.raises(IdentityError, match=r"link\.unreachable"):
        fetched(met, link=breaking(after=at_once - 5))
    seen = []
    folder = fetched(met, link=breaking(after=-1), progress=lambda done, total: seen.append((done, total)))
    assert len(asked) == at_once + 2  # the one that broke off, and the list once more
    asked.clear()
    assert fetched(met, link=breaking(after=-1)) == folder
    assert len(asked) == 1
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert looked_at(met, folder).can_approve


def test_what_lies_in_the_folder_and_is_no_bundle_goes(met):
    folder = fetched(met)
    (folder / "empty").mkdir()
    (folder / "model" / "link").symlink_to("/etc/passwd")
    assert looked_at(met, fetched(met)).can_approve
    assert not (folder / "empty").exists()


def test_a_draft_that_the_coordinator_brought_up_to_date_is_fetched_anew_where_it_changed(met):
    folder = fetched(met)
    (folder / "model" / "left-over.txt").write_text("from an older draft")
    assert not looked_at(met, folder).can_approve
    assert looked_at(met, fetched(met)).can_approve


def test_a_hub_that_wants_fewer_questions_is_asked_more_slowly(met):
    met.door.turnstile = Turnstile(burst=5, a_second=1.0)
    waited = []

    def pause(seconds):
        waited.append(seconds)
        met.door.seconds += seconds

    assert looked_at(met, fetched(met, pause=pause)).can_approve
    assert waited


# ── the door for those who fetch and vote ────────────────────────────────────


def refused(met, code, kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    assert code in [what for what, _, _ in met.door.refused]


def test_only_voters_get_a_draft(met):
    stranger = generate("act")
    link = met.link()
    refused(met, "hub.no-member", IdentityError, lambda: link.candidate("bank-x", met.digest, stranger))
    refused(met, "envelope.not-signed", VerifyError, lambda: link.candidate("bank-a", met.digest, stranger))
    refused(met, "envelope.not-signed", VerifyError, lambda: link.candidate("bank-a", met.digest, met.act("bank-b")))
    act = met.act("bank-a")
    refused(met, "release.no-such-release", CallerError, lambda: link.candidate("bank-a", sha256(b"x"), act))
    refused(met, "hub.no-such-file", CallerError, lambda: link.part("bank-a", met.digest, sha256(b"x"), 0, act))
    met.door.ahead = timedelta(hours=1)
    refused(met, "hub.clock-off", RunError, lambda: met.link().candidate("bank-a", met.digest, act))


def test_what_other_voters_brought_is_not_in_the_list(met):
    folder = fetched(met)
    approve_draft(home(met), folder, clock=met.door.clock)
    sync(home(met), met.link())
    names = {file.path for file in met.link().candidate("bank-b", met.digest, met.act("bank-b")).files}
    assert (met.draft.folder / "model.bank-a.sig").is_file()
    assert not any(name.startswith("model.") or name == "attest/witnessed" for name in names)


def test_a_vote_travels_with_its_signatures_and_twice_changes_nothing(met):
    approve_draft(home(met), fetched(met), clock=met.door.clock)
    ((ballot, is_ballot),) = ws.deliverable(home(met))
    assert is_ballot
    for _ in range(2):
        met.link().ballot(ballot)
    assert met.state().tally(met.digest, matter="release").approved == ("bank-a",)
    assert (met.draft.folder / "model.bank-a.sig").is_file()
    sync(home(met), met.link())
    assert ws.deliverable(home(met)) == []


def test_a_vote_without_its_signatures_is_never_published(met):
    """A member's process that ended between the act and its signatures: the release waits for them."""
    for party in met.members:
        approve_draft(home(met, party), fetched(met, party), clock=met.door.clock)
        for path in home(met, party).outbox.glob("*.vote"):
            path.unlink()
        sync(home(met, party), met.link())
    assert met.state().tally(met.digest, matter="release").outcome == "approved"
    with pytest.raises(VerifyError, match=r"release\.signature-missing"):
        publish_release(met.hub, met.draft.folder, clock=met.door.clock)
    for party in met.members:
        approve_draft(home(met, party), fetched(met, party), clock=met.door.clock)
        sync(home(met, party), met.link())
    publish_release(met.hub, met.draft.folder, clock=met.door.clock)
    assert verify_bundle(met.draft.folder, anchor=met.state().anchor, at=met.door.at).outcome == "verified"


def test_a_ballot_on_nothing_that_is_here_is_refused(met):
    approve_draft(home(met), fetched(met), clock=met.door.clock)
    ((ballot, _),) = ws.deliverable(home(met))
    met.draft.folder.rename(met.draft.folder.with_name("elsewhere"))
    refused(met, "release.no-such-release", CallerError, lambda: met.link().ballot(ballot))
    assert met.state().tally(met.digest, matter="release").approved == ()


def test_what_is_open_is_found_by_name_and_by_digest(met):
    state = ws.consortium(home(met))
    assert [one.digest for one in open_proposals(state)] == [met.digest]
    name = f"{met.draft.proposal.name}-{met.draft.proposal.version}"
    assert find_proposal(state, name) == find_proposal(state, met.digest)
    with pytest.raises(FoedusError):
        find_proposal(state, "sha256:" + "0" * 64)
