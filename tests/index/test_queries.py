"""The index answers what the entries say, on SQLite and on PostgreSQL alike."""

import pytest

from foedus.core.errors import CallerError
from foedus.index import open_index
from foedus.ledger import Ledger
from foedus.ledger.note import cosign, witness_name
from foedus.records import acts
from foedus.records.evidence import Credit, CreditReport, Verdict, Verdicts
from gates.hand_made import examination, figure
from indexed import AT, grown, workspace_of
from samples import private_keys, sample_accord
from scene import MODEL, Scene, card, close_round, digest, evidence, replace_key, rotate


def opened(tmp_path, scene, url):
    index = open_index(url, workspace_of(tmp_path, scene))
    assert index.refresh().is_current
    return index


def measured(scene, run="r1"):
    """The run examined with real objects: two metrics, credit of three members, three verdicts."""
    figures = [
        figure("federated", None, "0.85", "0.9", "0.95", n=300),
        figure("alone", None, "0.7", "0.8", "0.9", n=300),
        figure("difference", None, "0.05", "0.1", "0.15", n=300),
        figure("federated", "bank-a", "0.8", "0.9", "0.95"),
    ]
    found = scene.put(examination(*figures, run=run))
    worth = [("bank-a", "0.3"), ("bank-b", "0.5"), ("bank-c", "-0.1")]
    report = CreditReport(
        run=run, method="aumann-shapley", start_loss="1.5", released_loss="0.8", total="0.7", residual="0",
        tolerance="0.2", credits=tuple(Credit(member=m, value=v, by_round=(v, "0")) for m, v in worth),
    )  # fmt: skip
    gates = [("utility", "pass"), ("no-harm", "inconclusive"), ("artefact", "pass")]
    said = Verdicts(
        run=run, accord=scene.under, model=MODEL, evidence=found,
        verdicts=tuple(Verdict(gate=g, outcome=o, threshold="0.8", reason="as measured") for g, o in gates),
    )  # fmt: skip
    scene.act("hub", evidence(run, evidence=found, credit=scene.put(report)))
    scene.act("hub", acts.EnterVerdicts(run=run, model=MODEL, verdicts=scene.put(said)))
    return scene


def test_entries_are_found_by_kind_actor_subject_and_run_on_every_page(tmp_path, url):
    scene = Scene()
    proposal = scene.released()
    index = opened(tmp_path, scene, url)
    said = [
        (leaf.index, leaf.entry.type, leaf.entry.actor, leaf.entry.body.get("run"), proposal in str(leaf.entry.body))
        for leaf in scene.leaves
    ]
    filters = [
        {}, {"kind": "vote.cast"}, {"actor": "hub"}, {"kind": "round.close", "actor": "hub"}, {"run": "r1"},
        {"subject": proposal}, {"kind": "vote.cast", "actor": "bank-a"}, {"run": "r1", "kind": "run.open"},
    ]  # fmt: skip
    for chosen in filters:
        expected = [
            at for at, kind, actor, run, about in said
            if chosen.get("kind") in (None, kind) and chosen.get("actor") in (None, actor)
            and chosen.get("run") in (None, run) and (about or "subject" not in chosen)
        ]  # fmt: skip
        for oldest_first in (False, True):
            found, number = [], 1
            while (page := index.acts(**chosen, page=number, size=3, oldest_first=oldest_first)).items:
                assert page.total == len(expected)
                found += [one.at for one in page.items]
                number += 1
            assert found == (expected if oldest_first else expected[::-1]), chosen
            assert page.pages == max(1, number - 1)


def test_an_act_is_told_with_what_it_is_about(tmp_path, url):
    scene = Scene()
    proposal = scene.released()
    index = opened(tmp_path, scene, url)
    vote = index.acts(kind="vote.cast", actor="bank-b").items[0]
    leaf = index.leaf(vote.at)
    assert (vote.subject, vote.note, vote.number) == (proposal, "release approve", leaf.entry.number)
    assert leaf.entry.actor == "bank-b"
    assert index.act(vote.at) == vote
    assert (index.act(10_000), index.leaf(10_000), index.leaf(-1)) == (None, None, None)
    assert index.kinds()["round.close"] == 4
    assert index.actors() == {"bank-a": 3, "bank-b": 3, "bank-c": 2, "hub": 12}


