"""A member's side: what it answers, what it refuses, and what a crash leaves behind."""

import os
import signal
from dataclasses import replace
from datetime import timedelta

import pytest

from federation import NOW, federation, memory_folder, training
from foedus import node as node_module
from foedus.accord import compile_plan
from foedus.core.clock import spell
from foedus.core.digest import sha256
from foedus.core.envelope import Envelope, Signature
from foedus.core.errors import CallerError, IdentityError, RunError, VerifyError
from foedus.core.parcel import Parcel
from foedus.federate.answer import Answered
from foedus.records import terms
from foedus.records.accord import DataTerms, Grant, Validity
from foedus.records.asks import Alone, Ask, Evaluate, Gradient, Place, Reply, Train, Validate
from foedus.records.base import open_record
from foedus.run import start_of
from foedus.state import digest, from_bytes, to_bytes
from foedus.workspace.journal import read_journal
from samples import private_keys


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def made(tmp_path):
    """A federation of a head that trains in a moment, with its start state as an object."""
    fed = federation(tmp_path / "fed", training=training(method=terms.Head()))
    fed.counts = dict.fromkeys(fed.counts, 8)
    return fed


def start(fed):
    state, _ = start_of(fed.accord, compile_plan(fed.accord), base=fed.base)
    return to_bytes(state)


def ask(fed, body, *, round_=1, attempt=1, number=1, member="bank-a", **changes):
    fields = {
        "accord": fed.accord.digest,
        "place": Place(run="run-1", round=round_, attempt=attempt, number=number),
        "member": member,
        "roster": sha256(b"roster"),
        "not_after": spell(NOW + timedelta(hours=1)),
        "body": body,
    }
    return Ask(**{**fields, **changes})


def message(*asks, objects=(), key=None):
    key = key or private_keys("hub")["act"]
    return Parcel.of([one.sign(key) for one in asks], objects).to_bytes()


def train(fed, **changes):
    data = start(fed)
    return message(ask(fed, Train(start=sha256(data)), **changes), objects=[data])


def replies(raw, member="bank-a"):
    parcel = Parcel.from_bytes(raw)
    for document in parcel.documents:
        document.require(private_keys(member)["act"].public, who=member)
    return [open_record(Reply, document) for document in parcel.documents]


def only(raw):
    (reply,) = replies(raw)
    return reply


def counted(node, monkeypatch):
    """How often the node worked."""
    done = []
    work = node_module.Node._work
    monkeypatch.setattr(node_module.Node, "_work", lambda self, *args: done.append(1) or work(self, *args))
    return done


def events(node):
    return [(line.event, line.place) for line in read_journal(node.folder / "journal.jsonl")]


def test_the_same_ask_again_gets_the_same_bytes_and_no_second_work(made, monkeypatch):
    node = made.node("bank-a")
    done = counted(node, monkeypatch)
    first = node.handle(train(made))
    assert only(first).outcome == "done"
    assert node.handle(train(made)) == first
    assert made.node("bank-a").handle(train(made)) == first  # a node started anew
    assert len(done) == 1
    assert events(node) == [("reserved", "run-1/1/1/1"), ("answered", "run-1/1/1/1")]


def test_an_answer_that_is_kept_no_longer_is_refused_and_nothing_is_done_twice(made, monkeypatch):
    node = made.node("bank-a")
    done = counted(node, monkeypatch)
    node.handle(train(made))
    for name in node.replies:
        node.replies.discard(name)
    before = events(node)
    again = only(node.handle(train(made)))
    assert (again.outcome, again.code) == ("refused", "aggregation.keep_replies_days")
    assert len(done) == 1
    assert events(node) == before


def test_the_update_is_in_the_parcel_and_named_by_the_reply(made):
    raw = made.node("bank-a").handle(train(made))
    assert set(only(raw).objects) == {"update"}
    assert only(raw).objects["update"] in Parcel.from_bytes(raw).objects
    assert only(raw).body == {"steps": 1}


def test_another_ask_for_a_place_that_is_taken_is_refused_and_kept_as_proof(made, monkeypatch):
    node = made.node("bank-a")
    done = counted(node, monkeypatch)
    node.handle(train(made))
    other = only(node.handle(train(made, roster=sha256(b"another roster"))))
    assert (other.outcome, other.code, other.objects) == ("refused", "node.place-taken", {})
    assert len(done) == 1
    assert events(node)[-1] == ("refused", "run-1/1/1/1")
    assert read_journal(node.folder / "journal.jsonl")[-1].ask == other.ask


