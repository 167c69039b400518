"""The release certificate: on one page, that a release verifies, who approved it, on what, and until when it is fresh.

It is given for a release that verifies against an anchor, and for nothing else.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from foedus.core.clock import parse, spell
from foedus.core.errors import VerifyError
from foedus.report.parts import agreed, approvals, figure_of, gates_of
from foedus.report.released import Released, head, require_verified

__all__ = ["certificate"]


def certificate(released: Released) -> dict[str, Any]:
    """The certificate of a verified release. VerifyError with what the first failed check says for any other."""
    require_verified(released)
    accord, proposal, state = released.accord, released.proposal, released.seen.consortium
    if accord is None or proposal is None or state is None or released.verdicts is None:
        raise VerifyError("report.not-verified", code=released.seen.code, headline=released.seen.headline)
    waived = [check.fields["gate"] for check in released.seen.checks if check.name == "release.waived"]
    recorded_at = state.recorded_at or spell(released.at)
    tally = state.tally(proposal.digest, matter="release")
    figures = released.examination.figures if released.examination else ()
    newer = next((one for one in state.proposals.values() if one.published and _replaces(one, proposal.digest)), None)
    return {
        **head("certificate", released),
        "agreed": agreed(accord),
        "gates": gates_of(accord, released.verdicts.verdicts, waived),
        "verdicts": proposal.verdicts,
        "evidence": proposal.evidence,
        "confidence_bp": released.examination.confidence_bp if released.examination else None,
        "figures": figure_of(one for one in figures if one.member is None),
        "approvals": approvals(state, proposal.digest, released.leaves),
        "needed": tally.needed,
        "valid": {
            "size": state.size,
            "recorded_at": recorded_at,
            "fresh_days": accord.release.fresh_days,
            "fresh_until": spell(parse(recorded_at) + timedelta(days=accord.release.fresh_days)),
            "replaced_by": f"{newer.proposal.name}-{newer.proposal.version}" if newer else None,
        },
    }


def _replaces(one: Any, digest: str) -> bool:
    return bool(one.proposal.previous == digest)
