"""The control table: each clause of the accord, the checks that control it, what came of them, and the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from foedus.records.accord import Accord
from foedus.records.release import Proposal

__all__ = ["controls", "result_of"]

WORST = ("fail", "not-checked", "warn", "not-measured", "claimed", "recorded", "ok")
"""Results, the worst first: a control is as good as its worst check."""


def controls(accord: Accord, proposal: Proposal | None, checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a clause: `clause` is its path in the accord, `terms` what it says there, `checks` the names of the lines
    of the verification that control it, `result` the worst of them (`not-checked` where none was made), `evidence`
    the digest of what they looked at.
    """
    replayed = tuple(dict.fromkeys(check["name"] for check in checks if check["name"].startswith("replay.")))
    named = {name: [digest] if digest else [] for name, digest in _digests(proposal).items()}
    weights, needed, terms = accord.aggregation.combine, accord.data, accord.release
    rows: list[tuple[str, str, Sequence[str], list[str]]] = [
        ("custody", accord.custody, ("release.practice",) if accord.custody == "one-process" else (), [accord.digest]),
        ("ratification", accord.ratification, ("release.accord", "release.anchor"), [accord.digest]),
        ("purpose", ", ".join(accord.purpose.uses), ("release.card",), named["model"]),
        ("base", accord.base.source, ("release.accord", *replayed[-1:]), [accord.base.pin]),
        (
            "data",
            f"min_examples {needed.min_examples}, smallest_cell {needed.smallest_cell}",
            ("release.cards",),
            list(proposal.cards) if proposal else [],
        ),
        (
            "aggregation",
            f"{weights.name}, {weights.weights}",
            ("release.fold", "release.run", *replayed),
            named["state"],
        ),
        (
            "evaluation",
            f"replicates {accord.evaluation.replicates}",
            ("release.evidence", "release.estimates", "release.figures", "release.figures-withheld"),
            named["evidence"],
        ),
        ("credit", accord.credit.name, ("release.credit", "release.credit-values"), named["credit"]),
    ]
    for gate in accord.gates:
        settings = ", ".join(f"{key} {value}" for key, value in gate.model_dump().items() if key != "name")
        rows.append((f"gates.{gate.name}", settings, (f"release.gate {gate.name}",), named["verdicts"]))
    signed = ("release.votes", "release.objected", "release.signatures")
    witnessed = ("ledger.root", "ledger.witnesses", "ledger.split-view")
    rows += [
        ("release.form", terms.form, ("release.model", "release.files", "release.checksums"), named["model"]),
        ("release.quorum", terms.quorum, signed, [proposal.digest] if proposal else []),
        ("release.fresh_days", str(terms.fresh_days), ("release.freshness", "release.stale"), []),
        ("ledger", f"faults {accord.ledger.faults}", witnessed, []),
    ]
    return [_row(accord, clause, said, [c for c in checks if _is_of(c, of)], by) for clause, said, of, by in rows]


def _digests(proposal: Proposal | None) -> dict[str, str | None]:
    names = ("model", "state", "evidence", "verdicts", "credit")
    return {name: getattr(proposal, name) if proposal else None for name in names}


def _row(
    accord: Accord, clause: str, terms: str, checks: Sequence[Mapping[str, Any]], evidence: Sequence[str]
) -> dict[str, Any]:
    result = _result(clause, accord, checks)
    return {"clause": clause, "terms": terms, "checks": list(checks), "result": result, "evidence": list(evidence)}


def result_of(checks: Iterable[Mapping[str, Any]]) -> str:
    """The worst outcome of some checks; `not-checked` when there are none."""
    found = {check["outcome"] for check in checks}
    return next((outcome for outcome in WORST if outcome in found), "not-checked")


def _result(clause: str, accord: Accord, checks: Sequence[Mapping[str, Any]]) -> str:
    if clause == "custody" and accord.custody == "separate":
        return "recorded"  # nobody can see from a ledger in whose hands a key is
    if clause.startswith("gates.") and any(check["name"] == "release.waived" for check in checks):
        return "waived"
    return result_of(checks)


def _is_of(check: Mapping[str, Any], names: Sequence[str]) -> bool:
    """`release.gate NAME` is the line, or the waiver, of that gate."""
    if check["name"] in ("release.gate", "release.waived"):
        return f"release.gate {check['fields'].get('gate')}" in names
    return check["name"] in names
