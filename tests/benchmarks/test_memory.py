"""The measure of peak memory counts a command's whole tree, and pages that processes share once."""

import json
import subprocess
import sys
from pathlib import Path

MEMORY = Path(__file__).parents[2] / "benchmarks" / "memory.py"
BLOCK_MB = 200
SHARED = f"""
import os, time
block = bytearray(b"x") * ({BLOCK_MB} << 20)
child = os.fork()
time.sleep(1.5)
if child:
    os.wait()
"""
APART = f"""
import os, time
child = os.fork()
block = bytearray(b"x") * ({BLOCK_MB} << 20)
time.sleep(1.5)
if child:
    os.wait()
"""


def measured(code, *, exit_code=0):
    ended = subprocess.run([sys.executable, MEMORY, sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == exit_code, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_a_block_that_a_child_shares_counts_once_and_two_blocks_twice():
    shared, apart = measured(SHARED), measured(APART)
    assert (shared["processes"], apart["processes"]) == (2, 2)
    assert BLOCK_MB <= shared["peak_mb"] < 1.5 * BLOCK_MB
    assert 2 * BLOCK_MB <= apart["peak_mb"] < 2.5 * BLOCK_MB


def test_the_exit_code_is_the_commands():
    assert measured("raise SystemExit(3)", exit_code=3)["exit"] == 3
