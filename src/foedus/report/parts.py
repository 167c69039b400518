"""Pieces that several reports share, each as JSON data taken from records; nothing is computed that a record has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from foedus.gates import cleared
from foedus.ledger.consortium import Consortium, RunState
from foedus.ledger.leaf import Leaf
from foedus.records.accord import Accord
from foedus.records.base import decimal
from foedus.records.evidence import CreditReport, Figure, Verdict
from foedus.records.terms import AumannShapley
from foedus.track.event import Event

__all__ = ["agreed", "approvals", "carried", "credit_of", "figure_of", "gates_of", "rounds_of", "run_times", "taken"]

_FIGURE = ("arm", "member", "metric", "n", "estimate", "low", "high")
_ARMS = ("federated", "alone", "base", "difference")


def figure_of(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """Figures, those over all members first, then by member, metric and arm."""
    order = sorted(figures, key=lambda f: (f.member is not None, f.member or "", f.metric, _ARMS.index(f.arm)))
    return [{name: getattr(figure, name) for name in _FIGURE} for figure in order]


def gates_of(accord: Accord, verdicts: Sequence[Verdict], waived: Iterable[str]) -> list[dict[str, Any]]:
    """A row a gate of the accord: what it came to in the end, and its verdicts."""
    clauses = {str(gate.name): gate.model_dump(mode="json") for gate in accord.gates}
    return [
        {
            "gate": line.gate,
            "outcome": line.outcome,
            "clause": {key: value for key, value in clauses[line.gate].items() if key != "name"},
            "verdicts": [one.model_dump(mode="json") for one in verdicts if one.gate == line.gate],
        }
        for line in cleared(accord, verdicts, set(waived))
    ]


def approvals(state: Consortium, subject: str, leaves: Sequence[Leaf]) -> list[dict[str, Any]]:
    """Who voted what on a proposal, each member's last vote with its entry; members that are silent say `None`."""
    last: dict[str, Leaf] = {}
    for leaf in leaves:
        body = leaf.entry.body
        if leaf.entry.type == "vote.cast" and (body.get("subject"), body.get("matter")) == (subject, "release"):
            last[leaf.entry.actor] = leaf
    proposal = state.proposals.get(subject)
    votes: Mapping[str, str] = dict(proposal.votes) if proposal else {}
    rows = []
    for member in state.members:
        cast = last.get(member.name)
        rows.append(
            {
                "member": member.name,
                "roles": list(member.roles),
                "choice": votes.get(member.name),
                "at": cast.recorded_at if cast else None,
                "index": cast.index if cast else None,
                "reason": str(cast.entry.body.get("reason", "")) if cast else "",
                "key": state.key(member.name, "release"),
            }
        )
    return rows


def credit_of(report: CreditReport, accord: Accord) -> dict[str, Any]:
    """Credit with each member's share of the sum (None where the sum is nothing)."""
    total = sum((Fraction(one.value) for one in report.credits), Fraction(0))
    rows = [
        {
            "member": one.member,
            "value": one.value,
            "share": decimal(Fraction(one.value) / total) if total else None,
            "by_round": list(one.by_round),
        }
        for one in report.credits
    ]
    return {
        "digest": report.digest,
        "method": report.method,
        "points": accord.credit.points if isinstance(accord.credit, AumannShapley) else None,
        "utility": report.utility,
        "start_loss": report.start_loss,
        "released_loss": report.released_loss,
        "total": report.total,
        "sum": decimal(total),
        "residual": report.residual,
        "tolerance": report.tolerance,
        "note": report.note,
        "members": rows,
    }


def run_times(leaves: Sequence[Leaf], run: str) -> tuple[str | None, str | None]:
    """When a run was opened and closed, as the ledger recorded it."""
    found = {
        leaf.entry.type: leaf.recorded_at
        for leaf in leaves
        if leaf.entry.type in ("run.open", "run.close") and leaf.entry.body.get("run") == run
    }
    return found.get("run.open"), found.get("run.close")


def rounds_of(run: RunState, leaves: Sequence[Leaf]) -> list[dict[str, Any]]:
    """A row a closed round: when, its loss and state, who entered with what weight, who did not and why."""
    times = {
        leaf.entry.body.get("round"): leaf.recorded_at
        for leaf in leaves
        if leaf.entry.type == "round.close" and leaf.entry.body.get("run") == run.opened.run
    }
    return [
        {
            "round": close.round,
            "at": times.get(close.round),
            "loss": close.validation_loss,
            "state": close.state,
            "used": [{"member": u.member, "weight": u.weight, "staleness": u.staleness} for u in close.used],
            "left_out": [{"member": one.member, "code": one.code} for one in close.left_out],
        }
        for close in run.closes
    ]


def taken(run: RunState, member: str) -> dict[str, Any]:
    """The rounds that a member entered, and those that it was asked for and missed, with the code of each."""
    entered = [close.round for close in run.closes if any(one.member == member for one in close.used)]
    missed = [
        {"round": close.round, "code": one.code}
        for close in run.closes
        for one in close.left_out
        if one.member == member and close.round not in entered
    ]
    return {"entered": entered, "missed": missed, "rounds": run.round}


def carried(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """Member → bytes to it and from it, and the seconds that it took, as the coordinator's log tells (unsigned)."""
    sums: dict[str, dict[str, Any]] = {}
    for event in events:
        member = event.fields.get("member")
        if event.kind not in ("working", "answered") or member is None:
            continue
        one = sums.setdefault(member, {"bytes_out": 0, "bytes_in": 0, "seconds": Fraction(0)})
        if event.kind == "working":
            one["bytes_out"] += int(event.fields["bytes"])
        else:
            one["bytes_in"] += int(event.fields["bytes"])
            one["seconds"] += Fraction(str(event.fields["seconds"]))
    return {member: {**one, "seconds": decimal(one["seconds"], digits=3)} for member, one in sums.items()}


def agreed(accord: Accord) -> dict[str, Any]:
    """What the accord says of the model and its making, in the accord's own words."""
    training, aggregation = accord.training, accord.aggregation
    return {
        "base": accord.base.source,
        "pin": accord.base.pin,
        "base_licence": accord.base.licence,
        "task": accord.task.name,
        "labels": list(accord.task.labels),
        "method": training.method.model_dump(mode="json"),
        "rounds": training.rounds,
        "combine": aggregation.combine.model_dump(mode="json"),
        "outer": aggregation.outer.model_dump(mode="json"),
        "seed": training.seed,
        "credit": accord.credit.name,
        "purpose": accord.purpose.summary,
        "uses": list(accord.purpose.uses),
        "prohibited": list(accord.purpose.prohibited),
        "licence": accord.release.licence,
        "figures": accord.release.figures,
    }
