"""From rows to examples of the accord's task: columns looked up, labels mapped, tags and spans brought to one form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foedus.core.errors import CallerError
from foedus.core.messages import say
from foedus.data.examples import Example, Span, repaired, spans_of_bmes, spans_of_iob1, spans_of_iob2, words_of
from foedus.data.mapping import DataMapping
from foedus.data.rows import Row, format_of, read_rows
from foedus.records import terms

__all__ = ["Loaded", "load_file"]

_READ_TAGS = {"iob1": spans_of_iob1, "iob2": spans_of_iob2, "bmes": spans_of_bmes}


@dataclass(slots=True)
class Loaded:
    """The examples of one file in its order, each with its value of `split.by`, and how many rows were left out."""

    examples: list[tuple[Example, str | None]] = field(default_factory=list)
    skipped_empty: int = 0
    ignored: int = 0
    repaired: int = 0


def load_file(path: Path, mapping: DataMapping, task: terms.Task) -> Loaded:
    """All examples of one file.

    Raises:
        CallerError: what `read_rows` raises; `data.missing-column`, `data.no-column-named`, `data.empty-text`,
            `data.bad-value`, `data.unknown-label`, `data.bad-tags`, `data.bad-span`, `data.wrong-level`,
            `data.empty-file` when nothing is left.
    """
    loaded = Loaded()
    for example, key in _examples(path, mapping, task, loaded):
        loaded.examples.append((example, key))
    if not loaded.examples:
        raise CallerError("data.empty-file", path=str(path))
    return loaded


def _examples(
    path: Path, mapping: DataMapping, task: terms.Task, loaded: Loaded
) -> Iterator[tuple[Example, str | None]]:
    conll = path.exists() and format_of(path, mapping) == "conll"
    reader = _Reader(mapping, task, conll=conll)
    for row in read_rows(path, mapping):
        try:
            example = reader.example(row)
        except _EmptyTextError as empty:
            if mapping.empty == "refuse":
                raise CallerError(
                    "data.empty-text", path=str(row.path), line=row.line, column=empty.column, got=empty.got
                ) from None
            loaded.skipped_empty += 1
            continue
        if example is None:
            loaded.ignored += 1
            continue
        loaded.repaired = reader.repaired
        yield example, _scalar(row, mapping.split.by) if mapping.split.by else None


class _EmptyTextError(Exception):
    def __init__(self, column: str, got: str) -> None:
        super().__init__(column, got)
        self.column, self.got = column, got


class _Reader:
    """What a mapping and a task make of a row."""

    def __init__(self, mapping: DataMapping, task: terms.Task, *, conll: bool) -> None:
        self.mapping, self.task = mapping, task
        columns = mapping.columns
        self.tokens = columns.tokens or ("0" if conll else None)
        self.tags = columns.tags or ("-1" if conll else None)
        self.document = columns.document or ("document" if conll else None)
        self.labels = frozenset(task.labels)
        self.repaired = 0

    def example(self, row: Row) -> Example | None:
        """The example of a row; None when its label is one to ignore."""
        document = self._document(row)
        if isinstance(self.task, terms.TextClassification):
            text = _text(row, _named(self.mapping.columns.text, "text", row))
            raw = _scalar(row, _named(self.mapping.columns.label, "label", row))
            label = self._label(row, raw)
            return None if label is None else Example(text, label=label, document=document)
        if self.mapping.columns.spans or self.mapping.tags == "spans":
            return self._from_spans(row, document)
        return self._from_tags(row, document)

    def _document(self, row: Row) -> str | None:
        if self.document is None or (not self.mapping.columns.document and "document" not in row.values):
            return None
        return _scalar(row, self.document)

    def _label(self, row: Row, raw: str) -> str | None:
        if raw in self.mapping.ignore:
            return None
        label = self.mapping.labels.get(raw, raw)
        if label not in self.labels:
            raise CallerError(
                "data.unknown-label", path=str(row.path), line=row.line, got=raw, known=_few(self.task.labels)
            )
        return label

    def _typed(self, row: Row, spans: list[Span]) -> tuple[Span, ...]:
        """Spans with the accord's types, in order, without those to ignore."""
        mapped = [Span(s.start, s.end, kind) for s in spans if (kind := self._label(row, s.type)) is not None]
        return tuple(sorted(mapped))

    # ── tokens and tags ──

    def _from_tags(self, row: Row, document: str | None) -> Example:
        tokens_column = _named(self.tokens, "tokens", row)
        tags_column = _named(self.tags, "tags", row)
        tokens, tags = _list(row, tokens_column), _list(row, tags_column)
        if not tokens or any(not token.strip() for token in tokens):
            raise _EmptyTextError(tokens_column, say("data.got.empty-token" if tokens else "data.got.no-tokens"))
        if len(tokens) != len(tags):
            raise CallerError(
                "data.bad-tags",
                path=str(row.path),
                line=row.line,
                wanted=f"one tag for each of {len(tokens)} tokens",
                got=f"{len(tags)} tags",
            )
        style = self.mapping.tags or "iob2"
        try:
            spans = _READ_TAGS[style](tags)
        except ValueError as error:
            if self.mapping.ill_formed == "refuse":
                raise CallerError(
                    "data.bad-tags",
                    path=str(row.path),
                    line=row.line,
                    wanted=f"well-formed {style} tags",
                    got=str(error),
                ) from error
            self.repaired += 1
            spans = repaired(tags)
        tokens, spans = self._at_level(row, tokens, spans)
        joiner = "" if self.level == "character" else " "
        return Example(joiner.join(tokens), tokens=tuple(tokens), spans=self._typed(row, spans), document=document)

    @property
    def level(self) -> str:
        """The accord's level."""
        return "word" if isinstance(self.task, terms.TextClassification) else self.task.level

    def _at_level(self, row: Row, tokens: list[str], spans: list[Span]) -> tuple[list[str], list[Span]]:
        given = self.mapping.level or self.level
        if given == self.level:
            return tokens, spans
        if self.level == "word":
            raise CallerError("data.wrong-level", path=str(row.path), line=row.line)
        offsets = [0]
        for token in tokens:
            offsets.append(offsets[-1] + len(token))
        return list("".join(tokens)), [Span(offsets[s.start], offsets[s.end], s.type) for s in spans]

    # ── text and character spans ──

    def _from_spans(self, row: Row, document: str | None) -> Example:
        text = _text(row, _named(self.mapping.columns.text, "text", row), strip=False)
        column = _named(self.mapping.columns.spans, "spans", row)
        spans = sorted(self._spans(row, _value(row, column)))
        for span in spans:
            if not 0 <= span.start < span.end <= len(text):
                raise self._bad_span(row, _placed("beyond", span, length=len(text)))
        words = [(sign, at) for at, sign in enumerate(text)] if self.level == "character" else words_of(text)
        kept = self._typed(row, spans)
        over = self._apart(row, [self._over(row, span, words) for span in kept])
        return Example(text, tokens=tuple(word for word, _ in words), spans=over, document=document)

    def _apart(self, row: Row, spans: list[Span]) -> tuple[Span, ...]:
        """Spans of which none lies over another: as they are, or with `ill_formed: repair` the longest first."""
        kept: list[Span] = []
        for span in sorted(spans, key=lambda span: (span.start - span.end, span)):
            other = next((one for one in kept if span.start < one.end and one.start < span.end), None)
            if other is None:
                kept.append(span)
            elif self.mapping.ill_formed == "refuse":
                raise self._bad_span(row, say(f"data.got.same-{self.level}", first=other.type, second=span.type))
        self.repaired += len(kept) < len(spans)
        return tuple(sorted(kept))

    def _over(self, row: Row, span: Span, words: list[tuple[str, int]]) -> Span:
        """A span of characters as the span of the words that it touches."""
        touched = [i for i, (word, at) in enumerate(words) if at < span.end and span.start < at + len(word)]
        if not touched:
            raise self._bad_span(row, _placed("white-space", span))
        return Span(touched[0], touched[-1] + 1, span.type)

    def _spans(self, row: Row, value: Any) -> Iterator[Span]:
        if isinstance(value, str):
            try:
                value = json.loads(value or "[]")
            except ValueError as error:
                raise self._bad_span(row, say("data.got.not-json")) from error
        if isinstance(value, dict):
            # {type: {surface: [[start, end], …]}}, as CLUENER writes it
            value = [
                [start, end, kind]
                for kind, surfaces in value.items()
                for places in (surfaces or {}).values()
                for start, end in places or ()
            ]
        last = 1 if self.mapping.span_end == "inclusive" else 0
        keys = self.mapping.span_keys
        for item in value or ():
            match [item.get(keys.start), item.get(keys.end), item.get(keys.type)] if isinstance(item, dict) else item:
                case [int(start), int(end), str(kind)]:
                    yield Span(start, end + last, kind)
                case _:
                    raise self._bad_span(row, json.dumps(item, ensure_ascii=False, default=str)[:100])

    def _bad_span(self, row: Row, got: str) -> CallerError:
        return CallerError("data.bad-span", path=str(row.path), line=row.line, got=got)


