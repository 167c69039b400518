"""What goes wrong in the field, for real: killed, silent and late nodes, a SuperLink and a ServerApp that die, an app
that is not ours. One member's trouble costs the others nothing, and nobody waits beyond the deadline.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import wired
from foedus.core.errors import RunError

pytest.importorskip("flwr")
pytestmark = pytest.mark.slow

SLACK_SECONDS = 3.0  # a loaded machine's; nothing here is measured


class Resident:
    """A member's process that can be told to wait."""

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.seen = []

    def __call__(self, data):
        self.seen.append(data)
        assert self.free.wait(120)
        return b"re:" + data


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    with wired.hub(tmp_path_factory.mktemp("w")) as hub:
        for name in ("ana", "bo"):
            hub.join(name, Resident())
        hub.wait_online("ana", "bo")
        yield hub


@pytest.fixture
def bo(field):
    """The resident of bo; freed and back at the end."""
    resident = field.members["bo"].served._server.handle
    resident.seen.clear()
    yield resident
    resident.free.set()
    if not field.members["bo"].node.alive():
        field.start_node("bo")
    field.engine.late()
    field.wait_online("ana", "bo")


def in_background(field, messages, seconds):
    """A step that goes on while the test does something to it."""
    got, spent = {}, []

    def carry():
        answers, took = field.carry(messages, seconds)
        got.update(answers)
        spent.append(took)

    thread = threading.Thread(target=carry)
    thread.start()
    return got, spent, thread


def test_a_node_that_never_answers_ends_at_the_deadline_and_its_answer_is_handed_over_when_it_comes(field, bo):
    bo.free.clear()
    got, seconds = field.carry({"ana": b"1", "bo": b"1"}, 8)
    assert got == {"ana": b"re:1", "bo": "engine.late"}
    assert seconds < 8 + SLACK_SECONDS
    assert field.engine.late() == []
    bo.free.set()
    late = []
    wired.wait_until(lambda: late.extend(field.engine.late()) or late)
    assert late == [("bo", b"re:1")]
    assert field.engine.late() == []
    assert field.carry({"ana": b"2", "bo": b"2"})[0] == {"ana": b"re:2", "bo": b"re:2"}


def test_a_message_that_a_busy_node_gets_after_its_deadline_is_not_worked_on(field, bo):
    bo.free.clear()
    assert field.carry({"bo": b"1"}, 5)[0] == {"bo": "engine.late"}
    assert field.carry({"bo": b"2"}, 1)[0] == {"bo": "engine.late"}
    time.sleep(6)  # beyond the second message's deadline, and the clocks' tolerance
    bo.free.set()
    assert field.carry({"bo": b"3"})[0] == {"bo": b"re:3"}
    assert bo.seen == [b"1", b"3"]


def test_a_node_killed_in_a_step_costs_only_its_own_answer_and_is_used_again_when_it_returns(field, bo):
    bo.free.clear()
    got, spent, step = in_background(field, {"ana": b"1", "bo": b"1"}, 15)
    wired.wait_until(lambda: bo.seen)
    field.members["bo"].kill()
    step.join()
    assert got == {"ana": b"re:1", "bo": "engine.late"}
    assert spent[0] < 15 + SLACK_SECONDS
    bo.free.set()
    field.start_node("bo")  # at once: Flower alone would refuse it for a minute
    assert field.carry({"ana": b"2", "bo": b"2"})[0] == {"ana": b"re:2", "bo": b"re:2"}


def test_a_node_killed_in_a_step_and_started_again_still_takes_part_in_it(field, bo):
    bo.free.clear()
    got, _, step = in_background(field, {"ana": b"1", "bo": b"1"}, 90)
    wired.wait_until(lambda: bo.seen)
    field.members["bo"].kill()
    bo.free.set()
    field.start_node("bo")
    step.join()
    assert got == {"ana": b"re:1", "bo": b"re:1"}
    assert bo.seen == [b"1", b"1"]


