"""`python -m foedus.serve.watch.beside`: look once at what a server answered, in a process that gives way to it.

One JSON object on standard input says where, by which terms and at which releases to look, one on standard output what
was found: figures only, none over fewer answers than the smallest cell. It may be killed at any instant.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from foedus.core.clock import Clock, now
from foedus.core.errors import FoedusError
from foedus.records.base import decimal
from foedus.records.watch import LEVELS, Monitoring, WatchFigure
from foedus.serve.watch.book import Book
from foedus.serve.watch.watcher import judged, watch, withheld

__all__ = ["seen"]

_MOST_LOOKS = 20
"""After a long pause the rest is left to the next time."""


def main() -> None:
    """Read the wish, look, and tell; an error is told as its code."""
    wish = json.loads(sys.stdin.buffer.read())
    terms = Monitoring.from_json(wish["terms"])
    try:
        told: dict[str, Any] = {"seen": [seen(Path(wish["workspace"]), terms, name) for name in wish["releases"]]}
    except FoedusError as error:
        told = {"error": error.code}
    sys.stdout.write(json.dumps(told))


def seen(workspace: Path, terms: Monitoring, release: str, *, clock: Clock = now) -> dict[str, Any]:
    """Look at a release's answers, raise and send alerts; what may be told of it.

    `figures`: of the last look; `levels`: of each measure, 0 (no alert stands) to 3 (critical); `wrong_share`: of the
    judged answers since quality last changed, or null; `waiting`: how many answers there are until the next look.

    Raises: FoedusError: as `watch`.
    """
    found = watch(workspace, terms, clock=clock, release=release, most=_MOST_LOOKS)
    _, stream = judged(workspace, release)
    with Book.of(workspace) as book:
        looks = book.looks(release, size=1)
        standing = {one.measure: one.level for measure in terms.measures if (one := book.standing(release, measure))}
    figures = [WatchFigure.model_validate(one) for look in looks for one in look.figures]
    return {
        "release": release,
        "waiting": found.waiting,
        "figures": [withheld(one, terms.smallest_cell).model_dump(mode="json") for one in figures],
        "levels": {name: LEVELS.index(standing[name]) + 1 if name in standing else 0 for name in terms.measures},
        "judged": stream.judged,
        "wrong_share": decimal(stream.adwin.mean, digits=4) if stream.judged >= terms.smallest_cell else None,
    }


if __name__ == "__main__":
    main()
