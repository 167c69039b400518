"""The conversation alone: fake answers, no engine, no keys, no model."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federation import memory_folder
from foedus.core.digest import sha256
from foedus.core.errors import RunError
from foedus.core.objects import ObjectStore
from foedus.federate.rounds import first_snapshot, rounds, shares_among
from foedus.federate.talk import Answer, Closed, Gather, Send
from foedus.records import terms
from foedus.records.accord import Participation
from foedus.records.acts import LeftOut
from foedus.records.asks import Gradient, Reply, Train, Validate
from foedus.records.plan import Plan
from foedus.records.release import LateReply
from foedus.state import from_bytes, to_bytes
from samples import private_keys

MEMBERS = ("a", "b", "c")
COUNTS = {"a": 10, "b": 10, "c": 20}
HEAD, A, B = "head.weight", "layer.lora_A.weight", "layer.lora_B.weight"


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


def plan(**changes):
    fields = {
        "accord": sha256(b"accord"), "seed": "s", "members": MEMBERS,
        "task": terms.TextClassification(labels=("x", "y")), "method": terms.Head(), "craft": terms.Craft(),
        "combine": terms.Mean(), "outer": terms.Plain(), "credit": terms.AumannShapley(points=2),
        "early_stopping": None, "halves": ("all", "all"), "min_members": 2, "deadline_seconds": 60,
        "smallest_cell": 5, "replicates": 10, "confidence_bp": 9500,
    }  # fmt: skip
    return Plan(**{**fields, **changes})


def head():
    return {HEAD: torch.zeros(2)}


class World:
    """Members that answer as told, and the store that everything lies in."""

    def __init__(self, folder, plan_, *, start=None, update=None, loss=None, gradient=None, left=None, late=None):
        self.store = ObjectStore(folder)
        self.plan = plan_
        self.update = update or (lambda member, train, state: {HEAD: torch.tensor([1.0, -1.0])})
        self.loss = loss or (lambda member, state: str(1 + int(state[HEAD].abs().sum())))
        self.gradient = gradient or (lambda member, start, end: {
            name: torch.ones_like(value) for name, value in start.items() if not torch.equal(value, end[name])
        })  # fmt: skip
        self.left = left or (lambda member, send: None)
        self.late = late or {}
        self.start = first_snapshot("run-1", start or head(), self.store)
        self.sent = []

    def state(self, name):
        return from_bytes(self.store.get(name))

    def reply(self, member, body):
        match body:
            case Train():
                given_ = self.update(member, body, self.state(body.start))
                data = given_ if isinstance(given_, bytes) else to_bytes(given_)
                fields = {"objects": {"update": self.store.put(data)}, "body": {"steps": 1}}
            case Validate():
                fields = {"body": {"n": 5, "loss": self.loss(member, self.state(body.state))}}
            case Gradient():
                gradient = self.gradient(member, self.state(body.start), self.state(body.end))
                fields = {"body": {"n": 5}, "objects": {"gradient": self.store.put(to_bytes(gradient))}}
        reply = Reply(ask=sha256(body.to_bytes()), member=member, outcome="done", **fields)
        return Answer(self.store.put(reply.sign(private_keys(member)["act"]).to_bytes()), reply)

    def answers(self, send, order=sorted):
        self.sent.append(send)
        out = {}
        for member in order(send.asks):
            code = self.left(member, send)
            instead = LeftOut(member=member, code=code) if isinstance(code, str) else code
            out[member] = tuple(instead or self.reply(member, body) for body in send.asks[member])
        return out

    def given(self, step, order):
        match step:
            case Send():
                return self.answers(step, order)
            case Gather():
                return self.late_replies(step)
        return {}

    def late_replies(self, gather):
        """The replies of those that `late` says come now: (round, step) → (member, round of its ask)."""
        out = []
        for member, number in self.late.get((gather.round, gather.step), ()):
            sent = next(send for send in self.sent if (send.round, send.step) == (number, "train"))
            out.append(LateReply(member=member, reply=self.reply(member, sent.asks[member][0]).digest, round=number))
        return tuple(out)

    def carry(self, snapshot=None, order=sorted):
        """Every `Closed`, to the end."""
        shares = shares_among(COUNTS, self.plan.combine, self.plan.late)
        talk = rounds(self.plan, snapshot or self.start, store=self.store, shares=shares)
        closed, step = [], next(talk, None)
        while step is not None:
            if isinstance(step, Closed):
                closed.append(step)
            try:
                step = talk.send(self.given(step, order))
            except StopIteration:
                step = None
        return closed


def codes(closed):
    return {one.member: one.code for one in closed.left_out}


def test_a_round_trains_then_measures_and_the_mean_moves_the_state(tmp_path):
    updates = {"a": [1.0, 0.0], "b": [3.0, 0.0], "c": [0.0, 4.0]}
    world = World(tmp_path, plan(), update=lambda member, *_: {HEAD: torch.tensor(updates[member])})
    first, second = world.carry()
    # a and b weigh a quarter each, c half: (1 + 3)/4 and 4/2.
    assert world.state(first.snapshot.state)[HEAD].tolist() == [1.0, 2.0]
    assert world.state(second.snapshot.state)[HEAD].tolist() == [2.0, 4.0]
    assert [(one.member, one.weight) for one in first.used] == [("a", "0.25"), ("b", "0.25"), ("c", "0.5")]
    assert [(send.round, send.step) for send in world.sent] == [
        (1, "train"), (1, "measure"), (2, "train"), (2, "measure"),
    ]  # fmt: skip
    assert [type(body).__name__ for body in world.sent[1].asks["a"]] == ["Validate", "Validate", "Gradient"]
    assert [type(body).__name__ for body in world.sent[3].asks["a"]] == ["Validate", "Gradient"]
    assert first.snapshot.losses == ("1", "4")
    assert second.snapshot.losses == ("1", "4", "7")
    assert (second.snapshot.best_round, second.snapshot.stopped) == (2, False)


def test_a_member_that_is_late_refuses_or_fails_is_left_out_with_its_reason(tmp_path):
    refused = Answer(sha256(b"r"), Reply(ask=sha256(b""), member="b", outcome="refused", code="data.grants"))
    wrong = {"a": None, "b": refused, "c": "engine.late"}
    world = World(tmp_path, plan(min_members=1), left=lambda member, send: wrong[member])
    assert codes(world.carry()[0]) == {"b": "data.grants", "c": "engine.late"}
    assert [one.member for one in world.carry()[0].used] == ["a"]


@pytest.mark.parametrize("code", [None, "x" * 5000, "<script>", "two words", "UPPER"])
def test_a_reason_that_is_no_code_never_reaches_the_ledger(tmp_path, code):
    failed = Answer(sha256(b"r"), Reply(ask=sha256(b""), member="b", outcome="failed", code=code))
    world = World(tmp_path, plan(), left=lambda member, send: failed if member == "b" else None)
    assert codes(world.carry()[0]) == {"b": "run.no-reason"}


def test_too_few_members_end_the_round_and_the_reasons_are_told(tmp_path):
    world = World(tmp_path, plan(min_members=2), left=lambda m, send: None if m == "a" else "engine.member-gone")
    with pytest.raises(RunError) as caught:
        world.carry()
    assert caught.value.code == "run.too-few-members"
    assert caught.value.fields["got"] == 1
    assert "b: engine.member-gone; c: engine.member-gone" in str(caught.value)


BAD = {
    "update.not-finite": {HEAD: torch.tensor([float("nan"), 0.0])},
    "update.wrong-names": {"other": torch.zeros(2)},
    "update.wrong-shape": {HEAD: torch.zeros(3)},
    "update.wrong-type": {HEAD: torch.zeros(2, dtype=torch.float64)},
    "update.malformed": b"no safetensors",
}


@pytest.mark.parametrize("liars", [("a",), ("a", "b")], ids=["one", "most"])
@pytest.mark.parametrize("code", BAD)
def test_an_update_that_does_not_fit_is_left_out_though_most_send_such(tmp_path, code, liars):
    good = {HEAD: torch.tensor([1.0, 2.0])}
    world = World(tmp_path, plan(min_members=1), update=lambda member, *_: BAD[code] if member in liars else good)
    first, second = world.carry()
    assert codes(first) == codes(second) == dict.fromkeys(liars, code)
    assert str(RunError(code))
    assert torch.equal(world.state(first.snapshot.state)[HEAD], good[HEAD])


@pytest.mark.parametrize("extra", [{}, {"head.more": torch.zeros(1)}], ids=["nothing", "more"])
def test_an_update_without_names_or_with_more_is_left_out(tmp_path, extra):
    good = {HEAD: torch.tensor([1.0, 2.0])}
    world = World(tmp_path, plan(), update=lambda m, *_: ({**good, **extra} if extra else {}) if m == "c" else good)
    assert codes(world.carry()[0]) == {"c": "update.wrong-names"}


def test_a_reply_without_an_update_is_left_out(tmp_path):
    empty = Answer(sha256(b"r"), Reply(ask=sha256(b""), member="c", outcome="done"))
    world = World(tmp_path, plan(), left=lambda m, send: empty if (m, send.step) == ("c", "train") else None)
    assert codes(world.carry()[0]) == {"c": "update.malformed"}


@pytest.mark.parametrize("loss", [None, "nan", "1e9", "1/3", 3, "1.50", "9" * 60, ["1"]])
def test_a_loss_that_is_no_decimal_does_not_enter_the_mean(tmp_path, loss):
    world = World(tmp_path, plan(), loss=lambda member, _: loss if member == "c" else "2")
    first = world.carry()[0]
    assert first.validation_loss == "2"
    assert [one.member for one in first.measured] == ["a", "b", "a", "b", "a", "b", "c"]


@pytest.mark.parametrize("gradient", [{HEAD: torch.full((2,), float("inf"))}, {}, {HEAD: torch.zeros(1)}])
def test_a_gradient_that_does_not_fit_is_not_used(tmp_path, gradient):
    good = {HEAD: torch.ones(2)}
    world = World(tmp_path, plan(), gradient=lambda member, *_: gradient if member == "a" else good)
    assert [one.member for one in world.carry()[0].measured].count("a") == 2


def test_nothing_is_measured_that_no_clause_asks_for(tmp_path):
    world = World(tmp_path, plan(credit=terms.NoCredit()))
    closed = world.carry()
    assert [send.step for send in world.sent] == ["train", "train"]
    assert [one.validation_loss for one in closed] == [None, None]
    assert closed[-1].snapshot.best_round == 2


# ── who is asked ─────────────────────────────────────────────────────────────


def asked(world):
    return {(send.round, send.step): tuple(send.asks) for send in world.sent}


def test_a_round_asks_those_that_its_draw_names_and_a_panel_measures_all_of_them(tmp_path):
    drawing = plan(participation=Participation(sample=2), halves=("all",) * 6, min_members=1)
    world = World(tmp_path, drawing)
    closed = world.carry()
    said = asked(world)
    assert [said[number, "train"] for number in range(1, 7)] == [drawing.drawn("run-1", n) for n in range(1, 7)]
    assert len({said[number, "train"] for number in range(1, 7)}) > 1
    assert {said[number, "measure"] for number in range(1, 7)} == {drawing.panel("run-1")}
    assert all(len(members) == 2 for members in said.values())
    for number, one in enumerate(closed, start=1):
        assert tuple(item.member for item in one.used) == said[number, "train"]


def test_who_may_not_train_measures_all_the_same(tmp_path):
    world = World(tmp_path, plan(barred=frozenset({"a"})))
    world.carry()
    said = asked(world)
    assert said[1, "train"] == ("b", "c")
    assert said[1, "measure"] == MEMBERS


def test_too_few_of_those_that_were_drawn_end_the_round(tmp_path):
    world = World(tmp_path, plan(participation=Participation(sample=2)), left=lambda m, send: "engine.late")
    with pytest.raises(RunError) as caught:
        world.carry()
    assert caught.value.fields["reasons"].count("engine.late") == 2


# ── late replies ─────────────────────────────────────────────────────────────

NEXT = terms.NextRound(max_rounds=2, discount="0.5")


def silent(*missing):
    """Members that do not answer the training of a round: (round, member) …"""
    return lambda member, send: "engine.late" if send.step == "train" and (send.round, member) in missing else None


def late_world(tmp_path, *, missing, late, rounds=3, rule=NEXT, **changes):
    """Members whose update is their round's number in the first value, and -1 for b."""
    fields = {"halves": ("all",) * rounds, "late": rule, "credit": terms.NoCredit(), "min_members": 1}

    def update(member, train, state):
        return {HEAD: torch.tensor([1.0, 4.0 if member == "b" else 0.0])}

    return World(tmp_path, plan(**{**fields, **changes}), update=update, left=silent(*missing), late=late)


