"""One look: the recent window of answers against the reference, each test once, all of them taken together.

Many tests find something by chance. The p-values of one look are corrected together by Holm's step-down rule (S. Holm,
Scand. J. Statistics 6, 1979): with probability at most `false_alarms` a look finds drift in any measure where there is
none, however the tests depend on each other. Looks do not overlap; but all are compared with the same reference, so
that an unlucky reference makes every look of a release more, or less, likely to find something.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from foedus.records.base import decimal
from foedus.records.watch import Detector, Measure, Monitoring, WatchFigure
from foedus.serve.watch.ks import ks
from foedus.serve.watch.mmd import mmd_test
from foedus.serve.watch.psi import Moved, bin_edges, binned, psi_test
from foedus.serve.watch.sample import Sample

__all__ = ["draws_for", "holm", "look"]

_TESTS = 5
"""The most tests of one look."""
Test = tuple[Measure, Detector, int, int, Callable[[], Moved]]


def look(reference: Sample, recent: Sample, terms: Monitoring, *, rng: np.random.Generator) -> tuple[WatchFigure, ...]:
    """The figures of every measure that the terms name and that enough answers hold; none of what was not measured."""
    tests = [one for one in _tests(reference, recent, terms, rng) if one[0] in terms.measures]
    found = [test() for *_, test in tests]
    level, least = float(Fraction(terms.false_alarms)), float(Fraction(terms.psi))
    return tuple(
        WatchFigure(
            measure=measure,
            detector=detector,
            reference=before,
            recent=after,
            statistic=decimal(one.statistic, digits=6),
            p=decimal(p, digits=6),
            moved=p <= level and (detector != "psi" or one.statistic >= least),
        )
        for (measure, detector, before, after, _), one, p in zip(
            tests, found, holm([one.p for one in found]), strict=True
        )
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value, corrected for all of them."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def draws_for(terms: Monitoring) -> int:
    """How many random divisions a p-value takes: so many that the smallest passes the correction twice over."""
    return min(20_000, max(999, math.ceil(2 * _TESTS / float(Fraction(terms.false_alarms)))))


def _tests(reference: Sample, recent: Sample, terms: Monitoring, rng: np.random.Generator) -> Iterator[Test]:
    n, m, draws = len(reference), len(recent), draws_for(terms)
    if min(n, m) < 2:
        return
    edges = bin_edges(reference.lengths)
    lengths = binned(reference.lengths, edges), binned(recent.lengths, edges)
    yield "confidence", "ks", n, m, lambda: ks(reference.confidences, recent.confidences)
    if min(len(reference.inputs), len(recent.inputs)) >= max(2, terms.smallest_cell):
        before, after = reference.inputs.astype(np.float64), recent.inputs.astype(np.float64)
        yield "inputs", "mmd", len(before), len(after), lambda: mmd_test(before, after, rng=rng, draws=draws)
    labels = sorted(reference.labels | recent.labels)
    shares = _counts(reference.labels, labels), _counts(recent.labels, labels)
    yield "labels", "psi", n, m, lambda: psi_test(*shares, rng=rng, draws=draws)
    yield "lengths", "psi", n, m, lambda: psi_test(*lengths, rng=rng, draws=draws)
    yield "lengths", "ks", n, m, lambda: ks(reference.lengths, recent.lengths)


def _counts(labels: Counter[str], names: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([labels[name] for name in names], dtype=np.int64)