def test_a_run_is_told_from_its_opening_to_its_verdicts(tmp_path, url):
    scene = measured(Scene().in_force().with_cards().opened().closed())
    scene.opened("r2")
    scene.act("hub", close_round(1, run="r2", validation_loss="0.25"))
    index = opened(tmp_path, scene, url)
    first, second = index.run("r1"), index.run("r2")
    assert (first.outcome, first.rounds, first.planned, first.released_round) == ("done", 4, 4, 4)
    assert (first.metric, first.federated, first.alone, first.difference) == ("accuracy", "0.9", "0.8", "0.1")
    assert (first.passed, first.failed, first.inconclusive) == (2, 0, 1)
    assert (second.outcome, second.rounds, second.loss, second.metric) == ("open", 1, "0.25", None)
    assert [one.run for one in index.runs().items] == ["r2", "r1"]
    assert [one.run for one in index.runs(status="open").items] == ["r2"]
    assert [one.run for one in index.runs(order="federated").items] == ["r1", "r2"]  # what has no figure comes last
    assert [one.run for one in index.runs(order="federated", descending=False).items] == ["r1", "r2"]
    assert [one.run for one in index.runs(name="2").items] == ["r2"]
    assert index.runs(trials=True).total == 0
    assert index.run("r3") is None
    assert [(one.arm, one.member, one.n) for one in index.figures("r1")][-1] == ("federated", "bank-a", 100)
    total, rows = index.credit("r1")
    assert (total.total, total.run) == ("0.7", "r1")
    assert (rows[0].member, rows[0].value, rows[0].by_round) == ("bank-a", "0.3", ("0.3", "0"))
    assert index.credit("r2") is None
    assert [(one.report, one.members) for one in index.credits().items] == [(total, len(rows))]
    assert (index.credits().total, index.credits(page=2).items) == (1, ())
    assert [one.gate for one in index.verdicts(run="r1").items] == ["utility", "no-harm", "artefact"]
    assert index.verdicts(outcome="fail").total == 0
    seen = index.overview()
    assert (seen.runs, seen.open_run.run, seen.last_run.run, seen.rounds) == ({"done": 1, "open": 1}, "r2", "r2", 5)


def test_rounds_tell_who_entered_and_who_was_left_out(tmp_path, url):
    scene = Scene(sample_accord(("bank-a", "bank-b", "bank-c"))).in_force().with_cards().opened()
    scene.act("hub", close_round(1))
    scene.act("hub", close_round(2, {"bank-a": "0.5", "bank-c": "0.5"}))
    index = opened(tmp_path, scene, url)
    assert [(one.round, one.used, one.left_out) for one in index.rounds("r1").items] == [(1, 3, 0), (2, 2, 1)]
    assert [(one.member, one.part, one.code) for one in index.asked("r1", 2)] == [
        ("bank-a", "used", ""), ("bank-b", "left-out", "federate.late"), ("bank-c", "used", ""),
    ]  # fmt: skip
    assert [one.round for one in index.replies("bank-b").items] == [2, 1]
    assert [one.part for one in index.replies("bank-b", run="r1").items] == ["left-out", "used"]
    assert {one.name: (one.used, one.left_out) for one in index.members()} == {
        "bank-a": (2, 0), "bank-b": (1, 1), "bank-c": (2, 0),
    }  # fmt: skip
    reply = index.asked("r1", 1)[0].reply
    assert [(one.what, one.at) for one in index.mentions(reply)] == [("reply", 8)]


@pytest.mark.parametrize("points", [2, 3, 10, 500])
def test_a_curve_is_thinned_and_keeps_its_last_round(tmp_path, points):
    accord = sample_accord()
    accord = accord.model_copy(update={"training": accord.training.model_copy(update={"rounds": 30})})
    scene = Scene(accord).in_force().with_cards().opened()
    for number in range(1, 30):
        scene.act("hub", close_round(number, validation_loss="0.5"))
    index = opened(tmp_path, scene, None)
    found = [one.round for one in index.losses("r1", points=points)]
    assert len(found) <= points
    assert (found[0], found[-1]) == (1, 29)
    assert found == sorted(set(found))
    assert index.losses("no-such-run") == ()