def test_a_late_update_enters_the_next_round_at_its_discount(tmp_path):
    world = late_world(tmp_path, missing=[(1, "b"), (2, "b")], late={(2, "train"): [("b", 1)]})
    first, second, third = world.carry()
    assert codes(first) == {"b": "engine.late"}
    # b's 10 examples count as 5, of 10 + 5 + 20; c would pass its cap of a half.
    assert [(one.member, one.staleness) for one in second.used] == [("a", 0), ("b", 1), ("c", 0)]
    assert [Fraction(one.weight) for one in second.used] == [
        Fraction("0.333333333"), Fraction("0.166666667"), Fraction("0.5"),
    ]  # fmt: skip
    before, after = (world.state(one.snapshot.state)[HEAD] for one in (first, second))
    assert torch.allclose(after - before, torch.tensor([1.0, 4.0 / 6]))
    assert codes(second) == {}
    assert [one.staleness for one in third.used] == [0, 0, 0]


def test_a_late_update_that_waits_lies_in_the_snapshot_and_enters_after_a_kill(tmp_path):
    missing = [(1, "b"), (2, "b")]
    world = late_world(tmp_path, missing=missing, late={(1, "close"): [("b", 1)]})
    closed = world.carry()
    assert [(one.member, one.round) for one in closed[0].snapshot.late] == [("b", 1)]
    assert closed[1].snapshot.late == ()
    assert closed[1].used[1].staleness == 1
    resumed = late_world(tmp_path, missing=missing, late={}).carry(closed[0].snapshot)
    assert resumed == closed[1:]


