"""`data.yaml`: how a member's file becomes examples of the accord's task. It stays on the member's machine.

The accord names the labels; this file says which column holds what and which raw label is which. Its digest stands in
the data card, so a changed mapping is a new card.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from foedus.core.errors import CallerError
from foedus.core.files import read_text
from foedus.core.yaml import Tree, read_yaml
from foedus.records.base import ListOf, Name, Positive, Record, SetOf, Sparse, Text

__all__ = ["Columns", "DataMapping", "FeedbackFile", "Format", "PartFiles", "SpanKeys", "Split", "read_mapping"]

Format = Literal["csv", "tsv", "jsonl", "parquet", "conll", "datasets"]


class Columns(Record):
    """Which column holds what. Classification: `text`, `label`. Entities: `tokens`, `tags`, or `text`, `spans`.

    In CoNLL files a column is its number: "0" is the first, "-1" the last (the defaults for `tokens` and `tags`).
    `document` groups the examples that were written together; they stay in one part.
    """

    text: Text | None = None
    label: Text | None = None
    tokens: Text | None = None
    tags: Text | None = None
    spans: Text | None = None
    document: Text | None = None


class PartFiles(Record):
    """A file for each part. What is missing is taken out of `train`; `test` alone is an auditor's set."""

    train: Text | None = None
    validation: Text | None = None
    test: Text | None = None


class SpanKeys(Record):
    """The names of a span's fields in the `spans` column."""

    start: Text = "start"
    end: Text = "end"
    type: Text = "type"


class Split(Record):
    """How one file is cut, in percent. Rows alike in column `by` stay together (default: of one document or text)."""

    by: Text | None = None
    train: Positive = 70
    validation: Positive = 15
    test: Positive = 15

    @model_validator(mode="after")
    def _sums_to_hundred(self) -> Split:
        if (total := self.train + self.validation + self.test) != 100:
            raise ValueError(f"expected train + validation + test = 100, got {total}")
        return self


class FeedbackFile(Record):
    """Answers that users corrected, as `foedus data feedback` writes them: JSON Lines with `text` and `label`. They
    join the train part. `consent`: on what basis they may be learned from.
    """

    path: Text
    consent: Text


class DataMapping(Sparse):
    """The member's `data.yaml`.

    `labels` maps raw labels (or entity types) to the accord's; raw labels that already are the accord's need no line.
    Rows (or entities) with a label in `ignore` are left out. `tags`: `iob1` (also for ill-formed tags, read by the
    CoNLL rule), `iob2`, `bmes` (also BIOES) or `spans`. `level` is what one token of the file is, when that is not
    the accord's level.

    `ill_formed: repair` reads ill-formed tags by the CoNLL rule, and of spans over one another keeps the longest.
    """

    kind: ClassVar[str] = "data-mapping"
    later: ClassVar[frozenset[str]] = frozenset({"feedback"})

    data: Literal["foedus/v1"]
    name: Name
    path: Text | None = None
    parts: PartFiles | None = None
    format: Format | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: Text = "utf-8"
    columns: Columns = Field(default_factory=Columns)
    labels: dict[Text, Text] = Field(default_factory=dict)
    ignore: SetOf[Text] = ()
    empty: Literal["refuse", "skip"] = "refuse"
    tags: Literal["iob1", "iob2", "bmes", "spans"] | None = None
    level: Literal["word", "character"] | None = None
    ill_formed: Literal["refuse", "repair"] = "refuse"
    span_end: Literal["exclusive", "inclusive"] = "exclusive"
    span_keys: SpanKeys = Field(default_factory=SpanKeys)
    split: Split = Field(default_factory=Split)
    source: Text
    licence: Text
    consent: Text
    collected: Text | None = None
    languages: ListOf[Text] = ()
    description: Text | None = None
    feedback: FeedbackFile | None = None

    @model_validator(mode="after")
    def _names_its_files(self) -> DataMapping:
        if (self.path is None) == (self.parts is None):
            raise ValueError("expected either `path` or `parts`")
        if self.parts and not (self.parts.train or self.parts.test):
            raise ValueError("expected `parts` with `train`, or with `test` alone")
        if self.parts and not self.parts.train and self.parts.validation:
            raise ValueError("expected `parts` with `train` where there is `validation`")
        return self


def read_mapping(path: Path) -> DataMapping:
    """Read a `data.yaml`.

    Raises:
        CallerError: `files.…`, `yaml.…`, or `data.bad-mapping` with the line, what was expected and what stands there.
    """
    tree = read_yaml(read_text(path, limit_bytes=1 << 20), source=path.name)
    try:
        return DataMapping.model_validate(tree.value, context={"yaml": True})
    except ValidationError as error:
        raise _bad_mapping(tree, error) from error


def _bad_mapping(tree: Tree, error: ValidationError) -> CallerError:
    first: Any = error.errors()[0]
    place = tuple(first["loc"])
    where = ".".join(map(str, place)) or "data.yaml"
    expected = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = _fields(place[:-1])
        expected = f"one of {', '.join(known)}" if known else expected
    got = first["input"] if isinstance(first["input"], str) else where
    if first["type"] == "missing":
        got = f"no `{where}`"
    return CallerError(
        "data.bad-mapping", source=tree.source, line=tree.line(place), where=where, wanted=expected, got=str(got)[:200]
    )


def _fields(place: tuple[str | int, ...]) -> list[str]:
    """The fields of the record at a place of the mapping."""
    nested: dict[str, type[Record]] = {
        "columns": Columns, "feedback": FeedbackFile, "parts": PartFiles, "span_keys": SpanKeys, "split": Split,
    }  # fmt: skip
    kind = DataMapping if not place else nested.get(str(place[0]))
    return sorted(kind.model_fields) if kind else []
