"""`foedus credit`: the shares add up to what is said, and a run without credit is named."""

import re
from fractions import Fraction

from practised import MEMBERS, done, examined, foedus, ready_to_run


def test_each_members_credit_is_the_sum_of_its_rounds_and_all_make_the_total():
    report = done("credit", "show", "--workspace", examined() / "hub")["report"]
    assert [one["member"] for one in report["credits"]] == list(MEMBERS)
    for one in report["credits"]:
        assert sum(map(Fraction, one["by_round"])) == Fraction(one["value"])
    missed = Fraction(report["total"]) - sum(Fraction(one["value"]) for one in report["credits"])
    assert missed == Fraction(report["residual"])
    assert abs(missed) <= Fraction(report["tolerance"])


def test_the_shares_that_people_see_make_a_hundred():
    text = foedus("credit", "show", "run-1", "--workspace", examined() / "hub", as_json=False).out
    shares = [float(one) for one in re.findall(r"(-?[0-9.]+) %", text)]
    assert len(shares) == len(MEMBERS)
    assert abs(sum(shares) - 100) < 0.2  # each is rounded to a tenth
    assert "Validation loss fell from" in text


def test_where_there_is_no_credit_the_known_runs_are_named():
    answer = foedus("credit", "show", "run-9", "--workspace", examined() / "hub")
    assert (answer.code, answer.data["code"], answer.data["fields"]["known"]) == (2, "run.no-credit", "run-1")
    answer = foedus("credit", "show", "--workspace", ready_to_run() / "hub")
    assert (answer.code, answer.data["code"]) == (2, "run.no-credit")
