"""From a draft in YAML, or from the signed form, to a typed accord.

The draft may leave out what has a default and the parties' keys (they come from the files of those who joined); its
members, grants and gates stand in any order. What comes out has all of it written down and sorted, so that two drafts
that mean the same have one id.
The signed form is canonical JSON; it is read to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any
from unicodedata import normalize

from pydantic import ValidationError

from foedus.accord.fields import field_type, item_type, nullable, record_for, records_in, scalar_kind, tag
from foedus.core.errors import CallerError
from foedus.core.files import read_bytes, read_text
from foedus.core.keys import Purpose, generate, simulated_key
from foedus.core.messages import say
from foedus.core.yaml import Path, Tree, read_yaml
from foedus.records.accord import Accord, CoordinatorKeys, MemberKeys
from foedus.records.base import Record

__all__ = ["Draft", "load_accord", "open_accord", "read_accord", "read_draft"]

SIZE_LIMIT_BYTES = 1 << 20
_SORTED: tuple[tuple[Path, str], ...] = (
    (("members",), "name"),
    (("gates",), "name"),
    (("data", "grants"), "member"),
    (("training", "method", "member_ranks"), "member"),
)
REASONS = (
    "choices",
    "coordinator-is-member",
    "dimensions",
    "item-twice",
    "key-twice",
    "named-twice",
    "no-member",
    "no-share",
    "not-above-zero",
    "prev",
    "range",
    "range-log",
    "range-of-words",
    "range-or-choices",
    "range-whole",
    "simulated-custody",
)
"""What the records' own rules refuse (`records.base.refused`); each is the error `accord.REASON`."""
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
COORDINATOR_PURPOSES: tuple[Purpose, ...] = ("act", "log")


@dataclass(frozen=True, slots=True)
class Draft:
    """An accord with stand-in keys for parties that have not joined yet: to be looked at, never signed.

    `missing` names those parties; when it is empty the accord is complete.
    """

    accord: Accord
    missing: tuple[str, ...]


def load_accord(data: bytes) -> Accord:
    """The accord of its signed form.

    Raises:
        CallerError: `records.malformed` or `canonical.…` for any other bytes than the canonical ones.
    """
    return Accord.from_bytes(data)


def read_accord(
    text: str,
    *,
    source: str,
    joined: Mapping[str, MemberKeys] | None = None,
    coordinator_keys: CoordinatorKeys | None = None,
) -> Accord:
    """The accord of a draft in YAML. `source` names the text in errors; keys that it leaves out are those given.

    Raises:
        CallerError: `yaml.…` for what is no plain YAML; `accord.…` with line, expected and got for a key or value that
            the schema does not know; `accord.keys-missing` when a party's keys are neither in the text nor given.
    """
    draft = read_draft(text, source=source, joined=joined, coordinator_keys=coordinator_keys)
    if draft.missing:
        raise CallerError("accord.keys-missing", source=source, parties=", ".join(draft.missing))
    return draft.accord


