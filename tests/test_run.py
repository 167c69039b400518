"""Whole runs: real keys, ledger, nodes and training on the tiny base model."""

import os
import signal
import time
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from federation import NOW, federation, memory_folder, training
from foedus.accord import compile_plan
from foedus.core.digest import sha256
from foedus.core.errors import CallerError, RunError
from foedus.core.parcel import Parcel
from foedus.federate.engine import InProcess
from foedus.ledger.consortium import Consortium, RunState
from foedus.records import terms
from foedus.records.accord import Aggregation, Evaluation, Validity
from foedus.records.acts import CloseRun, EnterEvidence, OpenRun
from foedus.records.asks import Ask, Gradient, Reply, Train, Validate
from foedus.records.base import open_record
from foedus.run import name_for, run, start_of
from foedus.state import from_bytes, to_bytes, zeros_like
from samples import private_keys


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


def quick(folder, *, counts=8, method=None, rounds=2, early_stopping=None, **changes):
    """A founded federation whose runs take a second or two: a head on kept layers, few examples and replicates."""
    auditor = changes.pop("auditor", False)
    fields = {
        "training": training(method=method or terms.Head(), rounds=rounds, early_stopping=early_stopping),
        "evaluation": Evaluation(replicates=40),
        **changes,
    }
    fed = federation(folder, auditor=auditor, **fields)
    fed.counts = dict.fromkeys(fed.counts, counts)
    return fed.found()


def nodes_of(fed):
    return {member.name: fed.node(member.name) for member in fed.accord.members}


def bent(fed, bend):
    """Delivery in which `bend(member, asks, reply)` may put another answer in a member's place."""
    nodes = nodes_of(fed)

    def deliver(member, message):
        asks = [open_record(Ask, document) for document in Parcel.from_bytes(message).documents]
        return bend(member, asks, lambda: nodes[member].handle(message))

    return deliver


def closes(fed, name="run-1"):
    return fed.ledger().state().runs[name].closes


def left_out(fed):
    return [{one.member: one.code for one in close.left_out} for close in closes(fed)]


def figure(outcome, arm, member=None, metric="accuracy"):
    found = [f for f in outcome.examination.figures if (f.arm, f.member, f.metric) == (arm, member, metric)]
    return found[0] if found else None


# ── one whole run ────────────────────────────────────────────────────────────


def test_what_is_trained_together_is_better_than_what_each_trains_alone(tmp_path):
    fed = federation(tmp_path / "fed", training=training(rounds=4)).found()
    outcome = fed.run()
    losses = [Fraction(close.validation_loss) for close in closes(fed)]
    assert losses[-1] < Fraction(outcome.credit.start_loss) * Fraction(4, 5)
    assert (
        Fraction(figure(outcome, "federated").estimate) > Fraction(figure(outcome, "alone").estimate) > Fraction(1, 3)
    )
    assert figure(outcome, "federated").n == 90
    assert (outcome.rounds, outcome.released_round) == (4, 4)
    # Credit: what the members' updates were worth adds up to the fall in loss, but for the error of three points.
    credit = outcome.credit
    assert Fraction(credit.total) == Fraction(credit.start_loss) - Fraction(credit.released_loss)
    assert sum(Fraction(one.value) for one in credit.credits) + Fraction(credit.residual) == Fraction(credit.total)
    assert abs(Fraction(credit.residual)) <= Fraction(credit.tolerance)
    assert credit.note == ""


def test_two_runs_in_two_folders_give_the_same_state_and_evidence(tmp_path):
    one, other = (quick(tmp_path / name, method=terms.Lora(rank=2)).run() for name in ("one", "other"))
    assert one.state == other.state
    assert one.examination == other.examination
    assert one.credit == other.credit


def test_another_seed_gives_another_state(tmp_path):
    one = quick(tmp_path / "one").run()
    other = quick(tmp_path / "other", training=training(method=terms.Head(), seed="another")).run()
    assert one.state != other.state


def test_workers_give_the_bits_of_one_process(tmp_path):
    one = quick(tmp_path / "one", method=terms.Lora(rank=2)).run()
    two = quick(tmp_path / "two", method=terms.Lora(rank=2)).run(workers=2)
    assert (one.state, one.examination, one.credit) == (two.state, two.examination, two.credit)


