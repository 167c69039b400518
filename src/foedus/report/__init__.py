"""Report: what a run, a member's part in it, a release and its verification look like on paper.

Each report is data first (`run_report`, `statement`, `certificate`, `audit`): a JSON value without floats, in no
language, whose figures are those of the records that it names by digest. `render` makes one self-contained HTML page
of it, in either language: no script, nothing fetched; `to_pdf` prints that page by Chromium. What was not measured is
called so. No torch, no numpy; the pages need the extra `serve` (Jinja2).
"""

from foedus.report.audit import audit
from foedus.report.certificate import certificate
from foedus.report.pdf import to_pdf
from foedus.report.released import Released, look, require_verified
from foedus.report.render import Written, render, write
from foedus.report.run import run_report
from foedus.report.statement import statement

__all__ = [
    "Released",
    "Written",
    "audit",
    "certificate",
    "look",
    "render",
    "require_verified",
    "run_report",
    "statement",
    "to_pdf",
    "write",
]
