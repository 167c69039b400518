"""The run report: what was agreed, who entered each round, what was measured, and what each was worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from foedus.core.clock import spell
from foedus.core.errors import CallerError
from foedus.ledger.consortium import Consortium, RunState
from foedus.ledger.leaf import Leaf
from foedus.records.accord import Accord
from foedus.records.evidence import CreditReport, Examination
from foedus.records.release import Snapshot
from foedus.report.parts import agreed, carried, credit_of, figure_of, rounds_of, run_times, taken
from foedus.track.event import Event

__all__ = ["run_report"]

Find = Callable[[str], bytes | None]


def run_report(
    state: Consortium,
    name: str,
    *,
    find: Find,
    leaves: Sequence[Leaf],
    at: datetime,
    events: Iterable[Event] = (),
) -> dict[str, Any]:
    """A run as the folded ledger has it, finished or not.

    Args:
        state: the folded ledger.
        name: of the run.
        find: gives objects by digest: examination, credit, snapshots; None where one is not here.
        leaves: the ledger's entries, for the times at which they were recorded.
        at: when the report is made.
        events: what the coordinator's log tells of the run: bytes and seconds, which nobody signed.

    Raises:
        CallerError: `run.unknown`.
    """
    if name not in state.runs:
        raise CallerError("run.unknown", got=name, known=", ".join(state.runs) or "–")
    run = state.runs[name]
    accord = state.accords[run.accord]
    entered = next((one for one in state.evidence.values() if one.run == name), None)
    examination = _record(Examination, entered.evidence if entered else None, find)
    credit = _record(CreditReport, entered.credit if entered else None, find)
    opened_at, closed_at = run_times(leaves, name)
    return {
        "foedus": 1,
        "kind": "run",
        "made_at": spell(at),
        "practice": accord.custody == "one-process",
        "consortium": accord.name,
        "accord": run.accord,
        "accord_version": accord.version,
        "anchor": state.anchor,
        "head": {"size": state.size, "recorded_at": state.recorded_at},
        "run": {
            "name": name,
            "outcome": run.close.outcome if run.close else "open",
            "rounds": run.round,
            "released_round": run.close.released_round if run.close else None,
            "engine": run.opened.engine,
            "numerics": dict(run.opened.numerics),
            "start": run.opened.start,
            "state": run.close.state if run.close else None,
            "opened_at": opened_at,
            "closed_at": closed_at,
        },
        "agreed": agreed(accord),
        "start_loss": _start_loss(run, credit, find),
        "rounds": rounds_of(run, leaves),
        "members": _members(run, accord, events),
        "measured": _measured(examination, entered.evidence if entered else None),
        "credit": credit_of(credit, accord) if credit else None,
        "credit_digest": entered.credit if entered else None,
        "refusals": [
            {"round": number, "code": code, "source": source, "count": count}
            for (one, number, code, source), count in sorted(state.refusals.items())
            if one == name
        ],
    }


def _record(kind: Any, digest: str | None, find: Find) -> Any:
    data = find(digest) if digest else None
    return kind.from_bytes(data) if data else None


def _start_loss(run: RunState, credit: CreditReport | None, find: Find) -> str | None:
    """Validation loss of the start state: the snapshots keep it, and so does the credit report."""
    if credit:
        return credit.start_loss
    snapshot: Snapshot | None = _record(Snapshot, run.closes[-1].snapshot, find) if run.closes else None
    return snapshot.losses[0] if snapshot and snapshot.losses else None


def _members(run: RunState, accord: Accord, events: Iterable[Event]) -> list[dict[str, Any]]:
    told = carried(events)
    rows = []
    for name in run.opened.roster:
        member, card = accord.member(name), run.cards.get(name)
        rows.append(
            {
                "member": name,
                "roles": list(member.roles) if member else [],
                "examples": card.examples if card else None,
                "card": card.card if card else None,
                **taken(run, name),
                "carried": told.get(name),
            }
        )
    return rows


def _measured(examination: Examination | None, digest: str | None) -> dict[str, Any]:
    """What was measured on the test parts; `figures` is None where nothing is here, with the digest if there is one."""
    return {
        "digest": digest,
        "replicates": examination.replicates if examination else None,
        "confidence_bp": examination.confidence_bp if examination else None,
        "figures": figure_of(examination.figures) if examination else None,
    }
