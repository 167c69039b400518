"""How much memory processes hold; without torch, so that a small process may ask."""

from pathlib import Path

__all__ = ["HERE", "free_memory", "peak"]

HERE = str(Path(__file__).parent)
"""What a program in a process of its own puts on its path to import this."""


def peak(pid="self"):
    """The most that a process has held, in bytes; what `getrusage` says is never below its parent's."""
    return _line(f"/proc/{pid}/status", "VmHWM:")


def free_memory():
    """Bytes that a new process could have without swapping."""
    return _line("/proc/meminfo", "MemAvailable:")


def _line(file, name):
    line = next(line for line in Path(file).read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
