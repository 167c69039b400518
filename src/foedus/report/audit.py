"""The audit report: what a verification found, put before a reader who decides; of a sound release or a refused one.

Everything in it is derived from the checks of `foedus verify` and from what the ledger holds; no opinion is added. A
grade rests on named checks. What no check measured is graded `not-measured`. A finding is a check that failed or that
warns; what was recorded and not recomputed, only claimed, or not measured, is a limit of the audit and not a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from foedus.records.accord import Accord
from foedus.records.evidence import Verdicts
from foedus.records.terms import Artefact
from foedus.release.propose import published_examination
from foedus.report.controls import controls, result_of
from foedus.report.parts import agreed, approvals, credit_of, figure_of, gates_of, run_times
from foedus.report.released import Released, head

__all__ = ["audit"]

SEVERITY = {
    "release.older-than-known": "major",
    "release.frozen-actor": "major",
    "release.stale": "major",
    "release.unanchored": "major",
    "release.practice": "major",
    "ledger.split-view": "minor",
    "release.ahead": "major",
    "release.own-figures-left-out": "major",
    "release.not-witnessed": "minor",
    "release.objected": "minor",
    "release.replaced": "minor",
    "release.waived": "minor",
}
"""How much a warning weighs; a failed check is always critical."""

GOVERNANCE = (
    "release.anchor", "release.unanchored", "release.fold", "release.accord", "release.votes", "release.objected",
    "release.signatures", "release.practice", "ledger.witnesses", "ledger.split-view", "release.waived",
)  # fmt: skip
INTEGRITY = (
    "release.layout", "ledger.root", "release.files", "release.model", "release.cards", "release.checksums",
    "release.evidence", "release.attestation",
)  # fmt: skip


_LIMITS = ("recorded", "claimed", "not-measured")


def audit(released: Released, *, auditor: str = "", rerun: Sequence[str] = ()) -> dict[str, Any]:
    """The audit of a release, verified or not.

    Args:
        released: what `look` found; its verification may hold the lines of a replay.
        auditor: who answers for the report; empty: nobody is named.
        rerun: the commands with which a third party comes to the same transcript.
    """
    accord, proposal, state = released.accord, released.proposal, released.seen.consortium
    checks = released.seen.checks
    opened_at, closed_at = run_times(released.leaves, proposal.run) if proposal else (None, None)
    examination = published_examination(accord, released.examination) if accord and released.examination else None
    shown = head("audit", released)
    return {
        **shown,
        "auditor": auditor,
        "rerun": list(rerun),
        "period": {"opened_at": opened_at, "closed_at": closed_at},
        "agreed": agreed(accord) if accord else None,
        "leaflet": _leaflet(shown["verification"]["checks"], accord, released.verdicts),
        "counts": {name: sum(check.outcome == name for check in checks) for name in ("ok", "fail", "warn", *_LIMITS)},
        "findings": _findings(shown["verification"]["checks"]),
        "limits": [c for c in shown["verification"]["checks"] if c["outcome"] in _LIMITS],
        "controls": controls(accord, proposal, shown["verification"]["checks"]) if accord else [],
        "gates": _gates(accord, released.verdicts, shown["verification"]["checks"]),
        "confidence_bp": examination.confidence_bp if examination else None,
        "figures": figure_of(examination.figures) if examination else [],
        "credit": credit_of(released.credit, accord) if released.credit and accord else None,
        "approvals": approvals(state, proposal.digest, released.leaves) if state and proposal else [],
        "lineage": _lineage(released),
        "cards": [
            {
                "member": name,
                "name": card.name,
                "source": card.source,
                "licence": card.licence,
                "consent": card.consent,
                "parts": {part: one.examples for part, one in card.parts.items()},
            }
            for name, card in sorted(released.cards.items())
        ],
    }


def _gates(
    accord: Accord | None, verdicts: Verdicts | None, checks: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    if accord is None or verdicts is None:
        return []
    return gates_of(accord, verdicts.verdicts, _waived(checks))


def _waived(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    return [check["fields"]["gate"] for check in checks if check["name"] == "release.waived"]


def _leaflet(
    checks: Sequence[Mapping[str, Any]], accord: Accord | None, verdicts: Verdicts | None
) -> list[dict[str, Any]]:
    """Five questions, each with a grade (`met`, `noted`, `not-met`, `not-measured`) and the checks that it rests on."""
    gates = _gates(accord, verdicts, checks)
    artefacts = {gate.name for gate in accord.gates if isinstance(gate, Artefact)} if accord else set()
    useful = [row for row in gates if row["gate"] not in artefacts]
    return [
        {"dimension": "governance", **_graded(checks, GOVERNANCE)},
        {"dimension": "integrity", **_graded(checks, INTEGRITY)},
        {"dimension": "reliability", "grade": _reliability(useful), "checks": [row["gate"] for row in useful]},
        {"dimension": "privacy", "grade": "not-measured", "checks": []},
        {"dimension": "fairness", "grade": "not-measured", "checks": []},
    ]


def _graded(checks: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    found = [check for check in checks if check["name"] in names]
    if any(check["outcome"] == "fail" for check in checks):  # what comes after a failure was not checked at all
        grade = "not-met" if any(check["outcome"] == "fail" for check in found) else "noted"
    else:
        grade = {"ok": "met", "not-checked": "not-measured"}.get(result_of(found), "noted")
    return {"grade": grade, "checks": sorted({check["name"] for check in found})}


def _reliability(gates: Sequence[Mapping[str, Any]]) -> str:
    outcomes = {row["outcome"] for row in gates}
    if not outcomes:
        return "not-measured"
    if outcomes & {"fail", "missing", "inconclusive"}:
        return "not-met"
    return "noted" if "waived" in outcomes else "met"


def _findings(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Failed checks first, then warnings by weight; each with its number and the check that it comes from."""
    rank = ("critical", "major", "minor")
    found = [
        {"severity": "critical" if check["outcome"] == "fail" else SEVERITY.get(check["name"], "minor"), "check": check}
        for check in checks
        if check["outcome"] in ("fail", "warn")
    ]
    ordered = sorted(found, key=lambda one: rank.index(one["severity"]))
    return [{"number": number, **one} for number, one in enumerate(ordered, start=1)]


def _lineage(released: Released) -> list[dict[str, Any]]:
    """The entries that lead to this release, in the ledger's order: index, time, actor, act, and what it names."""
    proposal, accord = released.proposal, released.accord
    if proposal is None or accord is None:
        return []
    rows = []
    for leaf in released.leaves:
        body, kind = leaf.entry.body, leaf.entry.type
        of_run = body.get("run") == proposal.run
        wanted = (
            (kind in ("accord.propose", "accord.sign") and body.get("accord") == accord.digest)
            or (kind == "data.register" and body.get("card") in proposal.cards)
            or (kind in ("run.open", "round.close", "run.close", "evidence.enter") and of_run)
            or (kind == "gate.verdicts" and body.get("verdicts") == proposal.verdicts)
            or body.get("proposal") == proposal.digest
            or body.get("subject") == proposal.digest
        )
        if wanted:
            named = next((body[key] for key in _NAMED if isinstance(body.get(key), str)), None)
            rows.append(
                {
                    "index": leaf.index,
                    "at": leaf.recorded_at,
                    "actor": leaf.entry.actor,
                    "act": kind,
                    "round": body.get("round"),
                    "choice": body.get("choice"),
                    "names": named,
                }
            )
    return rows


_NAMED = ("proposal", "subject", "card", "evidence", "verdicts", "state", "start", "accord")