def test_a_member_that_answers_anew_has_one_update_and_the_late_one_is_told(tmp_path):
    world = late_world(tmp_path, missing=[(1, "b")], late={(1, "close"): [("b", 1)]})
    second = world.carry()[1]
    assert [one.staleness for one in second.used] == [0, 0, 0]
    assert [(one.member, one.code) for one in second.left_out] == [("b", "late.superseded")]
    assert second.left_out[0].reply == world.reply("b", world.sent[0].asks["b"][0]).digest


def test_of_two_late_updates_of_a_member_the_newer_enters(tmp_path):
    world = late_world(
        tmp_path, missing=[(1, "b"), (2, "b"), (3, "b")], late={(3, "train"): [("b", 1), ("b", 2)]},
        rule=terms.NextRound(max_rounds=3),
    )  # fmt: skip
    third = world.carry()[2]
    assert [(one.member, one.staleness) for one in third.used] == [("a", 0), ("b", 1), ("c", 0)]
    assert [(one.member, one.code) for one in third.left_out] == [("b", "late.superseded")]


def test_an_update_that_no_round_can_take_any_more_is_dropped_and_told(tmp_path):
    # It comes in round 3 for round 1, and may be one round late.
    world = late_world(
        tmp_path, missing=[(1, "b"), (2, "b"), (3, "b")], late={(3, "train"): [("b", 1)]},
        rule=terms.NextRound(max_rounds=1), rounds=4,
    )  # fmt: skip
    third = world.carry()[2]
    assert [one.member for one in third.used] == ["a", "c"]
    assert [(one.member, one.code, bool(one.reply)) for one in third.left_out] == [
        ("b", "engine.late", False), ("b", "late.too-old", True),
    ]  # fmt: skip
    assert third.snapshot.late == ()
    # In the last round there is no later one.
    last = late_world(tmp_path, missing=[(3, "b")], late={(3, "close"): [("b", 3)]}).carry()[2]
    assert [(one.member, one.code) for one in last.left_out] == [("b", "engine.late"), ("b", "late.too-old")]


