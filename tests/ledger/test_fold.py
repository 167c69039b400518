import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.digest import sha256
from foedus.core.envelope import b64
from foedus.core.errors import VerifyError
from foedus.core.keys import from_seed
from foedus.core.messages import LANGUAGES, error_text
from foedus.ledger.fold import resolve
from foedus.ledger.leaf import leaf_bytes, parse_leaf
from foedus.records import acts, terms
from foedus.records.accord import Aggregation, Amendment, DataTerms, Member, ReleaseTerms, Training
from samples import private_keys, sample_accord
from scene import Scene, card, close_round, close_run, digest, evidence, open_run, replace_key, rotate

NEW = from_seed(b"n" * 32)
OTHER = from_seed(b"o" * 32)


def refused(scene: Scene, code: str, *, actor: str | None = None) -> VerifyError:
    """The fold refuses the scene's last entry with this code, names it, and can say so in every language."""
    before = scene.leaves[:-1]
    resolve(before, objects=scene.objects.get, anchor=None)
    with pytest.raises(VerifyError) as caught:
        scene.fold()
    assert caught.value.code == f"fold.{code}"
    assert caught.value.fields["index"] == len(before)
    assert caught.value.fields["actor"] == (actor or scene.leaves[-1].entry.actor)
    assert all(str(error_text(caught.value, lang=lang)) for lang in LANGUAGES)
    return caught.value


# ── the life of a consortium ─────────────────────────────────────────────────


def test_an_accord_is_in_force_when_the_quorum_has_signed():
    scene = Scene()
    scene.propose_accord()
    scene.sign("bank-a", "bank-b")
    waiting = scene.fold()
    assert waiting.accord is None
    assert waiting.tally(scene.accord.digest).missing == ("bank-c",)
    scene.sign("bank-c")
    state = scene.fold()
    assert state.accord == scene.accord
    assert state.anchor == state.accord_digest == scene.accord.digest
    assert [m.name for m in state.members] == ["bank-a", "bank-b", "bank-c"]


def test_the_whole_life_from_accord_to_revocation_folds():
    scene = Scene()
    subject = scene.released()
    state = scene.fold(anchor=scene.accord.digest)
    assert state.proposals[subject].outcome == "approved"
    assert state.proposals[subject].published.checksums == digest("checksums")
    assert state.runs["r1"].round == 4
    assert state.heads["bank-a"][0] == 3
    scene.vote(subject, "revoke")
    scene.close_vote(subject, "revoke")
    scene.act("hub", acts.Revoke(proposal=subject, reason="a label was wrong"))
    assert scene.fold().proposals[subject].revoked.reason == "a label was wrong"


def test_folding_on_from_a_state_gives_what_folding_all_gives():
    scene = Scene()
    scene.released()
    for cut in (0, 1, 4, 8, len(scene.leaves)):
        first = resolve(scene.leaves[:cut], objects=scene.objects.get, anchor=None)
        kept = repr(first)
        assert resolve(scene.leaves[cut:], objects=scene.objects.get, anchor=None, since=first) == scene.fold()
        assert repr(first) == kept


def test_another_anchor_is_refused():
    scene = Scene().in_force()
    with pytest.raises(VerifyError) as caught:
        scene.fold(anchor=digest("another"))
    assert caught.value.code == "fold.other-anchor"


def test_no_entries_are_no_consortium():
    assert resolve([], objects={}.get, anchor=digest("any")).accord is None


# ── entries ──────────────────────────────────────────────────────────────────


def test_the_first_entry_must_be_the_first_accord_of_its_own_coordinator():
    scene = Scene()
    scene.act("bank-a", acts.Leave(reason="no"))
    refused(scene, "bad-start")
    scene = Scene()
    scene.act("bank-a", acts.ProposeAccord(accord=scene.accord.digest))
    refused(scene, "bad-genesis")


def test_an_accord_that_is_not_at_hand_is_refused():
    scene = Scene()
    scene.propose_accord()
    scene.objects.clear()
    refused(scene, "object-missing")


def test_an_object_that_is_another_is_refused():
    scene = Scene()
    scene.propose_accord()
    scene.objects[scene.accord.digest] = sample_accord(name="another").to_bytes()
    refused(scene, "object-changed")


def test_an_entry_signed_by_another_key_is_refused():
    scene = Scene().in_force()
    scene.record(scene.entry("bank-a", card("bank-a")), private_keys("bank-b")["act"])
    refused(scene, "not-signed")


def test_an_entry_of_a_stranger_is_refused():
    scene = Scene().in_force()
    scene.act("bank-z", card("bank-z"))
    refused(scene, "stranger-acts")


