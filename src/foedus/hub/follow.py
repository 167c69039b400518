"""A run that the hub carries, seen from `foedus run`: begun through the control socket, followed in its events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from foedus.hub import control
from foedus.records.evidence import CreditReport, Examination
from foedus.records.release import Snapshot
from foedus.run import Outcome
from foedus.track.event import Report
from foedus.track.kept import EVENTS, read_events
from foedus.workspace import consortium, open_workspace

__all__ = ["follow"]


def follow(
    folder: Path, name: str | None, *, report: Report, pause: Callable[[], None], proposal: str | None = None
) -> Outcome:
    """Have the hub carry a run, which may carry out an approved `proposal`, and tell what happens until it ends; who
    follows may leave without ending it.

    `pause` is called between two looks.

    Raises:
        RunError: `hub.not-up`, also when the hub goes away meanwhile; `hub.busy`.
        FoedusError: with what the run ended, as `run.run`.
    """
    begun = control.ask(folder, "start", name=name or "", proposal=proposal or "")
    run, offset = str(begun["run"]), int(begun["offset"])
    path = folder / "runs" / run / EVENTS
    while True:
        standing = control.ask(folder, "standing", run=run)
        events, offset = read_events(path, offset)
        for event in events:
            report(event)
        if not standing["running"]:
            break
        pause()
    if standing["ended"]:
        raise control.told_error(standing["ended"])
    return _outcome(folder, run)


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