def read_draft(
    text: str,
    *,
    source: str,
    joined: Mapping[str, MemberKeys] | None = None,
    coordinator_keys: CoordinatorKeys | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> Draft:
    """A draft in YAML, also before every party has joined. `fixed` are fields that the text does not decide.

    Raises:
        CallerError: as `read_accord`, but not `accord.keys-missing`.
    """
    if (size := len(text.encode())) > SIZE_LIMIT_BYTES:
        raise CallerError("files.too-large", path=source, size_bytes=size, limit_bytes=SIZE_LIMIT_BYTES)
    tree = read_yaml(text, source=source)
    if not isinstance(tree.value, dict):
        raise CallerError("accord.not-a-mapping", source=source, line=1, where=_whole(), got=_shown(tree.value))
    form = _Form(tree, {**_typed(_simulated(tree.value), Accord), **(fixed or {})})
    form.sort()
    missing = form.fill_keys(joined or {}, coordinator_keys)
    form.fill_outer()
    try:
        accord = Accord.model_validate(form.value, context={"yaml": True})
    except ValidationError as error:
        raise min((form.explain(one) for one in error.errors()), key=_line_of) from error
    return Draft(accord, missing)


def open_accord(
    path: FilePath,
    *,
    joined: Mapping[str, MemberKeys] | None = None,
    coordinator_keys: CoordinatorKeys | None = None,
) -> Draft:
    """The accord in a file: the signed form when its name ends in `.accord` or `.json`, else a draft in YAML.

    Raises:
        CallerError: `files.missing`, `files.too-large`, `files.not-utf8`; what `load_accord` and `read_draft` raise.
    """
    if path.suffix in (".accord", ".json"):
        return Draft(load_accord(read_bytes(path, limit_bytes=SIZE_LIMIT_BYTES)), ())
    text = read_text(path, limit_bytes=SIZE_LIMIT_BYTES)
    return read_draft(text, source=str(path), joined=joined, coordinator_keys=coordinator_keys)


def _simulated(value: dict[str, Any]) -> dict[str, Any]:
    """`members: {simulated: 1000}` as the schema has it: no member by name, and how many are played."""
    members = value.get("members")
    if not isinstance(members, dict) or "simulated" not in members:
        return value
    count = {"count": members["simulated"]}
    return {**value, "members": [], "simulated": {**count, **{k: v for k, v in members.items() if k != "simulated"}}}


def _typed(value: Any, kind: Any) -> Any:
    """The value with its text in Unicode form NFC, and `null` for what the schema lets be null."""
    if isinstance(value, str):
        return None if value == "null" and nullable(kind) else normalize("NFC", value)
    if isinstance(value, list):
        item = item_type(kind)
        return [_typed(one, item) for one in value] if item is not None else value
    record = record_for(kind, value)
    if record is None or not isinstance(value, dict):
        return value
    return {
        key: _typed(one, field_type(record, key)) if key in record.model_fields else one for key, one in value.items()
    }


@dataclass(slots=True)
class _Form:
    """A draft on its way to an accord: the tree as it is completed, and what is needed to name a line of the text."""

    tree: Tree
    value: dict[str, Any]
    order: dict[Path, list[int]] = field(default_factory=dict)

    def at(self, path: Path) -> Any:
        node: Any = self.value
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def sort(self) -> None:
        """Sort what has no order of its own, and remember where each item stood."""
        for path, key in _SORTED:
            items = self.at(path)
            if isinstance(items, list) and all(
                isinstance(one, dict) and isinstance(one.get(key), str) for one in items
            ):
                named = sorted((one[key], index) for index, one in enumerate(items))
                self.order[path] = [index for _, index in named]
                items[:] = [items[index] for _, index in named]

    def fill_keys(self, joined: Mapping[str, MemberKeys], coordinator: CoordinatorKeys | None) -> tuple[str, ...]:
        """Write the keys that the text leaves out; who has none is returned, with keys that nobody holds."""
        missing = []
        members, party = self.value.get("members"), self.value.get("coordinator")
        if self.value.get("simulated") and isinstance(party, dict):
            seed = str(self.at(("training", "seed")))
            made = {one: simulated_key(seed, str(party.get("name")), one).public for one in COORDINATOR_PURPOSES}
            coordinator = CoordinatorKeys(**made)
        for member in members if isinstance(members, list) else []:
            if isinstance(member, dict) and "keys" not in member and isinstance(name := member.get("name"), str):
                found = joined.get(name)
                member["keys"] = found.model_dump() if found else _stand_in("act", "witness", "release")
                missing += [] if found else [name]
        if isinstance(party, dict) and "keys" not in party:
            party["keys"] = coordinator.model_dump() if coordinator else _stand_in(*COORDINATOR_PURPOSES)
            missing += [] if coordinator else [str(party.get("name"))]
        return tuple(missing)

    def fill_outer(self) -> None:
        """Nesterov momentum where every trained name is trained in two rounds or more, else the plain step."""
        aggregation = self.value.setdefault("aggregation", {})
        training = self.value.get("training")
        if not isinstance(aggregation, dict) or "outer" in aggregation or not isinstance(training, dict):
            return
        rounds = str(training.get("rounds", "4"))
        method = training.get("method", {"name": "lora"})
        alternate = isinstance(method, dict) and method.get("name") == "lora"
        alternate = alternate and method.get("combine", "alternate") == "alternate"
        enough = bool(re.fullmatch("[1-9][0-9]{0,8}", rounds)) and int(rounds) >= (4 if alternate else 2)
        aggregation["outer"] = {"name": "nesterov" if enough else "plain"}

    def written(self, path: Path) -> Path:
        """Where the text has what stands at a path of the completed and sorted tree."""
        if path[:1] == ("simulated",) and "simulated" not in self.tree.value:
            path = ("members", *path[1:2])
            return ("members", "simulated") if path == ("members", "count") else path
        for above, order in self.order.items():
            if path[: len(above)] == above and len(path) > len(above) and isinstance(at := path[len(above)], int):
                return (*above, order[at], *path[len(above) + 1 :])
        return path

    def explain(self, error: Any) -> CallerError:
        """What pydantic found, as an error that names line, clause, expected and got."""
        path, kind, record = _locate(error["loc"])
        path = self.written(path)
        where = _dotted(path) or _whole()
        fields: dict[str, Any] = {"source": self.tree.source, "line": self.tree.line(path), "where": where}
        got = _shown(error["input"])
        match error["type"]:
            case "extra_forbidden":
                key, known = str(path[-1]), sorted(record.model_fields if record else ())
                fields |= {"key": key, "where": _dotted(path[:-1]) or _whole(), "known": ", ".join(known)}
                near = get_close_matches(key, known, n=1)
                return CallerError(
                    "accord.misspelt-key" if near else "accord.unknown-key", **fields, nearest=(*near, "")[0]
                )
            case "missing":
                return CallerError("accord.missing-key", **fields, key=str(path[-1]))
            case "union_tag_invalid" | "union_tag_not_found":
                known = [tag(one) for one in records_in(kind)]
                got = _shown(error["ctx"].get("tag") or "no name")
                return CallerError("accord.unknown-name", **fields, got=got, known=", ".join(known))
            case "literal_error":
                return CallerError("accord.not-one-of", **fields, got=got, known=error["ctx"]["expected"])
            case "tuple_type":
                return CallerError("accord.not-a-list", **fields, got=got)
            case "too_short" if item_type(kind) is not None:
                return CallerError("accord.too-few", **fields, got=got)
            case "model_type" | "model_attributes_type" | "dict_type":
                return CallerError("accord.not-a-mapping", **fields, got=got)
            case "less_than_equal":
                return CallerError("accord.too-large", **fields, got=got, most=error["ctx"]["le"])
            case "greater_than_equal":
                return CallerError("accord.too-small", **fields, got=got, least=error["ctx"]["ge"])
            case reason if reason in REASONS:
                return self._refused(reason, path, error.get("ctx") or {})
        scalar = scalar_kind(kind)
        if scalar == "decimal" and _DECIMAL.fullmatch(str(error["input"])):
            return CallerError("accord.long-decimal", **fields, got=got)
        return CallerError("accord.wrong-value" if scalar == "other" else f"accord.not-{scalar}", **fields, got=got)

    def _refused(self, reason: str, path: Path, found: Mapping[str, Any]) -> CallerError:
        """What a record's own rule does not allow; the line is that of the clause it names, if it names one."""
        path = (*path, found["field"]) if "field" in found else path
        rest = {key: value for key, value in found.items() if key != "field"}
        place = {"source": self.tree.source, "line": self.tree.line(path), "where": _dotted(path) or _whole()}
        return CallerError(f"accord.{reason}", **place, **rest)


def _locate(loc: tuple[int | str, ...]) -> tuple[Path, Any, type[Record] | None]:
    """Where in the tree an error of pydantic lies, the type expected there, and the record around it.

    Between a field and what lies in it, pydantic puts the name of the variant; that is no step in the tree.
    """
    path: Path = ()
    kind: Any = Accord
    record: type[Record] | None = None
    for part in loc:
        records = records_in(kind)
        if isinstance(part, int) and (item := item_type(kind)) is not None:
            kind, path = item, (*path, part)
        elif len(records) > 1:
            kind = next((one for one in records if tag(one) == part), kind)
        elif records:
            record, path = records[0], (*path, part)
            kind = field_type(record, str(part)) if part in record.model_fields else None
    return path, kind, record


def _whole() -> str:
    return say("accord.whole")


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "keys: " + ", ".join(map(str, value)) if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value[:5])) + (", …]" if len(value) > 5 else "]")
    return "null" if value is None else f"'{str(value)[:80]}'"


def _stand_in(*purposes: Any) -> dict[str, str]:
    return {purpose: generate(purpose).public for purpose in purposes}


def _line_of(error: CallerError) -> int:
    line = error.fields["line"]
    return line if isinstance(line, int) else 0
