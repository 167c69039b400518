"""What pages show of watching: plain values, read from the book and from a folded ledger. Needs no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foedus.ledger.consortium import Consortium, Tally
from foedus.records.watch import ExpectedGain
from foedus.serve.watch.book import FILE, Alert, Book, Look
from foedus.workspace.proposing import Standing, standing_of

__all__ = ["ProposedRun", "is_watched", "proposed_runs", "shown_alerts", "shown_looks"]


@dataclass(frozen=True, slots=True)
class ProposedRun:
    """A proposed run: `entry` is what votes name, `release` NAME-VERSION, `run` the one that carries it out."""

    entry: str
    by: str
    release: str
    why: str
    evidence: tuple[str, ...]
    gain: ExpectedGain
    standing: Standing
    tally: Tally
    votes: Mapping[str, str]
    run: str | None


def is_watched(workspace: Path) -> bool:
    """Whether anything was ever watched in this workspace."""
    return (workspace / FILE).is_file()


def shown_alerts(workspace: Path, *, release: str | None = None, page: int = 1, size: int = 50) -> list[Alert]:
    """Alerts, the newest first; none where nothing was ever watched."""
    if not is_watched(workspace):
        return []
    with Book.of(workspace) as book:
        return book.alerts(release=release, page=page, size=size)


def shown_looks(workspace: Path, *, release: str | None = None, size: int = 100) -> list[Look]:
    """Looks, the newest first: `figures` hold measure, detector, statistic, p and moved."""
    if not is_watched(workspace):
        return []
    with Book.of(workspace) as book:
        return book.looks(release, size=size)


def proposed_runs(state: Consortium) -> list[ProposedRun]:
    """The runs that were proposed, the newest first."""
    found = []
    for entry, one in state.run_proposals.items():
        release = state.proposals[one.act.release].proposal
        ballot = state.ballots.get(("run", entry))
        found.append(
            ProposedRun(
                entry, one.by, f"{release.name}-{release.version}", one.act.why, one.act.evidence, one.act.gain,
                standing_of(state, entry), state.tally(entry, matter="run"), dict(ballot.votes) if ballot else {},
                one.run,
            )
        )  # fmt: skip
    return found[::-1]
