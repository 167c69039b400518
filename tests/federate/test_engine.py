"""The in-process engine: deadlines, members that die, and nothing left behind. What is delivered are plain bytes."""

import multiprocessing
import os
import signal
import time

import pytest

from foedus.core.errors import CallerError
from foedus.federate.engine import InProcess


def echo(member, message):
    return member.encode() + b":" + message


MESSAGES = {"a": b"1", "b": b"2", "c": b"3"}


def carried(engine, messages=MESSAGES, seconds=20.0):
    return dict(engine.carry(messages, deadline_seconds=seconds))


@pytest.fixture
def engine():
    """Makes engines and sees to it that each leaves no process behind."""
    made = []

    def make(deliver, workers):
        made.append(InProcess(deliver, workers=workers))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_every_member_gets_its_message_and_gives_its_reply(engine, workers):
    one = engine(echo, workers)
    assert carried(one) == {"a": b"a:1", "b": b"b:2", "c": b"c:3"}
    assert carried(one, {"c": b"x"}) == {"c": b"c:x"}
    assert carried(one, {}) == {}


def test_a_member_stays_with_its_worker_whoever_else_is_asked(engine):
    one = engine(lambda member, _: str(os.getpid()).encode(), 2)
    first = carried(one)
    assert len(set(first.values())) == 2
    assert carried(one, {"b": b"", "c": b""}) == {member: first[member] for member in "bc"}
    assert carried(one, {"c": b""}) == {"c": first["c"]}


def test_large_messages_and_replies_go_through(engine):
    large = {member: bytes(5 << 20) for member in "abcd"}
    assert {member: len(reply) for member, reply in carried(engine(echo, 2), large).items()} == dict.fromkeys(
        "abcd", (5 << 20) + 2
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_message_that_a_node_refuses_comes_back_as_its_code(engine, workers):
    def refuse(member, message):
        if member == "b":
            raise CallerError("node.not-for-me", expected="a", got="b")
        return echo(member, message)

    assert carried(engine(refuse, workers)) == {"a": b"a:1", "b": "node.not-for-me", "c": b"c:3"}


def test_a_worker_killed_at_work_costs_its_member_and_nobody_else(engine):
    def dies(member, message):
        if (member, message) == ("a", b"1"):
            os.kill(os.getpid(), signal.SIGKILL)
        return echo(member, message)

    one = engine(dies, 2)
    assert carried(one) == {"a": "engine.member-gone", "b": b"b:2", "c": b"c:3"}
    assert carried(one, {"a": b"again"}) == {"a": b"a:again"}


def test_a_worker_that_died_between_two_steps_is_replaced(engine):
    one = engine(lambda member, _: str(os.getpid()).encode(), 2)
    first = carried(one)
    os.kill(int(first["a"]), signal.SIGKILL)
    for child in multiprocessing.active_children():
        if child.pid == int(first["a"]):
            child.join()
    again = carried(one)
    assert again["a"] != first["a"]
    assert again["b"] == first["b"]


def test_a_bug_in_a_worker_counts_as_a_member_that_is_gone(engine, capfd):
    assert carried(engine(lambda member, _: 1 / 0, 1)) == dict.fromkeys("abc", "engine.member-gone")
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_who_is_late_is_left_out_at_the_deadline_and_answers_the_next_step(engine):
    def slow(member, message):
        if (member, message) == ("b", b"2"):
            time.sleep(30)
        return echo(member, message)

    one = engine(slow, 2)
    began = time.monotonic()
    assert carried(one, seconds=1.0) == {"a": b"a:1", "b": "engine.late", "c": b"c:3"}
    assert time.monotonic() - began < 10
    assert carried(one, {"b": b"next"}) == {"b": b"b:next"}


def test_who_waits_behind_a_late_member_is_late_too(engine):
    def slow(member, message):
        time.sleep(30 if member == "a" else 0)
        return echo(member, message)

    assert carried(engine(slow, 1), seconds=0.5) == dict.fromkeys("abc", "engine.late")


def test_in_one_process_a_deadline_stops_the_next_member_but_not_the_one_at_work(engine):
    def slow(member, message):
        time.sleep(0.3)
        return echo(member, message)

    assert carried(engine(slow, 0), seconds=0.1) == {"a": b"a:1", "b": "engine.late", "c": "engine.late"}


def test_workers_end_when_their_parent_is_killed(tmp_path):
    child = os.fork()
    if not child:
        one = InProcess(lambda member, _: str(os.getpid()).encode(), workers=2)
        pids = sorted({reply.decode() for reply in carried(one).values()})
        (tmp_path / "pids").write_text(" ".join(pids))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    end = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert [pid for pid in pids if alive(pid)] == []


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - it may vanish while it is read
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
