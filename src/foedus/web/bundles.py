"""Where the files of a proposed or published release lie in a workspace."""

from __future__ import annotations

from pathlib import Path

from foedus.core.digest import sha256
from foedus.index.results import ReleaseRow
from foedus.web.site import Site

__all__ = ["bundle_of"]


def bundle_of(site: Site, row: ReleaseRow) -> Path | None:
    """The folder whose proposal is this one, under its usual name or another; None where it is not here."""
    releases = site.workspace.folder / "releases"
    usual = releases / f"{row.name}-{row.version}.foedus"
    for folder in (usual, *sorted(releases.glob("*.foedus"))):
        proposal = folder / "report" / "proposal.json"
        if proposal.is_file() and sha256(proposal.read_bytes()) == row.proposal:
            return folder
    return None
