"""Reports as pages: one template set, in either language, and the files that are written of them.

A page is a function of the report's data and a language. Numbers stand as `<data value="…">` with the exact decimal of
the record, so that a program reads from the page what a person sees rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foedus.core import canonical
from foedus.core.digest import sha256, short
from foedus.core.errors import VerifyError
from foedus.core.files import write_atomic
from foedus.core.messages import Language, catalogue, error_text, language, say
from foedus.report import charts
from foedus.report.pdf import browser, to_pdf
from foedus.report.wording import numerics_text, threshold_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["Written", "render", "write"]

MOST_ROWS = 60
"""As many members or entries a table shows; the data beside the page has all."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a report, and the digest of its data (`twin`), which the page names."""

    page: Path
    twin: Path
    pdf: Path | None
    digest: str


def write(report: Mapping[str, Any], target: Path, *, pdf: bool = False) -> Written:
    """Write a report in the language in force as `target` (.html), its data as .json and, with `pdf` or a `target` that
    ends with .pdf, a PDF beside it.

    Raises:
        CallerError: `report.no-chromium`, before anything is written.
        RunError: `files.cannot-write`, `report.pdf-failed`.
    """
    if pdf := pdf or target.suffix == ".pdf":
        browser()
    page = (
        target.with_suffix(".html") if target.suffix in (".html", ".pdf") else target.with_name(f"{target.name}.html")
    )
    html, data = render(report), canonical.encode(dict(report))
    written = Written(page, page.with_suffix(".json"), page.with_suffix(".pdf") if pdf else None, sha256(data))
    write_atomic(written.twin, data)
    write_atomic(page, html.encode())
    if written.pdf:
        to_pdf(page, written.pdf)
    return written


def render(report: Mapping[str, Any], *, lang: Language | None = None) -> str:
    """The page of a report, whole; in the language in force by default."""
    template = _templates(lang or language()).get_template(f"{report['kind']}.html")
    return template.render(report=report, digest=sha256(canonical.encode(dict(report))))


@cache
def _templates(lang: Language) -> Environment:
    """The template set in one language. An unknown name in a template is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("foedus.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        t=lambda key, **fields: _told(key, fields, lang),
        say=lambda key, **fields: say(key, lang=lang, **fields),
        why=lambda error: error_text(VerifyError(error["code"], **error["fields"]), lang=lang),
        check_text=lambda check: say(f"check.{check['name']}", lang=lang, **check["fields"]),
        number=lambda value, digits=3: _number(value, digits, lang),
        percent=lambda value: _percent(value, lang),
        count=lambda value: _count(value, lang),
        numerics=lambda value: ", ".join(" ".join(one) for one in numerics_text(value, lang)),
        threshold_text=lambda value: threshold_text(value, lang),
        drawn=_drawn,
        css=_css,
        short=short,
        most=MOST_ROWS,
        lang=lang,
    )
    return environment


def _told(key: str, fields: Mapping[str, Any], lang: Language) -> Markup:
    """The message `report.KEY`: what stands in backticks as code. Fields may be markup; all else is escaped."""
    from markupsafe import Markup, escape

    found: Any = catalogue("report", lang)
    for part in key.split("."):
        found = found[part]
    text = re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(found)))
    return Markup(text).format(**fields)  # noqa: S704 - our own message, escaped


def _plain(text: str) -> str:
    """A text without markup's way of writing it."""
    from markupsafe import Markup

    return text.unescape() if isinstance(text, Markup) else text


def _number(value: str | None, digits: int, lang: Language) -> Markup | str:
    if value is None:
        return say("report.none", lang=lang)
    return _data(value, f"{float(Fraction(value)):.{digits}f}")


def _percent(value: str | None, lang: Language) -> Markup | str:
    if value is None:
        return say("report.none", lang=lang)
    return _data(value, f"{float(100 * Fraction(value)):.1f} %")


def _count(value: int | None, lang: Language) -> Markup | str:
    return say("report.none", lang=lang) if value is None else _data(str(value), f"{value:,}")


def _data(value: str, text: str) -> Markup:
    from markupsafe import Markup

    return Markup('<data value="{}">{}</data>').format(value, text)


def _drawn(kind: str, title: str, rows: Sequence[Sequence[Any]]) -> Markup:
    """A chart as markup: its texts are escaped where it is drawn."""
    from markupsafe import Markup

    plain = [tuple(_plain(cell) for cell in row) for row in rows]
    draw: Any = {"bars": charts.bars, "dots": charts.dots, "line": charts.line}[kind]
    return Markup(draw(_plain(title), plain))  # noqa: S704 - charts escape every text


def _css(text: str) -> Markup:
    """A text as a CSS string: whatever could end it is written as its number."""
    from markupsafe import Markup

    spelt = "".join(one if one.isalnum() else f"\\{ord(one):x} " for one in _plain(text))
    return Markup(f'"{spelt}"')  # noqa: S704 - letters, digits and numbers