def test_the_ledger_holds_the_run_from_open_to_evidence(tmp_path):
    fed = quick(tmp_path / "fed", auditor=True)
    outcome = fed.run()
    known = fed.ledger().state()
    this = known.runs["run-1"]
    assert this.opened.roster == ("bank-a", "bank-b", "bank-c")
    assert set(this.opened.numerics) >= {"torch", "cpu", "threads"}
    assert (this.close.state, this.close.outcome) == (outcome.state, "done")
    assert known.evidence[outcome.evidence].credit == outcome.credit.digest
    assert {one.member for one in known.evidence[outcome.evidence].replies} == {"bank-a", "bank-b", "bank-c", "exam"}
    # The auditor measures the federated model by itself, and does not enter the figures over all members.
    assert figure(outcome, "federated", "exam").n == 30
    assert figure(outcome, "alone", "exam") is None
    assert figure(outcome, "federated").n == 90
    with pytest.raises(RunError) as caught:
        fed.run()
    assert caught.value.code == "run.over"


@pytest.mark.parametrize("outer", [terms.Nesterov(), terms.Adam(), terms.Yogi()], ids=lambda one: one.name)
def test_each_outer_step_completes_and_its_credit_adds_up(tmp_path, outer):
    fed = quick(tmp_path / "fed", aggregation=Aggregation(outer=outer))
    credit = fed.run().credit
    assert abs(Fraction(credit.residual)) <= Fraction(credit.tolerance)
    assert credit.note == ("" if outer.linear else "preconditioner taken as given")


METHODS = {
    "full": terms.Full(),
    "full-top": terms.Full(top_layers=1),
    "stack": terms.Lora(rank=2, combine="stack", member_ranks=(terms.MemberRank(member="bank-b", rank=3),)),
}


@pytest.mark.parametrize("name", METHODS)
def test_each_method_completes(tmp_path, name):
    outcome = quick(tmp_path / "fed", method=METHODS[name], rounds=1).run()
    assert (outcome.rounds, outcome.released_round) == (1, 1)
    assert len(outcome.credit.credits) == 3


def test_entities_are_learnt_as_texts_are(tmp_path):
    from foedus.data.examples import Example, Span

    task = terms.TokenClassification(labels=("PRODUCT",), max_tokens=32)
    gates = (terms.Artefact(), terms.Utility(metric="entity-f1", minimum="0.1"))
    fed = quick(tmp_path / "fed", task=task, gates=gates)
    rows = [("my", "card", "is", "lost"), ("send", "the", "loan", "abroad")] * 4
    examples = tuple(
        Example(text=" ".join(row), tokens=row, spans=(Span(1 + i % 2, 2 + i % 2, "PRODUCT"),))
        for i, row in enumerate(rows)
    )
    for member in fed.counts:
        fed.parts[member] = dict.fromkeys(("train", "validation", "test"), examples)
    assert figure(fed.run(), "federated", metric="entity-f1").n == 24


def test_without_credit_or_early_stopping_nothing_is_validated(tmp_path):
    outcome = quick(tmp_path / "fed", credit=terms.NoCredit()).run()
    assert outcome.credit is None
    assert figure(outcome, "difference") is not None


def test_a_run_that_gets_worse_stops_early_and_releases_its_best_round(tmp_path):
    fed = quick(tmp_path / "fed", rounds=4, early_stopping=terms.EarlyStopping(patience=1))
    worse = {1: "0.5", 2: "0.7", 3: "0.9", 4: "0.9"}

    def bend(member, asks, handle):
        raw = handle()
        if not any(isinstance(ask.body, Validate) for ask in asks):
            return raw
        parcel, documents = Parcel.from_bytes(raw), []
        for ask, document in zip(asks, parcel.documents, strict=True):
            reply = open_record(Reply, document)
            if isinstance(ask.body, Validate):
                reply = reply.model_copy(update={"body": {"n": 12, "loss": worse[ask.place.round]}})
            documents.append(reply.sign(private_keys(member)["act"]))
        return Parcel(tuple(documents), parcel.objects).to_bytes()

    outcome = fed.run(deliver=bent(fed, bend))
    # In round 1 the start state's loss is asked too, and told the same: so the first round is no better than the start.
    assert (outcome.rounds, outcome.released_round) == (1, 0)
    assert fed.ledger().state().runs["run-1"].close.outcome == "stopped-early"
    assert outcome.state == fed.ledger().state().runs["run-1"].opened.start
    assert outcome.credit.credits == ()