def test_with_alternating_halves_a_late_update_waits_for_its_half(tmp_path):
    world = World(
        tmp_path, plan(late=NEXT, halves=HALVES, credit=terms.NoCredit(), min_members=1), start=FACTORS,
        update=learning, left=silent((1, "b"), (2, "b"), (3, "b")), late={(1, "close"): [("b", 1)]},
    )  # fmt: skip
    first, second, third, _ = world.carry()
    assert [[one.member for one in closed.used] for closed in (first, second, third)] == [
        ["a", "c"], ["a", "c"], ["a", "b", "c"],
    ]  # fmt: skip
    assert third.used[1].staleness == 2
    assert first.snapshot.late == second.snapshot.late != third.snapshot.late


def test_a_late_update_that_does_not_fit_is_left_out_with_its_reason(tmp_path):
    world = late_world(tmp_path, missing=[(1, "b"), (2, "b")], late={(2, "train"): [("b", 1)]})
    world.update = lambda member, *_: {HEAD: torch.full((2,), float("nan") if member == "b" else 1.0)}
    second = world.carry()[1]
    assert [(one.member, one.code) for one in second.left_out] == [("b", "engine.late"), ("b", "update.not-finite")]


def test_late_updates_can_make_up_the_members_that_a_round_needs(tmp_path):
    missing, late = [(1, "b"), (2, "b")], {(1, "close"): [("b", 1)]}
    assert len(late_world(tmp_path, missing=missing, late=late, min_members=2).carry()[1].used) == 3
    with pytest.raises(RunError) as caught:
        late_world(tmp_path, missing=[*missing, (2, "a"), (2, "c")], late=late, min_members=2).carry()
    assert (caught.value.code, caught.value.fields["got"]) == ("run.too-few-members", 1)


