"""What a verifier must refuse, by name; and what it says of a release that is sound."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from foedus.core.checks import Check
from foedus.core.clock import parse
from foedus.core.digest import hex_of, sha256
from foedus.core.errors import CallerError
from foedus.core.messages import set_language
from foedus.ledger import Ledger, merkle
from foedus.ledger.note import Checkpoint, Note, sign
from foedus.records import acts, terms
from foedus.records.accord import Coordinator, CoordinatorKeys, Member, MemberKeys, ReleaseTerms
from foedus.records.evidence import CreditReport, Salted, Verdicts
from foedus.records.release import Proposal
from foedus.release import oms, propose, seal
from foedus.release.bundle import pack, write_checksums
from foedus.release.known import Known
from foedus.release.verify import verify_accord, verify_bundle, verify_ledger
from measured import measured
from release.tiny_consortium import LATER, MEMBERS, STATES, Consortium, tiny_accord
from samples import private_keys


def check(bundle, world, **options):
    return verify_bundle(bundle, **{"anchor": world.accord.digest, "at": LATER, **options})


def codes(seen):
    return [one.error.code if one.error else one.name for one in seen.failures]


def outcomes(seen):
    return {one.name: one.outcome for one in seen.checks}


# ── sound ────────────────────────────────────────────────────────────────────


def test_a_sound_release_verifies_line_by_line(world, bundle):
    seen = check(bundle, world)
    assert (seen.outcome, seen.code, seen.exit_code) == ("verified", "verified", 0)
    said = outcomes(seen)
    for name in ("anchor", "fold", "files", "model", "cards", "gates", "votes", "signatures", "checksums", "freshness"):
        assert said[f"release.{name}"] == "ok", name
    assert said["release.estimates"] == "ok"
    assert said["release.figures"] == said["release.credit-values"] == "claimed"
    assert "intents 1.0.0" in seen.headline
    assert all(one.text for one in seen.checks)


def test_fewer_witnesses_than_the_accord_needs_is_said_and_is_no_failure(world, bundle):
    seen = check(bundle, world)
    assert outcomes(seen)["ledger.split-view"] == "warn"
    assert "split view not excluded: 0 of 2" in next(c.text for c in seen.checks if c.name == "ledger.split-view")
    assert outcomes(seen)["release.witnessed"] == "ok"


def test_a_zip_of_the_bundle_verifies_alike(world, bundle, tmp_path):
    pack(bundle, tmp_path / "b.foedus")
    assert check(tmp_path / "b.foedus", world).code == "verified"


def test_without_an_anchor_everything_is_checked_and_nothing_is_decided(world, bundle):
    seen = check(bundle, world, anchor=None)
    assert (seen.outcome, seen.code, seen.exit_code, seen.failures) == ("undecided", "unanchored", 6, ())
    assert seen.headline == "unanchored: this bundle agrees with itself; nothing shows who made it"
    set_language("zh")
    try:
        assert check(bundle, world, anchor=None).headline.startswith("没有信任锚")
    finally:
        set_language("en")


def test_a_stale_ledger_is_undecided_unless_allowed(world, bundle):
    late = LATER + timedelta(days=400)
    seen = check(bundle, world, at=late)
    assert (seen.code, seen.exit_code, seen.failures) == ("stale", 6, ())
    assert check(bundle, world, at=late, allow_stale=True).code == "verified"


def test_one_process_is_said_first(tmp_path):
    world = Consortium(tmp_path, accord=tiny_accord(custody="one-process"))
    folder = world.release()
    seen = check(folder, world)
    assert seen.practice
    assert seen.checks[0].text.startswith("practice: one process held every key")
    body = (folder / "model/README.md").read_text().partition("\n---\n")[2]
    assert body.lstrip().startswith("**practice: one process held every key")


def test_the_reader_remembers_the_highest_checkpoint_and_the_anchor(world, bundle, tmp_path):
    known = tmp_path / "known.json"
    assert check(bundle, world, known_heads=known).code == "verified"
    assert Known(known).head(world.accord.digest) == (bundle / "ledger/checkpoint").read_bytes()
    Known(known).take_up(world.accord.origin, world.accord.digest)
    assert Known(known).anchor(world.accord.origin) == world.accord.digest


# ── tampering, by name ───────────────────────────────────────────────────────


def stranger_keys(name):
    return private_keys(f"stranger-{name}")


def stranger_accord():
    hub = stranger_keys("hub")
    members = tuple(
        Member(name=m, keys=MemberKeys(**{p: stranger_keys(m)[p].public for p in ("act", "witness", "release")}))
        for m in MEMBERS
    )
    keys = CoordinatorKeys(act=hub["act"].public, log=hub["log"].public)
    return tiny_accord().model_copy(update={"members": members, "coordinator": Coordinator(name="hub", keys=keys)})


def test_a_bundle_wholly_made_again_by_a_stranger(world, tmp_path):
    stranger = Consortium(tmp_path, accord=stranger_accord(), keys=stranger_keys)
    folder = stranger.release()
    assert check(folder, stranger).code == "verified"
    assert codes(check(folder, world)) == ["release.anchor-not-found"]
    (folder / f"accord/{hex_of(world.accord.digest)}.json").write_bytes(world.accord.to_bytes())
    assert codes(check(folder, world)) == ["ledger.not-signed-by-log"]


def flip(path, place=-1):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_changed_weight(world, bundle):
    flip(bundle / "model/model.safetensors")
    assert codes(check(bundle, world))[0] == "release.model-changed"
    write_checksums(bundle)
    found = codes(check(bundle, world))
    assert found[0] == "release.model-changed"
    assert {"release.signature-of-other-files", "release.checksums-not-published"} <= set(found)


def test_a_renamed_model_file_keeps_the_root_and_is_caught_by_the_signatures(world, bundle):
    (bundle / "model/config.json").rename(bundle / "model/confih.json")
    write_checksums(bundle)
    assert codes(check(bundle, world)) == ["release.signature-of-other-files", "release.checksums-not-published"]


def changed(seen):
    return [one.error.fields["path"] for one in seen.failures if one.error.code == "release.file-changed"]


def test_a_swapped_verdict(world, bundle):
    path = bundle / "report/verdicts.json"
    verdicts = Verdicts.from_bytes(path.read_bytes())
    first = verdicts.verdicts[0].model_copy(update={"reason": "looks fine"})
    path.write_bytes(verdicts.model_copy(update={"verdicts": (first, *verdicts.verdicts[1:])}).to_bytes())
    write_checksums(bundle)
    seen = check(bundle, world)
    assert changed(seen) == ["report/verdicts.json"]
    assert "release.other-verdicts" in codes(seen)


def test_a_swapped_card(world, bundle):
    path = bundle / "cards/bank-a.json"
    card = Salted.from_bytes(path.read_bytes())
    path.write_bytes(card.model_copy(update={"salt": "f" * 32}).to_bytes())
    write_checksums(bundle)
    seen = check(bundle, world)
    assert changed(seen) == ["cards/bank-a.json"]
    assert "release.card-not-registered" in codes(seen)


def test_swapped_credit_after_the_vote(world, bundle):
    path = bundle / "report/credit.json"
    report = CreditReport.from_bytes(path.read_bytes())
    ours, *rest = report.credits
    path.write_bytes(
        report.model_copy(update={"credits": (ours.model_copy(update={"value": "0.9"}), *rest)}).to_bytes()
    )
    write_checksums(bundle)
    seen = check(bundle, world)
    assert changed(seen) == ["report/credit.json"]
    assert "release.other-credit" in codes(seen)


def test_a_swapped_proposal(world, bundle):
    path = bundle / "report/proposal.json"
    proposal = Proposal.from_bytes(path.read_bytes())
    path.write_bytes(proposal.model_copy(update={"use": "anything"}).to_bytes())
    assert codes(check(bundle, world)) == ["release.not-proposed"]


def voted(tmp_path, *members):
    world = Consortium(tmp_path / "w")
    world.draft()
    world.collect(*(world.ballot(member) for member in members))
    return world


def dishonest(world, *bodies):
    """The coordinator enters acts that no honest ledger takes, and makes the bundle look finished."""
    folder = world.folder()
    checksums = write_checksums(folder)
    for body in bodies:
        body = acts.Publish(proposal=body, checksums=checksums) if isinstance(body, str) else body
        envelope = body if hasattr(body, "signatures") else world.act("hub")(body)
        world.ledger.append(envelope, key=world.keys("hub")["log"], clock=world.clock)
    seal.copy_ledger(world.root / "ledger", folder)
    return check(folder, world)


def proposal_of(world):
    return Proposal.from_bytes((world.folder() / "report/proposal.json").read_bytes()).digest


def test_a_missing_vote(tmp_path):
    world = voted(tmp_path, "bank-a")
    subject = proposal_of(world)
    assert codes(dishonest(world)) == ["release.not-approved", "release.not-published"]
    closed = acts.CloseVote(subject=subject, matter="release", outcome="approved")
    seen = dishonest(world, closed, subject)
    assert codes(seen) == ["fold.vote-undecided"]


def test_a_forged_vote(tmp_path):
    world = voted(tmp_path, "bank-a")
    subject = proposal_of(world)
    number, prev = world.chains["bank-b"]
    vote = acts.Vote(subject=subject, choice="approve", matter="release")
    entry = acts.Entry.of(vote, accord=world.accord.digest, actor="bank-b", number=number + 1, prev=prev)
    forged = entry.sign(world.keys("hub")["act"])
    seen = dishonest(world, forged, acts.CloseVote(subject=subject, matter="release", outcome="approved"), subject)
    assert codes(seen) == ["fold.not-signed"]
    assert seen.failures[0].error.fields["actor"] == "bank-b"


def test_an_approval_without_its_model_signature(world, bundle):
    (bundle / "model.bank-b.sig").unlink()
    write_checksums(bundle)
    seen = check(bundle, world)
    assert codes(seen) == ["release.signature-missing", "release.checksums-not-published"]
    assert seen.failures[0].error.fields["signer"] == "bank-b"


def careless(world, member):
    """The ballot of a member that signs without verifying."""
    folder = world.folder()
    vote = acts.Vote(subject=proposal_of(world), choice="approve", matter="release")
    signature = oms.sign(oms.resources(folder / "model"), world.keys(member)["release"])
    return seal.Ballot(member, vote, world.act(member)(vote), signature, None)


def released_carelessly(world):
    world.draft()
    world.collect(*(careless(world, member) for member in MEMBERS))
    return world.publish()


def test_a_gate_left_out_even_when_all_voted_for_it(tmp_path, monkeypatch):
    world = Consortium(tmp_path)
    honest = propose.judge
    monkeypatch.setattr(propose, "judge", lambda *given: tuple(v for v in honest(*given) if v.gate != "no-harm"))
    seen = check(released_carelessly(world), world)
    assert codes(seen) == ["release.gate-left-out"]
    assert seen.failures[0].error.fields["gate"] == "no-harm"


def test_a_verdict_that_does_not_follow_even_when_all_voted_for_it(tmp_path, monkeypatch):
    world = Consortium(tmp_path, figures={"federated": 20, "alone": 14})
    honest = propose.judge
    monkeypatch.setattr(
        propose,
        "judge",
        lambda *given: tuple(
            v.model_copy(update={"outcome": "pass"}) if v.gate == "utility" else v for v in honest(*given)
        ),
    )
    seen = check(released_carelessly(world), world)
    assert codes(seen) == ["release.verdict-differs"]
    assert seen.failures[0].error.fields == {"gate": "utility", "expected": "fail", "got": "pass"}


def test_a_failed_gate_stops_a_release_that_all_voted_for(tmp_path):
    world = Consortium(tmp_path, figures={"federated": 20, "alone": 14})
    seen = check(released_carelessly(world), world)
    assert codes(seen) == ["release.gates-not-clear"]
    assert seen.failures[0].error.fields["gates"] == "utility (fail)"


def test_a_threshold_relaxed_after_signing(world, bundle):
    lax = tiny_accord(gates=(*world.accord.gates[:2], terms.Utility(metric="accuracy", minimum="0.1")))
    (bundle / "accord/accord.json").write_bytes(lax.to_bytes())
    (bundle / f"accord/{hex_of(world.accord.digest)}.json").write_bytes(world.accord.to_bytes())
    write_checksums(bundle)
    assert codes(check(bundle, world)) == ["release.other-accord"]
    proposal = Proposal.from_bytes((bundle / "report/proposal.json").read_bytes())
    relaxed = proposal.model_copy(update={"accord": lax.digest})
    (bundle / "report/proposal.json").write_bytes(relaxed.to_bytes())
    assert codes(check(bundle, world)) == ["release.not-proposed"]


def shortened(world, folder, count):
    """The log's holder signs a head without the last entries."""
    leaves = [leaf.data for leaf in world.ledger.leaves()][:-count]
    head = Checkpoint(world.accord.origin, len(leaves), merkle.root(list(map(merkle.leaf_hash, leaves))))
    note = Note(head.text, (sign(head.text, head.origin, world.keys("hub")["log"]),))
    other = world.root / "shortened"
    log_key = world.accord.coordinator.keys.log
    Ledger.receive(other, leaves, note.to_bytes(), origin=head.origin, log_key=log_key)
    seal.copy_ledger(other, folder)


