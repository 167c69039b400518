"""YAML read as what its author sees: mappings, lists and text, each with the line where it stands.

Only the part of YAML 1.2 that means one thing is read. A scalar is its text (`no` is "no", `017` is "017"); whoever
knows the schema types it. Anchors, aliases, tags, merge keys, duplicate keys, empty values and several documents are
refused, with the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from foedus.core.errors import CallerError

__all__ = ["Path", "Tree", "read_yaml"]

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""

_DEPTH_LIMIT = 40


@dataclass(frozen=True, slots=True)
class Tree:
    """`value` holds dicts, lists and strings; `lines` the line (from 1) of the key or item at each path."""

    value: Any
    lines: Mapping[Path, int]
    source: str

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing above it that stands in the text."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(text: str, *, source: str) -> Tree:
    """The tree of one YAML document; `source` names it in errors.

    Raises:
        CallerError: `yaml.malformed`, `yaml.empty`, `yaml.several-documents`, `yaml.forbidden`, `yaml.duplicate-key`,
            `yaml.empty-value` or `yaml.too-deep`, each with the line.
    """
    reader = _Reader(text, source)
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise CallerError("yaml.malformed", source=source, line=line, got=error.problem or str(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CallerError("yaml.malformed", source=source, line=line, got=error.reason) from error
    return Tree(value, reader.lines, source)


class _Reader:
    """Builds the tree from the parser's events, so that nothing is resolved or typed on the way."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)

    def document(self) -> Any:
        next(self.events)  # the start of the stream
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            raise CallerError("yaml.empty", source=self.source)
        if isinstance(start, yaml.DocumentStartEvent) and start.tags:
            raise self.forbidden(start, "a tag directive")
        first = next(self.events)
        if isinstance(first, yaml.ScalarEvent) and first.style is None and not first.value:
            raise CallerError("yaml.empty", source=self.source)
        self.lines[()] = _line(first)
        value = self.value(first, ())
        next(self.events)  # the end of the document
        if not isinstance(after := next(self.events), yaml.StreamEndEvent):
            raise CallerError("yaml.several-documents", source=self.source, line=_line(after))
        return value

    def value(self, event: yaml.Event, path: Path) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self.forbidden(event, f"the alias *{event.anchor}")
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise self.forbidden(event, f"the anchor &{event.anchor}")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise self.forbidden(event, f"the tag {event.tag}")
        if len(path) > _DEPTH_LIMIT:
            raise CallerError("yaml.too-deep", source=self.source, line=_line(event), limit=_DEPTH_LIMIT)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        if not isinstance(event, yaml.ScalarEvent):
            raise self.forbidden(event, "something that is no mapping, list or text")
        if event.style is None and not event.value:
            where = ".".join(map(str, path))
            raise CallerError("yaml.empty-value", source=self.source, line=_line(event), where=where)
        return str(event.value)

    def mapping(self, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, path)
            if key in out:
                first = self.lines[*path, key]
                raise CallerError(
                    "yaml.duplicate-key", source=self.source, line=_line(event), key=key, first_line=first
                )
            self.lines[*path, key] = _line(event)
            out[key] = self.value(next(self.events), (*path, key))
        return out

    def key(self, event: yaml.Event, path: Path) -> str:
        if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            raise self.forbidden(event, "a key that is no text")
        key = self.value(event, path)
        if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.style is None:
            raise self.forbidden(event, "the merge key <<")
        return str(key)

    def sequence(self, path: Path) -> list[Any]:
        out: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            here = (*path, len(out))
            self.lines[here] = _line(event)
            out.append(self.value(event, here))
        return out

    def forbidden(self, event: yaml.Event, what: str) -> CallerError:
        return CallerError("yaml.forbidden", source=self.source, line=_line(event), got=what)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
