"""Whose turn it is between a node and the hub: what a node begins, loses and answers, without a process of Flower."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr")

from flwr.proto.fleet_pb2 import PushMessagesResponse

from foedus.wire.executor import in_turn
from foedus.wire.fleet import ACTIVATE, Answer, Fleet, Line

KEY = "key-of-ana"
PULL, PUSH, OBJECT = (f"/v1/fleet/{name}" for name in ("pull-messages", "push-messages", "push-object"))


class State:
    """A SuperNode's state: one task that was offered, and one message."""

    def __init__(self):
        self.pending, self.messages, self.parts = [SimpleNamespace(task_id=7)], ["m"], ["part"]

    def get_tasks(self, statuses):
        assert statuses == ["pending"]
        return list(self.pending)

    def finish_task(self, task, status, details):
        self.pending = [one for one in self.pending if one.task_id != task]

    def delete_messages(self):
        self.messages.clear()

    def clear(self):
        self.parts.clear()


def received(run):
    state, whole = State(), threading.Semaphore(0)
    assert in_turn(lambda **_: run, whole)(state=state, object_store=state) == run
    return state, whole.acquire(blocking=False)


def test_a_message_is_executed_once_it_is_whole():
    state, told = received(41)
    assert told
    assert (len(state.pending), state.messages, state.parts) == (1, ["m"], ["part"])


def test_a_message_that_the_node_gave_up_leaves_neither_task_nor_parts_behind():
    state, told = received(None)
    assert not told
    assert (state.pending, state.messages, state.parts) == ([], [], [])


class Link:
    """A SuperLink that answers from a list."""

    members, secret, port = {"ana": 9}, "s", 1
    keys = frozenset({KEY})

    def member_of(self, key):
        return {KEY: "ana"}[key]

    def key_of(self, member):
        return {"ana": KEY}[member]


@pytest.fixture
def said(monkeypatch):
    """A line whose SuperLink says what is put into a list, and what the hub heard."""
    heard = []
    fleet = Fleet(Link(), *(lambda member, what=what: heard.append(what) for what in ("arrived", "returned", "lost")))
    fleet.wake("ana")  # no question is held
    line, answers = Line(fleet, None, lambda: False), []
    monkeypatch.setattr(Line, "_forward", lambda *_: answers.pop(0))

    def say(path, *given):
        answers.extend(given)
        answer = line.ask(path, KEY, {}, b"")
        assert not answers
        return answer

    say.heard, say.fleet = heard, fleet
    return say


def test_a_node_that_asks_again_before_it_has_answered_has_lost_its_message(said):
    said(PULL, Answer(200, body=b"message"))
    assert said.heard == []
    said(PULL, Answer(200, body=b"message again"))
    assert said.heard == ["lost"]


def test_a_message_that_may_have_been_taken_without_an_answer_counts_as_given(said):
    said(PULL, Answer(504))
    said(PULL, Answer(503))
    assert said.heard == ["lost"]


def test_an_answer_is_whole_with_its_last_object_and_then_nothing_is_lost(said):
    said(PULL, Answer(200, body=b"message"))
    assert not said(PUSH, Answer(200, body=PushMessagesResponse(objects_to_push=["a", "b"]).SerializeToString())).whole
    assert not said(OBJECT, Answer(503)).whole
    assert not said(OBJECT, Answer(200)).whole
    assert said(OBJECT, Answer(200)).whole
    said(PULL, Answer(200, body=b"next"))
    assert said.heard == []


@pytest.mark.parametrize("path", [PUSH, OBJECT, "/v1/fleet/pull-object", "/v1/fleet/confirm-message-received"])
def test_a_message_whose_flower_run_has_ended_is_not_lost_but_void(said, path):
    said(PULL, Answer(200, body=b"message"))
    assert said(path, Answer(403)).status == 403
    said(PULL, Answer(200, body=b"next"))
    assert said.heard == []


def test_a_node_that_starts_again_has_no_message_and_the_hub_hears_of_it(said):
    said(PULL, Answer(200, body=b"message"))
    assert said(ACTIVATE, Answer(409), Answer(200), Answer(200)).status == 200
    said(PULL, Answer(200, body=b"next"))
    assert said.heard == ["returned"]


def test_an_answer_that_is_too_large_is_not_asked_for_again(said):
    said(PULL, Answer(200, body=b"message"))
    assert not said.fleet.too_much(PUSH, KEY, 10, 100)
    assert not said.fleet.too_much(OBJECT, KEY, 60, 100)
    assert said.fleet.too_much(OBJECT, KEY, 60, 100)
    said(PULL, Answer(200, body=b"next"))
    assert said.heard == []


def test_a_question_is_held_until_there_is_a_message_and_none_is_taken_for_a_node_that_left(said, monkeypatch):
    said.fleet.wake("ana")
    assert said(PULL, Answer(200), Answer(200, body=b"message")).body == b"message"
    gone = Line(said.fleet, None, lambda: True)
    said.fleet.take_back(KEY)
    said.fleet.wake("ana")
    monkeypatch.setattr(Line, "_forward", lambda *_: Answer(200))
    assert gone.ask(PULL, KEY, {}, b"") is None
