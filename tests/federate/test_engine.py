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

    def make(deliver, workers, **settings):
        made.append(InProcess(deliver, workers=workers, **settings))
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


# ── late replies ─────────────────────────────────────────────────────────────


def waits_for(path):
    """Delivery in which member a answers its first message once the file is there."""

    def deliver(member, message):
        while (member, message) == ("a", b"1") and not path.exists():
            time.sleep(0.01)
        return echo(member, message)

    return deliver


def late_replies(engine):
    end = time.monotonic() + 20
    while not (came := engine.late()) and time.monotonic() < end:
        time.sleep(0.01)
    return came


def test_a_kept_late_member_works_on_beside_the_others_and_its_reply_comes_once(engine, tmp_path):
    one = engine(waits_for(tmp_path / "go"), 1, keep_late=True)
    assert carried(one, seconds=0.5) == dict.fromkeys("abc", "engine.late")
    assert one.late() == []
    # The others of its worker are served; the member itself is asked nothing while it works.
    assert carried(one, {"a": b"x", "b": b"y", "c": b"z"}) == {"a": "engine.busy", "b": b"b:y", "c": b"c:z"}
    (tmp_path / "go").touch()
    assert late_replies(one) == [("a", b"a:1")]
    assert one.late() == []
    assert carried(one, {"a": b"again"}) == {"a": b"a:again"}


def test_who_is_not_kept_never_answers_late(engine, tmp_path):
    one = engine(waits_for(tmp_path / "go"), 1)
    assert carried(one, seconds=0.5) == dict.fromkeys("abc", "engine.late")
    (tmp_path / "go").touch()
    assert carried(one, {"a": b"x"}) == {"a": b"a:x"}
    assert one.late() == []


def test_a_late_member_whose_worker_dies_is_free_again_and_answers_nothing(engine, tmp_path):
    def dies(member, message):
        if message == b"1":
            (tmp_path / "pid").write_text(str(os.getpid()))
            time.sleep(30)
        return echo(member, message)

    one = engine(dies, 2, keep_late=True)
    assert carried(one, {"a": b"1"}, seconds=0.5) == {"a": "engine.late"}
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    end = time.monotonic() + 20
    while carried(one, {"a": b"2"}) != {"a": b"a:2"} and time.monotonic() < end:
        assert one.late() == []
    assert carried(one, {"a": b"3"}) == {"a": b"a:3"}


def test_no_more_late_members_are_kept_than_there_are_workers(engine):
    def slow(member, message):
        time.sleep(30 if message == b"slow" else 0)
        return echo(member, message)

    one = engine(slow, 1, keep_late=True)
    for member in "abc":
        assert carried(one, {member: b"slow"}, seconds=0.2) == {member: "engine.late"}
        assert len(multiprocessing.active_children()) == 1
    assert carried(one, {"a": b"1", "b": b"2", "c": b"3"}) == {"a": b"a:1", "b": b"b:2", "c": "engine.busy"}


def test_a_message_is_read_once_and_when_it_is_sent(engine):
    read = []

    class Lazy(dict):
        def __getitem__(self, member):
            read.append(member)
            return super().__getitem__(member)

    one = engine(echo, 1)
    for member, reply in one.carry(Lazy(MESSAGES), deadline_seconds=20):
        assert reply == echo(member, MESSAGES[member])
        assert len(read) <= "abc".index(member) + 2
    assert read == ["a", "b", "c"]


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