def test_an_entry_with_a_gap_or_another_past_is_refused():
    scene = Scene().in_force()
    scene.act("bank-a", card("bank-a"), number=3)
    refused(scene, "broken-chain")
    scene = Scene().in_force()
    scene.act("bank-a", card("bank-a"), prev=digest("elsewhere"))
    refused(scene, "broken-chain")


def test_a_replayed_entry_is_refused():
    scene = Scene().in_force().with_cards()
    scene.record_envelope(scene.leaves[-1].envelope)
    refused(scene, "replayed")


def test_time_that_goes_back_is_refused():
    scene = Scene().in_force()
    scene.clock = "2026-05-31T23:59:59Z"
    scene.act("bank-a", card("bank-a"))
    refused(scene, "time-went-back")


def test_an_entry_out_of_its_place_is_refused():
    scene = Scene().in_force()
    with pytest.raises(VerifyError) as caught:
        resolve(scene.leaves[1:], objects=scene.objects.get, anchor=None)
    assert caught.value.code == "fold.wrong-index"


def test_an_unknown_type_or_a_wrong_body_is_refused():
    scene = Scene().in_force()
    scene.act("bank-a", card("bank-a"), type="data.sell")
    refused(scene, "unknown-act")
    for body in ({"reason": 1}, {"reason": "x", "more": "y"}, {}):
        scene = Scene().in_force()
        scene.act("bank-a", acts.Leave(reason="x"), body=body)
        refused(scene, "bad-body")
    scene = Scene().in_force()
    scene.act("bank-a", acts.Vote(subject=digest("v"), choice="approve", matter="waive"),
              body={"subject": digest("v"), "choice": "approve", "matter": "waive"})  # fmt: skip
    refused(scene, "bad-body")


def test_an_entry_under_another_accord_is_refused():
    scene = Scene().in_force()
    scene.act("bank-a", card("bank-a"), accord=digest("another"))
    refused(scene, "other-accord")


def test_nothing_but_signing_happens_before_an_accord_is_in_force():
    scene = Scene()
    scene.propose_accord()
    scene.act("bank-a", card("bank-a"))
    refused(scene, "not-in-force")


