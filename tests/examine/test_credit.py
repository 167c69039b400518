"""Credit by hand: one name, whole numbers, a loss that is linear."""

from fractions import Fraction

import pytest
import torch

from foedus.core.digest import sha256
from foedus.core.errors import RunError
from foedus.core.objects import ObjectStore
from foedus.examine.credit import credit_report
from foedus.federate.rounds import shares_among
from foedus.records import terms
from foedus.records.acts import CloseRound, Used
from foedus.records.asks import Reply
from foedus.records.plan import Plan
from foedus.records.release import Snapshot
from foedus.state import to_bytes
from samples import private_keys

PLAN = Plan(
    accord=sha256(b"accord"), seed="s", members=("a", "b"), task=terms.TextClassification(labels=("x", "y")),
    method=terms.Head(), craft=terms.Craft(), combine=terms.Mean(weights="equal"), outer=terms.Plain(),
    credit=terms.AumannShapley(), early_stopping=None, halves=("all",), min_members=1, deadline_seconds=60,
    smallest_cell=1, replicates=4, confidence_bp=9500,
)  # fmt: skip
SHARES = shares_among({"a": 1, "b": 1}, PLAN.combine)


def reply(store, member, objects, **body):
    named = {name: store.put(to_bytes(state)) for name, state in objects.items()}
    one = Reply(ask=sha256(b"ask"), member=member, outcome="done", objects=named, body=body)
    return store.put(one.sign(private_keys(member)["act"]).to_bytes())


def measured(store, gradients, losses):
    """What each member measured in round 1: the losses before and after, and the gradient; None: it was silent."""
    for member, gradient in gradients.items():
        before, after = losses[member] if isinstance(losses, dict) else losses
        given = [reply(store, member, {}, loss=before), reply(store, member, {}, loss=after)]
        given += [reply(store, member, {"gradient": gradient})] if gradient else []
        yield from (Used(member=member, reply=one, weight="0.5") for one in given)


def report(store, updates, gradients, *, losses, start=None):
    """One round of members with equal weight, who all measure the same losses, or each its own."""
    start = store.put(to_bytes(start or {"w": torch.zeros(2)}))
    snapshot = Snapshot(run="run-1", round=1, state=start, memory=store.put(to_bytes({})), best_state=start)
    close = CloseRound(
        run="run-1", round=1, snapshot=store.put(snapshot.to_bytes()), state=sha256(b"state"),
        used=tuple(Used(member=m, reply=reply(store, m, {"update": u}), weight="0.5") for m, u in updates.items()),
        measured=tuple(measured(store, gradients, losses)),
    )  # fmt: skip
    return credit_report(
        PLAN, run="run-1", closes=[close], losses=["9", "9"] if isinstance(losses, dict) else losses,
        start_state=start, store=store, shares=SHARES,
        loss=lambda state: Fraction(0),
    )  # fmt: skip


def values(found):
    return {one.member: one.value for one in found.credits}


def test_credit_is_the_way_a_member_went_along_minus_the_gradient(tmp_path):
    updates = {"a": {"w": torch.tensor([2.0, 0.0])}, "b": {"w": torch.tensor([0.0, 4.0])}}
    slope = {"w": torch.tensor([-1.0, -0.5])}
    found = report(ObjectStore(tmp_path), updates, {"a": slope, "b": slope}, losses=["3", "1"])
    # a: half of 2 · 1; b: half of 4 · 0.5. The loss fell by 2, as they add up to.
    assert values(found) == {"a": "1", "b": "1"}
    assert (found.total, found.residual) == ("2", "0")


def test_a_sum_that_misses_the_fall_a_little_shows_as_residual(tmp_path):
    updates = {"a": {"w": torch.tensor([2.0, 0.0])}, "b": {"w": torch.tensor([0.0, 0.0])}}
    slope = {"w": torch.tensor([-1.0, 0.0])}
    found = report(ObjectStore(tmp_path), updates, {"a": slope, "b": slope}, losses=["2.02", "1"])
    assert values(found) == {"a": "1", "b": "0"}
    assert (found.total, found.residual, found.tolerance) == ("1.02", "0.02", "0.051")


def test_a_sum_that_misses_the_fall_by_too_much_is_no_credit(tmp_path):
    updates = {"a": {"w": torch.tensor([2.0, 0.0])}, "b": {"w": torch.tensor([0.0, 0.0])}}
    slope = {"w": torch.tensor([-1.0, 0.0])}
    with pytest.raises(RunError) as caught:
        report(ObjectStore(tmp_path), updates, {"a": slope, "b": slope}, losses=["3", "1.5"])
    assert caught.value.code == "run.credit-off"
    assert caught.value.fields == {"total": "1.5", "residual": "0.5", "tolerance": "0.075"}