# ── values ───────────────────────────────────────────────────────────────────


def _named(column: str | None, role: str, row: Row) -> str:
    if column is None:
        raise CallerError("data.no-column-named", role=role, known=_few(row.values))
    return column


def _value(row: Row, column: str) -> Any:
    if column not in row.values:
        raise CallerError(
            "data.missing-column", path=str(row.path), line=row.line, column=column, known=_few(row.values)
        )
    return row.values[column]


def _placed(what: str, span: Span, length: int = 0) -> str:
    return say(f"data.got.{what}", type=span.type, start=span.start, end=span.end, length=length)


def _text(row: Row, column: str, *, strip: bool = True) -> str:
    """A text that says something. `nan` is what is left of a missing value: it counts as empty."""
    value = _value(row, column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise _EmptyTextError(column, say("data.got.missing"))
    if not isinstance(value, str):
        raise _bad_value(row, column, value)
    if not value.strip() or value.strip() in ("nan", "NaN"):
        raise _EmptyTextError(column, repr(value[:20]))
    return _utf8(row, column, value.strip() if strip else value.rstrip())


def _scalar(row: Row, column: str) -> str:
    """A label or key as text."""
    value = _value(row, column)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        raise _EmptyTextError(column, say("data.got.missing"))
    if not isinstance(value, str | int | float):
        raise _bad_value(row, column, value)
    return _utf8(row, column, str(value).strip())


def _list(row: Row, column: str) -> list[str]:
    """A list of texts; a cell of text is a JSON list or is cut at white space."""
    value = _value(row, column)
    if isinstance(value, str):
        if value.startswith("["):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise _bad_value(row, column, value) from error
        else:
            value = value.split()
    if not isinstance(value, list) or not all(isinstance(item, str | int) for item in value):
        raise _bad_value(row, column, value)
    return [_utf8(row, column, str(item)) for item in value]


def _utf8(row: Row, column: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _bad_value(row, column, text) from None
    return text


def _bad_value(row: Row, column: str, value: Any) -> CallerError:
    got = ascii(value)[:100]
    return CallerError("data.bad-value", path=str(row.path), line=row.line, column=column, got=got)


def _few(names: Any) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:20]) + (f", … ({len(listed)})" if len(listed) > 20 else "")
