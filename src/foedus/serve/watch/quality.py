"""Quality from feedback: the stream of judged answers, wrong or right, under two detectors of a rise.

Users judge what they choose to judge, mostly what annoys them: the share of wrong answers is that among judged ones,
and only its change over time tells of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from foedus.records.watch import Detector
from foedus.serve.watch.adwin import Adwin, Change
from foedus.serve.watch.page_hinkley import PageHinkley

__all__ = ["Stream", "Turn"]


class Turn(NamedTuple):
    """What a detector found: at which judged answer (from 1), and the shares of wrong answers around the change."""

    detector: Detector
    at: int
    change: Change

    @property
    def worse(self) -> bool:
        """Whether there are more errors than before."""
        return self.change.after > self.change.before


@dataclass(slots=True)
class Stream:
    """What was judged so far. ADWIN tells how large a change was, and in which direction; Page-Hinkley, which finds
    rises only, compares the last values with all.
    """

    adwin: Adwin = field(default_factory=Adwin)
    page_hinkley: PageHinkley = field(default_factory=PageHinkley)
    judged: int = 0
    wrong: int = 0
    turns: list[Turn] = field(default_factory=list)

    def take(self, error: bool) -> list[Turn]:  # noqa: FBT001 - the value of the stream
        """Go on with one more judgement; what it shows."""
        self.judged, self.wrong = self.judged + 1, self.wrong + error
        found: list[Turn] = []
        before = self.page_hinkley.mean
        if (change := self.adwin.update(float(error))) is not None:
            found.append(Turn("adwin", self.judged, change))
        if self.page_hinkley.update(float(error)):
            found.append(Turn("page-hinkley", self.judged, Change(before, max(before, self.adwin.mean))))
        self.turns += found
        return found
