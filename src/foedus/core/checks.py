"""The lines of a verification: what was checked and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from foedus.core.errors import FoedusError, VerifyError
from foedus.core.messages import ErrorText, error_text, say

__all__ = ["Check", "failed", "ok"]

Outcome = Literal["ok", "fail", "recorded", "claimed", "not-measured", "warn"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `name` is stable (`ledger.root`); its text is the message `check.<name>` with these fields.

    `recorded`: what members saw and signed, not recomputed here. `claimed`: what only the coordinator says, so far as
    can be told from here. `not-measured`: nothing here could measure it. None of them is `ok`.
    """

    name: str
    outcome: Outcome
    fields: dict[str, Any] = field(default_factory=dict)
    error: FoedusError | None = None

    @property
    def text(self) -> str:
        """What the check is about, in the language in force; the outcome of a gate, too."""
        outcome = self.fields.get("outcome")
        told = {"outcome": say(f"gates.outcome.{outcome}")} if outcome else {}
        return say(f"check.{self.name}", **{**self.fields, **told})

    @property
    def why(self) -> ErrorText | None:
        """Why it failed, in words."""
        return error_text(self.error) if self.error else None


def ok(name: str, **fields: Any) -> Check:
    """A check that held."""
    return Check(name, "ok", fields)


def failed(name: str, code: str, /, **fields: Any) -> Check:
    """A check that did not hold; `code` names the error."""
    return Check(name, "fail", fields, VerifyError(code, **fields))
