"""What pages are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from foedus.core.clock import Clock, now
from foedus.ledger.consortium import Consortium
from foedus.workspace import Workspace

if TYPE_CHECKING:
    from foedus.index import Index

__all__ = ["Site", "site_of"]


@dataclass(frozen=True, slots=True)
class Site:
    """A workspace, the index of its ledger, and the clock by which ages are told."""

    workspace: Workspace
    index: Index
    clock: Clock = now

    def state(self) -> Consortium:
        """What the ledger says now; folded by the index, which takes in new entries only."""
        return self.index.consortium()


def site_of(request: HTTPConnection) -> Site:
    """The site whose page is asked for."""
    found: Site = request.app.state.site
    return found
