"""How a server does, for those who watch over it: what is served, how it stands, what waits, what is kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from foedus.serve.desk import Desk

__all__ = ["health", "measure"]


def measure(desk: Desk) -> None:
    """Bring the meters that are read, not counted, up to date."""
    lines = [len(one.batcher) for one in (desk.current, desk.shadow) if one is not None]
    desk.meters.queue_depth.set(sum(lines))
    desk.meters.not_kept.set(desk.keeper.lost)


def health(desk: Desk, notices: list[str]) -> dict[str, Any]:
    """What is served, how it stands, and how the server does, as data."""
    loaded, moment = desk.serving(), desk.clock()
    release, standing = loaded.release, loaded.standing
    code = standing.at(moment)
    status = "stopped" if standing.stops(moment) else "warning" if code not in ("in-force", "replaced") else "ok"
    shadow = None
    if desk.shadow is not None:
        shadow = {"release": desk.shadow.release.name, **asdict(desk.compared)}
    return {
        "status": "draining" if desk.closing else status,
        "release": {
            "name": release.name,
            "proposal": release.digest,
            "previous": release.proposal.previous,
            "model": release.proposal.model,
            "accord": release.proposal.accord,
            "anchor": release.anchor,
            "practice": release.practice,
        },
        "standing": {
            "code": code,
            "detail": standing.detail,
            "entries": standing.size,
            "recorded_at": standing.recorded_at,
            "looked_at": standing.looked_at,
            "on_change": standing.terms.on_change,
            "refresh_seconds": standing.terms.refresh_seconds,
        },
        "notices": notices,
        "purposes": list(standing.accord.purpose.uses),
        "int8": loaded.int8.to_json() if loaded.int8 else None,
        "shadow": shadow,
        "waiting": len(loaded.batcher),
        "watched": asdict(desk.watched),
        "kept": {"days": desk.keep_days, "lost": desk.keeper.lost, "trouble": desk.keeper.trouble},
    }
