"""What changed from one accord to another, clause by clause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foedus.records.accord import Accord

__all__ = ["Change", "difference"]


@dataclass(frozen=True, slots=True)
class Change:
    """A clause with its JSON value before and after. `old` is None for what is new, `new` for what went."""

    path: str
    old: Any
    new: Any


def difference(old: Accord, new: Accord) -> list[Change]:
    """Every clause that differs. Members, gates and grants are told by their names, not by their place."""
    return list(_changes("", old.model_dump(mode="json"), new.model_dump(mode="json")))


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    old_named, new_named = _by_name(old), _by_name(new)
    if old_named is not None and new_named is not None:
        for name in sorted(old_named.keys() | new_named.keys()):
            yield from _changes(f"{path}[{name}]", old_named.get(name), new_named.get(name))
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _changes(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    else:
        yield Change(path, old, new)


def _by_name(value: Any) -> dict[str, Any] | None:
    """A list of named things by their names; None for anything else."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    names = [one.get("name", one.get("member")) for one in value]
    return None if None in names else dict(zip(map(str, names), value, strict=True))
