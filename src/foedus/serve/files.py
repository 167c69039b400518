"""A whole file answered: rows in, the same rows with their answers out, a few hundred at a time.

CSV, TSV and JSON Lines, also gzipped. A row keeps its columns and gains `predicted` and `probability`, for entities
`entities` and `probability`, or `error` where its text is empty. The output is there whole or not at all.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from foedus.core.errors import CallerError, RunError
from foedus.data.mapping import Columns, DataMapping
from foedus.data.rows import read_rows
from foedus.serve.predict import Answered, Predictor, Question

__all__ = ["Told", "answered_rows", "format_of", "lines_in", "predict_file", "rows_of"]

Format = Literal["csv", "tsv", "jsonl"]
_CHUNK = 512
_BATCH = 32
_ADDED = ("predicted", "entities", "probability", "error")


@dataclass(frozen=True, slots=True)
class Told:
    """How many rows were read, and how many of them could not be answered."""

    rows: int
    refused: int


def rows_of(path: Path, column: str) -> Iterator[dict[str, Any]]:
    """The rows of a file, each with a text in `column`.

    Raises:
        CallerError: `data.missing-column`, `data.bad-value`; as `foedus.data.rows.read_rows`.
    """
    format_of(path)
    columns = Columns(text=column)
    mapping = DataMapping(
        data="foedus/v1", name="asked", path=str(path), columns=columns, source="-", licence="-", consent="-"
    )
    for row in read_rows(path, mapping):
        if column not in row.values:
            known = ", ".join(map(str, list(row.values)[:20]))
            raise CallerError("data.missing-column", path=str(path), line=row.line, column=column, known=known)
        text = row.values[column]
        if text is not None and not isinstance(text, str):
            raise CallerError("data.bad-value", path=str(path), line=row.line, column=column, got=ascii(text)[:100])
        yield {**row.values, column: text or ""}


def format_of(path: Path) -> Format:
    """What a file's name says that it is; CallerError `serve.unknown-format`."""
    known: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in known:
        raise CallerError("serve.unknown-format", path=str(path), known=", ".join(known))
    return known[suffix]


def lines_in(path: Path) -> int:
    """How many lines a file has: about as many as it has rows, for a bar that shows how far one is."""
    opener = gzip.open if path.name.endswith(".gz") else open
    with suppress(OSError, EOFError), opener(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return 0


def answered_rows(predictor: Predictor, path: Path, *, column: str = "text") -> Iterator[list[dict[str, Any]]]:
    """The rows with their answers, in their order, some hundreds at a time. Raises as `rows_of`; CallerError
    `serve.column-taken`.
    """
    for rows in _chunks(rows_of(path, column)):
        if taken := [name for name in _ADDED if name in rows[0]]:
            raise CallerError("serve.column-taken", path=str(path), column=taken[0])
        found = _answers(predictor, [row[column] for row in rows])
        yield [{**row, **_told(one)} for row, one in zip(rows, found, strict=True)]


def _answers(predictor: Predictor, texts: Sequence[str]) -> list[Answered | None]:
    """An answer for each text, None for an empty one; texts of like length are asked together."""
    found: list[Answered | None] = [None] * len(texts)
    order = sorted((i for i, text in enumerate(texts) if text.strip()), key=lambda i: len(texts[i]))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        for i, one in zip(chosen, predictor.answer([Question(texts[i]) for i in chosen]), strict=True):
            found[i] = one
    return found


def _told(one: Answered | None) -> dict[str, Any]:
    if one is None:
        return {"error": "serve.empty-text"}
    sure = round(one.confidence, 6)
    if "label" in one.answer:
        return {"predicted": one.answer["label"], "probability": sure}
    return {"entities": one.answer["entities"], "probability": sure}


def _chunks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


# ── out ──────────────────────────────────────────────────────────────────────


def predict_file(
    predictor: Predictor,
    path: Path,
    out: Path | IO[str],
    *,
    column: str = "text",
    advance: Callable[[int], None] = lambda _rows: None,
) -> Told:
    """Answer every row of a file into another, or into an open text stream (in the form of the file that is read).

    `advance` hears how many rows are done.

    Raises:
        CallerError: as `answered_rows`; `serve.unknown-format` for the name of `out`; `serve.same-file`.
        RunError: `files.cannot-write`.
    """
    if not isinstance(out, Path):
        return _write(answered_rows(predictor, path, column=column), out, format_of(path), predictor, advance)
    form = format_of(out)
    if out.exists() and out.samefile(path):
        raise CallerError("serve.same-file", path=str(path))
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _opened(temporary, zipped=out.name.endswith(".gz")) as file:
            told = _write(answered_rows(predictor, path, column=column), file, form, predictor, advance)
        temporary.replace(out)
    except OSError as error:
        raise RunError("files.cannot-write", path=str(out), reason=error.strerror or str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return told


def _opened(path: Path, *, zipped: bool) -> IO[str]:
    if zipped:
        return io.TextIOWrapper(gzip.GzipFile(path, "wb", mtime=0), encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _write(
    chunks: Iterator[list[dict[str, Any]]],
    file: IO[str],
    form: Format,
    predictor: Predictor,
    advance: Callable[[int], None],
) -> Told:
    rows = refused = 0
    table: csv.DictWriter[str] | None = None
    answer = "predicted" if predictor.model.task.model_class == "AutoModelForSequenceClassification" else "entities"
    for chunk in chunks:
        if form != "jsonl" and table is None:
            first = [name for name in chunk[0] if name not in _ADDED]
            tabs = "\t" if form == "tsv" else ","
            names = [*first, answer, "probability", "error"]
            table = csv.DictWriter(file, names, delimiter=tabs, lineterminator="\n", extrasaction="ignore")
            table.writeheader()
        for row in chunk:
            if table is None:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                table.writerow({key: _cell(value) for key, value in row.items()})
        rows += len(chunk)
        refused += sum("error" in row for row in chunk)
        advance(rows)
    return Told(rows, refused)


def _cell(value: Any) -> Any:
    """A value as a cell: lists and objects as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
