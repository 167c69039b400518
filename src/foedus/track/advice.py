"""What to say of a member that kept a step waiting or did not do it: from the code that came, in the language in force.

A code is an error of the catalogue, or the clause of the accord that a node named when it refused. Nothing else came
from the member: the full text lies in its journal until it sends it.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass

from foedus.core.messages import catalogue, language, rooms, say

__all__ = ["Advice", "advice"]


@dataclass(frozen=True, slots=True)
class Advice:
    """What came of an ask, and what to do. `got` is empty where the code alone says it."""

    code: str
    got: str
    do: str


def advice(code: str, fields: Mapping[str, object], *, refused: bool = False) -> Advice:
    """The words for a code. `refused`: the member's node refused, and the code may be a clause."""
    room, _, name = code.removeprefix("reply:").partition(".")
    entry = catalogue(room, language()).get("error", {}).get(name) if room in rooms() else None
    if entry is None:
        key = "clause" if refused else "unknown"
        return Advice(code, "", say(f"track.do.{key}", clause=code or "–"))
    return Advice(code, _filled(entry["got"], fields, whole=True), _filled(entry["do"], fields))


def _filled(template: str, fields: Mapping[str, object], *, whole: bool = False) -> str:
    """A template with its fields; what did not come is a dash, or, where `whole` is asked, the text is left out."""
    names = {name.partition(".")[0] for _, name, _, _ in string.Formatter().parse(template) if name}
    if whole and not names <= fields.keys():
        return ""
    return template.format(**(dict.fromkeys(names, "–") | dict(fields)))
