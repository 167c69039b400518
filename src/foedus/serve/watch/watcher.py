"""Watching: look at what was served since the last time, judge quality, raise alerts, and say what may leave.

All of it happens where the traffic is. Called as often as one likes, and killed at any instant: a window is looked at
once, and a piece of feedback raises an alarm once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foedus.core.clock import Clock, spell
from foedus.core.errors import CallerError
from foedus.ledger.consortium import Consortium
from foedus.records.base import decimal
from foedus.records.watch import LEVELS, Monitoring, Quality, WatchFigure, WatchReport
from foedus.serve.store import Answer, Traffic
from foedus.serve.watch.alerts import after_look, after_rises
from foedus.serve.watch.book import Alert, Book, Look
from foedus.serve.watch.deliver import deliver
from foedus.serve.watch.look import look
from foedus.serve.watch.quality import Stream
from foedus.serve.watch.sample import DIMENSIONS, Sample, sample_of
from foedus.serve.watch.settings import channels, read_settings

__all__ = ["Seen", "judged", "latest_release", "release_digest", "report", "terms_of", "watch", "withheld"]

_PAGE = 5000


@dataclass(frozen=True, slots=True)
class Seen:
    """What one call of `watch` found. `waiting`: how many answers there are until the next look, or the reference."""

    release: str
    looks: tuple[Look, ...]
    alerts: tuple[Alert, ...]
    waiting: int
    sent: int


def terms_of(state: Consortium) -> Monitoring:
    """What the accord in force says of watching, or the defaults where it says nothing."""
    return (state.accord.monitoring if state.accord else None) or Monitoring()


def latest_release(traffic: Traffic) -> str:
    """The release that answered last; CallerError `monitor.no-traffic` before the first answer."""
    newest = traffic.answers(size=1)
    if not newest:
        raise CallerError("monitor.no-traffic", path=str(traffic.path))
    return newest[0].release


def watch(
    workspace: Path, terms: Monitoring, *, clock: Clock, release: str | None = None, most: int | None = None
) -> Seen:
    """Look at every whole window of a release's answers that was not looked at, at most at so many, and send what is
    due.

    Raises: CallerError: `monitor.no-traffic`, `monitor.bad-settings`.
    """
    settings = read_settings(workspace)
    with Traffic.of(workspace) as traffic, Book.of(workspace) as book:
        release = release or latest_release(traffic)
        told: list[Alert] = []
        made: list[Look] = []
        kept = _reference(book, traffic, release, terms)
        if kept is not None:
            last, reference = kept
            done = book.looks(release, size=1)
            last = done[0].last if done else last
            while len(rows := traffic.answers_after(last, release=release, size=terms.window)) == terms.window:
                if len(made) == most:
                    break
                one, figures = _look(reference, rows, terms, at=spell(clock()))
                with book.writing():
                    book.keep_look(one)
                    told += after_look(book, one, figures, persistence=terms.persistence, channels=channels(settings))
                made, last = [*made, one], rows[-1][0]
            waiting = terms.window - len(rows)
        else:
            waiting = terms.reference - len(traffic.answers_after(0, release=release, size=terms.reference))
        if "quality" in terms.measures:
            told += _judge(book, traffic, release, at=spell(clock()), to=channels(settings))
        sent = deliver(book, settings, workspace=workspace, clock=clock)
    return Seen(release, tuple(made), tuple(told), waiting, sent)


def _look(
    reference: Sample, rows: list[tuple[int, Answer]], terms: Monitoring, *, at: str
) -> tuple[Look, tuple[WatchFigure, ...]]:
    answers = [one for _, one in rows]
    first, last = rows[0][0], rows[-1][0]
    recent = sample_of(answers)
    figures = look(reference, recent, terms, rng=np.random.default_rng(first))
    data = [one.model_dump(mode="json") for one in figures]
    release, since, until = answers[0].release, answers[0].at, answers[-1].at
    return Look(0, release, at, first, last, since, until, data, dict(recent.labels)), figures


def _reference(book: Book, traffic: Traffic, release: str, terms: Monitoring) -> tuple[int, Sample] | None:
    """The sample of the release's first answers, kept once there are enough; and the number of the last of them."""
    if (kept := book.reference(release)) is not None:
        return kept[0], _from_columns(kept[1])
    rows = traffic.answers_after(0, release=release, size=terms.reference)
    if len(rows) < terms.reference:
        return None
    sample = sample_of([one for _, one in rows])
    with book.writing():
        book.keep_reference(release, rows[-1][0], _columns(sample))
    return rows[-1][0], sample


def _columns(sample: Sample) -> dict[str, Any]:
    return {
        "lengths": sample.lengths.astype("<f8").tobytes(),
        "confidences": sample.confidences.astype("<f8").tobytes(),
        "labels": json.dumps(sample.labels, ensure_ascii=False, sort_keys=True),
        "inputs": sample.inputs.astype("<f4").tobytes(),
    }