def test_where_late_replies_are_kept_credit_asks_of_both_states_in_every_round(tmp_path):
    world = World(tmp_path, plan(late=NEXT))
    closed = world.carry()
    asked_of = [
        [getattr(body, "state", "") for body in send.asks["a"]] for send in world.sent if send.step == "measure"
    ]
    states = [world.start.state, *(one.snapshot.state for one in closed)]
    assert asked_of == [[states[0], states[1], ""], [states[1], states[2], ""]]
    assert closed[1].snapshot.losses == ("1", "3", "5")


def test_where_late_replies_are_dropped_none_is_asked_for(tmp_path):
    world = late_world(tmp_path, missing=[(1, "b")], late={(1, "close"): [("b", 1)]}, rule=terms.Drop())
    closed = world.carry()
    assert [one.snapshot.late for one in closed] == [(), (), ()]
    assert [len(one.used) for one in closed] == [2, 3, 3]


# ── early stopping ───────────────────────────────────────────────────────────


def lossy(tmp_path, losses, rule, *, halves, start=None):
    """A run whose n-th state has the n-th loss. Each round adds one to the first value of the head."""
    where = HEAD

    def update(member, train, state):
        names = [name for name in state if not name.endswith({"A": B, "B": A, "all": "-"}[train.half])]
        return {name: torch.ones_like(state[name]) for name in names}

    return World(
        tmp_path, plan(early_stopping=rule, halves=halves, credit=terms.NoCredit()), start=start, update=update,
        loss=lambda member, state: losses[int(state[where].reshape(-1)[0])],
    ).carry()  # fmt: skip


def test_a_run_stops_when_the_loss_no_longer_falls_and_the_best_round_is_released(tmp_path):
    losses = ["9", "5", "4", "6", "7", "1"]
    closed = lossy(tmp_path, losses, terms.EarlyStopping(patience=2), halves=("all",) * 5)
    last = closed[-1].snapshot
    assert (last.round, last.best_round, last.stopped) == (4, 2, True)
    assert last.best_state == closed[1].snapshot.state != last.state


