"""The plan: what a run does, compiled from an accord before anyone signs. Rooms of the learning wing read this, not
the accord.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foedus.records import terms

__all__ = ["Half", "Plan"]

Half = Literal["all", "A", "B"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. `halves[t - 1]` is what round t trains."""

    accord: str
    seed: str
    members: tuple[str, ...]
    task: terms.Task
    method: terms.Method
    craft: terms.Craft
    combine: terms.Combine
    outer: terms.Outer
    credit: terms.Value
    early_stopping: terms.EarlyStopping | None
    halves: tuple[Half, ...]
    min_members: int
    deadline_seconds: int
    smallest_cell: int
    replicates: int
    confidence_bp: int

    @property
    def rounds(self) -> int:
        """The number of rounds, unless the run stops early."""
        return len(self.halves)

    @property
    def pair(self) -> int:
        """Rounds between two comparisons of early stopping: an A–B pair with alternating LoRA, else one."""
        return 2 if "A" in self.halves else 1
