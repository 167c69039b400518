"""Runs side by side, as the ledger tells them: what was agreed otherwise, how they went, what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from foedus.accord import difference
from foedus.core.errors import CallerError
from foedus.ledger.consortium import Consortium, RunState
from foedus.records.evidence import Examination, Figure

__all__ = ["Compared", "Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One run of a comparison.

    `used` and `left_out` count, for each member, the rounds that it entered and that it did not. `losses` are the
    validation losses after each round; `figures` those over all members, and empty before the run was examined.
    """

    run: str
    accord: str
    start: str
    outcome: str
    rounds: int
    released_round: int | None
    state: str | None
    losses: tuple[str | None, ...]
    used: dict[str, int]
    left_out: dict[str, int]
    numerics: dict[str, str]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs, and the settings in which they differ: a clause of the accord → its value in each run.

    `same_state`: every run is closed and went on with the same state, to the bit.
    """

    runs: tuple[Compared, ...]
    settings: dict[str, tuple[Any, ...]]
    same_state: bool


def compare(known: Consortium, names: Sequence[str], find: Callable[[str], bytes | None]) -> Comparison:
    """The runs of these names; `find` gives their examinations. CallerError `run.unknown`, `run.compare-one`."""
    for name in names:
        if name not in known.runs:
            raise CallerError("run.unknown", got=name, known=", ".join(known.runs) or "–")
    if len(set(names)) < len(names) or len(names) < 2:
        raise CallerError("run.compare-one", got=", ".join(names))
    runs = tuple(_compared(known, known.runs[name], find) for name in names)
    states = {run.state for run in runs}
    return Comparison(runs, _settings(known, names), len(states) == 1 and None not in states)


def _compared(known: Consortium, run: RunState, find: Callable[[str], bytes | None]) -> Compared:
    name, close = run.opened.run, run.close
    entered = next((one for one in known.evidence.values() if one.run == name), None)
    measured = find(entered.evidence) if entered else None
    figures = Examination.from_bytes(measured).figures if measured else ()
    used = [one.member for closed in run.closes for one in closed.used]
    left_out = [one.member for closed in run.closes for one in closed.left_out]
    return Compared(
        run=name,
        accord=run.accord,
        start=run.opened.start,
        outcome=close.outcome if close else "open",
        rounds=run.round,
        released_round=close.released_round if close else None,
        state=close.state if close else None,
        losses=tuple(closed.validation_loss for closed in run.closes),
        used={member: used.count(member) for member in sorted({*run.opened.roster, *used})},
        left_out={member: left_out.count(member) for member in sorted(set(left_out))},
        numerics=dict(run.opened.numerics),
        figures=tuple(figure for figure in figures if figure.member is None),
    )


def _settings(known: Consortium, names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Each clause that is not the same in the accords of all these runs, what trials of a search tried (None: as
    agreed), and each part of the numerics that differs.
    """
    first = known.accords[known.runs[names[0]].accord]
    others = [known.accords[known.runs[name].accord] for name in names[1:]]
    changes = [{change.path: change for change in difference(first, other)} for other in others]
    rows: dict[str, tuple[Any, ...]] = {}
    for path in dict.fromkeys(path for change in changes for path in change):
        old = next(change[path].old for change in changes if path in change)
        rows[path] = (old, *(change[path].new if path in change else old for change in changes))
    trials = [known.runs[name].opened.trial for name in names]
    for path in sorted({path for trial in trials if trial for path in trial.settings}):
        rows[path] = tuple(trial.settings.get(path) if trial else None for trial in trials)
    numerics = [known.runs[name].opened.numerics for name in names]
    for part in sorted({part for one in numerics for part in one}):
        values = tuple(one.get(part) for one in numerics)
        if len(set(values)) > 1:
            rows[f"numerics.{part}"] = values
    return rows
