"""Alerts: when one is raised, how serious it is, who has taken note, and who is not to be told.

    notice     a measure moved in one look
    warning    it moved in as many looks in a row as the clause says; or one detector found that quality fell
    critical   both detectors found that quality fell, or quality fell while another measure stands at a warning

One alert stands for a measure of a release: it grows more serious, and ends after as many quiet looks in a row, that of
quality when users find fewer errors again. What was acknowledged is told again only when it grows more serious; what is
silenced is kept and not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from foedus.core.errors import CallerError
from foedus.records.watch import DETECTORS, LEVELS, Level, WatchFigure
from foedus.serve.watch.book import Alert, Book, Look, Silence

__all__ = ["MEASURES", "acknowledge", "after_look", "after_rises", "silence", "streak"]

MEASURES = (*sorted(DETECTORS), "all")


def streak(looks: Sequence[Look], measure: str, *, moved: bool) -> int:
    """In how many of the latest looks in a row (the newest first) a measure moved, or did not."""
    count = 0
    for look in looks:
        if any(one["measure"] == measure and one["moved"] for one in look.figures) != moved:
            return count
        count += 1
    return count


def after_look(
    book: Book, look: Look, figures: Iterable[WatchFigure], *, persistence: int, channels: Sequence[tuple[str, Level]]
) -> list[Alert]:
    """Raise, raise further or end the alerts of the measures that a look measured, within a transaction of the book;
    gives those that are to be told.
    """
    given, told = list(figures), []
    looks = book.looks(look.release, size=persistence)
    for measure in sorted({one.measure for one in given}):
        own = [one.model_dump(mode="json") for one in given if one.measure == measure]
        standing = book.standing(look.release, measure)
        if any(one["moved"] for one in own):
            long = streak(looks, measure, moved=True) >= persistence
            level: Level = "warning" if long else "notice"
            fell = book.standing(look.release, "quality")
            if long and fell is not None:
                told += _raise(book, look.release, "quality", "critical", look.at, fell.detail, channels)
            told += _raise(book, look.release, measure, level, look.at, {"figures": own}, channels)
        elif standing is not None and streak(looks, measure, moved=False) >= persistence:
            book.put_alert(replace(standing, state="over", last_at=look.at))
    return told


def after_rises(
    book: Book, release: str, detectors: Sequence[str], detail: dict[str, Any], *, at: str,
    channels: Sequence[tuple[str, Level]],
) -> list[Alert]:  # fmt: skip
    """Raise the alert on quality after detectors found that it fell; gives it where it is to be told."""
    standing = book.standing(release, "quality")
    found = sorted({*detectors, *(standing.detail.get("detectors", ()) if standing else ())})
    shifted = any(
        (other := book.standing(release, measure)) is not None and other.level != "notice"
        for measure in DETECTORS
        if measure != "quality"
    )
    level: Level = "critical" if len(found) > 1 or shifted else "warning"
    return _raise(book, release, "quality", level, at, {**detail, "detectors": found}, channels)


def _raise(
    book: Book, release: str, measure: str, level: Level, at: str, detail: dict[str, Any],
    channels: Sequence[tuple[str, Level]],
) -> list[Alert]:  # fmt: skip
    before = book.standing(release, measure)
    until = max((one.until for one in book.silences() if one.measure in (measure, "all")), default="")
    silenced = until if until > at else None
    if before is None:
        alert = Alert(0, release, measure, level, "open", at, at, detail, silenced_until=silenced)
        worse = True
    else:
        worse = LEVELS.index(level) > LEVELS.index(before.level)
        alert = replace(before, level=max(level, before.level, key=LEVELS.index), last_at=at, detail=detail)
        alert = replace(alert, silenced_until=silenced)
        alert = replace(alert, state="open", by=None, note=None) if worse else alert
    alert = replace(alert, id=book.put_alert(alert))
    if not worse or silenced:
        return []
    for name, least in channels:
        if LEVELS.index(alert.level) >= LEVELS.index(least):
            book.queue(alert.id, name, message(alert), at)
    return [alert]


def message(alert: Alert) -> dict[str, Any]:
    """What a channel is told of an alert: figures only."""
    return {
        "kind": "foedus.alert",
        "alert": alert.id,
        "release": alert.release,
        "measure": alert.measure,
        "level": alert.level,
        "opened_at": alert.opened_at,
        "at": alert.last_at,
        "detail": alert.detail,
    }


def acknowledge(book: Book, number: int, *, by: str, note: str = "") -> Alert:
    """Take note of an alert: nobody is told of it again unless it grows more serious.

    Raises: CallerError: `monitor.no-such-alert`; `monitor.alert-over` where there is nothing left to take note of.
    """
    with book.writing():
        alert = book.alert(number)
        if alert.state == "over":
            raise CallerError("monitor.alert-over", got=number, at=alert.last_at)
        alert = replace(alert, state="acknowledged", by=by, note=note or None)
        book.put_alert(alert)
    return alert


def silence(book: Book, measure: str, *, until: str, by: str) -> Silence:
    """Tell nobody of a measure, or of `all`, before an instant. CallerError `monitor.no-such-measure`."""
    if measure not in MEASURES:
        raise CallerError("monitor.no-such-measure", got=measure, known=", ".join(MEASURES))
    found = Silence(measure, until, by)
    with book.writing():
        book.keep_silence(found)
    return found
