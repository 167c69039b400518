"""docs/benchmarks.md: each benchmark writes its own section, between markers of its name."""

from __future__ import annotations

from pathlib import Path

from foedus.core.files import write_atomic

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between the markers of `name`; SystemExit where the page has none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise SystemExit(f"{page} has no lines {begin} and {end} to write between")
    write_atomic(page, f"{before}{begin}\n\n{text}\n\n{end}{after}".encode())
