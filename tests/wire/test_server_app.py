"""The hub's pipe: an answer counts for the message and the node that it answers, and for nothing else."""

import threading
import time

import pytest

pytest.importorskip("flwr")

from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from foedus.wire.frame import pack, unpack
from foedus.wire.letter import Letter, MalformedLetterError
from foedus.wire.server_app import pump

NODE, OTHER = 7, 8


class Grid:
    """A Flower grid whose one node answers as it is told."""

    def __init__(self, answer):
        self.answer = answer
        self.sent = []

    def get_node_ids(self):
        return [NODE]

    def push_messages(self, messages):
        self.sent += messages
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"flower-{len(self.sent)}"
        return [message.metadata.message_id for message in messages]

    def pull_messages(self, identifiers):
        return [self.answer(message) for message in self.sent if message.metadata.message_id in identifiers]


class Hub:
    """Sends one letter, has its answer taken, and stops."""

    def __init__(self):
        self.answers = []
        self.turn = 0
        self.answered = threading.Event()

    def __call__(self, data):
        head, body = unpack(data)
        match head["kind"]:
            case "body":
                return pack({"gone": False}, b"ask")
            case "answer":
                self.answers.append((head["number"], head["code"], body))
                self.answered.set()
            case "next":
                self.turn += 1
                order = {"number": "n1", "node": str(NODE), "deadline": 4e9, "lasts": 60.0}
                if self.turn > 2:
                    self.answered.wait(10)
                return pack(
                    {
                        "stop": self.turn > 2,
                        "send": [order] if self.turn == 1 else [],
                        "take": ["n1"] if self.turn == 2 else [],
                    }
                )
        return pack({})


@pytest.fixture(autouse=True)
def identity(monkeypatch):
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def carried(answer):
    hub = Hub()
    pump(Grid(answer), hub)
    return hub.answers


def reply(message, content, *, node=NODE):
    answer = Message(content, reply_to=message)
    answer.metadata.__dict__["_src_node_id"] = node
    return answer


def test_the_answer_of_the_node_that_was_asked_reaches_the_hub():
    assert carried(lambda m: reply(m, Letter("n1", b"yes").write())) == [("n1", "", b"yes")]
    assert carried(lambda m: reply(m, Letter("n1", code="parcel.malformed").write())) == [
        ("n1", "parcel.malformed", b"")
    ]


def test_an_answer_to_another_message_or_from_another_node_is_refused():
    foreign = [("n1", "wire.foreign-answer", b"")]
    assert carried(lambda m: reply(m, Letter("n0", b"replayed").write())) == foreign
    assert carried(lambda m: reply(m, Letter("n1", b"yes").write(), node=OTHER)) == foreign


@pytest.mark.parametrize("content", [{}, {"head": ConfigRecord({"number": "n1"})}, {"head": ConfigRecord({})}])
def test_an_answer_of_another_shape_is_refused(content):
    assert carried(lambda m: reply(m, RecordDict(content))) == [("n1", "wire.foreign-answer", b"")]


@pytest.mark.parametrize(("flowers", "ours"), [(5, "engine.member-gone"), (2, "wire.node-failed")])
def test_flowers_own_errors_become_codes(flowers, ours):
    assert carried(lambda m: Message(Error(flowers, "why"), reply_to=m)) == [("n1", ours, b"")]


def test_an_answer_that_is_being_taken_is_not_asked_for_a_second_time():
    """Flower has forgotten the message by then, and would say so in place of the answer."""
    asked = []

    class Slow(Grid):
        def pull_messages(self, identifiers):
            asked.append(identifiers)
            if len(asked) > 1:
                return [Message(Error(3, "forgotten"), reply_to=self.sent[0])]
            time.sleep(0.5)
            return super().pull_messages(identifiers)

    class Twice(Hub):
        def __call__(self, data):
            head, _ = unpack(data)
            if head["kind"] == "next" and self.turn in (1, 2):
                self.turn += 1
                return pack({"stop": False, "send": [], "take": ["n1"]})
            return super().__call__(data)

    hub = Twice()
    pump(Slow(lambda m: reply(m, Letter("n1", b"yes").write())), hub)
    assert hub.answers == [("n1", "", b"yes")]
    assert len(asked) == 1


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 12_000_000])
def test_a_letter_of_any_size_is_read_as_it_was_written(size):
    letter = Letter("n1", b"x" * size, deadline=12.5, patience_seconds=3.0)
    assert Letter.read(letter.write()) == letter


def test_a_letter_with_fields_of_other_types_is_refused():
    content = Letter("n1", b"x").write()
    content["head"]["deadline"] = "soon"
    with pytest.raises(MalformedLetterError):
        Letter.read(content)
