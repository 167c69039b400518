"""Figures from counts, by hand: three examples a member, replicates that are written down."""

from dataclasses import replace

import pytest
import torch

from foedus.core.digest import sha256
from foedus.core.errors import RunError
from foedus.core.objects import ObjectStore
from foedus.examine.figures import examination, read_counts
from foedus.records import terms
from foedus.records.asks import Reply
from foedus.records.metrics import count_names
from foedus.records.plan import Plan
from foedus.state import to_bytes

TASK = terms.TextClassification(labels=("x", "y"))
NAMES = count_names(TASK)
STATE = sha256(b"state")
PLAN = Plan(
    accord=sha256(b"accord"), seed="s", members=("a", "b"), task=TASK, method=terms.Head(), craft=terms.Craft(),
    combine=terms.Mean(), outer=terms.Plain(), credit=terms.NoCredit(), early_stopping=None, halves=("all",),
    min_members=1, deadline_seconds=60, smallest_cell=1, replicates=4, confidence_bp=5000,
)  # fmt: skip


def row(right, n):
    """Counts where all is x, and `right` of n were found."""
    return [right, 0, right, n - right, n, 0]


def reply(store, *, n=4, totals=None, arms=None, objects=True, state=STATE):
    arms = arms or {"federated": [2, 3, 3, 4], "alone": [1, 2, 2, 3]}
    totals = totals or {"federated": row(3, 4), "alone": row(2, 4)}
    rest = {arm: torch.tensor([row(right, 4) for right in rights]) for arm, rights in arms.items()}
    counts = {arm: dict(zip(NAMES, row, strict=True)) for arm, row in totals.items()}
    return Reply(
        ask=sha256(b"ask"), member="a", outcome="done", body={"n": n, "state": state, "counts": counts},
        objects={"replicates": store.put(to_bytes(rest))} if objects else {},
    )  # fmt: skip


def read(store, one, *, alone=True):
    return read_counts(PLAN, one, store, state=STATE, alone=alone)


def figures(members):
    found = examination(PLAN, run="run-1", state=sha256(b"state"), members=members).figures
    return {(f.arm, f.member, f.metric): f for f in found}


def test_the_difference_is_taken_replicate_by_replicate(tmp_path):
    store = ObjectStore(tmp_path)
    found = figures({"a": read(store, reply(store))})
    one, other, apart = (found[arm, "a", "accuracy"] for arm in ("federated", "alone", "difference"))
    assert (one.estimate, one.n) == ("0.75", 4)
    assert other.estimate == "0.5"
    # Each replicate differs by a quarter: paired, the interval is a point, though each arm's is not.
    assert (apart.low, apart.estimate, apart.high) == ("0.25", "0.25", "0.25")
    assert one.low != one.high


def test_figures_over_all_members_come_from_summed_counts(tmp_path):
    store = ObjectStore(tmp_path)
    large = reply(store, totals={"federated": row(0, 12), "alone": row(0, 12)}, n=12)
    found = figures({"a": read(store, reply(store)), "b": read(store, large)})
    assert (found["federated", None, "accuracy"].estimate, found["federated", None, "accuracy"].n) == ("0.1875", 16)


def test_who_has_no_model_of_its_own_stands_by_itself(tmp_path):
    store = ObjectStore(tmp_path)
    found = figures({"a": read(store, reply(store)), "exam": read(store, reply(store), alone=False)})
    assert {arm for arm, member, _ in found if member == "exam"} == {"federated"}
    assert found["federated", None, "accuracy"].n == 4


def test_without_contributors_nothing_is_said_of_all(tmp_path):
    store = ObjectStore(tmp_path)
    found = figures({"exam": read(store, reply(store), alone=False)})
    assert {member for _, member, _ in found} == {"exam"}
    assert figures({}) == {}


def test_the_interval_holds_the_share_of_replicates_that_the_accord_says(tmp_path):
    store = ObjectStore(tmp_path)
    counts = {"a": read(store, reply(store))}
    wide = examination(replace(PLAN, confidence_bp=9999), run="run-1", state=sha256(b""), members=counts).figures
    narrow = examination(PLAN, run="run-1", state=sha256(b""), members=counts).figures
    assert (narrow[0].arm, narrow[0].low, narrow[0].high) == ("federated", "0.6875", "0.8125")
    assert (float(wide[0].low), float(wide[0].high)) == pytest.approx((0.5, 1.0), abs=1e-4)


BAD = {
    "no n": {"n": None},
    "another n": {"n": 5},
    "another state": {"state": sha256(b"other")},
    "more right than true": {"totals": {"federated": [4, 0, 4, 0, 3, 1], "alone": row(1, 4)}},
    "text for n": {"n": "4"},
    "minus one": {"n": -1},
    "no alone": {"totals": {"federated": row(3, 4)}},
    "negative": {"totals": {"federated": [-1, 0, 0, 0, 0, 0], "alone": row(1, 4)}},
    "too large": {"totals": {"federated": [2**53 * 4096, 0, 0, 0, 0, 0], "alone": row(1, 4)}},
    "few replicates": {"arms": {"federated": [1], "alone": [1]}},
    "negative replicate": {"arms": {"federated": [-1, 1, 1, 1], "alone": [1, 1, 1, 1]}},
    "no replicates": {"objects": False},
    "replicates of one arm": {"arms": {"federated": [1, 1, 1, 1]}},
}


@pytest.mark.parametrize("case", BAD)
def test_counts_that_are_not_what_was_asked_are_a_named_error(tmp_path, case):
    store = ObjectStore(tmp_path)
    with pytest.raises(RunError) as caught:
        read(store, reply(store, **BAD[case]))
    assert caught.value.code == "run.bad-reply"
    assert str(caught.value)


def test_replicates_of_another_type_are_refused(tmp_path):
    store = ObjectStore(tmp_path)
    floats = {arm: torch.ones(4, 6) for arm in ("federated", "alone")}
    one = reply(store).model_copy(update={"objects": {"replicates": store.put(to_bytes(floats))}})
    with pytest.raises(RunError) as caught:
        read(store, one)
    assert "float32" in caught.value.fields["reason"]
