"""Rows with the line where each begins: CSV, TSV, JSON Lines, CoNLL columns, Parquet, a `datasets` folder.

CSV, TSV, JSON Lines and CoNLL files may be gzipped. A line longer than `LINE_LIMIT` bytes, a byte that is not of the
declared encoding, a torn archive or a torn line is an error that names file and line; nothing is skipped in silence.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foedus.core.errors import CallerError
from foedus.core.messages import say
from foedus.data.mapping import DataMapping, Format

__all__ = ["LINE_LIMIT", "Row", "read_rows"]

LINE_LIMIT = 1 << 20
_BY_SUFFIX: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".bmes": "conll",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column name, and its line (or, in Parquet and `datasets`, its number from 1)."""

    path: Path
    line: int
    values: dict[str, Any]


def read_rows(path: Path, mapping: DataMapping) -> Iterator[Row]:
    """The rows of one file or `datasets` folder.

    Raises:
        CallerError: `data.missing-file`, `data.unknown-format`, `data.empty-file`, `data.wrong-encoding`,
            `data.unknown-encoding`, `data.line-too-long`, `data.torn-archive`, `data.malformed-line`,
            `data.unreadable`, `data.several-splits`.
    """
    if not path.exists():
        raise CallerError("data.missing-file", path=str(path))
    read = {
        "csv": _csv,
        "tsv": _csv,
        "jsonl": _jsonl,
        "conll": _conll,
        "parquet": _parquet,
        "datasets": _datasets,
    }[format_of(path, mapping)]
    empty = True
    for row in read(path, mapping):
        empty = False
        yield row
    if empty:
        raise CallerError("data.empty-file", path=str(path))


def format_of(path: Path, mapping: DataMapping) -> Format:
    """The declared format, else the one of the file's name; CallerError `data.unknown-format`."""
    if mapping.format:
        return mapping.format
    if path.is_dir():
        return "datasets"
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise CallerError("data.unknown-format", path=str(path), known=", ".join(sorted(_BY_SUFFIX)))
    return _BY_SUFFIX[suffix]


def _malformed(path: Path, line: int, got: object) -> CallerError:
    return CallerError("data.malformed-line", path=str(path), line=line, got=str(got)[:200])


# ── text ─────────────────────────────────────────────────────────────────────


def _lines(path: Path, mapping: DataMapping) -> Iterator[tuple[int, str]]:
    """Each line with its number, decoded."""
    encoding = mapping.encoding
    try:
        single_byte_newline = "\n".encode(encoding) == b"\n"
    except (LookupError, UnicodeError):
        single_byte_newline = False
    if not single_byte_newline:
        raise CallerError("data.unknown-encoding", path=str(path), encoding=encoding)
    opener = gzip.open if path.name.endswith(".gz") else open
    number = 0
    try:
        with opener(path, "rb") as file:
            while data := file.readline(LINE_LIMIT + 1):
                number += 1
                if len(data) > LINE_LIMIT:
                    raise CallerError("data.line-too-long", path=str(path), line=number, limit_bytes=LINE_LIMIT)
                if number == 1 and encoding.lower() in ("utf-8", "utf8"):
                    data = data.removeprefix(codecs.BOM_UTF8)
                yield number, data.decode(encoding)
    except UnicodeDecodeError as error:
        got = error.object[error.start : error.start + 1].hex()
        raise CallerError("data.wrong-encoding", path=str(path), line=number, encoding=encoding, got=got) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CallerError("data.torn-archive", path=str(path), line=number + 1, got=say("data.got.torn")) from error
    except OSError as error:
        raise CallerError("data.unreadable", path=str(path), got=error.strerror or str(error)) from error


def _csv(path: Path, mapping: DataMapping) -> Iterator[Row]:
    tabs = format_of(path, mapping) == "tsv"
    delimiter = mapping.delimiter or ("\t" if tabs else ",")
    reader = csv.reader((text for _, text in _lines(path, mapping)), delimiter=delimiter, strict=True)
    names: list[str] = []
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            opened = "unexpected end" in str(error)
            raise _malformed(path, line, say("data.got.open-quote" if opened else "data.got.not-csv")) from error
        if cells is None:
            return
        if not names:
            names = [cell.strip() for cell in cells]
            if doubled := sorted({name for name in names if names.count(name) > 1}):
                raise _malformed(path, line, say("data.got.column-twice", column=doubled[0]))
        elif cells:
            if len(cells) != len(names):
                raise _malformed(path, line, say("data.got.cells", cells=len(cells), names=len(names)))
            yield Row(path, line, dict(zip(names, cells, strict=True)))
        line = reader.line_num + 1


