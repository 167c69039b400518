"""What one entry says of itself in a line, what became of members in a round, what an examination says first. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from foedus.index.tables import rank
from foedus.records import acts
from foedus.records.acts import Used
from foedus.records.base import Record
from foedus.records.evidence import Examination

__all__ = ["about", "headline", "parts"]


def parts(act: acts.CloseRound) -> Iterable[dict[str, Any]]:
    """What became of each member in a round."""

    def replied(part: str, item: Used) -> dict[str, Any]:
        late = item.staleness
        return {"part": part, "member": item.member, "reply": item.reply, "weight": item.weight, "late": late}

    yield from (replied("used", item) for item in act.used)
    yield from (replied("measured", item) for item in act.measured)
    for out in act.left_out:
        yield {"part": "left-out", "member": out.member, "reply": out.reply, "code": out.code}
    for one in act.late:
        yield {"part": "late", "member": one.member, "reply": one.reply, "late": one.round}


def headline(examined: Examination) -> dict[str, Any]:
    """The first metric over all members, in each arm."""
    over_all = [one for one in examined.figures if one.member is None]
    metric = next((one.metric for one in over_all), None)
    arms = {one.arm: one.estimate for one in over_all if one.metric == metric}
    federated, difference = arms.get("federated"), arms.get("difference")
    return {
        "metric": metric, "federated": federated, "alone": arms.get("alone"), "difference": difference,
        "federated_order": rank(federated), "difference_order": rank(difference),
    }  # fmt: skip


def about(act: Record) -> tuple[str | None, str | None, int | None, str]:
    """What an act is about: subject, run, round, and the note that one line more says of it."""
    match act:
        case acts.ProposeAccord() | acts.SignAccord():
            return act.accord, None, None, ""
        case acts.Leave():
            return None, None, None, act.reason
        case acts.RotateKey():
            return None, None, None, act.purpose
        case acts.ReplaceKey():
            return None, None, None, f"{act.member} {act.purpose}"
        case acts.RegisterCard():
            return act.card, None, None, act.name
        case acts.ProposeRun():
            return act.release, None, None, act.why
        case acts.OpenRun():
            return act.start, act.run, 0, act.engine
        case acts.CloseRound():
            return act.state, act.run, act.round, act.validation_loss or ""
        case acts.CloseRun():
            return act.state, act.run, act.rounds, act.outcome
        case acts.EnterEvidence():
            return act.evidence, act.run, None, ""
        case acts.EnterVerdicts():
            return act.verdicts, act.run, None, ""
        case acts.Propose():
            return act.proposal, None, None, ""
        case acts.Vote():
            return act.subject, None, None, f"{act.matter} {act.choice}"
        case acts.CloseVote():
            return act.subject, None, None, f"{act.matter} {act.outcome}"
        case acts.Publish():
            return act.proposal, None, None, ""
        case acts.Revoke():
            return act.proposal, None, None, act.reason
        case acts.Refuse():
            return None, act.run, act.round if act.run else None, f"{act.code} {act.source} {act.count}"
        case acts.Erase():
            return act.object, None, None, act.reason
    return None, None, None, ""