def _from_columns(columns: dict[str, Any]) -> Sample:
    return Sample(
        np.frombuffer(columns["lengths"], dtype="<f8"),
        np.frombuffer(columns["confidences"], dtype="<f8"),
        Counter(json.loads(columns["labels"])),
        np.frombuffer(columns["inputs"], dtype="<f4").reshape(-1, DIMENSIONS),
    )


# ── quality ──────────────────────────────────────────────────────────────────


def _judge(book: Book, traffic: Traffic, release: str, *, at: str, to: Any) -> list[Alert]:
    """Raise what feedback shows that came since the last time; all of it is read again: nothing else is kept of it."""
    told: list[Alert] = []
    before, stream, last = book.judged(release), Stream(), 0
    with book.writing():
        for last, error in _judgements(traffic, release):
            turns = stream.take(error)
            if last <= before or not turns:
                continue
            change = turns[0].change
            if worse := [one.detector for one in turns if one.worse]:
                detail = {"judged": stream.judged, "wrong": stream.wrong} | _around(change.before, change.after)
                told += after_rises(book, release, worse, detail, at=at, channels=to)
            elif (standing := book.standing(release, "quality")) is not None:
                book.put_alert(replace(standing, state="over", last_at=at))
        if last > before:
            book.keep_judged(release, last)
    return told


def judged(workspace: Path, release: str | None = None) -> tuple[str, Stream]:
    """A release, the one that answered last by default, and the stream of what users said of its answers."""
    with Traffic.of(workspace) as traffic:
        release = release or latest_release(traffic)
        stream = Stream()
        for _, error in _judgements(traffic, release):
            stream.take(error)
    return release, stream


def _judgements(traffic: Traffic, release: str) -> Iterator[tuple[int, bool]]:
    """Each piece of feedback on a release's answers: its number, and whether the answer was wrong."""
    last = 0
    while rows := traffic.feedback_after(last, release=release, size=_PAGE):
        for last, one in rows:
            yield last, one.verdict == "wrong"


def _around(before: float, after: float) -> dict[str, str]:
    return {"before": decimal(before, digits=3), "after": decimal(after, digits=3)}


# ── what may leave ───────────────────────────────────────────────────────────


def release_digest(state: Consortium, name: str) -> str:
    """The digest of the release NAME-VERSION in the ledger; CallerError `monitor.unknown-release`."""
    known = {f"{one.proposal.name}-{one.proposal.version}": d for d, one in state.proposals.items() if one.published}
    if name not in known:
        raise CallerError("monitor.unknown-release", got=name, known=", ".join(known) or "–")
    return known[name]


def report(workspace: Path, state: Consortium, *, party: str, release: str | None = None) -> WatchReport:
    """What this party may tell of its traffic: the last look and the quality, no figure over less than a smallest cell.

    Raises: CallerError: `monitor.no-traffic`, `monitor.no-look`, `monitor.unknown-release`.
    """
    terms = terms_of(state)
    release, stream = judged(workspace, release)
    digest = release_digest(state, release)
    with Book.of(workspace) as book:
        looks = book.looks(release, size=10_000)
        standing = [one for one in book.alerts(release=release) if one.state != "over"]
    if not looks:
        raise CallerError("monitor.no-look", release=release, reference=terms.reference, window=terms.window)
    newest = looks[0]
    figures = [WatchFigure.model_validate(one) for one in newest.figures]
    return WatchReport(
        release=digest,
        party=party,
        first=newest.since,
        last=newest.until,
        smallest_cell=terms.smallest_cell,
        looks=len(looks),
        level=max((one.level for one in standing), key=LEVELS.index, default=None),
        figures=tuple(withheld(one, terms.smallest_cell) for one in figures),
        labels=_cells(newest.labels, terms.smallest_cell),
        quality=_quality(stream, terms.smallest_cell),
    )


def withheld(figure: WatchFigure, smallest: int) -> WatchFigure:
    """A figure as it may leave: without its values where it rests on fewer answers than the smallest cell."""
    small = min(figure.reference, figure.recent) < smallest
    return figure.model_copy(update={"statistic": None, "p": None}) if small else figure


def _cells(counts: dict[str, int], smallest: int) -> dict[str, int | None]:
    """Counts rounded to five; small ones withheld, and the next smallest too where one alone could be computed."""
    small = {label for label, count in counts.items() if count < smallest}
    if len(small) == 1 and len(counts) > 1:
        small.add(min((count, label) for label, count in counts.items() if label not in small)[1])
    return {label: None if label in small else (count + 2) // 5 * 5 for label, count in sorted(counts.items())}


def _quality(stream: Stream, smallest: int) -> Quality:
    if stream.judged < smallest:
        return Quality(judged=stream.judged // 5 * 5, wrong=None)
    change = next((one.change for one in reversed(stream.turns) if one.worse), None)
    around = _around(change.before, change.after) if change else {}
    return Quality(judged=stream.judged, wrong=stream.wrong, **around)