@pytest.mark.parametrize(
    ("actor", "act"),
    [
        ("bank-a", open_run()),
        ("bank-a", close_round(1)),
        ("bank-a", acts.Publish(proposal=digest("p"), checksums=digest("c"))),
        ("bank-a", acts.CloseVote(subject=digest("p"), matter="waive", outcome="approved")),
        ("hub", card("hub")),
        ("hub", acts.Vote(subject=digest("v"), choice="approve", matter="waive")),
        ("hub", acts.Leave(reason="tired")),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_an_act_by_one_who_may_not_do_it_is_refused(actor, act):
    scene = Scene().in_force()
    scene.act(actor, act)
    refused(scene, "not-entitled")


# ── signing and amending ─────────────────────────────────────────────────────


def test_signing_without_holding_the_other_keys_is_refused():
    for purpose in ("witness", "release"):
        scene = Scene()
        scene.propose_accord()
        message = acts.possession_message(scene.accord.digest, "bank-a")
        held, stranger = private_keys("bank-a"), private_keys("bank-b")
        proofs = {p: b64((stranger if p == purpose else held)[p].sign(message)) for p in ("witness", "release")}
        scene.act("bank-a", acts.SignAccord(
            accord=scene.accord.digest, witness_proof=proofs["witness"], release_proof=proofs["release"]
        ))  # fmt: skip
        assert refused(scene, "bad-proof").fields["purpose"] == purpose


def test_a_proof_that_is_no_base64_is_refused():
    scene = Scene()
    scene.propose_accord()
    scene.act("bank-a", acts.SignAccord(accord=scene.accord.digest, witness_proof="!", release_proof="!"))
    refused(scene, "malformed")


def test_signing_twice_or_what_nobody_proposed_is_refused():
    scene = Scene()
    scene.propose_accord()
    scene.sign("bank-a", "bank-a")
    refused(scene, "signed-twice")
    scene = Scene().in_force()
    scene.sign("bank-a", accord=sample_accord(name="another"))
    refused(scene, "unknown-subject")


def test_the_coordinator_does_not_sign_as_a_member():
    scene = Scene()
    scene.propose_accord()
    scene.sign("hub")
    refused(scene, "not-entitled")


def test_with_a_share_to_ratify_a_member_that_has_not_signed_takes_no_part():
    scene = Scene(sample_accord(ratification="2/3"))
    scene.propose_accord()
    scene.sign("bank-a", "bank-b")
    assert [m.name for m in scene.fold().members] == ["bank-a", "bank-b"]
    scene.act("bank-c", card("bank-c"))
    refused(scene, "not-entitled")
    scene.leaves.pop()
    del scene.heads["bank-c"]
    scene.sign("bank-c")
    scene.act("bank-c", card("bank-c"))
    assert "bank-c" in scene.fold().cards


def amended(scene: Scene, **overrides):
    fields = {"version": scene.accord.version + 1, "prev": scene.accord.digest, **overrides}
    return scene.accord.model_copy(update=fields)


def test_an_amendment_needs_the_old_quorum_and_every_new_member():
    scene = Scene().in_force()
    wider = sample_accord(("bank-a", "bank-b", "bank-c", "bank-d"), version=2, prev=scene.accord.digest)
    scene.propose_accord(wider)
    scene.sign("bank-a", "bank-b", "bank-c", accord=wider)
    assert scene.fold().accord == scene.accord
    scene.sign("bank-d", accord=wider)
    state = scene.fold(anchor=scene.accord.digest)
    assert state.accord == wider
    assert state.key("bank-d", "act") == private_keys("bank-d")["act"].public


def test_an_amendment_waits_for_those_with_a_veto_even_when_they_are_to_go():
    scene = Scene(sample_accord(amendment=Amendment(quorum="1/3", veto=("bank-c",)))).in_force()
    narrower = sample_accord(("bank-a", "bank-b"), version=2, prev=scene.accord.digest)
    scene.propose_accord(narrower)
    scene.sign("bank-a", "bank-b", accord=narrower)
    assert scene.fold().accord == scene.accord
    assert scene.fold().tally(narrower.digest).awaited == ("bank-c",)
    scene.sign("bank-c", accord=narrower)
    state = scene.fold()
    assert state.accord == narrower
    assert state.key("bank-c", "act") is None


def test_an_amendment_that_does_not_follow_is_refused():
    scene = Scene().in_force()
    scene.propose_accord(amended(scene, version=3))
    refused(scene, "not-the-next-accord")
    scene = Scene().in_force()
    scene.propose_accord(amended(scene, name="another"))
    refused(scene, "other-consortium")
    scene = Scene().in_force()
    scene.propose_accord()
    refused(scene, "proposed-twice")


def test_an_amendment_cannot_change_keys():
    scene = Scene().in_force()
    a, *rest = scene.accord.members
    swapped = (Member(name=a.name, keys=a.keys.model_copy(update={"witness": NEW.public})), *rest)
    scene.propose_accord(amended(scene, members=swapped))
    refused(scene, "keys-differ")


def test_a_new_member_with_a_key_that_another_ever_had_is_refused():
    scene = Scene().in_force()
    scene.act("bank-a", rotate("bank-a", "witness", NEW, scene.under))
    keys = private_keys("bank-a")
    one = sample_accord(("bank-d",)).members[0]
    stolen = Member(name="bank-d", keys=one.keys.model_copy(update={"witness": keys["witness"].public}))
    first = scene.accord.members[0]
    first = Member(name="bank-a", keys=first.keys.model_copy(update={"witness": NEW.public}))
    scene.propose_accord(amended(scene, members=(first, *scene.accord.members[1:], stolen)))
    refused(scene, "key-twice")


def test_signing_an_amendment_that_another_overtook_is_refused():
    scene = Scene(sample_accord(amendment=Amendment(quorum="all"))).in_force()
    one, two = amended(scene, ratification="1/3"), amended(scene, ratification="2/3")
    scene.propose_accord(one)
    scene.propose_accord(two)
    scene.sign("bank-a", "bank-b", "bank-c", accord=one)
    assert scene.fold().accord == one
    scene.sign("bank-a", accord=two)
    refused(scene, "accord-overtaken")


# ── keys ─────────────────────────────────────────────────────────────────────


def test_after_a_rotation_the_new_key_signs_and_the_old_one_no_longer():
    scene = Scene().in_force()
    scene.act("bank-a", rotate("bank-a", "act", NEW, scene.under))
    index = len(scene.leaves) - 1
    scene.record(scene.entry("bank-a", card("bank-a")), NEW)
    state = scene.fold()
    assert state.key("bank-a", "act") == NEW.public
    assert state.key_at("bank-a", "act", index) == private_keys("bank-a")["act"].public
    assert state.key_at("bank-a", "act", index + 1) == NEW.public
    scene.act("bank-a", card("bank-a", 200))
    refused(scene, "not-signed")


def test_a_rotation_without_proof_to_a_used_key_or_from_another_key_is_refused():
    scene = Scene().in_force()
    scene.act("bank-a", rotate("bank-a", "act", NEW, scene.under, proof=OTHER))
    refused(scene, "bad-proof")
    scene = Scene().in_force()
    scene.act("bank-a", rotate("bank-a", "act", private_keys("bank-b")["witness"], scene.under))
    refused(scene, "key-twice")
    scene = Scene().in_force()
    scene.act("bank-a", rotate("bank-a", "act", private_keys("bank-a")["act"], scene.under))
    refused(scene, "key-twice")
    scene = Scene().in_force()
    scene.act("bank-a", rotate("bank-b", "act", NEW, scene.under))
    refused(scene, "not-the-key-in-force")
    scene = Scene().in_force()
    scene.act("bank-a", rotate("bank-a", "release", NEW, scene.under))
    refused(scene, "bad-proof")


def test_the_log_key_does_not_rotate():
    scene = Scene().in_force()
    scene.act("hub", rotate("hub", "log", NEW, scene.under))
    refused(scene, "log-key-stays")


def test_a_lost_key_is_replaced_by_the_vote_of_the_others():
    scene = Scene().in_force()
    subject = scene.act("bank-b", replace_key("bank-a", NEW, scene.under))
    assert scene.fold().voters("key", subject) == ("bank-b", "bank-c")
    scene.vote(subject, "key", by=("bank-b", "bank-c"))
    scene.close_vote(subject, "key")
    scene.record(scene.entry("bank-a", card("bank-a")), NEW)
    assert scene.fold().key("bank-a", "act") == NEW.public


def test_nobody_replaces_its_own_key_or_votes_on_it():
    scene = Scene().in_force()
    scene.act("bank-a", replace_key("bank-a", NEW, scene.under))
    refused(scene, "not-entitled")
    scene = Scene().in_force()
    subject = scene.act("bank-b", replace_key("bank-a", NEW, scene.under))
    scene.vote(subject, "key", by=("bank-a",))
    refused(scene, "not-entitled")


def test_a_replacement_lapses_when_the_key_was_rotated_meanwhile():
    scene = Scene().in_force()
    subject = scene.act("bank-b", replace_key("bank-a", NEW, scene.under))
    scene.act("bank-a", rotate("bank-a", "act", OTHER, scene.under))
    scene.vote(subject, "key", by=("bank-b", "bank-c"))
    scene.close_vote(subject, "key")
    refused(scene, "not-the-key-in-force")


def test_members_close_the_vote_on_a_key_that_the_coordinator_lost():
    scene = Scene().in_force()
    subject = scene.act("bank-b", replace_key("hub", NEW, scene.under))
    scene.vote(subject, "key", by=("bank-a", "bank-b"))
    scene.act("bank-c", acts.CloseVote(subject=subject, matter="key", outcome="approved"))
    assert scene.fold().key("hub", "act") == NEW.public


def equivocating(scene: Scene) -> Scene:
    two = scene.entry("bank-a", card("bank-a", 200))
    scene.act("bank-a", card("bank-a", 100))
    scene.record(two)
    return scene


def test_two_entries_with_one_number_freeze_their_author_until_a_vote():
    scene = equivocating(Scene().in_force())
    state = scene.fold()
    proof = state.frozen["bank-a"]
    assert proof.number == 2
    assert {proof.first, proof.second} == {sha256(leaf.envelope.payload) for leaf in scene.leaves[-2:]}
    assert state.cards["bank-a"].act.examples == 100
    scene.heads["bank-a"] = state.heads["bank-a"]
    scene.act("bank-a", acts.Leave(reason="caught"))
    refused(scene, "frozen")
    scene.leaves.pop()
    scene.heads["bank-a"] = state.heads["bank-a"]
    subject = scene.act("bank-b", replace_key("bank-a", NEW, scene.under))
    scene.vote(subject, "key", by=("bank-b", "bank-c"))
    scene.close_vote(subject, "key")
    scene.record(scene.entry("bank-a", acts.Leave(reason="caught")), NEW)
    assert scene.fold().left == {"bank-a"}


def test_a_frozen_member_is_on_no_roster():
    scene = equivocating(Scene().in_force())
    for name in ("bank-b", "bank-c"):
        scene.act(name, card(name))
    scene.act("hub", open_run())
    refused(scene, "not-on-roster")


def test_a_forged_second_entry_freezes_nobody():
    scene = Scene().in_force()
    forged = scene.entry("bank-a", card("bank-a", 200))
    scene.act("bank-a", card("bank-a", 100))
    scene.record(forged, private_keys("bank-b")["act"])
    refused(scene, "not-signed")


# ── data and runs ────────────────────────────────────────────────────────────

STRICT = DataTerms(licences=("CC-BY-4.0",), consents=("contract",), min_examples=50)


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        ({"licence": "proprietary"}, "data.licences"),
        ({"consent": "none"}, "data.consents"),
        ({"examples": 45}, "data.min_examples"),
        ({"parts": {"test": digest("t")}}, "data.min_examples"),
    ],
)
def test_a_card_against_a_clause_is_refused_and_the_clause_named(change, clause):
    scene = Scene(sample_accord(data=STRICT)).in_force()
    scene.act("bank-a", card("bank-a", **change))
    assert refused(scene, "against-clause").fields["clause"] == clause


