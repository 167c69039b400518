"""Data cards as members registered them, and the model cards of what was released."""

from __future__ import annotations

from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError
from foedus.core.messages import say
from foedus.index.results import CardRow
from foedus.records.evidence import DataCard, Salted
from foedus.web.bundles import bundle_of
from foedus.web.charts import Bar, bars
from foedus.web.digits import digest_of, digits
from foedus.web.frame import page as render
from foedus.web.lists import Column, Row, answer, asked_page, paged
from foedus.web.site import Site, site_of
from foedus.web.table import page

_FIELDS = ("source", "licence", "consent", "collected", "languages", "description")


@page("/cards", title="web.title.cards", section="cards", twins=True)
def cards(request: Request) -> Response:
    """Every registered data card, newest first, and the released models' cards."""
    site = site_of(request)
    number, size = asked_page(request)
    wish = request.query_params.get("all") == "1"
    found = site.index.cards(in_force=None if wish else True, page=number, size=size)
    columns = (
        Column("member", link=lambda row: f"/members/{row['member']}"),
        Column("name", link=_card),
        Column("state", "status", words="web.card-state"),
        Column("examples", "count"),
        Column("licence"),
        Column("consent"),
        Column("recorded_at", "instant"),
        Column("card", "digest", link=_card),
    )
    rows = [
        {
            "member": one.member, "name": one.name, "state": "in-force" if one.in_force else "past",
            "examples": one.examples, "licence": one.licence, "consent": one.consent, "recorded_at": one.recorded_at,
            "card": one.card,
        }
        for one in found.items
    ]  # fmt: skip
    table = paged(request, "cards", columns, rows, found.total)
    return answer(request, "cards.html", table, models=site.index.releases(size=50).items, all=wish)


@page("/cards/{name}", title="web.title.card", section="cards")
def card(request: Request, name: str) -> Response:
    """One data card by its digest; CallerError `web.no-such-card`."""
    site = site_of(request)
    row = _row(site, digest_of(name))
    data = site.workspace.find(row.card)
    document = DataCard.from_json(Salted.from_bytes(data).document) if data else None
    charts = (
        [
            bars(
                f"labels-{part}",
                title=_say("labels", part=_say(f"part-{part}")),
                description=_say("labels-text", part=_say(f"part-{part}"), cell=document.smallest_cell),
                head=(_say("label"), _say("count"), ""),
                rows=[
                    Bar(label, count, text=_say("withheld") if count is None else f"{count:,}")
                    for label, count in summary.labels.items()
                ],
            )
            for part, summary in document.parts.items()
        ]
        if document
        else []
    )
    told = [field for field in _FIELDS if document and getattr(document, field)]
    return render(request, "card.html", row=row, card=document, charts=charts, told=told, fields=_FIELDS)


@page("/cards/model/{name}", title="web.title.model-card", section="cards")
def model_card(request: Request, name: str) -> Response:
    """The model card of a release, as it lies in the bundle."""
    site = site_of(request)
    row = site.index.release(digest_of(name))
    if row is None:
        raise CallerError("web.no-such-release", got=name[:80])
    folder = bundle_of(site, row)
    path = folder / "model" / "README.md" if folder else None
    text = path.read_text(encoding="utf-8") if path and path.is_file() else None
    return render(request, "model-card.html", row=row, text=rendered(text) if text else None)


def rendered(text: str) -> Markup:
    """Markdown as HTML: no HTML of its own passes, links go nowhere but to the web, headings sit below the page's."""
    body = text.partition("\n---\n")[2] if text.startswith("---\n") else text
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(body)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"
        if token.type == "fence":
            token.info = ""
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - html is off: all is escaped


def _row(site: Site, digest: str) -> CardRow:
    for mention in site.index.mentions(digest) if digest else ():
        if mention.what == "card":
            for one in site.index.cards(member=mention.actor, size=500).items:
                if one.card == digest:
                    return one
    raise CallerError("web.no-such-card", got=digest[:80] or "–")


def _card(row: Row) -> str:
    return f"/cards/{digits(row['card'])}"


def _say(key: str, /, **fields: Any) -> str:
    return say(f"web.card.{key}", **fields)
