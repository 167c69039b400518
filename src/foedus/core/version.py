"""The version of Foedus that is installed."""

from __future__ import annotations

from importlib.metadata import version as _installed

__all__ = ["version"]


def version() -> str:
    """Such as `0.1.0`."""
    return _installed("foedus")
