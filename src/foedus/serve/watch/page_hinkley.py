"""Page-Hinkley: whether the mean of a stream has risen, from the sum of its excess over its own mean.

E. S. Page, Continuous inspection schemes, Biometrika 41, 1954; D. Hinkley, Inference about the change-point from
cumulative sum tests, Biometrika 58, 1971. In the form of J. Gama et al., A survey on concept drift adaptation, ACM
Computing Surveys 46, 2014, §3.2: m_t = sum of (x_i - mean_i - delta), and a rise is told once m_t exceeds its least
value so far by more than `threshold`. On a stream of errors (0 or 1) both are in errors.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PageHinkley"]


@dataclass(slots=True)
class PageHinkley:
    """The detector. `delta`: a rise of the mean that is let pass; `threshold`: excess errors that make an alarm.

    It says nothing before `least` values. After an alarm it begins anew. A small `threshold` finds a rise sooner and
    gives more false alarms.
    """

    delta: float = 0.05
    threshold: float = 12.0
    least: int = 30
    count: int = 0
    mean: float = 0.0
    excess: float = 0.0
    lowest: float = 0.0

    def update(self, value: float) -> bool:
        """Take the next value; whether it shows that the mean has risen."""
        self.count += 1
        self.mean += (value - self.mean) / self.count
        self.excess += value - self.mean - self.delta
        self.lowest = min(self.lowest, self.excess)
        if self.count < self.least or self.excess - self.lowest <= self.threshold:
            return False
        self.count, self.mean, self.excess, self.lowest = 0, 0.0, 0.0, 0.0
        return True