def revoked(tmp_path):
    world = Consortium(tmp_path / "w")
    world.release()
    subject = proposal_of(world)
    for member in MEMBERS:
        world.do(member, acts.Vote(subject=subject, choice="approve", matter="revoke", reason="leaks"))
    world.do("hub", acts.CloseVote(subject=subject, matter="revoke", outcome="approved"))
    world.do("hub", acts.Revoke(proposal=subject, reason="it leaks"))
    return world


def test_a_revoked_release_and_an_entry_dropped_from_the_end(tmp_path):
    world = revoked(tmp_path)
    old = check(world.folder(), world)
    assert old.code == "verified"
    assert "not revoked as of checkpoint" in next(c.text for c in old.checks if c.name == "release.freshness")
    newer = check(world.folder(), world, ledger=world.root / "ledger")
    assert codes(newer) == ["release.revoked"]
    seal.copy_ledger(world.root / "ledger", world.folder())
    assert codes(check(world.folder(), world)) == ["release.revoked"]
    checkpoint = world.ledger.checkpoint()
    shortened(world, world.folder(), 1)
    assert check(world.folder(), world).code == "verified"
    assert codes(check(world.folder(), world, since=checkpoint)) == ["ledger.shorter-than-before"]


def test_a_reader_who_saw_a_later_checkpoint_is_told(tmp_path):
    world = revoked(tmp_path)
    known = tmp_path / "known.json"
    Known(known).remember(world.accord.digest, world.ledger.checkpoint())
    seen = check(world.folder(), world, known_heads=known)
    assert (seen.code, seen.exit_code) == ("stale", 6)
    assert outcomes(seen)["release.older-than-known"] == "warn"


