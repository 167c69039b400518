"""The four reports as results: run report, contribution statement, release certificate, audit report.

A report is data without a language; a page is made of it in the language in force. See `docs/guides/reports.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foedus.api.extra import needs
from foedus.core import canonical
from foedus.core.clock import now
from foedus.core.digest import sha256
from foedus.ledger import Ledger
from foedus.release.revoke import newer_ledger
from foedus.report.released import Released, look
from foedus.report.run import run_report
from foedus.track.event import Event
from foedus.track.kept import EVENTS, read_events
from foedus.workspace import Workspace, consortium, open_workspace

if TYPE_CHECKING:
    from foedus.report.render import Written

__all__ = ["Report", "events_of", "looked_at", "report_of_run"]


class Report:
    """A report: `data` is a JSON value without floats, and `digest` that of its canonical bytes.

    >>> certificate = release.certificate()
    >>> certificate.write("certificate.html").page
    PosixPath('certificate.html')
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = dict(data)

    @property
    def kind(self) -> str:
        """`run`, `statement`, `certificate` or `audit`."""
        return str(self.data["kind"])

    @property
    def digest(self) -> str:
        """What the page names, and `write` writes beside it."""
        return sha256(canonical.encode(self.data))

    def html(self) -> str:
        """The whole page in the language in force; CallerError `api.extra-missing` without the extra `serve`."""
        with needs("Report", extra="serve"):
            from foedus.report.render import render

            return render(self.data)

    def write(self, path: str | Path, *, pdf: bool = False) -> Written:
        """Write the page (.html), its data beside it (.json) and, with `pdf`, a print of it by Chromium (.pdf).

        Raises:
            CallerError: `api.extra-missing`; `report.no-chromium`, before anything is written.
            RunError: `files.cannot-write`, `report.pdf-failed`.
        """
        with needs("Report", extra="serve"):
            from foedus.report.render import write

            return write(self.data, Path(path), pdf=pdf)

    def __repr__(self) -> str:
        return f"Report(kind={self.kind!r}, digest={self.digest!r})"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, in which nothing runs: its layout leaves the notebook's as it is."""
        style = "width: 100%; height: 40em; border: 1px solid #8888"
        return f'<iframe sandbox style="{style}" title="{escape(repr(self))}" srcdoc="{escape(self.html())}"></iframe>'


def looked_at(path: Path, *, anchor: str | None, workspace: Path | None, at: datetime | None = None) -> Released:
    """A release as reports see it, with what a party's workspace knows besides: a newer ledger, withheld figures."""
    party = open_workspace(workspace) if workspace else None
    return look(
        path,
        anchor=anchor,
        at=at or now(),
        ledger=newer_ledger(party, path) if party else None,
        find=party.find if party else lambda _: None,
    )


def report_of_run(workspace: Workspace, name: str) -> Report:
    """The run report from a party's workspace. CallerError as `foedus.report.run_report`."""
    leaves = tuple(Ledger(workspace.ledger).leaves())
    state, events = consortium(workspace), events_of(workspace.folder, name)
    return Report(run_report(state, name, find=workspace.find, leaves=leaves, at=now(), events=events))


def events_of(workspace: Path | None, run: str) -> list[Event]:
    """What the coordinator's log of a run tells; nothing without a workspace."""
    return list(read_events(workspace / "runs" / run / EVENTS)[0]) if workspace else []