# ── credit ───────────────────────────────────────────────────────────────────


def resigned(member, reply, objects):
    return Parcel((reply.sign(private_keys(member)["act"]),), objects).to_bytes()


def with_update(change, liar="bank-c"):
    """A member that sends another update than the one it made."""

    def bend(member, asks, handle):
        raw = handle()
        if member != liar or not isinstance(asks[0].body, Train):
            return raw
        parcel = Parcel.from_bytes(raw)
        (reply,) = (open_record(Reply, document) for document in parcel.documents)
        data = to_bytes(change(from_bytes(parcel.objects[reply.objects["update"]])))
        reply = reply.model_copy(update={"objects": {"update": sha256(data)}})
        return resigned(member, reply, {sha256(data): data})

    return bend


@pytest.mark.parametrize("credit", [terms.AumannShapley(), terms.Reconstruct()], ids=lambda one: one.name)
def test_a_member_that_brings_nothing_gets_no_credit(tmp_path, credit):
    fed = quick(tmp_path / "fed", credit=credit)
    outcome = fed.run(deliver=bent(fed, with_update(zeros_like)))
    assert {one.member: one.value for one in outcome.credit.credits}["bank-c"] == "0"
    assert all(Fraction(one.value) for one in outcome.credit.credits if one.member != "bank-c")


def test_credit_along_the_path_agrees_with_exact_shapley_values(tmp_path):
    path, exact = (
        quick(tmp_path / credit.name, rounds=1, counts=16, credit=credit).run().credit
        for credit in (terms.AumannShapley(), terms.Reconstruct())
    )
    assert path.total == exact.total
    assert abs(Fraction(exact.residual)) <= Fraction(exact.tolerance)
    one, other = ({c.member: float(c.value) for c in report.credits} for report in (path, exact))
    assert [value > 0 for value in one.values()] == [value > 0 for value in other.values()]
    assert one == pytest.approx(other, abs=0.1 * abs(float(path.total)))


# ── figures ──────────────────────────────────────────────────────────────────


def test_the_difference_is_paired_and_equal_models_differ_by_nothing(tmp_path):
    fed = quick(tmp_path / "fed", rounds=1)
    outcome = fed.run()
    for member in (None, *fed.counts):
        together, alone, apart = (figure(outcome, arm, member) for arm in ("federated", "alone", "difference"))
        rounding = Fraction(2, 10**6)
        assert abs(Fraction(apart.estimate) - Fraction(together.estimate) + Fraction(alone.estimate)) <= rounding
        assert Fraction(apart.low) <= Fraction(apart.estimate) <= Fraction(apart.high)


# ── members that lie, are silent or late ─────────────────────────────────────


def forged(member, asks, handle):
    (document,) = Parcel.from_bytes(handle()).documents
    reply = open_record(Reply, document)
    return resigned("bank-a", reply, {})


def another_asks(member, asks, handle):
    parcel = Parcel.from_bytes(handle())
    reply = open_record(Reply, parcel.documents[0]).model_copy(update={"ask": sha256(b"another ask")})
    return resigned(member, reply, parcel.objects)


def without_object(member, asks, handle):
    return Parcel(Parcel.from_bytes(handle()).documents, {}).to_bytes()


def one_too_many(member, asks, handle):
    parcel = Parcel.from_bytes(handle())
    return Parcel(parcel.documents * 2, parcel.objects).to_bytes()


def flipped(member, asks, handle):
    raw = bytearray(handle())
    raw[-1] ^= 1
    return bytes(raw)


