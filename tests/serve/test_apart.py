"""Loading leaves no threads behind: those that OpenMP made for it end with the thread that loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from foedus.core.errors import CallerError
from foedus.serve.apart import apart

STORY = """
import os, time, torch
from foedus.serve.apart import apart

def threads():
    return len(os.listdir("/proc/self/task"))

def compute():
    torch.ones(1 << 21).add(1)
    return threads()

before = threads()
during = apart(compute)
ends = time.monotonic() + 60
while threads() > before and time.monotonic() < ends:
    time.sleep(0.01)
after = threads()
compute()  # what a thread that lives keeps
print(during - before, after - before, threads() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_threads_that_loading_needed_end_with_it() -> None:
    two = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", STORY], check=True, capture_output=True, text=True, env=two)
    during, after, kept = map(int, done.stdout.split())
    assert (during, after, kept) == (2, 0, 1)


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise CallerError("serve.empty-text", number=1)

    assert apart(lambda: 7) == 7
    with pytest.raises(CallerError, match=r"serve\.empty-text"):
        apart(fail)