def test_a_fall_smaller_than_min_delta_counts_as_none(tmp_path):
    rule = terms.EarlyStopping(patience=1, min_delta="0.5")
    last = lossy(tmp_path, ["9", "8", "7.6", "1"], rule, halves=("all",) * 3)[-1].snapshot
    assert (last.round, last.best_round, last.stopped) == (2, 1, True)


def test_when_no_round_is_better_than_the_start_the_start_is_released(tmp_path):
    closed = lossy(tmp_path, ["1", "2", "3"], terms.EarlyStopping(patience=2), halves=("all",) * 2)
    assert (closed[-1].snapshot.best_round, closed[-1].snapshot.stopped) == (0, True)
    assert closed[-1].snapshot.best_state == first_snapshot("run-1", head(), ObjectStore(tmp_path)).state


def test_with_alternating_halves_only_pairs_are_compared(tmp_path):
    start = {HEAD: torch.zeros(2), A: torch.zeros(1, 2), B: torch.zeros(2, 1)}
    # After round 1 the loss is the lowest of all, but the pair is not complete; round 3 is worse and does not count.
    losses = ["9", "1", "5", "99", "4", "99", "4"]
    closed = lossy(tmp_path, losses, terms.EarlyStopping(patience=1), halves=("B", "A") * 3, start=start)
    last = closed[-1].snapshot
    assert [one.snapshot.best_round for one in closed] == [0, 2, 2, 4, 4, 4]
    assert (last.round, last.stopped) == (6, True)


# ── resuming and order ───────────────────────────────────────────────────────


def learning(member, train, state):
    """An update that depends on the state and the member, of the half that is trained."""
    names = [name for name in state if not name.endswith({"A": B, "B": A, "all": "-"}[train.half])]
    factor = {"a": 0.1, "b": 0.2, "c": -0.05}[member]
    return {name: factor * (state[name] + 1.0 + len(name)) for name in names}


OUTERS = [terms.Plain(), terms.Nesterov(), terms.Adam(), terms.Yogi()]
HALVES = ("B", "A", "B", "A")
FACTORS = {HEAD: torch.ones(2), A: torch.ones(1, 2), B: torch.zeros(2, 1)}


@pytest.mark.parametrize("outer", OUTERS, ids=lambda outer: outer.name)
def test_from_any_snapshot_the_run_goes_on_to_the_same_end(tmp_path, outer):
    world = World(tmp_path, plan(outer=outer, halves=HALVES), start=FACTORS, update=learning,
                  loss=lambda member, state: "1")  # fmt: skip
    closed = world.carry()
    assert len({one.state for one in closed}) == 4
    for before, one in zip([world.start, *[c.snapshot for c in closed]], closed, strict=False):
        rest = world.carry(before)
        assert rest[0] == one
        assert rest[-1] == closed[-1]
    assert world.carry(closed[-1].snapshot) == []


def test_a_run_that_stopped_early_does_not_go_on(tmp_path):
    closed = lossy(tmp_path, ["1", "2", "3", "3"], terms.EarlyStopping(patience=1), halves=("all",) * 3)
    world = World(tmp_path, plan(halves=("all",) * 3))
    assert world.carry(closed[-1].snapshot) == []


@settings(max_examples=3, deadline=None)
@given(order=st.permutations(MEMBERS))
def test_the_order_in_which_answers_arrive_does_not_matter(order):
    ends = []
    for sequence in (sorted, lambda asks: [m for m in order if m in asks]):
        with memory_folder() as folder:
            world = World(
                folder, plan(outer=terms.Nesterov(), halves=HALVES), start=FACTORS, update=learning,
                loss=lambda member, state: {"a": "1", "b": "2", "c": "4"}[member],
            )  # fmt: skip
            ends.append(world.carry(order=sequence))
    assert ends[0] == ends[1]


