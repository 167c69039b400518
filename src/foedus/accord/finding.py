"""What is found in an accord before anyone signs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from foedus.core.errors import CallerError
from foedus.core.messages import ErrorText, error_text, say

__all__ = ["Finding", "note", "problem", "warning"]

Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem stops the accord; a warning asks for a decision; a note says what follows from it."""

    level: Level
    code: str
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> CallerError:
        """A problem as the error that refuses the accord."""
        return CallerError(self.code, **self.fields)

    @property
    def text(self) -> ErrorText | str:
        """What a person reads: expected, got and what to do for a problem, one sentence for the others."""
        if self.level == "problem":
            return error_text(self.error)
        room, _, name = self.code.partition(".")
        return say(f"{room}.{self.level}.{name}", **self.fields)


def problem(code: str, /, **fields: Any) -> Finding:
    """What cannot work."""
    return Finding("problem", code, fields)


def warning(code: str, /, **fields: Any) -> Finding:
    """What works, but hardly as meant."""
    return Finding("warning", code, fields)


def note(code: str, /, **fields: Any) -> Finding:
    """What signing this accord means."""
    return Finding("note", code, fields)