def test_an_auditor_registers_a_test_set_and_no_training_data():
    scene = Scene(sample_accord(auditors=("watch",))).in_force()
    scene.act("watch", card("watch", 0, parts={"test": digest("official")}))
    assert "watch" in scene.fold().cards
    scene.act("watch", card("watch", 100))
    refused(scene, "auditor-trains")


@pytest.mark.parametrize(
    "roster", [("bank-a",), ("bank-b", "bank-a"), ("bank-a", "bank-a", "bank-b")], ids=["few", "order", "twice"]
)
def test_a_bad_roster_is_refused(roster):
    scene = Scene().in_force().with_cards()
    scene.act("hub", open_run(roster))
    refused(scene, "bad-roster")


def test_auditors_strangers_those_without_card_and_those_that_left_are_on_no_roster():
    scene = Scene(sample_accord(auditors=("watch",))).in_force().with_cards()
    scene.act("hub", open_run(("bank-a", "bank-b", "watch")))
    refused(scene, "not-on-roster")
    scene = Scene().in_force()
    scene.act("hub", open_run())
    refused(scene, "not-on-roster")
    scene = Scene().in_force().with_cards()
    scene.act("bank-c", acts.Leave(reason="merger"))
    scene.act("hub", open_run())
    assert refused(scene, "not-on-roster").fields["member"] == "bank-c"


