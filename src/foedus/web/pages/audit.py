"""Audit: every entry with a filter, one with its bytes and its proof, the whole ledger verified and exported."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError, RunError
from foedus.core.keys import key_id
from foedus.index.results import Act
from foedus.ledger import Ledger
from foedus.release.report import Verification
from foedus.release.verify import verify_ledger
from foedus.web.digits import digest_of, digits
from foedus.web.frame import page as render
from foedus.web.lists import Column, Table, answer, asked_page, paged
from foedus.web.site import Site, site_of
from foedus.web.table import page
from foedus.workspace import export_ledger

_one_at_a_time, _reading = threading.Lock(), threading.Lock()
_ledgers: dict[Path, Ledger] = {}

COLUMNS = (
    Column("at", "count", head="web.column.entry", link=lambda row: f"/audit/{row['at']}"),
    Column("recorded_at", "instant"),
    Column("actor", link=lambda row: f"/audit?actor={row['actor']}"),
    Column("kind", words="web.act", link=lambda row: f"/audit/{row['at']}"),
    Column("run", link=lambda row: f"/runs/{row['run']}" if row["run"] else None),
    Column("round", "count"),
    Column("note", "note"),
    Column("subject", "digest", link=lambda row: f"/audit/digest/{digits(row['subject'])}" if row["subject"] else None),
)


@page("/audit", title="web.title.audit", section="audit", twins=True)
def acts(request: Request) -> Response:
    """The ledger's entries, newest first; `?kind=`, `?actor=`, `?run=` and `?subject=` choose."""
    return answer(request, "audit.html", _acts(request), **_around(site_of(request), request), seen=None)


@page("/audit/verify", title="web.title.verify-ledger", section="audit", method="POST")
def verify(request: Request) -> Response:
    """Check the whole ledger now, as `foedus verify` does. RunError `web.verifying` while another check goes on."""
    site = site_of(request)
    if not _one_at_a_time.acquire(blocking=False):
        raise RunError("web.verifying")
    try:
        seen: Verification = verify_ledger(site.workspace.ledger, anchor=site.workspace.page.anchor, at=site.clock())
    finally:
        _one_at_a_time.release()
    return answer(request, "audit.html", _acts(request), **_around(site, request), seen=seen)


@page("/audit/export", title="web.title.export", section="audit")
def export(request: Request) -> Response:
    """A copy of the ledger with the objects that it cannot be read without: what `foedus ledger take` takes."""
    site = site_of(request)
    data = export_ledger(site.workspace)
    name = f"{site.workspace.page.consortium or site.workspace.party}-{site.state().size}.ledger"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/octet-stream", headers=headers)


@page("/audit/digest/{name}", title="web.title.digest", section="audit")
def digest(request: Request, name: str) -> Response:
    """Where a digest stands in the ledger; CallerError `web.no-such-entry` for one that stands nowhere."""
    site = site_of(request)
    wanted = digest_of(name)
    found = site.index.mentions(wanted) if wanted else ()
    if not found:
        raise CallerError("web.no-such-entry", got=name[:80])
    erased = site.state().erased.get(wanted)
    return render(
        request, "digest.html", digest=wanted, mentions=found, kept=wanted in site.workspace.objects, erased=erased
    )


@page("/audit/{at}", title="web.title.entry", section="audit")
def entry(request: Request, at: int) -> Response:
    """One entry: who, what, its raw JSON, its signature and the proof that the ledger holds it."""
    site = site_of(request)
    act = _act(site, at)
    leaf = site.index.leaf(at)
    if leaf is None:
        raise CallerError("web.no-such-entry", got=at)
    signature = leaf.envelope.signatures[0]
    key = site.state().key_at(act.actor, "act", at) or (site.state().key(act.actor, "act") if at < 2 else None)
    return render(
        request,
        "entry.html",
        act=act,
        body=json.dumps(leaf.entry.body, ensure_ascii=False, indent=2),
        raw=json.dumps(json.loads(leaf.data), indent=2),
        signature=signature,
        key=key if key and key_id(key) == signature.keyid else None,
        proof=_proof(site, at).decode("utf-8", "replace"),
        size=site.state().size,
    )


@page("/audit/{at}/entry.json", title="web.title.entry", section="audit")
def raw_entry(request: Request, at: int) -> Response:
    """The bytes of an entry as the ledger's tree hashes them."""
    leaf = site_of(request).index.leaf(at)
    if leaf is None:
        raise CallerError("web.no-such-entry", got=at)
    return Response(leaf.data, media_type="application/json")


@page("/audit/{at}/proof", title="web.title.proof", section="audit")
def proof(request: Request, at: int) -> Response:
    """The receipt of an entry (`.tlog-proof`): it proves that the ledger holds it."""
    site = site_of(request)
    _act(site, at)
    headers = {"content-disposition": f'attachment; filename="entry-{at}.tlog-proof"'}
    return Response(_proof(site, at), media_type="text/plain; charset=utf-8", headers=headers)


def _proof(site: Site, at: int) -> bytes:
    """The receipt of an entry. The tree is read once, and again only when the ledger has grown."""
    folder = site.workspace.ledger.resolve()
    with _reading:
        if folder not in _ledgers:
            _ledgers[folder] = Ledger(folder)
        ledger = _ledgers[folder]
        ledger.refresh()
        return ledger.proof(at)


def _acts(request: Request) -> Table:
    site, query = site_of(request), request.query_params
    number, size = asked_page(request)
    subject = query.get("subject") or None
    found = site.index.acts(
        kind=query.get("kind") or None, actor=query.get("actor") or None, run=query.get("run") or None,
        subject=digest_of(subject) or "–" if subject else None, page=number, size=size,
        oldest_first=query.get("sort") == "at",
    )  # fmt: skip
    rows = [{column.key: getattr(act, column.key) for column in COLUMNS} for act in found.items]
    return paged(request, "acts", COLUMNS, rows, found.total)


def _around(site: Site, request: Request) -> dict[str, object]:
    query = request.query_params
    return {
        "kinds": site.index.kinds(),
        "actors": site.index.actors(),
        "chosen": {name: query.get(name, "") for name in ("kind", "actor", "run", "subject")},
        "head": site.index.head(),
        "state": site.state(),
    }


def _act(site: Site, at: int) -> Act:
    found = site.index.act(at)
    if found is None:
        raise CallerError("web.no-such-entry", got=at)
    return found