def test_a_higher_attempt_may_ask_again(made):
    node = made.node("bank-a")
    node.handle(train(made))
    assert only(node.handle(train(made, attempt=2))).outcome == "done"


def test_several_asks_in_one_message_are_answered_in_order(made):
    data = start(made)
    name = sha256(data)
    asks = [ask(made, Validate(state=name), number=2), ask(made, Validate(state=name), number=3)]
    first, second = replies(made.node("bank-a").handle(message(*asks, objects=[data])))
    assert first.ask == sha256(asks[0].sign(private_keys("hub")["act"]).to_bytes())
    assert (first.body, first.ask != second.ask) == (second.body, True)
    assert first.body["n"] == 12


# ── what is no proper ask is not answered at all ─────────────────────────────


def altered(fed):
    data = start(fed)
    (document,) = Parcel.from_bytes(train(fed)).documents
    other = ask(fed, Train(start=sha256(data)), round_=2).to_bytes()
    return Parcel((Envelope(document.payload_type, other, document.signatures),), {sha256(data): data}).to_bytes()


def borrowed(fed):
    """The coordinator's key id beside a signature by another key."""
    document = ask(fed, Train(start=sha256(start(fed)))).sign(private_keys("bank-b")["act"])
    hub = ask(fed, Train(start=sha256(b""))).sign(private_keys("hub")["act"]).signatures[0].keyid
    forged = Envelope(document.payload_type, document.payload, (Signature(hub, document.signatures[0].sig),))
    return Parcel((forged,), {}).to_bytes()


@pytest.mark.parametrize(
    ("make", "kind", "code"),
    [
        (lambda fed: b"", CallerError, "parcel.malformed"),
        (lambda fed: b"GET / HTTP/1.1\r\n\r\n", CallerError, "parcel.malformed"),
        (lambda fed: train(fed)[:-1], VerifyError, "parcel.object-changed"),
        (lambda fed: train(fed) + b"x", CallerError, "parcel.malformed"),
        (
            lambda fed: message(ask(fed, Validate(state=sha256(b""))), key=private_keys("bank-b")["act"]),
            VerifyError,
            "envelope.not-signed",
        ),
        (
            lambda fed: message(ask(fed, Validate(state=sha256(b""))), key=private_keys("hub")["log"]),
            VerifyError,
            "envelope.not-signed",
        ),
        (altered, VerifyError, "envelope.not-signed"),
        (borrowed, VerifyError, "envelope.not-signed"),
        (lambda fed: train(fed, member="bank-b"), CallerError, "node.not-for-me"),
        (
            lambda fed: message(Reply(ask=sha256(b""), member="bank-a", outcome="done")),
            CallerError,
            "records.wrong-type",
        ),
    ],
    ids=[
        "empty", "http", "torn", "longer", "by-a-member", "by-the-log-key", "altered", "forged", "for-another",
        "no-ask",
    ],
)  # fmt: skip
def test_what_is_no_ask_of_the_coordinator_to_this_member_is_not_answered(made, make, kind, code):
    node = made.node("bank-a")
    with pytest.raises(kind) as caught:
        node.handle(make(made))
    assert caught.value.code == code
    assert events(node) == []


def test_one_bad_ask_in_a_message_stops_the_whole_message(made):
    node = made.node("bank-a")
    good, bad = (
        ask(made, Validate(state=sha256(b""))),
        ask(made, Validate(state=sha256(b"")), member="bank-b", number=2),
    )
    with pytest.raises(CallerError):
        node.handle(message(good, bad))
    assert events(node) == []


def test_a_message_that_is_too_large_is_not_read(made, monkeypatch):
    monkeypatch.setattr(node_module, "MESSAGE_LIMIT_BYTES", 100)
    with pytest.raises(CallerError) as caught:
        made.node("bank-a").handle(train(made))
    assert caught.value.code == "node.too-large"
    assert caught.value.fields["expected"] == 100


# ── what the accord does not allow is refused, with the clause ───────────────