def test_members_gradients_are_averaged_by_who_measured(tmp_path):
    updates = {"a": {"w": torch.tensor([2.0, 0.0])}}
    slopes = {"a": {"w": torch.tensor([-1.0, 0.0])}, "b": {"w": torch.tensor([-3.0, 0.0])}}
    assert values(report(ObjectStore(tmp_path), updates, slopes, losses=["3", "1"])) == {"a": "2"}


def test_a_name_that_stayed_where_it_was_is_worth_nothing(tmp_path):
    updates = {
        "a": {"v": torch.tensor([1.0]), "w": torch.tensor([2.0, 0.0])},
        "b": {"v": torch.tensor([-1.0]), "w": torch.tensor([0.0, 0.0])},
    }
    slope = {"w": torch.tensor([-1.0, 0.0])}
    start = {"v": torch.zeros(1), "w": torch.zeros(2)}
    found = report(ObjectStore(tmp_path), updates, {"a": slope, "b": slope}, losses=["2", "1"], start=start)
    assert values(found) == {"a": "1", "b": "0"}


def test_a_round_that_nobody_measured_whole_cannot_be_credited(tmp_path):
    updates = {"a": {"w": torch.tensor([2.0, 0.0])}}
    with pytest.raises(RunError) as caught:
        report(ObjectStore(tmp_path), updates, {"a": {}}, losses=["3", "1"])
    assert caught.value.code == "run.too-few-measured"
    assert caught.value.fields == {"round": 1, "expected": 1, "got": 0, "members": "–"}


def test_the_fall_is_that_of_the_members_that_measured_the_round_whole(tmp_path):
    updates = {"a": {"w": torch.tensor([2.0, 0.0])}, "b": {"w": torch.tensor([0.0, 4.0])}}
    slope = {"w": torch.tensor([-1.0, -0.5])}
    losses = {"a": ("3", "1"), "b": ("8", "8")}
    found = report(ObjectStore(tmp_path), updates, {"a": slope, "b": {}}, losses=losses)
    # b measured no gradient: its losses do not enter, and its update is credited by what a measured.
    assert values(found) == {"a": "1", "b": "1"}
    assert (found.start_loss, found.released_loss, found.residual) == ("3", "1", "0")


def test_falls_of_rounds_that_others_measured_are_chained(tmp_path):
    """Round 1 is measured by a, round 2 by b (which is asked of the state before it too)."""
    store = ObjectStore(tmp_path)
    step = {"w": torch.tensor([2.0, 0.0])}
    start = store.put(to_bytes({"w": torch.zeros(2)}))
    snapshot = Snapshot(run="run-1", round=1, state=start, memory=store.put(to_bytes({})), best_state=start)
    slopes = {"a": {"w": torch.tensor([-1.0, 0.0])}, "b": {"w": torch.tensor([-3.0, 0.0])}}
    losses = {"a": ("50", "48"), "b": ("20", "14")}
    closes = [
        CloseRound(
            run="run-1", round=number, snapshot=store.put(snapshot.to_bytes()), state=sha256(b"state"),
            used=(Used(member="a", reply=reply(store, "a", {"update": step}), weight="1"),),
            measured=tuple(measured(store, {member: slopes[member]}, losses)),
        )
        for number, member in ((1, "a"), (2, "b"))
    ]  # fmt: skip
    found = credit_report(
        PLAN, run="run-1", closes=closes, losses=["50", "48", "14"], start_state=start, store=store, shares=SHARES,
        loss=lambda state: Fraction(0),
    )  # fmt: skip
    # The loss fell by 2 as a measured it, then by 6 as b did.
    assert (found.start_loss, found.released_loss, found.residual) == ("50", "42", "0")
    assert found.credits[0].by_round == ("2", "6")


def test_rounds_after_the_released_one_count_nothing(tmp_path):
    store = ObjectStore(tmp_path)
    found = credit_report(
        PLAN, run="run-1", closes=[], losses=["3", "4"], start_state=sha256(b""), store=store, shares=SHARES,
        loss=lambda state: Fraction(0),
    )  # fmt: skip
    assert (found.credits, found.total, found.residual) == ((), "0", "0")
