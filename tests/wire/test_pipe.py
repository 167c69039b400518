"""A socket of one request and one reply: what gets through, and what has a name when it does not."""

import socket
import subprocess
import sys
import threading
import time

import pytest

from foedus.core.errors import CallerError, LateError, RunError
from foedus.wire import pipe
from memory import HERE


@pytest.fixture
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("p") / "s"  # a socket's path must be short


def test_a_request_gets_its_reply_and_the_socket_is_its_owners_alone(path):
    with pipe.serve(path, lambda data: data[::-1]) as served:
        assert pipe.call(served.socket, b"abc", timeout_seconds=5) == b"cba"
        assert pipe.call(served.socket, b"", timeout_seconds=5) == b""
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.exists()


def test_many_callers_are_answered_at_once(path):
    together = threading.Barrier(4, timeout=10)

    def wait_for_all(data):
        together.wait()
        return data

    got = []
    with pipe.serve(path, wait_for_all):
        callers = [
            threading.Thread(target=lambda n=n: got.append(pipe.call(path, bytes([n]), timeout_seconds=10)))
            for n in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert sorted(got) == [bytes([n]) for n in range(4)]


def test_an_error_travels_as_its_code(path):
    def refuse(_):
        raise CallerError("parcel.malformed", got="")

    with pipe.serve(path, refuse), pytest.raises(RunError) as caught:
        pipe.call(path, b"x", timeout_seconds=5)
    assert (caught.value.code, caught.value.fields["code"]) == ("wire.peer-refused", "parcel.malformed")


def test_a_fault_of_the_handler_does_not_leave_the_caller_waiting(path):
    with pipe.serve(path, lambda _: 1 / 0), pytest.raises(RunError) as caught:
        pipe.call(path, b"x", timeout_seconds=5)
    assert caught.value.fields["code"] == "wire.fault"


def test_an_oversized_request_is_refused_before_it_is_read(path):
    with pipe.serve(path, lambda data: data, limit_bytes=1000) as served:
        with pytest.raises(RunError) as caught:
            pipe.call(path, bytes(5_000_000), timeout_seconds=5)
        assert pipe.call(served.socket, bytes(1000), timeout_seconds=5) == bytes(1000)
    assert caught.value.fields["code"] == "wire.too-large"


def test_an_oversized_reply_is_not_read(path):
    with pipe.serve(path, lambda _: bytes(2000)), pytest.raises(RunError, match="too-large"):
        pipe.call(path, b"", timeout_seconds=5, limit_bytes=1999)


def test_who_does_not_answer_in_time_is_late_and_who_is_not_there_is_absent(path):
    release = threading.Event()
    with pipe.serve(path, lambda _: b"" if release.wait(20) else b"late"):
        with pytest.raises(LateError, match="pipe-late"):
            pipe.call(path, b"x", timeout_seconds=0.2)
        release.set()
    with pytest.raises(RunError, match="pipe-absent"):
        pipe.call(path, b"x", timeout_seconds=0.2)


def test_a_caller_that_says_nonsense_or_leaves_does_no_harm(path):
    with pipe.serve(path, lambda data: data):
        for nonsense in (b"", b"\x00" * 3, b"\x00" * 7 + b"\x09abc"):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(path))
                caller.sendall(nonsense)
        assert pipe.call(path, b"still here", timeout_seconds=5) == b"still here"


def test_a_path_too_long_for_a_socket_is_said_before_anything_is_made(tmp_path):
    path = tmp_path / ("x" * 120) / "s"
    with pytest.raises(CallerError, match="path-too-long"):
        pipe.serve(path, lambda data: data)
    assert not path.parent.exists()


def test_the_socket_of_a_process_that_was_killed_is_taken_over_and_that_of_a_living_one_is_not(path):
    script = (
        "import sys, time; from pathlib import Path; from foedus.wire import pipe\n"
        "pipe.serve(Path(sys.argv[1]), lambda data: data); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"up\n"
        with pytest.raises(RunError, match="socket-taken"):
            pipe.serve(path, lambda data: data)
        other.kill()
    with pipe.serve(path, lambda _: b"mine"):
        assert pipe.call(path, b"", timeout_seconds=5) == b"mine"


def test_a_large_message_is_in_memory_once_at_each_end(path):
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from foedus.wire import pipe; from memory import peak\n"
        "before = peak()\n"
        "def handle(data): print(peak() - before, flush=True); return data\n"
        "served = pipe.serve(Path(sys.argv[1]), handle); print('up', flush=True); sys.stdin.read()"
    )
    size = 200_000_000
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), HERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"up\n"
        reply = pipe.call(path, bytes(size), timeout_seconds=60)
        grown = int(other.stdout.readline())
        other.stdin.close()
    assert len(reply) == size
    assert grown < 1.3 * size


def test_a_served_socket_can_be_closed_while_somebody_is_being_answered(path):
    entered, release = threading.Event(), threading.Event()

    def slow(_):
        entered.set()
        release.wait(20)
        return b""

    served = pipe.serve(path, slow)
    caller = threading.Thread(target=lambda: pipe.call(path, b"", timeout_seconds=20))
    caller.start()
    assert entered.wait(10)
    begun = time.monotonic()
    served.close()
    assert time.monotonic() - begun < 5
    release.set()
    caller.join()
