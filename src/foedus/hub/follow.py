"""A run or a search that the hub carries, seen from `foedus run`: begun through the control socket, followed in its
events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from foedus.core.errors import CallerError, RunError
from foedus.hub import control
from foedus.ledger.consortium import RunState
from foedus.records.evidence import CreditReport, Examination
from foedus.records.release import Snapshot
from foedus.records.tune import Trial
from foedus.run import Outcome, Prune
from foedus.search import Found, search, trial_name
from foedus.track.event import Report
from foedus.track.kept import EVENTS, read_events
from foedus.workspace import consortium, open_workspace

__all__ = ["Begun", "begin", "follow", "follow_search"]


class Begun(NamedTuple):
    """A run that the hub carries, and from which byte of its events on they are news."""

    run: str
    offset: int


def begin(folder: Path, name: str | None, *, proposal: str | None = None) -> Begun:
    """Have the hub carry a run, of this name or of the hub's choice, which may carry out an approved `proposal`.

    Raises:
        CallerError: `run.bad-name`.
        RunError: `hub.not-up`; `hub.busy`.
    """
    begun = control.ask(folder, "start", name=name or "", proposal=proposal or "")
    return Begun(str(begun["run"]), int(begun["offset"]))


def follow(folder: Path, begun: Begun, *, report: Report, pause: Callable[[], None]) -> Outcome:
    """Tell what happens in a run until it ends; who follows may leave without ending it.

    `pause` is called between two looks.

    Raises:
        RunError: `hub.not-up` when the hub goes away meanwhile.
        FoedusError: with what the run ended, as `run.run`.
    """
    offsets = {folder / "runs" / begun.run / EVENTS: begun.offset}
    _follow(offsets, lambda: control.ask(folder, "standing", run=begun.run), report, pause)
    return _outcome(folder, begun.run)


def follow_search(folder: Path, *, report: Report, pause: Callable[[], None]) -> Found:
    """Have the hub carry the search of the accord in force, and tell what happens until it ends; who follows may leave
    without ending it.

    Raises:
        CallerError: `search.no-clause`.
        RunError: `hub.not-up`, also when the hub goes away meanwhile; `hub.busy`.
        FoedusError: with what the search ended, as `search.search`.
    """
    accord = consortium(open_workspace(folder)).accord
    if accord is None or accord.tune is None:
        raise CallerError("search.no-clause", accord=accord.digest if accord else "–")
    trials = range(1, accord.tune.trials + 1)
    paths = [folder / "runs" / trial_name(accord, number) / EVENTS for number in trials]
    offsets = {path: path.stat().st_size if path.exists() else 0 for path in paths}
    control.ask(folder, "search")
    _follow(offsets, lambda: control.ask(folder, "searching"), report, pause)
    return search(consortium(open_workspace(folder)), accord, _none_is_left)


def _follow(
    offsets: dict[Path, int], standing_of: Callable[[], Mapping[str, Any]], report: Report, pause: Callable[[], None]
) -> None:
    """Tell the events of these files from their offsets on, until the hub no longer works on it; raises with what it
    ended.
    """
    while True:
        standing = standing_of()  # asked before the events are read, so that none is left when it has ended
        for path, offset in offsets.items():
            events, offsets[path] = read_events(path, offset)
            for event in events:
                report(event)
        if not standing["running"]:
            break
        pause()
    if standing["ended"]:
        raise control.told_error(standing["ended"])


def _none_is_left(name: str, trial: Trial, _: Prune) -> RunState:
    """No trial is carried here: the hub said that it has carried them all."""
    raise RunError("search.not-carried", run=name, number=trial.number)


def _outcome(folder: Path, name: str) -> Outcome:
    """What a finished run gave, as the ledger has it."""
    workspace = open_workspace(folder)
    state, store = consortium(workspace), workspace.objects
    known = state.runs[name]
    assert known.close is not None  # noqa: S101 - it ended without an error
    entered = next(one for one in state.evidence.values() if one.run == name)
    snapshot = Snapshot.from_bytes(store.get(known.closes[-1].snapshot))
    return Outcome(
        name,
        known.close.state,
        snapshot.best_state,
        known.close.rounds,
        known.close.released_round,
        Examination.from_bytes(store.get(entered.evidence)),
        CreditReport.from_bytes(store.get(entered.credit)) if entered.credit else None,
        entered.evidence,
    )
