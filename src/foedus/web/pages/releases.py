"""Releases: the list, and one with its digests, signatures, lineage, a button that verifies now, and how to use it."""

from __future__ import annotations

import threading
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError, RunError
from foedus.index.results import ReleaseRow
from foedus.release.bundle import files_of
from foedus.release.verify import verify_bundle
from foedus.web.bundles import bundle_of
from foedus.web.digits import digest_of, digits
from foedus.web.frame import page as render
from foedus.web.lists import Column, answer, asked_page, paged
from foedus.web.pages.overview import results
from foedus.web.site import Site, site_of
from foedus.web.table import page

_one_at_a_time = threading.Lock()


@page("/releases", title="web.title.releases", section="releases", twins=True)
def releases(request: Request) -> Response:
    """Everything that was proposed for release, newest first, and what became of it."""
    site = site_of(request)
    number, size = asked_page(request)
    found = site.index.proposals(page=number, size=size)
    columns = (
        Column("name", link=lambda row: f"/releases/{digits(row['proposal'])}"),
        Column("version"),
        Column("status", "status", words="web.release-state"),
        Column("run", link=lambda row: f"/runs/{row['run']}"),
        Column("proposed_at", "instant"),
        Column("published_at", "instant"),
        Column("model", "digest"),
        Column("proposal", "digest", link=lambda row: f"/releases/{digits(row['proposal'])}"),
    )
    rows = [
        {
            "name": one.name, "version": one.version, "status": "current" if one.current else one.status,
            "run": one.run, "proposed_at": one.proposed_at, "published_at": one.published_at, "model": one.model,
            "proposal": one.proposal,
        }
        for one in found.items
    ]  # fmt: skip
    return answer(request, "releases.html", paged(request, "releases", columns, rows, found.total))


@page("/releases/{name}", title="web.title.release", section="releases")
def release(request: Request, name: str) -> Response:
    """One release; CallerError `web.no-such-release`."""
    return render(request, "release.html", **_shown(site_of(request), name), seen=None)


@page("/releases/{name}/verify", title="web.title.verify", section="releases", method="POST")
def verify(request: Request, name: str) -> Response:
    """Recompute everything that can be recomputed, now, from the files that lie here. One verification at a time.

    Raises:
        CallerError: `web.no-such-release`; `web.bundle-not-here`.
        RunError: `web.verifying` while another one goes on.
    """
    site = site_of(request)
    shown = _shown(site, name)
    if shown["folder"] is None:
        raise CallerError("web.bundle-not-here", name=f"{shown['row'].name} {shown['row'].version}")
    if not _one_at_a_time.acquire(blocking=False):
        raise RunError("web.verifying")
    try:
        draft = shown["row"].published_at is None
        seen = verify_bundle(shown["folder"], anchor=site.workspace.page.anchor, at=site.clock(), draft=draft)
    finally:
        _one_at_a_time.release()
    return render(request, "release.html", **shown, seen=seen)


def _shown(site: Site, name: str) -> dict[str, Any]:
    row = site.index.release(digest_of(name))
    if row is None:
        raise CallerError("web.no-such-release", got=name[:80])
    state = site.state()
    folder = bundle_of(site, row)
    files = files_of(folder) if folder else {}
    signatures = sorted(path[6:-4] for path in files if path.startswith("model.") and path.endswith(".sig"))
    accord = state.accords[row.accord]
    return {
        "row": row,
        "folder": folder,
        "files": files,
        "size": sum(files.values()),
        "signatures": signatures,
        "accord": accord,
        "anchor": state.anchor,
        "tally": state.tally(row.proposal, matter="release"),
        "proposal": state.proposals[row.proposal].proposal,
        "results": results(site, row.run),
        "lineage": _lineage(site, row),
        "snippets": snippets(row, accord.release.form, accord.task.name, accord.base.source, state.anchor or ""),
        "bundle": f"{row.name}-{row.version}.foedus",
    }


def _lineage(site: Site, row: ReleaseRow) -> list[ReleaseRow]:
    """The releases before this one, newest first, at most twenty."""
    found: list[ReleaseRow] = []
    before = row.previous
    while before and len(found) < 20 and (one := site.index.release(before)):
        found.append(one)
        before = one.previous
    return found


def snippets(row: ReleaseRow, form: str, task: str, base: str, anchor: str) -> dict[str, str]:
    """How to verify, load and ask this release: name → text to copy."""
    bundle = f"{row.name}-{row.version}.foedus"
    kind = "AutoModelForTokenClassification" if task == "token-classification" else "AutoModelForSequenceClassification"
    found = {"verify": f"foedus verify {bundle} --anchor {anchor}"}
    if form == "adapter":
        source = base.partition(":")[2].partition("@")[0]
        found["peft"] = (
            "from peft import PeftModel\n"
            f"from transformers import AutoTokenizer, {kind}\n\n"
            f'base = {kind}.from_pretrained("{source}")\n'
            f'model = PeftModel.from_pretrained(base, "{bundle}/model")\n'
            f'tokenizer = AutoTokenizer.from_pretrained("{source}")'
        )
    else:
        found["transformers"] = (
            f'from transformers import pipeline\n\nmodel = pipeline("{task}", model="{bundle}/model")\nmodel("…")'
        )
    found["foedus"] = f'foedus release predict {bundle} --text "…"'
    found["curl"] = (
        f"foedus serve start {bundle} --anchor {anchor}\n"
        "curl -s http://127.0.0.1:8601/v1/predict -H 'content-type: application/json' -d '{\"text\": \"…\"}'"
    )
    return found