STATE = sha256(b"a state")
REFUSALS = {
    "deadline": ({}, {"not_after": spell(NOW.replace(hour=11))}, Train(start=STATE), "aggregation.deadline_seconds"),
    "round": ({}, {"round_": 3}, Train(start=STATE), "training.rounds"),
    "half": ({}, {}, Train(start=STATE, half="A"), "training.method"),
    "points": ({}, {}, Gradient(start=STATE, end=STATE, points=9), "credit"),
    "no-credit": ({"credit": terms.NoCredit()}, {}, Validate(state=STATE), "credit"),
    "replicates": ({}, {}, Evaluate(start=STATE, state=STATE, replicates=2), "evaluation.replicates"),
    "alone-longer": ({}, {}, Alone(start=STATE, rounds=3), "evaluation"),
    "expired": ({"valid": Validity(first="2026-01-01", last="2026-11-21")}, {}, Train(start=STATE), "valid"),
    "other-accord": ({}, {"accord": sha256(b"another accord")}, Train(start=STATE), "node.not-signed"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_accord_does_not_allow_is_refused_with_its_clause(tmp_path, case):
    changes, ask_changes, body, clause = REFUSALS[case]
    fed = federation(tmp_path / "fed", **{"training": training(method=terms.Head()), **changes})
    node = fed.node("bank-a")
    reply = only(node.handle(message(ask(fed, body, **ask_changes))))
    assert (reply.outcome, reply.code, reply.body, reply.objects) == ("refused", clause, {}, {})
    assert [event for event, _ in events(node)] == ["refused"]


def test_a_member_whose_grant_ended_refuses(tmp_path):
    ended = DataTerms(
        grants=tuple(
            Grant(member=f"bank-{x}", uses=("customer-service",), until="2026-11-21" if x == "a" else "2027-12-31")
            for x in "abc"
        )
    )
    fed = federation(tmp_path / "fed", data=ended)
    assert only(fed.node("bank-a").handle(message(ask(fed, Train(start=STATE))))).code == "data.grants"


def test_a_member_that_has_not_signed_answers_nothing(made):
    node = replace(made.node("bank-a"), signed=False)
    assert only(node.handle(train(made))).code == "node.not-signed"


def test_an_auditor_does_not_train(tmp_path):
    fed = federation(tmp_path / "fed", auditor=True, training=training(method=terms.Head()))
    raw = fed.node("exam").handle(message(ask(fed, Train(start=STATE), member="exam")))
    assert replies(raw, "exam")[0].code == "members.roles"


# ── work that fails ──────────────────────────────────────────────────────────


def test_a_part_below_the_smallest_cell_is_not_measured(made):
    made.parts["bank-a"] = {**made.default_parts("bank-a"), "validation": made.default_parts("bank-a")["test"][:4]}
    data = start(made)
    raw = made.node("bank-a").handle(message(ask(made, Validate(state=sha256(data)), number=2), objects=[data]))
    reply = only(raw)
    assert (reply.outcome, reply.code) == ("failed", "answer.smallest-cell")
    assert reply.fields == {"part": "validation", "expected": "5"}


def test_a_state_that_did_not_come_along_is_named_in_the_journal_only(made):
    node = made.node("bank-a")
    reply = only(node.handle(message(ask(made, Train(start=STATE)))))
    assert (reply.outcome, reply.code, reply.fields) == ("failed", "node.object-missing", {})
    assert STATE in read_journal(node.folder / "journal.jsonl")[-1].detail


def test_a_failure_travels_as_a_code_and_its_text_stays_here(made, monkeypatch):
    def fail(*_):
        raise RunError("train.diverged", round=1, step=2, text="a customer's question", path="/home/alice")

    monkeypatch.setattr("foedus.federate.answer.answer", fail)
    node = made.node("bank-a")
    raw = node.handle(train(made))
    assert only(raw).code == "train.diverged"
    assert only(raw).fields == {"round": "1", "step": "2"}
    assert b"customer" not in raw
    assert b"alice" not in raw
    assert "a customer's question" in read_journal(node.folder / "journal.jsonl")[-1].detail


def test_a_bug_travels_as_a_bug_and_its_traceback_stays_here(made, monkeypatch):
    monkeypatch.setattr("foedus.federate.answer.answer", lambda *_: 1 / 0)
    node = made.node("bank-a")
    raw = node.handle(train(made))
    assert (only(raw).outcome, only(raw).code, only(raw).fields) == ("failed", "node.bug", {})
    assert b"ZeroDivisionError" not in raw
    assert "ZeroDivisionError" in read_journal(node.folder / "journal.jsonl")[-1].detail


def test_a_failed_ask_is_not_tried_again_but_a_new_attempt_is(made, monkeypatch):
    node = made.node("bank-a")
    with monkeypatch.context() as patch:
        patch.setattr("foedus.federate.answer.answer", lambda *_: 1 / 0)
        node.handle(train(made))
    assert only(node.handle(train(made))).code == "node.bug"
    assert only(node.handle(train(made, attempt=2))).outcome == "done"


def test_a_journal_that_was_changed_stops_every_answer(made):
    node = made.node("bank-a")
    node.handle(train(made))
    path = node.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b"12:00:00", b"12:00:01", 1))
    with pytest.raises(VerifyError) as caught:
        made.node("bank-a").handle(train(made, attempt=2))
    assert caught.value.code == "journal.changed"