def test_a_run_opens_once_and_on_a_day_of_the_accord():
    scene = Scene().in_force().with_cards().opened().opened()
    refused(scene, "run-twice")
    scene = Scene().in_force().with_cards()
    scene.clock = "2028-01-01T00:00:00Z"
    scene.opened()
    assert refused(scene, "against-clause").fields["clause"] == "valid"


def running(**examples: int) -> Scene:
    return Scene().in_force().with_cards(**examples).opened()


def test_weights_are_the_capped_shares_of_the_registered_counts():
    scene = running(bank_a=800)
    scene.act("hub", close_round(1, {"bank-a": "0.5", "bank-b": "0.25", "bank-c": "0.25"}))
    assert scene.fold().runs["r1"].round == 1
    scene.act("hub", close_round(2, {"bank-a": "0.8", "bank-b": "0.1", "bank-c": "0.1"}))
    assert refused(scene, "wrong-weight").fields["expected"] == "0.5"


def test_weights_are_shared_among_those_that_answered():
    scene = running()
    scene.act("hub", close_round(1, {"bank-a": "0.5", "bank-c": "0.5"}))
    assert scene.fold().runs["r1"].closes[0].left_out[0].member == "bank-b"


def test_a_card_registered_during_a_run_does_not_move_its_weights():
    scene = running()
    scene.act("bank-a", card("bank-a", 5000))
    scene.act("hub", close_round(1))
    assert scene.fold().runs["r1"].round == 1


def test_equal_weights_do_not_look_at_examples():
    aggregation = Aggregation(combine=terms.Mean(weights="equal"), outer=terms.Plain())
    scene = Scene(sample_accord(aggregation=aggregation)).in_force().with_cards(bank_a=900).opened()
    scene.act("hub", close_round(1))
    assert scene.fold().runs["r1"].round == 1


def test_a_round_closes_once_in_order_and_within_the_plan():
    scene = running()
    scene.act("hub", close_round(1))
    scene.act("hub", close_round(1, run="r1", state=digest("other")))
    refused(scene, "wrong-round")
    scene = running()
    scene.act("hub", close_round(2))
    refused(scene, "wrong-round")
    scene = Scene(sample_accord(training=Training(rounds=1, seed="s"))).in_force().with_cards().opened()
    scene.act("hub", close_round(1))
    scene.act("hub", close_round(2))
    refused(scene, "wrong-round")