def test_a_vote_is_open_until_it_is_closed_and_only_the_last_word_counts(tmp_path, url):
    scene = Scene().ready()
    proposal = scene.proposed()
    scene.vote(proposal, "release", "object", by=("bank-a",))
    scene.vote(proposal, "release", by=("bank-a",))
    workspace = workspace_of(tmp_path, scene)
    index = open_index(url, workspace)
    index.refresh()
    [open_vote] = index.votes(is_open=True).items
    assert (open_vote.subject, open_vote.approve, open_vote.object, open_vote.outcome) == (proposal, 1, 0, None)
    assert [(one.choice, one.counts) for one in index.cast(proposal)] == [("object", False), ("approve", True)]
    assert index.proposals(status="voting").items[0].status == "voting"
    assert index.overview().undecided == 1
    scene.vote(proposal, "release", by=("bank-b",))
    scene.close_vote(proposal, "release")
    grown(workspace, scene)
    assert index.refresh().is_current
    assert index.votes(is_open=True).total == 0
    assert index.proposals(status="approved").total == 1
    assert (index.releases().total, index.overview().release) == (0, None)
    scene.act("hub", acts.Publish(proposal=proposal, checksums=digest("checksums")))
    grown(workspace, scene)
    index.refresh()
    release = index.release(proposal)
    assert (release.status, release.current, release.checksums) == ("published", True, digest("checksums"))
    assert index.overview().release == release
    for field in ("proposal", "model", "state", "base", "accord", "evidence", "verdicts", "checksums"):
        assert index.mentions(getattr(release, field)), field


def test_a_rejected_revocation_can_be_voted_anew(tmp_path, url):
    scene = Scene()
    proposal = scene.released()
    scene.vote(proposal, "revoke", "object")
    scene.close_vote(proposal, "revoke", "rejected")
    scene.vote(proposal, "revoke", by=("bank-a",))
    workspace = workspace_of(tmp_path, scene)
    index = open_index(url, workspace)
    index.refresh()
    [again] = index.votes(is_open=True, matter="revoke").items
    assert (again.approve, again.object) == (1, 0)
    scene.vote(proposal, "revoke", by=("bank-b",))
    scene.close_vote(proposal, "revoke")
    scene.act("hub", acts.Revoke(proposal=proposal, reason="a mistake in the data"))
    grown(workspace, scene)
    index.refresh()
    release = index.release(proposal)
    assert (release.status, release.reason, release.current) == ("revoked", "a mistake in the data", False)
    scene.fold()  # what was indexed can stand


def test_an_entry_that_proves_equivocation_is_void_and_its_author_frozen(tmp_path, url):
    scene = Scene().in_force()
    first = scene.entry("bank-a", card("bank-a"))
    scene.record(first)
    scene.record(first.model_copy(update={"body": card("bank-a", 5).model_dump(mode="json")}))
    index = opened(tmp_path, scene, url)
    assert [one.void for one in index.acts(kind="data.register").items] == [True, False]
    assert index.cards().total == 1
    assert {one.name: one.state for one in index.members()}["bank-a"] == "frozen"


def test_cards_keys_and_accords_are_told_with_their_past(tmp_path, url):
    scene = Scene().in_force().with_cards()
    scene.act("bank-a", card("bank-a", 200, card=digest("second card")))
    new = private_keys("bank-a-later")["witness"]
    scene.act("bank-a", rotate("bank-a", "witness", new, scene.under))
    index = opened(tmp_path, scene, url)
    assert index.cards().total == 4
    assert {one.card for one in index.cards(member="bank-a", in_force=True).items} == {digest("second card")}
    assert index.cards(in_force=False).items[0].parts == ("test", "train", "validation")
    old, young = [one for one in index.keys("bank-a") if one.purpose == "witness"]
    assert (old.until, young.public, young.until) == (young.at, new.public, None)
    [accord] = index.accords()
    assert (accord.in_force_at, accord.signed, accord.members) == ("2026-06-01T10:00:00Z", 3, 3)
    assert [(one.what, one.kind) for one in index.mentions(digest("second card"))] == [("card", "data.register")]


def test_an_amended_accord_ends_the_old_one(tmp_path, url):
    scene = Scene().in_force()
    old = scene.accord
    new = old.model_copy(update={"version": 2, "prev": old.digest})
    scene.clock = "2026-06-02T10:00:00Z"
    scene.propose_accord(new)
    index = opened(tmp_path, scene, url)
    assert [(one.version, one.in_force_at) for one in index.accords()] == [(2, None), (1, "2026-06-01T10:00:00Z")]
    scene.sign("bank-a", "bank-b", "bank-c", accord=new)
    grown_index = opened(tmp_path / "later", scene, None)
    assert [(one.version, one.until) for one in grown_index.accords()] == [(2, None), (1, "2026-06-02T10:00:00Z")]


