"""Something to practise with: rows of the banking demo and its accord, for `foedus new DIR --practice N --sample`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from foedus.core.errors import CallerError
from foedus.core.files import write_atomic
from foedus.demo.scenarios import Row, scenario, write_member
from foedus.workspace import Workspace

__all__ = ["require_enough", "write_sample"]


def require_enough(count: int) -> None:
    """CallerError `demo.too-many-members` for more members than the sample has banks."""
    if count > (most := len(_banks(scenario("banking").rows()))):
        raise CallerError("demo.too-many-members", got=count, most=most)


def write_sample(hub: Workspace, members: Sequence[Workspace]) -> int:
    """Give each member the rows of one bank and the coordinator the demo's accord, drawn up for these members.

    Gives how many rows were written. Raises: CallerError `demo.too-many-members` for more members than banks.
    """
    told = scenario("banking")
    rows = told.rows()
    require_enough(len(members))
    given = dict(zip(_banks(rows), members, strict=False))
    written = 0
    for bank, workspace in given.items():
        mine = [replace(row, member=workspace.party) for row in rows if row.member == bank]
        write_member(workspace.folder, workspace.party, mine, told)
        written += len(mine)
    text = told.accord.replace("coordinator: {name: hub}", f"coordinator: {{name: {hub.party}}}")
    kept = [_renamed(line, given) for line in text.splitlines() if _stays(line, given)]
    text = re.sub(r"(?m)^ledger: .*$", f"ledger: {{faults: {(len(members) - 1) // 3}}}", "\n".join(kept) + "\n")
    text = re.sub(r"(?m)^  min_members: \d+", f"  min_members: {min(3, len(members))}", text)
    text = text.replace("margin: 0.1}", "margin: 0.25}")  # parts and draws hang on keys, which are new each time
    write_atomic(hub.draft, text.encode())
    return written


def _banks(rows: Sequence[Row]) -> list[str]:
    return sorted({row.member for row in rows if row.part == "train"})


_OF_A_MEMBER = re.compile(r"^ +- \{(?:name|member): ([a-z-]+), (?:roles|uses)")


def _stays(line: str, given: dict[str, Workspace]) -> bool:
    of = _OF_A_MEMBER.match(line)
    return of is None or of[1] in given


def _renamed(line: str, given: dict[str, Workspace]) -> str:
    of = _OF_A_MEMBER.match(line)
    return line if of is None else line.replace(of[1], given[of[1]].party, 1)