def test_what_the_hub_refused_is_counted_once_a_round_and_adds_up_outside_runs():
    scene = running()
    scene.act("hub", acts.Refuse(code="hub.forged-node", source="10.0.0.9", count=3, run="r1", round=1))
    scene.act("hub", acts.Refuse(code="hub.forged-node", source="10.0.0.9", count=1, run="r1", round=2))
    for count in (2, 5):
        scene.act("hub", acts.Refuse(code="hub.forged-node", source="10.0.0.9", count=count))
    assert scene.fold().refusals == {
        ("r1", 1, "hub.forged-node", "10.0.0.9"): 3,
        ("r1", 2, "hub.forged-node", "10.0.0.9"): 1,
        ("", 0, "hub.forged-node", "10.0.0.9"): 7,
    }
    scene.act("hub", acts.Refuse(code="hub.forged-node", source="10.0.0.9", count=1, run="r1", round=2))
    refused(scene, "refused-twice")
    for wrong, code in (({"run": "r9", "round": 1}, "run-not-open"), ({"round": 1}, "wrong-round")):
        scene = running()
        scene.act("hub", acts.Refuse(code="hub.forged-node", source="bank-a", count=1, **wrong))
        refused(scene, code)
    scene = running()
    scene.act("bank-a", acts.Refuse(code="hub.forged-node", source="bank-b", count=1))
    refused(scene, "not-entitled")


def test_a_round_of_a_run_that_is_not_open_is_refused():
    scene = Scene().in_force()
    scene.act("hub", close_round(1))
    refused(scene, "run-not-open")
    scene = running().closed()
    scene.act("hub", close_round(5))
    refused(scene, "run-not-open")


def test_a_round_accounts_for_every_member_of_the_roster_once():
    scene = running()
    scene.act("hub", close_round(1, {"bank-a": "0.5", "bank-b": "0.5"}, left_out=()))
    assert refused(scene, "not-told").fields["got"] == "bank-c"
    scene = running()
    scene.act("hub", close_round(1, {"bank-b": "0.5", "bank-a": "0.5"}))
    refused(scene, "bad-used")
    scene = running()
    scene.act("hub", close_round(1, {"bank-a": "0.5", "bank-z": "0.5"}))
    refused(scene, "bad-used")


def test_a_round_of_too_few_is_refused():
    scene = running()
    scene.act("hub", close_round(1, {"bank-a": "1"}))
    refused(scene, "too-few")


def test_a_reply_enters_one_round_only():
    scene = running()
    scene.act("hub", close_round(1))
    scene.act("hub", close_round(2, used=close_round(1).used))
    refused(scene, "reply-again")


def test_measurements_of_strangers_are_refused():
    stranger = acts.Used(member="bank-z", reply=digest("z"), weight="1")
    scene = running()
    scene.act("hub", close_round(1, measured=(stranger,)))
    refused(scene, "not-on-panel")
    scene = running().closed()
    scene.act("hub", evidence(replies=(stranger,)))
    refused(scene, "stranger")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rounds": 3}, "wrong-round"),
        ({"released_round": 9}, "wrong-round"),
        ({"state": digest("another")}, "wrong-state"),
        ({"outcome": "stopped-early"}, "wrong-outcome"),
        ({"released_round": 2, "state": digest("r1 state 2")}, "wrong-outcome"),
    ],
)
def test_a_run_closes_as_its_rounds_say(change, code):
    scene = running()
    for number in range(1, 5):
        scene.act("hub", close_round(number))
    scene.act("hub", close_run(4).model_copy(update=change))
    refused(scene, code)


def test_a_run_that_is_not_done_is_closed_as_failed_and_leads_to_no_release():
    scene = running()
    scene.act("hub", close_run(0, outcome="failed", state=digest("start")))
    assert scene.fold().runs["r1"].close.outcome == "failed"
    scene.act("hub", evidence())
    refused(scene, "run-not-done")


def test_with_early_stopping_the_best_round_is_released():
    training = Training(rounds=4, early_stopping=terms.EarlyStopping(), seed="s")
    scene = Scene(sample_accord(training=training)).in_force().with_cards().opened()
    scene.act("hub", close_round(1))
    scene.act("hub", close_round(2))
    scene.act("hub", close_run(2, outcome="stopped-early", released_round=1, state=digest("r1 state 1")))
    assert scene.fold().runs["r1"].close.released_round == 1


def test_a_run_of_an_accord_that_was_amended_can_only_fail():
    scene = running()
    newer = amended(scene, ratification="2/3")
    scene.propose_accord(newer)
    scene.sign("bank-a", "bank-b", "bank-c", accord=newer)
    scene.under = newer.digest
    scene.act("hub", close_round(1))
    refused(scene, "accord-overtaken")
    scene.leaves.pop()
    scene.heads["hub"] = scene.fold().heads["hub"]
    scene.act("hub", close_run(0, outcome="failed", state=digest("start")))
    assert scene.fold().runs["r1"].close is not None


# ── evidence, proposals, votes ───────────────────────────────────────────────


