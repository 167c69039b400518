"""Whole runs in which members are drawn, late, or answer in another order: the ledger tells it, and replay agrees."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from federation import federation, memory_folder, training
from foedus import replay
from foedus.accord import compile_plan
from foedus.core.digest import sha256
from foedus.core.errors import RunError, VerifyError
from foedus.core.objects import ObjectStore
from foedus.core.parcel import Parcel
from foedus.federate.engine import InProcess
from foedus.records import terms
from foedus.records.accord import Aggregation, Evaluation, Participation
from foedus.records.asks import Ask, Train
from foedus.records.base import open_record
from foedus.run import run, start_of
from foedus.state import digest

NEXT = terms.NextRound(max_rounds=2, discount="0.5")
PASS = (terms.Artefact(), terms.Utility(metric="accuracy", minimum="0.1"))


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


def founded(folder, *, members=3, rounds=3, late=NEXT, method=None, **changes):
    """A founded federation with quick rounds."""
    participation = changes.pop("participation", Participation())
    fields = {
        "training": training(method=method or terms.Head(), rounds=rounds),
        "evaluation": Evaluation(replicates=40),
        "aggregation": Aggregation(outer=terms.Plain(), min_members=2, participation=participation, late=late),
        **changes,
    }
    fed = federation(folder, members=members, **fields)
    fed.counts = dict.fromkeys(fed.counts, 8)
    return fed.found()


class Slow:
    """An engine whose members answer after their deadline where told: {(round, member): how many carries later}."""

    def __init__(self, fed, after=None, order=sorted):
        self.fed, self.after, self.order = fed, dict(after or {}), order
        self.nodes = {member.name: fed.node(member.name) for member in fed.accord.members}
        self.waiting, self.asked = [], []

    def carry(self, messages, *, deadline_seconds):
        self.waiting = [(left - 1, member, reply) for left, member, reply in self.waiting]
        for member in self.order(messages):
            message = messages[member]
            asks = [open_record(Ask, document) for document in Parcel.from_bytes(message).documents]
            self.asked.append((asks[0].place.round, asks[0].body.ask, member))
            busy = any(name == member for _, name, _ in self.waiting)
            steps = self.after.pop((asks[0].place.round, member), None) if isinstance(asks[0].body, Train) else None
            if busy:
                yield member, "engine.busy"
            elif steps is not None:
                self.waiting.append((steps, member, self.nodes[member].handle(message)))
                yield member, "engine.late"
            else:
                yield member, self.nodes[member].handle(message)

    def late(self):
        came = [(member, reply) for left, member, reply in self.waiting if left <= 0]
        self.waiting = [one for one in self.waiting if one[0] > 0]
        return came

    def close(self):
        self.waiting = []


def carried(fed, engine):
    start, _ = start_of(fed.accord, compile_plan(fed.accord), base=fed.base)
    return run(fed.hall(), "run-1", engine=engine, start=start)


def this(fed):
    return fed.ledger().state().runs["run-1"]


def used(fed):
    return [{item.member: item.staleness for item in close.used} for close in this(fed).closes]


def out(fed):
    return [{(one.member, one.code) for one in close.left_out} for close in this(fed).closes]


def replayed(fed, tmp_path, change=lambda run: run):
    """The digest of the state that the signed replies give, by the ledger of this run."""
    known = fed.ledger().state()
    paths = (fed.folder / "runs" / "run-1" / "asks").rglob("*.json")
    asks = {sha256(path.read_bytes()): path.read_bytes() for path in paths}
    replay.export_replies(known, "run-1", asks=asks, store=fed.store, target=tmp_path / "replies", at=fed.clock())
    store, changed = replay._copied(tmp_path / "replies", ObjectStore(tmp_path / "copy"))
    named = replay._asks_in(store, known, fed.accord)
    book = replay._Book(known, change(known.runs["run-1"]), fed.accord, store, named, changed)
    plan = replace(compile_plan(fed.accord), members=known.runs["run-1"].opened.roster)
    return digest(replay._drive(plan, book, []))


# ── late ─────────────────────────────────────────────────────────────────────


def test_a_late_update_enters_the_next_round_is_credited_and_replays_to_the_bit(tmp_path):
    fed = founded(tmp_path / "fed")
    # bank-b's reply of round 1 comes while round 2 trains: it is busy then, and enters round 2 one round late.
    outcome = carried(fed, Slow(fed, {(1, "bank-b"): 2}))
    fresh = {"bank-a": 0, "bank-b": 0, "bank-c": 0}
    assert used(fed) == [{"bank-a": 0, "bank-c": 0}, {**fresh, "bank-b": 1}, fresh]
    assert out(fed) == [{("bank-b", "engine.late")}, set(), set()]
    weights = {item.member: Fraction(item.weight) for item in this(fed).closes[1].used}
    assert weights == {"bank-a": Fraction("0.4"), "bank-b": Fraction("0.2"), "bank-c": Fraction("0.4")}
    assert abs(Fraction(outcome.credit.residual)) <= Fraction(outcome.credit.tolerance)
    by_round = {one.member: [Fraction(value) for value in one.by_round] for one in outcome.credit.credits}
    assert by_round["bank-b"][0] == 0
    assert by_round["bank-b"][1] != 0
    assert replayed(fed, tmp_path) == outcome.state


def test_with_alternating_halves_it_waits_in_the_snapshot_and_replays_to_the_bit(tmp_path):
    fed = founded(tmp_path / "fed", rounds=4, method=terms.Lora(rank=2))
    outcome = carried(fed, Slow(fed, {(1, "bank-b"): 1, (2, "bank-c"): 1, (3, "bank-b"): 1, (4, "bank-c"): 1}))
    assert [[(one.member, one.round) for one in close.late] for close in this(fed).closes] == [
        [("bank-b", 1)], [("bank-b", 1), ("bank-c", 2)], [("bank-c", 2)], [],
    ]  # fmt: skip
    assert used(fed)[2:] == [{"bank-a": 0, "bank-b": 2, "bank-c": 0}, {"bank-a": 0, "bank-b": 0, "bank-c": 2}]
    assert replayed(fed, tmp_path) == outcome.state


def test_what_is_dropped_is_told_and_replays_to_the_bit(tmp_path):
    fed = founded(tmp_path / "fed", rounds=4, late=terms.NextRound(max_rounds=1))
    # bank-b answers round 1 after round 1: superseded in round 2. bank-c answers round 2 in round 4: too old.
    outcome = carried(fed, Slow(fed, {(1, "bank-b"): 1, (2, "bank-c"): 4}))
    assert out(fed) == [
        {("bank-b", "engine.late")},
        {("bank-c", "engine.late"), ("bank-b", "late.superseded")},
        {("bank-c", "engine.busy")},
        {("bank-c", "engine.busy"), ("bank-c", "late.too-old")},
    ]
    assert replayed(fed, tmp_path) == outcome.state


def test_late_updates_in_hand_survive_a_kill(tmp_path):
    class KilledError(Exception):
        pass

    class Dying(Slow):
        """Ends when round 3 has trained, and bank-b's late reply of round 1 was only in the hand."""

        def carry(self, messages, *, deadline_seconds):
            yield from super().carry(messages, deadline_seconds=deadline_seconds)
            if self.asked[-1][:2] == (3, "train"):
                raise KilledError

    plan = {(1, "bank-b"): 1, (2, "bank-c"): 1, (3, "bank-b"): 9}
    whole = founded(tmp_path / "whole", rounds=4, method=terms.Lora(rank=2))
    expected = carried(whole, Slow(whole, plan))
    fed = founded(tmp_path / "fed", rounds=4, method=terms.Lora(rank=2))
    with pytest.raises(KilledError):
        carried(fed, Dying(fed, plan))
    assert len(this(fed).closes) == 2
    outcome = carried(fed, Slow(fed, {(3, "bank-b"): 9}))
    assert (used(fed), out(fed)) == (used(whole), out(whole))
    assert used(fed)[2]["bank-b"] == 2
    assert outcome.state == expected.state