# ── low-rank adapters ────────────────────────────────────────────────────────


@pytest.mark.parametrize("outer", [terms.Nesterov(), terms.Adam()], ids=lambda outer: outer.name)
def test_the_resting_half_and_its_memory_stay_untouched(tmp_path, outer):
    world = World(tmp_path, plan(outer=outer, halves=HALVES), start=FACTORS, update=learning,
                  loss=lambda member, state: "1")  # fmt: skip
    states, memories = [FACTORS], []
    for one in world.carry():
        states.append(world.state(one.snapshot.state))
        memories.append(world.state(one.snapshot.memory))
    for number, half in enumerate(HALVES, start=1):
        rests, moves = (A, B) if half == "B" else (B, A)
        assert torch.equal(states[number][rests], states[number - 1][rests])
        assert not torch.equal(states[number][moves], states[number - 1][moves])
        assert not torch.equal(states[number][HEAD], states[number - 1][HEAD])
        if number > 1:
            resting = [slot for slot in memories[0] if slot.endswith(rests)]
            assert resting
            assert all(torch.equal(memories[number - 1][slot], memories[number - 2][slot]) for slot in resting)


def test_a_member_that_trains_the_other_half_is_left_out(tmp_path):
    def update(member, train, state):
        given_ = train if member != "c" else Train(start=train.start, half="A")
        return learning(member, given_, state)

    world = World(tmp_path, plan(halves=("B",)), start=FACTORS, update=update, loss=lambda *_: "1")
    assert codes(world.carry()[0]) == {"c": "update.wrong-names"}


def test_stacked_products_of_any_rank_add_up_exactly(tmp_path):
    ranks = {"a": 1, "b": 2, "c": 3}
    state = {"layer.weight": torch.zeros(2, 3), HEAD: torch.zeros(2)}

    def update(member, *_):
        rank = ranks[member]
        return {A: torch.full((rank, 3), 2.0), B: torch.full((2, rank), 1.0), HEAD: torch.ones(2)}

    method = terms.Lora(rank=2, alpha=6, combine="stack")
    world = World(tmp_path, plan(method=method, halves=("all",)), start=state, update=update, loss=lambda *_: "1")
    (closed,) = world.carry()
    # Each product is alpha / rank · rank · 2 · 1 = 12, whatever the rank; so is their mean.
    assert world.state(closed.snapshot.state)["layer.weight"].tolist() == [[12.0] * 3] * 2
    assert codes(closed) == {}


def test_stacked_factors_that_do_not_fit_are_left_out(tmp_path):
    state = {"layer.weight": torch.zeros(2, 3), HEAD: torch.zeros(2)}
    good = {A: torch.ones(1, 3), B: torch.ones(2, 1), HEAD: torch.ones(2)}
    bad = {
        "a": {**good, B: torch.ones(2, 2)},
        "b": {**good, A: torch.full((1, 3), 3e38), B: torch.full((2, 1), 3e38)},
        "c": good,
    }
    method = terms.Lora(rank=1, combine="stack")
    world = World(tmp_path, plan(method=method, halves=("all",), min_members=1), start=state,
                  update=lambda member, *_: bad[member], loss=lambda *_: "1")  # fmt: skip
    assert codes(world.carry()[0]) == {"a": "update.malformed", "b": "update.not-finite"}


# ── what lies in the store ───────────────────────────────────────────────────


def test_a_snapshot_whose_state_is_gone_or_changed_is_a_named_error(tmp_path):
    world = World(tmp_path, plan())
    closed = world.carry()
    path = world.store.path(closed[0].snapshot.state)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError) as caught:
        world.carry(closed[0].snapshot)
    assert caught.value.code == "run.bad-state"
    path.unlink()
    with pytest.raises(RunError):
        world.carry(closed[0].snapshot)


def test_the_weights_follow_the_cards_of_those_who_answered():
    shares = shares_among({"a": 10, "b": 30, "c": 60}, terms.Mean(cap_bp=10_000))
    assert shares(("a", "b")) == {"a": Fraction(1, 4), "b": Fraction(3, 4)}