def test_a_lost_key_is_voted_on(tmp_path, url):
    scene = Scene().in_force()
    subject = scene.act("bank-a", replace_key("bank-b", private_keys("bank-b-later")["act"], scene.under))
    index = opened(tmp_path, scene, url)
    [vote] = index.votes(is_open=True).items
    assert (vote.matter, vote.subject) == ("key", subject)


def test_refusals_are_paged_and_found_by_run(tmp_path, url):
    scene = Scene().in_force().with_cards().opened()
    for number in range(5):
        scene.act("hub", acts.Refuse(code="wire.garbage", source=f"10.0.0.{number}", count=number + 1))
    scene.act("hub", acts.Refuse(code="reply.late", source="bank-a", count=1, run="r1", round=1))
    index = opened(tmp_path, scene, url)
    assert [one.source for one in index.refusals(size=2, page=2).items] == ["10.0.0.3", "10.0.0.2"]
    assert [(one.code, one.round) for one in index.refusals(run="r1").items] == [("reply.late", 1)]


def test_the_head_names_those_who_cosigned_it(tmp_path, url):
    scene = Scene().in_force()
    index = opened(tmp_path, scene, url)
    ledger = Ledger(index.source.folder)
    key = private_keys("bank-b")["witness"]
    line = cosign(ledger.head.text, witness_name(ledger.origin, "bank-b"), key, lambda: AT)
    ledger.add_cosignature(str(line), member="bank-b", public=key.public)
    head = index.head()
    assert (head.size, head.witnesses) == (4, ("bank-b",))


def test_what_is_no_page_and_no_digest_is_refused_or_found_nowhere(tmp_path, url):
    index = opened(tmp_path, Scene().in_force(), url)
    for wrong in ({"page": 0}, {"size": 0}, {"size": 501}):
        with pytest.raises(CallerError) as caught:
            index.acts(**wrong)
        assert caught.value.code == "index.bad-page"
    assert index.acts(subject="sha256:'; DROP TABLE").total == 0
    assert (index.mentions("x"), index.cast("x"), index.release("x")) == ((), (), None)
    assert index.acts(page=99).items == ()
    assert index.runs(name="%").total == 0


def test_before_there_is_a_ledger_everything_is_empty(tmp_path):
    from foedus.records.membership import WorkspacePage
    from foedus.workspace import Workspace
    from samples import coordinator_keys

    page = WorkspacePage(party="hub", role="coordinator", coordinator="hub", coordinator_keys=coordinator_keys())
    index = open_index(None, Workspace(tmp_path, page))
    assert index.refresh().is_current
    assert (index.overview().entries, index.head(), index.members(), index.accords()) == (0, None, (), ())


def test_an_accord_that_the_state_knows_before_the_tables_is_listed(tmp_path, url):
    """Pages fold at once, and the tables follow: nothing that is in force may be missing meanwhile."""
    index = open_index(url, workspace_of(tmp_path, Scene().in_force()))
    [accord] = index.accords()
    assert (index.overview().entries, accord.in_force_at) == (0, "2026-06-01T10:00:00Z")
    assert index.overview().accord == accord


def test_a_value_that_the_database_cannot_hold_is_a_wrong_value_and_not_a_database_that_is_away(tmp_path, url):
    index = opened(tmp_path, Scene().in_force(), url)
    assert [index.act(at) for at in (-1, 1 << 63, 10**100)] == [None] * 3
    with pytest.raises(CallerError, match=r"index\.bad-value"):
        index.asked("r1", 1 << 70)
    for ask in (lambda: index.run("\0"), lambda: index.acts(kind="\0"), lambda: index.acts(actor="\0")):
        if url is None:
            assert not ask() or ask().total == 0  # SQLite holds such a text
        else:
            with pytest.raises(CallerError, match=r"index\.bad-value"):
                ask()
    assert index.overview().entries == index.acts().total > 0


def test_a_text_that_the_database_cannot_hold_does_not_stop_the_index(tmp_path, url):
    scene = Scene()
    subject = scene.ready().proposed()
    scene.act("bank-a", acts.Vote(subject=subject, choice="approve", matter="release", reason="a\0b"))
    scene.act("bank-a", acts.Vote(subject=subject, choice="object", matter="release", reason="c"))
    index = opened(tmp_path, scene, url)
    assert [vote.reason for vote in index.cast(subject)] == ["a\N{REPLACEMENT CHARACTER}b", "c"]