def test_a_late_reply_that_came_before_the_kill_and_was_not_closed_is_not_lost(tmp_path):
    fed = founded(tmp_path / "fed", rounds=3)
    engine = Slow(fed, {(1, "bank-b"): 2, (2, "bank-c"): 9})

    class KilledError(Exception):
        pass

    class Dying(Slow):
        def carry(self, messages, *, deadline_seconds):
            if self.asked and self.asked[-1][:2] == (2, "train"):
                raise KilledError  # round 2 has combined with the late reply; its close was never written
            yield from super().carry(messages, deadline_seconds=deadline_seconds)

    engine.__class__ = Dying
    with pytest.raises(KilledError):
        carried(fed, engine)
    carried(fed, Slow(fed, {(2, "bank-b"): 9}))
    assert used(fed)[1]["bank-b"] == 1
    assert replayed(fed, tmp_path) == this(fed).close.state


def test_a_forged_or_strange_late_reply_is_left_out_and_the_run_goes_on(tmp_path):
    fed = founded(tmp_path / "fed")

    class Lying(Slow):
        def late(self):
            came = super().late()
            forged = [("bank-a", reply) for _, reply in came]
            return [*forged, ("bank-c", b"no parcel")]

    outcome = carried(fed, Lying(fed, {(1, "bank-b"): 1}))
    assert outcome.rounds == 3
    assert [close.late for close in this(fed).closes] == [(), (), ()]
    assert {(one.fields["member"], one.fields["code"]) for one in fed.events if one.kind == "left-out"} == {
        ("bank-a", "reply:run.bad-reply"), ("bank-c", "reply:parcel.malformed"),
    }  # fmt: skip


