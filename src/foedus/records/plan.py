"""The plan: what a run does, compiled from an accord before anyone signs. Rooms of the learning wing read this, not
the accord.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foedus.records import draw, terms
from foedus.records.accord import Participation
from foedus.records.tune import Trial

__all__ = ["Half", "Plan"]

Half = Literal["all", "A", "B"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. `halves[t - 1]` is what round t trains.

    `members` measure, as far as they are on the panel; all but the `barred` may be drawn to train. `examines_all`: at
    the end everybody is measured, not only the panel. `trial`: the settings that a search tries in this run.
    """

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
    participation: Participation = field(default_factory=Participation)
    barred: frozenset[str] = frozenset()
    late: terms.Late = field(default_factory=terms.Drop)
    examines_all: bool = True
    trial: Trial | None = None

    def drawn(self, run: str, number: int) -> tuple[str, ...]:
        """The members that a round of this run asks to train, sorted."""
        return draw.drawn(self.participation, self._eligible, seed=self.seed, run=run, round=number)

    def panel(self, run: str) -> tuple[str, ...]:
        """The members that measure the state after every round of this run, sorted."""
        return draw.panel(self.participation, self.members, self._eligible, seed=self.seed, run=run)

    @property
    def _eligible(self) -> tuple[str, ...]:
        return tuple(name for name in self.members if name not in self.barred)

    @property
    def rounds(self) -> int:
        """The number of rounds, unless the run stops early."""
        return len(self.halves)

    @property
    def pair(self) -> int:
        """Rounds between two comparisons of early stopping: an A–B pair with alternating LoRA, else one."""
        return 2 if "A" in self.halves else 1
