"""Events of a run, for those who watch: plain data that can be kept in a file or sent over a wire. They are told by the
coordinator, prove nothing, and hold nothing that its ledger and its members' replies do not tell it.

| kind | fields |
| --- | --- |
| `opened`, `resumed` | `run`, `round` (the last closed one), `rounds`, `roster`, `accord`, `engine`, `start` |
| `asked` | `round`, `step`, `until` (an instant), `members`, `kept`: who had answered before the run was interrupted |
| `working` | `member`, `bytes`: the engine took the message to it, so large |
| `answered`, `refused`, `failed`, `late`, `gone` | `round`, `step`, `member`, `code`, `fields`, `bytes`, `seconds` |
| `round` | `round`, `used`: members, `weights`, `late` (rounds), `left_out` (code), `loss`, `start_loss`, `state` |
| `closed` | `outcome`, `rounds`, `released_round`, `state` |
| `left-out` | `member`, `code`, `reason`: what it measured does not enter the figures |
| `examined` | `evidence`, `figures`, `credit`: as the records write them |
| `ended` | `run`, `code` (empty: to its end; `run.stopped`: as asked; else of the error), `fields` |

`step` is `train`, `measure`, `alone`, `evaluate` or `rebuild`. Sizes are bytes; losses are decimals as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foedus.core.errors import CallerError

__all__ = ["REPLIES", "Event", "Report"]

REPLIES = ("answered", "refused", "failed", "late", "gone")
"""The kinds of event that say what became of a message to a member."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run: its kind, its fields, and when (an instant as the records write it)."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"at": self.at, "kind": self.kind, "fields": dict(self.fields)}

    @staticmethod
    def from_json(value: Any) -> Event:
        """What `to_json` gave; CallerError `track.malformed` for anything else."""
        match value:
            case {"at": str(at), "kind": str(kind), "fields": dict(fields), **rest} if not rest:
                return Event(kind, fields, at)
        raise CallerError("track.malformed", got=str(value)[:80])


Report = Callable[[Event], None]