LIES = {
    "forged": (forged, "reply:envelope.not-signed"),
    "another ask's": (another_asks, "reply:run.bad-reply"),
    "object missing": (without_object, "reply:run.bad-reply"),
    "two replies": (one_too_many, "reply:run.bad-reply"),
    "one bit flipped": (flipped, "reply:parcel.object-changed"),
    "noise": (lambda *_: b"\x00" * 50, "reply:parcel.malformed"),
    "silent": (lambda *_: "engine.member-gone", "engine.member-gone"),
    "not a number": (with_update(lambda u: {n: t * float("nan") for n, t in u.items()}), "update.not-finite"),
    "other names": (with_update(lambda u: {f"x.{n}": t for n, t in u.items()}), "update.wrong-names"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_member_that_lies_is_left_out_with_its_reason_and_the_run_goes_on(tmp_path, lie):
    tell, code = LIES[lie]
    fed = quick(tmp_path / "fed", rounds=1)

    def bend(member, asks, handle):
        return tell(member, asks, handle) if member == "bank-c" and isinstance(asks[0].body, Train) else handle()

    outcome = fed.run(deliver=bent(fed, bend))
    assert left_out(fed) == [{"bank-c": code}]
    assert [one.member for one in closes(fed)[0].used] == ["bank-a", "bank-b"]
    assert [one.member for one in outcome.credit.credits] == ["bank-a", "bank-b"]


@pytest.mark.parametrize("change", [
    {"body": {}}, {"body": {"n": 30, "counts": {}}}, {"objects": {}}, {"body": {"n": -1, "counts": {}}},
], ids=["empty", "no counts", "no replicates", "minus one"])  # fmt: skip
def test_counts_that_are_none_leave_the_member_out_of_the_figures_only(tmp_path, change):
    fed = quick(tmp_path / "fed", rounds=1)

    def bend(member, asks, handle):
        raw = handle()
        if member != "bank-b" or asks[0].body.ask != "evaluate":
            return raw
        reply = open_record(Reply, Parcel.from_bytes(raw).documents[0]).model_copy(update=change)
        return resigned(member, reply, Parcel.from_bytes(raw).objects)

    outcome = fed.run(deliver=bent(fed, bend))
    assert {f.member for f in outcome.examination.figures} == {None, "bank-a", "bank-c"}
    assert figure(outcome, "federated").n == 60
    dropped = [event.fields for event in fed.events if event.kind == "left-out"]
    assert [(one["member"], one["code"]) for one in dropped] == [("bank-b", "run.bad-reply")]


def test_a_loss_that_is_none_and_a_gradient_that_is_none_do_not_stop_the_run(tmp_path):
    fed = quick(tmp_path / "fed", rounds=1)

    def bend(member, asks, handle):
        parcel, documents = Parcel.from_bytes(handle()), []
        for ask, document in zip(asks, parcel.documents, strict=True):
            reply = open_record(Reply, document)
            if member == "bank-b" and isinstance(ask.body, Validate | Gradient):
                reply = reply.model_copy(update={"body": {"loss": "nan"}, "objects": {}})
            documents.append(reply.sign(private_keys(member)["act"]))
        return Parcel(tuple(documents), parcel.objects).to_bytes()

    outcome = fed.run(deliver=bent(fed, bend))
    assert {one.member for one in closes(fed)[0].measured} == {"bank-a", "bank-c"}
    assert len(outcome.credit.credits) == 3


def test_too_few_members_end_the_run_and_it_goes_on_once_they_are_back(tmp_path):
    fed = quick(tmp_path / "fed")

    def silent(member, asks, handle):
        return handle() if member == "bank-a" or asks[0].place.round == 1 else "engine.member-gone"

    with pytest.raises(RunError) as caught:
        fed.run(deliver=bent(fed, silent))
    assert caught.value.code == "run.too-few-members"
    assert "bank-b: engine.member-gone" in str(caught.value)
    assert len(closes(fed)) == 1
    fed.clock = lambda: NOW + timedelta(hours=2)  # the asks of before are past their deadline
    resumed = fed.run()
    assert [event.kind for event in fed.events].count("resumed") == 1
    assert left_out(fed) == [{}, {}]
    assert resumed.state == quick(tmp_path / "calm").run().state


def test_who_was_late_before_the_run_was_cut_off_is_asked_again_as_a_new_attempt(tmp_path):
    fed = quick(tmp_path / "fed", aggregation=Aggregation(outer=terms.Plain(), min_members=3))
    with pytest.raises(RunError):
        fed.run(deliver=bent(fed, lambda m, asks, handle: handle() if m != "bank-c" else "engine.late"))
    fed.clock = lambda: NOW + timedelta(hours=2)
    fed.run()
    asked = sorted(path.name for path in (fed.folder / "runs" / "run-1" / "asks" / "bank-c").iterdir())
    assert asked[:2] == ["1-1-1.json", "1-1-2.json"]
    assert "1-1-2.json" not in {p.name for p in (fed.folder / "runs" / "run-1" / "asks" / "bank-a").iterdir()}


# ── on workers ───────────────────────────────────────────────────────────────


def test_a_worker_killed_at_work_leaves_its_member_out_and_the_run_goes_on(tmp_path):
    fed = quick(tmp_path / "fed", rounds=1)

    def dies(member, asks, handle):
        if member == "bank-c" and isinstance(asks[0].body, Train):
            os.kill(os.getpid(), signal.SIGKILL)
        return handle()

    outcome = fed.run(deliver=bent(fed, dies), workers=2)
    assert left_out(fed) == [{"bank-c": "engine.member-gone"}]
    assert figure(outcome, "federated").n == 90


def test_a_member_that_is_late_is_left_out_and_answers_later_asks(tmp_path):
    aggregation = Aggregation(outer=terms.Plain(), min_members=2, deadline_seconds=8)
    fed = quick(tmp_path / "fed", rounds=1, aggregation=aggregation)

    def slow(member, asks, handle):
        if member == "bank-b" and isinstance(asks[0].body, Train):
            time.sleep(60)
        return handle()

    outcome = fed.run(deliver=bent(fed, slow), workers=2)
    assert left_out(fed) == [{"bank-b": "engine.late"}]
    assert figure(outcome, "federated", "bank-b") is not None


# ── killed ───────────────────────────────────────────────────────────────────


def test_killed_at_any_instant_and_resumed_the_run_reaches_the_same_state(tmp_path):
    calm = quick(tmp_path / "calm", method=terms.Lora(rank=2))
    began = time.monotonic()
    expected = calm.run()
    lasted = time.monotonic() - began
    fed = quick(tmp_path / "fed", method=terms.Lora(rank=2))
    for share in (0.2, 0.35, 0.5, 0.3):  # of what is left after the last kill, mostly
        child = os.fork()
        if not child:
            try:
                fed.run()
            finally:
                os._exit(0)
        time.sleep(share * lasted)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not fed.ledger().state().evidence:  # else the last child came to the end
        assert fed.run().state == expected.state
    mine, calms = fed.ledger().state().runs["run-1"], calm.ledger().state().runs["run-1"]
    assert mine.close.state == calms.close.state == expected.state
    assert [one.state for one in mine.closes] == [one.state for one in calms.closes]
    assert [one.validation_loss for one in mine.closes] == [one.validation_loss for one in calms.closes]


class DiesOf(list):
    """A watcher that kills its process when it hears of an event."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def append(self, event):
        if event.kind == self.kind:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("event", ["opened", "answered", "round", "examined"])
def test_killed_where_it_hurts_and_resumed_the_run_reaches_the_same_state(tmp_path, event):
    expected = quick(tmp_path / "calm", rounds=1).run().state
    fed = quick(tmp_path / "fed", rounds=1)
    child = os.fork()
    if not child:
        try:
            fed.events = type(
                "Deadly", (list,), {"append": lambda self, e: e.kind == event and os.kill(os.getpid(), 9)}
            )()
            fed.run()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if event == "examined":
        with pytest.raises(RunError) as caught:
            fed.run()
        assert caught.value.code == "run.over"
    else:
        fed.run()
    assert fed.ledger().state().runs["run-1"].close.state == expected


def test_a_run_told_to_stop_stops_after_its_round_and_goes_on_when_asked(tmp_path):
    fed = quick(tmp_path / "fed")
    (fed.folder / "runs" / "run-1").mkdir(parents=True)
    (fed.folder / "runs" / "run-1" / "stop").touch()
    with pytest.raises(RunError) as caught:
        fed.run()
    assert (caught.value.code, caught.value.fields["round"]) == ("run.stopped", 1)
    assert fed.run().rounds == 2


# ── names ────────────────────────────────────────────────────────────────────


def known_runs(standing):
    """A ledger in which runs of these names are examined, failed or open."""
    digest = "sha256:" + "0" * 64
    runs, evidence = {}, {}
    for number, (name, how) in enumerate(standing.items()):
        opened = OpenRun(run=name, roster=("bank-a",), start=digest, engine="inprocess", numerics={})
        close = CloseRun(run=name, outcome="failed", rounds=1, released_round=0, state=digest)
        runs[name] = RunState(opened, digest, number, {}, close=close if how == "failed" else None)
        if how == "examined":
            evidence[str(number)] = EnterEvidence(run=name, evidence=digest, credit=None, replies=())
    return Consortium(accord_digest=digest, runs=runs, evidence=evidence)


def test_without_a_name_the_open_run_goes_on_or_the_next_number_that_is_free_is_taken():
    assert name_for(Consortium(), None) == "run-1"
    assert name_for(known_runs({"nix": "examined", "run-3": "examined"}), None) == "run-4"
    assert name_for(known_runs({"run-2": "failed", "run-3": "examined", "run-4": "examined"}), None) == "run-5"
    assert name_for(known_runs({"run-1": "failed", "open": "open"}), None) == "open"
    assert name_for(known_runs({"open": "open"}), "other") == "other"


def test_a_run_that_was_opened_under_another_accord_is_not_taken_up_without_its_name():
    before = known_runs({"run-1": "open"})
    assert name_for(replace(before, accord_digest="sha256:" + "1" * 64), None) == "run-2"


@pytest.mark.parametrize("name", ["", "a b", "../x", "中文", "x" * 64, "Run-1", "run-1\n"])
def test_a_name_that_no_run_can_bear_is_refused(name):
    with pytest.raises(CallerError) as caught:
        name_for(Consortium(), name)
    assert caught.value.code == "run.bad-name"


# ── what stands in the way of a run ──────────────────────────────────────────


def test_no_run_under_an_accord_that_not_all_signed(tmp_path):
    from foedus.records.acts import ProposeAccord

    fed = federation(tmp_path / "fed", training=training(method=terms.Head()))
    fed.ledger().append("hub", ProposeAccord(accord=fed.accord.digest), [fed.accord.to_bytes()])
    with pytest.raises(RunError) as caught:
        fed.run()
    assert caught.value.code == "run.no-accord"
    assert caught.value.fields["missing"] == "bank-a, bank-b, bank-c"


def test_no_run_on_a_day_that_the_accord_does_not_cover(tmp_path):
    fed = quick(tmp_path / "fed", valid=Validity(first="2026-01-01", last="2026-11-22"))
    fed.clock = lambda: NOW + timedelta(days=1)
    with pytest.raises(RunError) as caught:
        fed.run()
    assert caught.value.code == "run.not-in-force"
    assert "2026-11-23" in str(caught.value)


def test_a_run_needs_the_start_state_that_it_was_opened_with(tmp_path):
    fed = quick(tmp_path / "fed")
    start, _ = start_of(fed.accord, compile_plan(fed.accord), base=fed.base)
    stopped = InProcess(lambda *_: "engine.member-gone")
    with pytest.raises(RunError):
        run(fed.hall(), "run-1", engine=stopped, start=start)
    other = {name: value + 1 for name, value in start.items()}
    with pytest.raises(RunError) as caught:
        run(fed.hall(), "run-1", engine=stopped, start=other)
    assert caught.value.code == "run.other-start"


def test_a_member_whose_validation_part_is_too_small_is_not_measured(tmp_path):
    fed = quick(tmp_path / "fed", rounds=1)
    fed.parts["bank-a"] = {**fed.default_parts("bank-a"), "validation": fed.default_parts("bank-a")["test"][:4]}
    fed.run()
    assert {one.member for one in closes(fed)[0].measured} == {"bank-b", "bank-c"}
    assert [one.member for one in closes(fed)[0].used] == ["bank-a", "bank-b", "bank-c"]