def test_evidence_needs_a_finished_run_and_the_credit_that_the_accord_asks_for():
    scene = running()
    scene.act("hub", evidence())
    refused(scene, "run-not-done")
    scene = running().closed()
    scene.act("hub", evidence(credit=None))
    assert refused(scene, "against-clause").fields["clause"] == "credit"
    scene = running().closed()
    scene.act("hub", evidence())
    scene.act("hub", evidence())
    refused(scene, "entered-twice")


def test_a_second_examination_of_a_run_is_refused():
    scene = running().closed()
    scene.act("hub", evidence())
    scene.act("hub", evidence(evidence=digest("better figures")))
    assert refused(scene, "evidence-twice").fields["run"] == "r1"


def test_verdicts_need_evidence_and_are_entered_once():
    verdicts = acts.EnterVerdicts(run="r1", model=digest("model"), verdicts=digest("r1 verdicts"))
    scene = running().closed()
    scene.act("hub", verdicts)
    refused(scene, "no-evidence")
    scene = running().closed().examined()
    scene.act("hub", verdicts)
    refused(scene, "entered-twice")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accord", digest("x")),
        ("state", digest("x")),
        ("base", digest("x")),
        ("evidence", digest("x")),
        ("credit", None),
        ("verdicts", digest("x")),
        ("model", digest("x")),
        ("cards", ()),
        ("cards", tuple(sorted(digest(n) for n in ("card bank-a", "card bank-b", "card bank-c", "x")))),
        ("custody", "one-process"),
        ("previous", digest("x")),
    ],
)
def test_a_proposal_that_does_not_follow_from_the_ledger_is_refused(field, value):
    scene = Scene().ready()
    scene.proposed(**{field: value})
    assert refused(scene, "bad-proposal").fields["field"] in (field, "verdicts")


def test_a_proposal_is_made_once_and_the_next_release_names_a_published_one():
    scene = Scene()
    first = scene.released()
    scene.proposed(version="1.1", previous=first)
    assert len(scene.fold().proposals) == 2
    scene.act("hub", acts.Propose(proposal=first))
    refused(scene, "proposed-twice")


def test_a_member_may_change_its_vote_until_the_vote_is_closed():
    scene = Scene().ready()
    subject = scene.proposed()
    scene.vote(subject, "release", "object", by=("bank-a", "bank-b"))
    assert scene.fold().tally(subject).outcome == "rejected"
    scene.vote(subject, "release", by=("bank-a", "bank-b"))
    tally = scene.fold().tally(subject)
    assert (tally.needed, tally.approved, tally.objected, tally.missing) == (2, ("bank-a", "bank-b"), (), ("bank-c",))
    scene.close_vote(subject, "release")
    scene.vote(subject, "release", "object", by=("bank-c",))
    refused(scene, "vote-closed")


def test_a_vote_is_closed_only_when_it_is_decided_and_as_it_was_decided():
    scene = Scene().ready()
    subject = scene.proposed()
    scene.vote(subject, "release", by=("bank-a",))
    scene.close_vote(subject, "release")
    refused(scene, "vote-undecided")
    scene = Scene().ready()
    subject = scene.proposed()
    scene.vote(subject, "release")
    scene.close_vote(subject, "release", "rejected")
    refused(scene, "wrong-count")
    scene.leaves.pop()
    scene.heads["hub"] = scene.fold().heads["hub"]
    scene.close_vote(subject, "release")
    scene.close_vote(subject, "release")
    refused(scene, "vote-closed")


def test_one_with_a_veto_stops_a_release_and_its_silence_never_approves():
    release = ReleaseTerms(licence="Apache-2.0", veto=("bank-c",))
    scene = Scene(sample_accord(release=release)).ready()
    subject = scene.proposed()
    scene.vote(subject, "release")
    assert scene.fold().tally(subject).awaited == ("bank-c",)
    assert scene.fold().tally(subject).outcome is None
    scene.vote(subject, "release", "object", by=("bank-c",))
    assert scene.fold().tally(subject).vetoed == ("bank-c",)
    scene.close_vote(subject, "release", "rejected")
    assert scene.fold().proposals[subject].outcome == "rejected"
    scene.act("hub", acts.Publish(proposal=subject, checksums=digest("c")))
    refused(scene, "not-approved")


def test_a_vote_on_what_does_not_exist_is_refused():
    for matter in ("release", "revoke", "key"):
        scene = Scene().ready()
        scene.vote(digest("nothing"), matter, by=("bank-a",))
        refused(scene, "unknown-subject")
    scene = Scene().ready()
    scene.vote(scene.proposed(), "waive", by=("bank-a",))
    refused(scene, "unknown-subject")