# ── crashes ──────────────────────────────────────────────────────────────────


def in_a_process_that_dies(work):
    """Do this work in a forked process and kill it where it says so: with -9, as the world does."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


POINTS = {
    "before work": ("foedus.federate.answer.answer", die),
    "after work": ("foedus.node.Reply", die),
    "before the reply is stored": ("foedus.node.Node._close", die),
    "before the line is written": ("foedus.workspace.journal.Line.to_bytes", None),
    "before the line is flushed": ("foedus.workspace.journal.os.fsync", None),
}


@pytest.mark.parametrize("point", POINTS)
def test_after_a_crash_between_reserve_and_reply_the_same_ask_is_answered(made, monkeypatch, point):
    target, replacement = POINTS[point]
    text = train(made)

    def work():
        node = made.node("bank-a")
        if replacement is None:  # die when the second line is written: the one that closes the ask
            add = type(node.journal).add

            def add_then_die(self, **fields):
                if fields["event"] != "reserved":
                    monkeypatch.setattr(target, die)
                return add(self, **fields)

            monkeypatch.setattr(type(node.journal), "add", add_then_die)
        else:
            monkeypatch.setattr(target, replacement)
        node.handle(text)

    in_a_process_that_dies(work)
    node = made.node("bank-a")
    assert [event for event, _ in events(node)][:1] == ["reserved"]
    first = node.handle(text)
    assert only(first).outcome == "done"
    assert [event for event, _ in events(node)] == ["reserved", "answered"]
    assert first == made.node("bank-a").handle(text)


def test_two_processes_never_answer_one_ask_twice(made):
    text = train(made)
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                made.node("bank-a").handle(text)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert [event for event, _ in events(made.node("bank-a"))] == ["reserved", "answered"]


def test_two_nodes_of_one_member_know_what_the_other_answered(made, monkeypatch):
    one, other = made.node("bank-a"), made.node("bank-a")
    done = counted(one, monkeypatch)
    assert one.journal.lines == other.journal.lines == []
    first = one.handle(train(made))
    assert other.handle(train(made)) == first
    other.handle(train(made, attempt=2))
    one.handle(train(made, attempt=3))
    assert len(done) == 3
    assert [line.n for line in read_journal(one.folder / "journal.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_what_a_member_keeps_is_its_own_and_comes_back_in_a_later_round(made, monkeypatch):
    seen = []

    def keep(ask_, shelf, private, objects):
        seen.append(sorted(private))
        return Answered({}, {}, {"mine": {"x": torch_tensor()}})

    def torch_tensor():
        import torch

        return torch.ones(2)

    monkeypatch.setattr("foedus.federate.answer.answer", keep)
    node = made.node("bank-a")
    raw = node.handle(train(made))
    node.handle(train(made, attempt=2))
    node.handle(train(made, round_=2))
    assert seen == [[], [], ["mine"]]
    assert only(raw).objects == {}
    assert Parcel.from_bytes(raw).objects == {}


def test_every_refusal_and_failure_has_words():
    for code in ("node.not-signed", "node.place-taken", "node.bug"):
        assert str(RunError(code))
    assert str(IdentityError("node.not-for-me", expected="bank-a", got="bank-b"))


def test_a_first_round_from_another_state_than_the_run_was_opened_with_is_refused(made):
    node = made.node("bank-a")
    told = []
    node.started = lambda run: told.append(run) or "sha256:" + "0" * 64
    reply = only(node.handle(train(made)))
    assert (reply.outcome, reply.code) == ("refused", "node.other-start")
    assert told == ["run-1"]
    assert [event for event, _ in events(node)] == ["refused"]
    node.started = lambda _: digest(from_bytes(start(made)))
    assert only(node.handle(train(made, attempt=2))).outcome == "done"
    node.started = lambda _: None  # a run that this member's copy of the ledger does not hold yet
    assert only(node.handle(train(made, attempt=3))).outcome == "done"
    node.started = lambda _: "sha256:" + "0" * 64  # later rounds start where the ones before ended
    assert only(node.handle(train(made, round_=2))).outcome == "done"