def _jsonl(path: Path, mapping: DataMapping) -> Iterator[Row]:
    for line, text in _lines(path, mapping):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _malformed(path, line, say("data.got.not-json")) from error
        if not isinstance(value, dict):
            raise _malformed(path, line, say("data.got.no-object", kind=type(value).__name__))
        yield Row(path, line, value)


def _conll(path: Path, mapping: DataMapping) -> Iterator[Row]:
    """A sentence a row; columns are "0", "1", … and "-1" for the last; `document` counts -DOCSTART- lines."""
    sentence: list[list[str]] = []
    begin, document, width = 1, 0, 0

    def row() -> Row:
        columns: dict[str, Any] = {str(i): [cells[i] for cells in sentence] for i in range(width)}
        columns["-1"] = columns[str(width - 1)]
        if document:
            columns["document"] = str(document)
        return Row(path, begin, columns)

    for line, text in _lines(path, mapping):
        cells = text.rstrip("\r\n").split(mapping.delimiter)
        starts_document = cells[:1] == ["-DOCSTART-"]
        if sentence and (starts_document or not text.strip()):
            yield row()
            sentence = []
        if starts_document:
            document += 1
        elif text.strip():
            width = width or len(cells)
            if len(cells) != width or width < 2:
                raise _malformed(path, line, say("data.got.columns", got=len(cells), expected=max(width, 2)))
            begin = begin if sentence else line
            sentence.append(cells)
    if sentence:
        yield row()


# ── Arrow ────────────────────────────────────────────────────────────────────


def _parquet(path: Path, mapping: DataMapping) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    wanted = _wanted(mapping)
    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name in wanted] or file.schema_arrow.names[:1]
        others = dict.fromkeys(name for name in file.schema_arrow.names if name not in names)
        for batch in file.iter_batches(batch_size=1024, columns=names):
            for values in batch.to_pylist():
                number += 1
                yield Row(path, number, {**others, **values})
    except (pyarrow.ArrowException, OSError) as error:
        raise CallerError("data.unreadable", path=str(path), got=str(error).splitlines()[0][:200]) from error


def _datasets(path: Path, _: DataMapping) -> Iterator[Row]:
    """The Arrow files of a folder that `Dataset.save_to_disk` wrote; class numbers become class names."""
    import pyarrow

    if (path / "dataset_dict.json").is_file():
        splits = ", ".join(_json_file(path / "dataset_dict.json").get("splits", []))
        raise CallerError("data.several-splits", path=str(path), splits=splits)
    state, info = _json_file(path / "state.json"), _json_file(path / "dataset_info.json")
    names = {column: found for column, kind in (info.get("features") or {}).items() if (found := _class_names(kind))}
    number = 0
    for item in state.get("_data_files", []):
        file = str(item.get("filename", ""))
        if Path(file).name != file or not (path / file).is_file():
            raise CallerError("data.unreadable", path=str(path / file), got=say("data.got.no-arrow-file"))
        try:
            with pyarrow.memory_map(str(path / file)) as source, pyarrow.ipc.open_stream(source) as stream:
                for batch in stream:
                    for values in batch.to_pylist():
                        number += 1
                        named = {key: _named(value, names.get(key)) for key, value in values.items()}
                        yield Row(path, number, named)
        except (pyarrow.ArrowException, OSError) as error:
            raise CallerError("data.unreadable", path=str(path / file), got=str(error).splitlines()[0][:200]) from error


def _wanted(mapping: DataMapping) -> set[str]:
    columns = {value for value in mapping.columns.model_dump().values() if value}
    return columns | ({mapping.split.by} if mapping.split.by else set())


def _json_file(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CallerError("data.unreadable", path=str(path), got=str(error)[:200]) from error
    if not isinstance(value, dict):
        raise CallerError("data.unreadable", path=str(path), got=say("data.got.no-json-object"))
    return value


def _class_names(feature: Any) -> list[str] | None:
    """The names of a ClassLabel, or of a list of them."""
    if isinstance(feature, list) and feature:
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel":
        return [str(name) for name in feature.get("names", [])]
    return _class_names(feature.get("feature"))


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