def test_a_waiver_needs_the_quorum_of_amendments():
    scene = Scene(sample_accord(amendment=Amendment(quorum="all"))).ready()
    verdict = digest("a failed verdict")
    scene.vote(verdict, "waive")
    assert scene.fold().tally(verdict).outcome is None
    scene.vote(verdict, "waive", by=("bank-c",))
    scene.close_vote(verdict, "waive")
    assert scene.fold().ballots["waive", verdict].outcome == "approved"


def test_only_the_approved_proposal_is_published_and_once():
    scene = Scene().ready()
    subject = scene.proposed()
    scene.act("hub", acts.Publish(proposal=subject, checksums=digest("c")))
    refused(scene, "not-approved")
    scene = Scene()
    subject = scene.released()
    scene.act("hub", acts.Publish(proposal=subject, checksums=digest("c")))
    refused(scene, "published-twice")


def test_a_release_is_revoked_only_after_a_vote_that_can_be_held_again():
    scene = Scene()
    subject = scene.released()
    scene.act("hub", acts.Revoke(proposal=subject, reason="r"))
    refused(scene, "not-approved")
    scene = Scene()
    subject = scene.released()
    scene.vote(subject, "revoke", "object")
    scene.close_vote(subject, "revoke", "rejected")
    scene.vote(subject, "revoke")
    scene.close_vote(subject, "revoke")
    scene.act("hub", acts.Revoke(proposal=subject, reason="r"))
    assert scene.fold().proposals[subject].revoked is not None


def test_a_member_that_left_neither_votes_nor_counts():
    scene = Scene().ready()
    subject = scene.proposed()
    scene.act("bank-c", acts.Leave(reason="merger"))
    assert scene.fold().tally(subject).missing == ("bank-a", "bank-b")
    scene.vote(subject, "release", by=("bank-c",))
    refused(scene, "not-entitled")


def test_only_the_owner_erases_an_object_and_none_that_the_fold_needs():
    scene = Scene().in_force().with_cards()
    erase = acts.Erase(object=digest("card bank-a"), reason="withdrawn")
    scene.act("bank-a", erase)
    assert scene.fold().erased == {digest("card bank-a"): "bank-a"}
    scene.act("bank-a", erase)
    refused(scene, "erased-twice")
    scene = Scene().in_force().with_cards()
    scene.act("hub", erase)
    refused(scene, "not-entitled")
    scene = Scene().in_force()
    scene.act("hub", acts.Erase(object=scene.accord.digest, reason="r"))
    refused(scene, "not-entitled")


# ── tampering ────────────────────────────────────────────────────────────────

LIFE = Scene()
LIFE.released()
WHOLE = LIFE.fold()


def fold_of(leaves):
    """The fold of these leaves, put in the order in which they stand."""
    moved = [parse_leaf(leaf.data, index) for index, leaf in enumerate(leaves)]
    return resolve(moved, objects=LIFE.objects.get, anchor=LIFE.accord.digest)


def same_without_error(leaves) -> bool:
    try:
        return fold_of(leaves) == WHOLE
    except VerifyError as error:
        return not error.code.startswith("fold.")


PLACES = st.integers(0, len(LIFE.leaves) - 1)


@settings(deadline=None, max_examples=40)
@given(PLACES)
def test_a_dropped_entry_never_gives_the_same_state(place):
    assert not same_without_error(LIFE.leaves[:place] + LIFE.leaves[place + 1 :])


@settings(deadline=None, max_examples=40)
@given(PLACES, PLACES)
def test_a_replayed_entry_is_never_taken(place, to):
    assert not same_without_error([*LIFE.leaves[:to], LIFE.leaves[place], *LIFE.leaves[to:]])


@settings(deadline=None, max_examples=40)
@given(PLACES, PLACES)
def test_swapped_entries_of_one_actor_are_never_taken(one, two):
    leaves = list(LIFE.leaves)
    leaves[one], leaves[two] = leaves[two], leaves[one]
    same_actor = LIFE.leaves[one].entry.actor == LIFE.leaves[two].entry.actor
    assert one == two or not same_actor or not same_without_error(leaves)


@settings(deadline=None, max_examples=40)
@given(PLACES, st.sampled_from(["bank-a", "bank-b", "bank-c", "hub", "bank-z"]))
def test_an_entry_signed_again_by_another_is_never_taken(place, by):
    leaf = LIFE.leaves[place]
    if by == leaf.entry.actor:
        return
    envelope = leaf.entry.sign(private_keys(by)["act"])
    again = parse_leaf(leaf_bytes(envelope, leaf.recorded_at), place)
    with pytest.raises(VerifyError, match=r"not-signed"):
        fold_of([*LIFE.leaves[:place], again, *LIFE.leaves[place + 1 :]])