def test_a_node_that_died_is_said_to_be_gone_once_flower_misses_it_and_then_to_be_unreachable(field, bo):
    bo.free.clear()
    got, spent, step = in_background(field, {"bo": b"1"}, 120)
    wired.wait_until(lambda: bo.seen)
    field.members["bo"].kill()
    step.join()
    assert got == {"bo": "engine.member-gone"}
    assert spent[0] < 100
    assert field.carry({"ana": b"2", "bo": b"2"}, 60)[0] == {"ana": b"re:2", "bo": "engine.unreachable"}


def test_a_step_goes_on_when_the_serverapp_dies(field, bo):
    bo.free.clear()
    got, _, step = in_background(field, {"ana": b"1", "bo": b"1"}, 90)
    wired.wait_until(lambda: bo.seen)
    os.kill(field.engine._child.pid, signal.SIGKILL)
    wired.wait_until(lambda: not field.engine.alive())
    bo.free.set()
    step.join()
    assert got == {"ana": b"re:1", "bo": b"re:1"}
    assert field.engine.alive()


@pytest.mark.field
def test_a_step_goes_on_when_the_superlink_dies(field, bo):
    bo.free.clear()
    got, _, step = in_background(field, {"ana": b"1", "bo": b"1"}, 110)
    wired.wait_until(lambda: bo.seen)
    os.kill(field.link.pid, signal.SIGKILL)
    wired.wait_until(lambda: not field.link.alive())
    bo.free.set()
    step.join()
    assert got == {"ana": b"re:1", "bo": b"re:1"}
    assert field.carry({"ana": b"2", "bo": b"2"}, 60)[0] == {"ana": b"re:2", "bo": b"re:2"}


def test_an_app_that_is_not_ours_is_executed_neither_at_a_node_nor_at_the_hub(field, bo, tmp_path):
    marker = tmp_path / "marker"
    stranger = Path(__file__).with_name("stranger.py")
    link = field.link
    settings = [link.address, str(link.tls.ca), str(link.secret_file)]

    def submit(node):
        command = [sys.executable, stranger, *settings, node, marker]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    assert submit(str(link.members["bo"])).split() == ["7", "wire.app-foreign"]
    os.kill(field.engine._child.pid, signal.SIGKILL)  # the next ServerApp finds the stranger's run before ours
    submit("none")
    assert field.carry({"ana": b"1", "bo": b"1"}, 90)[0] == {"ana": b"re:1", "bo": b"re:1"}
    assert "wire.app-foreign" in field.engine._child.log.read_text()
    assert bo.seen == [b"1"]
    assert not marker.exists()


def test_messages_of_sixty_megabytes_go_and_come(field, bo):
    large = os.urandom(60_000_000)
    got, _ = field.carry({"ana": large, "bo": b"small"}, 240)
    assert got == {"ana": b"re:" + large, "bo": b"re:small"}


def test_an_answer_beyond_the_limit_is_refused_and_the_node_is_used_again(field, bo):
    field.gateway.message_limit_bytes, field.refused[:] = 20_000_000, []
    try:
        got, _ = field.carry({"ana": os.urandom(30_000_000), "bo": b"1"}, 40)
    finally:
        field.gateway.message_limit_bytes = 2 << 30
    assert got == {"ana": "engine.late", "bo": b"re:1"}
    assert "wire.too-large" in {what[0] for what in field.refused}
    assert field.carry({"ana": b"2"}, 60)[0] == {"ana": b"re:2"}


def test_services_leave_when_their_parent_is_killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("p")
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import wired\n"
        "with wired.hub(Path(sys.argv[1])) as hub:\n"
        "    member = hub.join('ana')\n"
        "    print(hub.link.pid, hub.engine._child.pid, member.node.pid, flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", script, folder, Path(wired.__file__).parent]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        services = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(services) == 3
        assert all(Path(f"/proc/{pid}").exists() for pid in services)
        parent.kill()
    wired.wait_until(lambda: not any(running(pid) for pid in services))


def running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_superlink_that_cannot_start_says_why(field, tmp_path_factory):
    from foedus.wire.superlink import SuperLink

    with pytest.raises(RunError) as caught:
        SuperLink.start(tmp_path_factory.mktemp("q"), tls=field.authority, port=field.link.port)
    assert caught.value.code == "wire.superlink-died"
    assert "address already in use" in str(caught.value)
