"""Every gate of an accord on one model, and whether together they clear it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from foedus.core import canonical
from foedus.core.digest import sha256
from foedus.gates.artefact import ArtefactFacts, artefact
from foedus.gates.no_harm import no_harm
from foedus.gates.utility import utility
from foedus.records.accord import Accord
from foedus.records.evidence import Examination, Verdict
from foedus.records.terms import Artefact, NoHarm, Utility

__all__ = ["Clearance", "all_clear", "cleared", "judge", "waiver_subject"]


def judge(accord: Accord, examination: Examination, artefact_facts: ArtefactFacts | None) -> tuple[Verdict, ...]:
    """The verdicts of every gate of the accord, in the accord's order. Same arguments, same verdicts, for everybody."""
    verdicts: list[Verdict] = []
    for clause in accord.gates:
        match clause:
            case Utility():
                verdicts += utility(clause, examination)
            case NoHarm():
                verdicts += no_harm(clause, examination, accord.contributors)
            case Artefact():
                verdicts += artefact(clause, artefact_facts)
            case _:
                assert_never(clause)
    return tuple(verdicts)


@dataclass(frozen=True, slots=True)
class Clearance:
    """What a gate says in the end: its worst verdict, `waived`, or `missing` when no verdict of it was given."""

    gate: str
    outcome: Literal["pass", "waived", "fail", "inconclusive", "missing"]

    @property
    def clear(self) -> bool:
        """Whether the gate lets the model through."""
        return self.outcome in ("pass", "waived")


def cleared(accord: Accord, verdicts: Sequence[Verdict], waived: Collection[str]) -> list[Clearance]:
    """One line a gate of the accord. `waived` are the gates that a public vote let pass; a missing gate cannot be
    waived.
    """
    return [_clearance(clause.name, [v for v in verdicts if v.gate == clause.name], waived) for clause in accord.gates]


def _clearance(gate: str, verdicts: Sequence[Verdict], waived: Collection[str]) -> Clearance:
    outcomes = {verdict.outcome for verdict in verdicts}
    if not outcomes:
        return Clearance(gate, "missing")
    if outcomes == {"pass"}:
        return Clearance(gate, "pass")
    if gate in waived:
        return Clearance(gate, "waived")
    return Clearance(gate, "fail" if "fail" in outcomes else "inconclusive")


def all_clear(clearances: Sequence[Clearance]) -> bool:
    """Whether every gate is clear; an empty list clears nothing."""
    return bool(clearances) and all(clearance.clear for clearance in clearances)


def waiver_subject(verdicts: str, gate: str) -> str:
    """The digest that a vote to waive a gate names: this gate in this object of verdicts, so on this model only."""
    return sha256(canonical.encode({"gate": gate, "verdicts": verdicts, "waive": "foedus/v1"}))
