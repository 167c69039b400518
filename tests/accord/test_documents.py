from __future__ import annotations

import re
from pathlib import Path

import pytest

from accord.drafts import DRAFT, read
from foedus.accord.fields import clauses
from foedus.core.errors import CallerError

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_format_names_every_clause_and_no_other() -> None:
    page = (DOCS / "formats" / "accord.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", page)
    assert [row[0] for row in rows] == [clause.path for clause in clauses()]
    for path, meaning, default, enforced in rows:
        assert meaning.strip(), path
        assert enforced.strip(), path
        info = next(clause.info for clause in clauses() if clause.path == path)
        if not path.startswith(("coordinator.keys", "members[].keys")):
            assert (default == "required") == info.is_required(), path
            if isinstance(value := info.get_default(call_default_factory=True), str | int) and not info.is_required():
                assert default == f"`{value}`", path


def test_the_mistake_that_the_guide_shows_reads_so() -> None:
    page = (DOCS / "guides" / "write-an-accord.md").read_text(encoding="utf-8")
    with pytest.raises(CallerError) as caught:
        read(DRAFT.replace("rounds: 4", "round: 4"))
    shown = str(caught.value).replace("line 21", "line 76")
    assert shown in page


def test_the_commands_of_the_guide_exist() -> None:
    from typer.main import get_command

    from foedus.cli.accord import app

    page = (DOCS / "guides" / "write-an-accord.md").read_text(encoding="utf-8")
    named = set(re.findall(r"foedus (?:--lang zh )?accord ([a-z]+)", page))
    assert named - {"sign"} == set(get_command(app).commands) - {"sign"}  # type: ignore[attr-defined]
