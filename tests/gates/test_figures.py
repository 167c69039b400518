from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.gates.judge import Clearance, all_clear, cleared, waiver_subject
from foedus.gates.no_harm import no_harm
from foedus.gates.utility import utility
from foedus.records.base import decimal
from foedus.records.evidence import Verdict
from foedus.records.terms import NoHarm, Utility
from gates.hand_made import examination, figure

UTILITY = Utility(metric="accuracy", minimum="0.8")
NO_HARM = NoHarm(metric="accuracy", margin="0.01")


@pytest.mark.parametrize(
    ("low", "high", "n", "outcome", "reason"),
    [
        ("0.8", "0.9", 30, "pass", "interval-at-or-above"),
        ("0.81", "0.9", 30, "pass", "interval-at-or-above"),
        ("0.799999999", "0.9", 30, "inconclusive", "interval-straddles"),
        ("0.7", "0.8", 30, "inconclusive", "interval-straddles"),
        ("0.7", "0.799999999", 30, "fail", "interval-below"),
        ("0.81", "0.9", 29, "inconclusive", "too-few-examples"),
        ("0.1", "0.2", 29, "inconclusive", "too-few-examples"),
    ],
)
def test_utility_compares_the_whole_interval_with_the_minimum(low, high, n, outcome, reason):
    (verdict,) = utility(UTILITY, examination(figure("federated", None, low, low, high, n=n)))
    assert (verdict.outcome, verdict.reason, verdict.n, verdict.member) == (outcome, reason, n, None)
    assert verdict.threshold == ">= 0.8"


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        ("-0.01", "0.1", "pass"),
        ("-0.010000001", "0.1", "inconclusive"),
        ("-0.2", "-0.01", "inconclusive"),
        ("-0.2", "-0.010000001", "fail"),
    ],
)
def test_no_harm_compares_the_difference_with_minus_the_margin(low, high, outcome):
    (verdict,) = no_harm(NO_HARM, examination(figure("difference", "ada", low, low, high)), ["ada"])
    assert (verdict.outcome, verdict.member) == (outcome, "ada")


def test_no_harm_gives_a_verdict_for_every_member_and_a_missing_one_is_inconclusive():
    seen = examination(figure("difference", "ada", "0", "0.1", "0.2"), figure("federated", "bob", "0", "0.1", "0.2"))
    verdicts = no_harm(NO_HARM, seen, ["ada", "bob"])
    assert [(v.member, v.outcome, v.reason) for v in verdicts] == [
        ("ada", "pass", "interval-at-or-above"),
        ("bob", "inconclusive", "no-evidence"),
    ]


def test_a_margin_of_nought_demands_a_difference_of_nought_or_more():
    (verdict,) = no_harm(
        NoHarm(metric="accuracy", margin="0"), examination(figure("difference", "ada", "0", "0", "0")), ["ada"]
    )
    assert (verdict.outcome, verdict.threshold) == ("pass", ">= 0")


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ([], "no-evidence"),
        ([figure("federated", None, "0.9", "0.9", "1", metric="macro-f1")], "no-evidence"),
        ([figure("alone", None, "0.9", "0.9", "1")], "no-evidence"),
        ([figure("federated", "ada", "0.9", "0.9", "1")], "no-evidence"),
        (
            [figure("federated", None, "0.9", "0.9", "1"), figure("federated", None, "0", "0", "0")],
            "more-than-one-figure",
        ),
        ([figure("federated", None, "0.9", "0.8", "1")], "interval-not-in-order"),
    ],
)
def test_evidence_that_is_missing_double_or_malformed_never_passes(figures, reason):
    (verdict,) = utility(UTILITY, examination(*figures))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", reason)


tenths = st.integers(-(10**9), 10**9).map(lambda v: Fraction(v, 10**9))


@settings(deadline=None, max_examples=100)
@given(st.lists(tenths, min_size=3, max_size=3), tenths.filter(lambda v: v >= 0))
def test_a_pass_means_that_every_value_of_the_interval_meets_the_bound_and_a_fail_that_none_does(values, margin):
    low, estimate, high = sorted(values)
    seen = examination(figure("difference", "ada", decimal(low), decimal(estimate), decimal(high)))
    (verdict,) = no_harm(NoHarm(metric="accuracy", margin=decimal(margin)), seen, ["ada"])
    assert (verdict.outcome == "pass") == (low >= -margin)
    assert (verdict.outcome == "fail") == (high < -margin)


class FakeAccord:
    gates = (UTILITY, NO_HARM)


def verdict(gate, outcome, member=None):
    return Verdict(gate=gate, outcome=outcome, member=member, threshold=">= 0", reason="x")


def test_a_gate_is_clear_when_all_its_verdicts_pass_or_a_vote_waived_it():
    verdicts = [verdict("utility", "pass"), verdict("no-harm", "pass", "ada"), verdict("no-harm", "fail", "bob")]
    lines = cleared(FakeAccord, verdicts, set())
    assert lines == [Clearance("utility", "pass"), Clearance("no-harm", "fail")]
    assert not all_clear(lines)
    assert all_clear(cleared(FakeAccord, verdicts, {"no-harm"}))


def test_a_gate_left_out_is_missing_and_no_waiver_lifts_that():
    lines = cleared(FakeAccord, [verdict("utility", "pass")], {"no-harm"})
    assert lines[1] == Clearance("no-harm", "missing")
    assert not all_clear(lines)


def test_no_gates_clear_nothing():
    assert not all_clear([])


def test_a_waiver_names_one_gate_of_one_object_of_verdicts():
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    assert len({waiver_subject(one, "utility"), waiver_subject(two, "utility"), waiver_subject(one, "no-harm")}) == 3