def test_another_history_than_the_one_seen_before(world, bundle, tmp_path):
    known = tmp_path / "known.json"
    text = Checkpoint(world.accord.origin, 3, b"\x01" * 32).text
    note = Note(text, (sign(text, world.accord.origin, world.keys("hub")["log"]),))
    Known(known).remember(world.accord.digest, note.to_bytes())
    assert "release.forked" in codes(check(bundle, world, known_heads=known))
    assert codes(check(bundle, world, since=note.to_bytes())) == ["ledger.forked"]


def test_a_release_swapped_after_the_vote(tmp_path):
    world = Consortium(tmp_path)
    world.release()
    world.draft(version="2.0.0")
    second = world.folder("2.0.0")
    for path in world.folder().glob("model.*.sig"):
        shutil.copy(path, second)
    write_checksums(second)
    assert codes(check(second, world))[0] == "release.not-approved"
    shutil.copytree(second / "model", world.folder() / "model", dirs_exist_ok=True)
    assert codes(check(world.folder(), world))[0] == "release.model-changed"


def test_any_changed_byte_of_any_file_fails(world, bundle):
    for path in sorted(p for p in bundle.rglob("*") if p.is_file()):
        good = path.read_bytes()
        for place in sorted({0, len(good) // 3, len(good) // 2, len(good) - 1}):
            flip(path, place)
            seen = check(bundle, world)
            assert seen.outcome == "refused", (path, place)
            assert all(str(one.error) for one in seen.failures)
            path.write_bytes(good)
    assert check(bundle, world).code == "verified"


@pytest.mark.parametrize("name", ["extra.txt", "model/evil.pkl", "report/extra.json", "objects/x.json"])
def test_an_unlisted_file(world, bundle, name):
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"{}")
    assert set(codes(check(bundle, world))) & {"release.odd-path", "release.file-unlisted", "release.model-changed"}


def test_an_accord_or_object_under_a_false_name(world, bundle):
    (bundle / f"accord/{'0' * 64}.json").write_bytes(world.accord.to_bytes())
    assert "release.file-changed" in codes(check(bundle, world))


def test_a_link_in_a_bundle(world, bundle):
    (bundle / "model/link.json").symlink_to("config.json")
    assert codes(check(bundle, world)) == ["release.link"]


def test_a_false_cosignature_among_the_voters(world, bundle):
    path = bundle / "attest/witnessed"
    note = Note.from_bytes(path.read_bytes())
    bad = replace(note.lines[1], signature=bytes(72))
    path.write_bytes(Note(note.text, (note.lines[0], bad, *note.lines[2:])).to_bytes())
    assert "ledger.bad-cosignature" in codes(check(bundle, world))


# ── withheld figures ─────────────────────────────────────────────────────────


def test_withheld_figures_are_shown_to_voters_and_left_out_of_the_release(tmp_path):
    world = Consortium(tmp_path, accord=tiny_accord(release=ReleaseTerms(licence="MIT", figures="withheld")))
    draft = world.draft()
    hidden = draft.folder / f"objects/{hex_of(draft.proposal.evidence)}.json"
    assert sha256(hidden.read_bytes()) == draft.proposal.evidence
    assert outcomes(check(draft.folder, world, draft=True))["release.gate"] == "ok"
    world.collect(*(world.ballot(member) for member in MEMBERS))
    folder = world.publish()
    assert not hidden.exists()
    for path in folder.rglob("*.json"):
        assert b'"counts":{"bank' not in path.read_bytes()
    figures = json.loads((folder / "report/examination.json").read_bytes())["figures"]
    assert {one["member"] for one in figures} == {None}
    assert "bank-a | " not in (folder / "model/README.md").read_text()
    seen = check(folder, world)
    assert seen.code == "verified"
    gates = {one.fields["gate"]: one.outcome for one in seen.checks if one.name == "release.gate"}
    assert gates == {"artefact": "ok", "no-harm": "recorded", "utility": "ok"}
    assert outcomes(seen)["release.credit-values"] == "claimed"
    assert outcomes(seen)["release.figures-withheld"] == "recorded"
    assert not {"release.estimates", "release.figures"} & outcomes(seen).keys()


# ── figures that do not follow ───────────────────────────────────────────────


def lied(tmp_path, change=lambda figure: figure, accord=None, **changes):
    """What a reader is told of a release whose examination was written anew by a lying coordinator; everybody
    signed.
    """
    accord = accord or tiny_accord()
    honest = measured(accord, MEMBERS, state=STATES[2])
    figures = tuple(one for figure in honest.figures if (one := change(figure)))
    forged = honest.model_copy(update={"figures": figures, **changes})
    world = Consortium(tmp_path, accord=accord, examined=forged)
    return check(released_carelessly(world), world)


def of(figure, arm, member, metric="accuracy"):
    return (figure.arm, figure.member, figure.metric) == (arm, member, metric)


@pytest.mark.parametrize("place", [("federated", None), ("alone", None), ("difference", None), ("federated", "bank-b"),
                                   ("alone", "bank-b"), ("difference", "bank-b")])  # fmt: skip
@pytest.mark.parametrize("metric", ["accuracy", "macro-f1"])
def test_an_estimate_that_its_counts_do_not_give_is_named(tmp_path, place, metric):
    better = {"estimate": "0.99", "low": "0.98", "high": "1"}
    seen = lied(tmp_path, lambda one: one.model_copy(update=better) if of(one, *place, metric) else one)
    assert codes(seen)[0] == "release.figure-differs"
    said = seen.failures[0].error.fields
    assert (said["arm"], said["member"], said["metric"]) == (place[0], place[1] or "–", metric)
    assert said["got"].startswith("0.99")
    assert seen.exit_code == 6


def test_an_n_that_its_counts_do_not_give_is_named(tmp_path):
    seen = lied(tmp_path / "a", lambda one: one.model_copy(update={"n": 3000}) if one.member is None else one)
    assert codes(seen) == ["release.figure-differs"]
    seen = lied(tmp_path / "b", lambda one: one.model_copy(update={"n": 1000}) if one.member == "bank-a" else one)
    assert codes(seen) == ["release.counts-impossible"]
    assert seen.failures[0].error.fields["member"] == "bank-a"


def test_a_figure_left_out_or_added_is_named(tmp_path):
    out = lied(tmp_path / "a", lambda one: None if of(one, "alone", "bank-c") else one)
    assert codes(out) == ["release.figure-missing"]
    more = lied(tmp_path / "b", lambda one: one.model_copy(update={"arm": "base"}) if of(one, "alone", None) else one)
    assert codes(more) == ["release.figure-missing"]
    honest = measured(tiny_accord(), MEMBERS, state=STATES[2]).figures
    twice = lied(tmp_path / "c", figures=(*honest, honest[-1]))
    assert codes(twice) == ["release.figure-unasked"]


def test_an_interval_that_does_not_hold_its_estimate_is_named(tmp_path):
    seen = lied(tmp_path, lambda one: one.model_copy(update={"low": "0.95", "high": "0.99"})
                if of(one, "federated", "bank-a", "macro-f1") else one)  # fmt: skip
    assert codes(seen) == ["release.figure-off-interval"]


@pytest.mark.parametrize("clause", [{"replicates": 10}, {"confidence_bp": 5000}])
def test_another_evaluation_than_the_accord_asks_for_is_named(tmp_path, clause):
    seen = lied(tmp_path, **clause)
    assert codes(seen) == ["release.other-evaluation"]
    assert seen.failures[0].error.fields["what"] == next(iter(clause))


def test_counts_of_others_than_the_replies_that_were_entered_are_named(tmp_path):
    honest = measured(tiny_accord(), MEMBERS, state=STATES[2])
    few = measured(tiny_accord(), MEMBERS[:2], state=STATES[2])
    assert "release.counts-of-others" in codes(lied(tmp_path / "a", counts=few.counts, figures=few.figures))
    assert "release.counts-of-others" in codes(lied(tmp_path / "b", counts={}, figures=honest.figures))
    bare = {m: {"federated": arms["federated"]} for m, arms in honest.counts.items()}
    assert codes(lied(tmp_path / "c", counts=bare)) == ["release.counts-impossible"]


def test_withheld_counts_must_still_be_there_for_those_who_vote(tmp_path):
    accord = tiny_accord(release=ReleaseTerms(licence="MIT", figures="withheld"))
    seen = lied(tmp_path, lambda one: None if one.member else one, accord, counts={})
    assert "release.counts-of-others" in codes(seen)


def test_credit_by_another_method_than_the_accord_asks_for_is_named(tmp_path):
    world = Consortium(tmp_path, method="reconstruct")
    assert codes(check(released_carelessly(world), world)) == ["release.other-credit-method"]


# ── ledger, accord, base install ─────────────────────────────────────────────


def test_a_ledger_verifies_with_the_objects_beside_it(world):
    seen = verify_ledger(world.root / "ledger", anchor=world.accord.digest, at=LATER)
    assert (seen.code, seen.what) == ("verified", "ledger")
    assert verify_ledger(world.root / "ledger", anchor=None, at=LATER).code == "unanchored"
    other = "sha256:" + "0" * 64
    assert codes(verify_ledger(world.root / "ledger", anchor=other, at=LATER)) == ["release.anchor-not-found"]


def test_an_accord_verifies_against_its_anchor(world, bundle):
    path = bundle / "accord/accord.json"
    assert verify_accord(path, anchor=world.accord.digest, at=LATER).code == "verified"
    assert codes(verify_accord(path, anchor="sha256:" + "0" * 64, at=LATER)) == ["release.not-the-anchor"]
    path.write_bytes(path.read_bytes() + b"\n")
    assert codes(verify_accord(path, anchor=world.accord.digest, at=LATER)) == ["canonical.not-canonical"]


def test_verifying_needs_no_machine_learning(world, bundle):
    program = f"""
import sys
for name in ("torch", "numpy", "transformers", "peft", "safetensors"):
    sys.modules[name] = None
from datetime import datetime, UTC
from pathlib import Path
from foedus.release.verify import verify_bundle
seen = verify_bundle(Path({str(bundle)!r}), anchor={world.accord.digest!r}, at=datetime(2026, 11, 23, tzinfo=UTC))
print(seen.code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "verified", done.stderr


def test_a_check_can_be_said_in_both_languages(world, bundle):
    flip(bundle / "model/model.safetensors")
    seen = check(bundle, world)
    for language in ("en", "zh"):
        set_language(language)
        try:
            assert all(isinstance(one, Check) and one.text and (one.why is None or str(one.why)) for one in seen.checks)
        finally:
            set_language("en")


def test_what_a_gate_decided_is_said_in_the_readers_language(world, bundle):
    gates = [one for one in check(bundle, world).checks if one.name == "release.gate"]
    told = []
    for language in ("en", "zh"):
        set_language(language)
        try:
            told.append({one.text for one in gates})
        finally:
            set_language("en")
    assert "gate artefact: pass" in told[0]
    assert "门禁 artefact：通过" in told[1]


# ── clocks, broken files, slips of the reader ────────────────────────────────


def test_a_ledger_that_is_dated_later_than_now_decides_nothing(world, bundle):
    early = LATER - timedelta(days=1, minutes=30)
    seen = check(bundle, world, at=early, allow_stale=True)
    assert (seen.outcome, seen.code, seen.exit_code, seen.failures) == ("undecided", "ahead", 6, ())
    assert outcomes(seen)["release.ahead"] == "warn"
    seen = verify_ledger(world.root / "ledger", anchor=world.accord.digest, at=early)
    assert (seen.code, seen.exit_code) == ("ahead", 6)


def test_clocks_a_little_apart_are_no_matter(world, bundle):
    last = max(leaf.recorded_at for leaf in world.ledger.leaves())
    assert check(bundle, world, at=parse(last) - timedelta(minutes=5)).code == "verified"


def test_how_many_approved_is_said_first_in_both_languages(tmp_path):
    world = voted(tmp_path, "bank-a", "bank-b")
    assert "approved by 2 of its 3 members (1 silent, 0 against)" in check(world.publish(), world).headline
    set_language("zh")
    try:
        assert "3 个成员中的 2 个批准（1 个未表态，0 个反对）" in check(world.folder(), world).headline
    finally:
        set_language("en")


@pytest.mark.parametrize("part", ["model", "report", "accord", "ledger", "cards", "attest"])
def test_a_bundle_without_one_of_its_folders_is_refused_and_not_the_callers_slip(world, bundle, part):
    shutil.rmtree(bundle / part)
    seen = check(bundle, world)
    assert (seen.outcome, seen.exit_code) == ("refused", 6)
    assert all(str(one.error) for one in seen.failures)


def test_what_cannot_be_read_is_a_failed_check(world, bundle):
    (bundle / "model/README.md").unlink()
    (bundle / "model/README.md").mkdir()
    assert check(bundle, world).outcome == "refused"
    shutil.rmtree(bundle / "ledger/tile")
    assert check(bundle, world).exit_code == 6


@pytest.mark.parametrize("name", ["report/proposal.json", "accord/accord.json", "report/examination.json"])
def test_a_broken_record_is_named_by_its_file(world, bundle, name):
    (bundle / name).write_bytes(b'{"not": whole')
    found = [one.error for one in check(bundle, world).failures if one.error.code == "release.file-malformed"]
    assert [one.fields["path"] for one in found] == [name]


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"anchors":{},"heads":{"x":"?"}}', b'{"anchors":{},"heads":{"x":1}}']
)
def test_what_the_reader_remembers_is_named_when_it_is_broken(world, bundle, tmp_path, content):
    known = tmp_path / "known.json"
    known.write_bytes(content)
    with pytest.raises(CallerError) as caught:
        check(bundle, world, known_heads=known)
    assert (caught.value.code, caught.value.fields["path"]) == ("release.known-malformed", str(known))


def test_a_newer_ledger_that_is_none_is_the_callers_slip(world, bundle, tmp_path):
    with pytest.raises(CallerError) as caught:
        check(bundle, world, ledger=tmp_path / "nowhere")
    assert caught.value.code == "release.no-ledger"
