import ctypes
import platform
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from foedus.core import heap

GLIBC = platform.libc_ver()[0] == "glibc"


@pytest.fixture(autouse=True)
def asked_again():
    heap._trim.cache_clear()
    yield
    heap._trim.cache_clear()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_what_is_free_between_blocks_in_use_goes_back():
    size, libc = 64 << 10, ctypes.CDLL(None)  # below what glibc maps apart
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    blocks = [libc.malloc(size) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:
        libc.free(block)
    before = resident_bytes()
    assert heap.give_back()
    assert before - resident_bytes() > 500 * size
    libc.free(blocks[-1])


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_another_c_library_is_left_alone(error, monkeypatch):
    def absent(_):
        raise error

    monkeypatch.setattr(heap, "ctypes", SimpleNamespace(CDLL=absent))
    assert not heap.give_back()


def test_a_c_library_without_the_call_is_left_alone(monkeypatch):
    monkeypatch.setattr(heap, "ctypes", SimpleNamespace(CDLL=lambda _: SimpleNamespace()))
    assert not heap.give_back()