def test_where_all_are_late_the_run_ends_with_a_named_error(tmp_path):
    fed = founded(tmp_path / "fed")
    with pytest.raises(RunError) as caught:
        carried(fed, Slow(fed, {(1, "bank-a"): 1, (1, "bank-b"): 1}))
    assert caught.value.code == "run.too-few-members"


def test_a_record_with_another_staleness_or_hand_is_named(tmp_path):
    fed = founded(tmp_path / "fed")
    carried(fed, Slow(fed, {(1, "bank-b"): 2}))

    def fresh(run):
        close = run.closes[1]
        items = tuple(item.model_copy(update={"staleness": 0}) for item in close.used)
        return replace(run, closes=(run.closes[0], close.model_copy(update={"used": items}), run.closes[2]))

    with pytest.raises(VerifyError) as caught:
        replayed(fed, tmp_path, fresh)
    assert (caught.value.code, caught.value.fields["member"]) == ("replay.other-ask", "bank-b")


# ── sampling ─────────────────────────────────────────────────────────────────


def test_a_sampled_run_asks_by_its_draw_is_measured_by_its_panel_and_credit_adds_up(tmp_path):
    participation = Participation(sample=3)
    fed = founded(tmp_path / "fed", members=5, participation=participation, gates=PASS, late=terms.Drop())
    engine = Slow(fed)
    outcome = carried(fed, engine)
    plan = compile_plan(fed.accord)
    for number in (1, 2, 3):
        drawn = {member for round_, kind, member in engine.asked if (round_, kind) == (number, "train")}
        assert drawn == set(plan.drawn("run-1", number)) == set(used(fed)[number - 1])
    panel = set(plan.panel("run-1"))
    assert len(panel) == 3
    assert {m for _, kind, m in engine.asked if kind in ("validate", "gradient", "alone", "evaluate")} == panel
    assert abs(Fraction(outcome.credit.residual)) <= Fraction(outcome.credit.tolerance)
    ever = set().union(*used(fed))
    assert {one.member for one in outcome.credit.credits} == ever
    assert replayed(fed, tmp_path) == outcome.state


def test_where_no_harm_is_promised_to_each_all_are_measured_at_the_end(tmp_path):
    fed = founded(tmp_path / "fed", members=4, participation=Participation(sample=2), late=terms.Drop())
    engine = Slow(fed)
    carried(fed, engine)
    assert len({m for _, kind, m in engine.asked if kind == "evaluate"}) == 4
    assert len({m for _, kind, m in engine.asked if kind == "validate"}) == 2


def test_credit_adds_up_though_a_member_measures_only_some_rounds(tmp_path):
    fed = founded(tmp_path / "fed", members=4, late=terms.Drop())

    class Silent(Slow):
        def carry(self, messages, *, deadline_seconds):
            for member, reply in super().carry(messages, deadline_seconds=deadline_seconds):
                missed = self.asked[-1][:2] == (2, "validate") and member == "bank-d"
                yield member, "engine.late" if missed else reply

    credit = carried(fed, Silent(fed)).credit
    assert abs(Fraction(credit.residual)) <= Fraction(credit.tolerance)
    assert {one.member for one in credit.credits} == {"bank-a", "bank-b", "bank-c", "bank-d"}


def test_the_state_does_not_depend_on_who_answers_first(tmp_path):
    ends = []
    for name, order in (("one", sorted), ("other", lambda names: sorted(names, reverse=True))):
        fed = founded(tmp_path / name, rounds=2)
        outcome = carried(fed, Slow(fed, order=order))
        ends.append((outcome.state, outcome.credit, outcome.examination))
    assert ends[0] == ends[1]


def test_the_in_process_engine_is_one_of_these(tmp_path):
    fed = founded(tmp_path / "fed", rounds=1, late=terms.Drop())
    nodes = {member.name: fed.node(member.name) for member in fed.accord.members}
    engine = InProcess(lambda member, message: nodes[member].handle(message))
    other = founded(tmp_path / "other", rounds=1, late=terms.Drop())
    assert carried(fed, engine).state == carried(other, Slow(other)).state
