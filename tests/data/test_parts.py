"""Data as a member brings it: formats, mappings, split, commitment, card, and everything that can be wrong."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foedus.core.errors import CallerError
from foedus.core.messages import LANGUAGES, error_text
from foedus.data import Parts, Span, open_parts
from foedus.records import terms

KEY = b"a key that the member keeps for itself"
CLASSES = terms.TextClassification(labels=("card", "loan"))
ENTITIES = terms.TokenClassification(labels=("PER", "LOC"))
CHARACTERS = terms.TokenClassification(labels=("PER", "LOC"), level="character")
ROWS = [{"text": f"question {i}", "label": "card" if i % 3 else "loan"} for i in range(200)]
SENTENCES = [
    {"tokens": ["Ann", "saw", "New", "York", str(i)], "tags": ["B-PER", "O", "B-LOC", "I-LOC", "O"]} for i in range(99)
]
CLUENER = (
    "address", "book", "company", "game", "government", "movie", "name", "organization", "position", "scene",
)  # fmt: skip
HEAD = "data: foedus/v1\nname: test-set\nsource: made for a test\nlicence: CC0-1.0\nconsent: none needed\n"
CLASS_COLUMNS = "columns: {text: text, label: label}\n"


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Parts]:
    def call(yaml: str, task: Any = CLASSES, *, key: bytes = KEY, cell: int = 5) -> Parts:
        path = tmp_path / "data.yaml"
        path.write_text(HEAD + yaml, encoding="utf-8")
        return open_parts(path, task=task, member="bank-a", secret_key=key, smallest_cell=cell)

    return call


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows in the format that the file's name says."""
    name = path.name.removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if name.endswith(".tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def refused(code: str, call: Callable[[], object]) -> dict[str, Any]:
    with pytest.raises(CallerError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.exit_code == 2
    for lang in LANGUAGES:
        text = error_text(caught.value, lang=lang)
        assert text.expected
        assert text.got
        assert text.do
    return caught.value.fields


# ── formats ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.ndjson", "a.parquet"])
def test_every_format_gives_the_same_parts(tmp_path: Path, opened: Callable[..., Parts], name: str) -> None:
    write_rows(tmp_path / name, ROWS)
    write_rows(tmp_path / "reference.jsonl", list(reversed(ROWS)))
    parts = opened(CLASS_COLUMNS + f"path: {name}\n")
    reference = opened(CLASS_COLUMNS + "path: reference.jsonl\n")
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 200
    assert (parts.train, parts.commitments) == (reference.train, reference.commitments)


def test_a_folder_of_datasets_is_read_with_its_class_names(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is only an oracle here")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["card", "loan"])}
    )
    made = datasets.Dataset.from_list(ROWS, features=features)
    made.save_to_disk(tmp_path / "set")
    write_rows(tmp_path / "a.jsonl", ROWS)
    assert opened(CLASS_COLUMNS + "path: set\n").train == opened(CLASS_COLUMNS + "path: a.jsonl\n").train
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "several")
    fields = refused("data.several-splits", lambda: opened(CLASS_COLUMNS + "path: several\n"))
    assert fields["splits"] == "train, test"
    assert len(opened(CLASS_COLUMNS + "parts: {train: several/train, test: several/test}\n").test) == 200


def test_conll_columns_with_documents(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    text = ""
    for i in range(60):
        text += (
            f"-DOCSTART- -X- O O\n\nAnn NNP I-NP I-PER\nin IN I-PP O\nRome{i} NNP I-NP I-LOC\n\nPar NNP I-NP I-LOC\n\n"
        )
    (tmp_path / "a.conll").write_text(text)
    parts = opened("path: a.conll\ntags: iob1\n", ENTITIES)
    everyone = [*parts.train, *parts.validation, *parts.test]
    assert len(everyone) == 120
    first = next(example for example in everyone if "Rome0" in example.tokens)
    assert first.tokens == ("Ann", "in", "Rome0")
    assert first.spans == (Span(0, 1, "PER"), Span(2, 3, "LOC"))
    for document in {example.document for example in everyone}:
        holding = [
            part for part in (parts.train, parts.validation, parts.test) if document in {e.document for e in part}
        ]
        assert len(holding) == 1


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("iob2", ["B-PER", "O", "B-LOC", "I-LOC", "O"]),
        ("iob1", ["I-PER", "O", "I-LOC", "I-LOC", "O"]),
        ("bmes", ["S-PER", "O", "B-LOC", "E-LOC", "O"]),
    ],
)
def test_every_scheme_of_tags_gives_the_same_entities(
    tmp_path: Path, opened: Callable[..., Parts], scheme: str, tags: list[str]
) -> None:
    write_rows(tmp_path / "a.jsonl", [{**row, "tags": tags} for row in SENTENCES])
    parts = opened(f"path: a.jsonl\ntags: {scheme}\ncolumns: {{tokens: tokens, tags: tags}}\n", ENTITIES)
    assert {example.spans for example in parts.train} == {(Span(0, 1, "PER"), Span(2, 4, "LOC"))}


def test_character_spans_become_spans_of_words_or_characters(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    rows = [{"text": f"{i} Ann saw New York.", "spans": [[2 + (i > 9), 5 + (i > 9), "PER"]]} for i in range(60)]
    write_rows(tmp_path / "a.jsonl", rows)
    yaml = "path: a.jsonl\ncolumns: {text: text, spans: spans}\n"
    assert {example.spans for example in opened(yaml, ENTITIES).train} == {(Span(1, 2, "PER"),)}
    example = opened(yaml, CHARACTERS).train[0]
    start, end, _ = example.spans[0]
    assert "".join(example.tokens[start:end]) == "Ann"


def test_spans_in_other_spellings_are_read(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    rows = [
        {"text": f"叶老桂在北京{i}", "label": {"name": {"叶老桂": [[0, 2]]}, "LOC": {"北京": [[4, 5]]}}}
        for i in range(60)
    ]
    write_rows(tmp_path / "clue.jsonl", rows)
    yaml = "path: clue.jsonl\nspan_end: inclusive\nlabels: {name: PER}\ncolumns: {text: text, spans: label}\n"
    assert {example.spans for example in opened(yaml, CHARACTERS).train} == {(Span(0, 3, "PER"), Span(4, 6, "LOC"))}
    rows = [{"text": f"Ann {i}", "spans": json.dumps([{"from": 0, "to": 3, "kind": "PER"}])} for i in range(120)]
    write_rows(tmp_path / "keys.csv", rows)
    yaml = "path: keys.csv\nspan_keys: {start: from, end: to, type: kind}\ncolumns: {text: text, spans: spans}\n"
    assert {example.spans for example in opened(yaml, ENTITIES).train} == {(Span(0, 1, "PER"),)}


def test_words_are_cut_into_characters_where_the_accord_says_so(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    write_rows(tmp_path / "a.jsonl", SENTENCES)
    yaml = "path: a.jsonl\nlevel: word\ncolumns: {tokens: tokens, tags: tags}\n"
    assert {example.spans for example in opened(yaml, CHARACTERS).train} == {(Span(0, 3, "PER"), Span(6, 13, "LOC"))}
    yaml = yaml.replace("level: word", "level: character")
    refused("data.wrong-level", lambda: opened(yaml, ENTITIES))


def test_other_encodings_are_read_as_declared(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    lines = "\n".join(f"第{i}个问题,{'card' if i % 2 else 'loan'}" for i in range(80))
    (tmp_path / "a.csv").write_bytes(("text,label\n" + lines).encode("gb18030"))
    parts = opened(CLASS_COLUMNS + "path: a.csv\nencoding: gb18030\n")
    assert all(example.text.startswith("第") for example in parts.train)
    fields = refused("data.wrong-encoding", lambda: opened(CLASS_COLUMNS + "path: a.csv\n"))
    assert fields["line"] == 2
    refused("data.unknown-encoding", lambda: opened(CLASS_COLUMNS + "path: a.csv\nencoding: utf-16\n"))
    refused("data.unknown-encoding", lambda: opened(CLASS_COLUMNS + "path: a.csv\nencoding: klingon\n"))


# ── the split, the commitment, the card ──────────────────────────────────────


def test_the_split_is_the_members_secret_and_stays_when_the_file_grows(
    tmp_path: Path, opened: Callable[..., Parts]
) -> None:
    write_rows(tmp_path / "a.jsonl", ROWS)
    yaml = CLASS_COLUMNS + "path: a.jsonl\n"
    before, other = opened(yaml), opened(yaml, key=b"the key of another member")
    assert {e.text for e in before.test} != {e.text for e in other.test}
    assert before.commitments != other.commitments
    assert len(before.train) == pytest.approx(140, abs=20)
    write_rows(tmp_path / "a.jsonl", [*ROWS, {"text": "one more", "label": "card"}])
    after = opened(yaml)
    for part in ("train", "validation", "test"):
        assert {e.text for e in getattr(before, part)} <= {e.text for e in getattr(after, part)}
    assert after.commitments != before.commitments


def test_texts_that_are_the_same_stand_in_one_part(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    write_rows(tmp_path / "a.jsonl", [*ROWS, *({**row, "text": row["text"].upper() + "  "} for row in ROWS)])
    parts = opened(CLASS_COLUMNS + "path: a.jsonl\n")
    assert parts.card.across_parts == 0
    assert parts.card.duplicates == 200


def test_rows_of_one_customer_stay_together(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    write_rows(tmp_path / "a.csv", [{**row, "customer": f"c{i // 4}"} for i, row in enumerate(ROWS)])
    parts = opened(CLASS_COLUMNS + "path: a.csv\nsplit: {by: customer, train: 60, validation: 20, test: 20}\n")
    groups = [{int(e.text.split()[1]) // 4 for e in part} for part in (parts.train, parts.validation, parts.test)]
    assert len(set().union(*groups)) == 50
    assert sum(map(len, groups)) == 50


def test_given_parts_are_honoured_and_missing_ones_come_out_of_train(
    tmp_path: Path, opened: Callable[..., Parts]
) -> None:
    write_rows(tmp_path / "train.jsonl", ROWS[:120])
    write_rows(tmp_path / "dev.jsonl", ROWS[120:150])
    write_rows(tmp_path / "test.jsonl", ROWS[150:])
    all_three = opened(CLASS_COLUMNS + "parts: {train: train.jsonl, validation: dev.jsonl, test: test.jsonl}\n")
    assert [len(all_three.train), len(all_three.validation), len(all_three.test)] == [120, 30, 50]
    two = opened(CLASS_COLUMNS + "parts: {train: train.jsonl, test: test.jsonl}\n")
    assert len(two.train) + len(two.validation) == 120
    assert len(two.validation) > 5
    assert two.test == all_three.test
    auditor = opened(CLASS_COLUMNS + "parts: {test: test.jsonl}\n")
    assert (auditor.train, auditor.validation) == ((), ())
    assert auditor.test == all_three.test
    assert set(auditor.card.parts) == set(auditor.commitments) == {"test"}


def test_the_card_rounds_counts_and_withholds_small_cells(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    task = terms.TextClassification(labels=("a", "b", "c", "d"))
    rows = [
        {"text": f"{label} {i}", "label": label}
        for label, n in {"a": 41, "b": 22, "c": 8, "d": 3}.items()
        for i in range(n)
    ]
    for name in ("train", "validation", "test"):
        write_rows(tmp_path / f"{name}.jsonl", rows)
    files = "parts: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl}\n"
    card = opened(CLASS_COLUMNS + files, task, cell=5).card
    assert card.parts["train"].examples == 75
    assert card.parts["train"].labels == {"a": 40, "b": 20, "c": None, "d": None}  # c is the complement of d
    assert card.across_parts == 75
    assert card.parts["train"].tokens_median == 2
    two = opened(CLASS_COLUMNS + files, task, cell=9).card
    assert two.parts["train"].labels == {"a": 40, "b": 20, "c": None, "d": None}  # both are small: no complement
    assert card.member == "bank-a"
    assert type(card).from_bytes(card.to_bytes()) == card


def test_labels_are_mapped_and_ignored_ones_counted(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    rows = [{"text": f"t{i}", "label": ["1", "2", "9"][i % 3]} for i in range(300)]
    write_rows(tmp_path / "a.csv", rows)
    parts = opened(CLASS_COLUMNS + 'path: a.csv\nlabels: {"1": card, "2": loan}\nignore: ["9"]\n')
    assert {example.label for example in parts.train} == {"card", "loan"}
    assert parts.ignored == 100


# ── what can be wrong ────────────────────────────────────────────────────────


def good_lines() -> list[str]:
    return [json.dumps(row) for row in ROWS]


@pytest.mark.parametrize(
    ("third_line", "code", "got"),
    [
        ('{"text": "x", "label": ', "data.malformed-line", "no JSON"),
        ("[1, 2]", "data.malformed-line", "list"),
        ('{"text": "x"}', "data.missing-column", None),
        ('{"text": "", "label": "card"}', "data.empty-text", "''"),
        ('{"text": "  ", "label": "card"}', "data.empty-text", "'  '"),
        ('{"text": NaN, "label": "card"}', "data.empty-text", "missing"),
        ('{"text": "nan", "label": "card"}', "data.empty-text", "'nan'"),
        ('{"text": null, "label": "card"}', "data.empty-text", "missing"),
        ('{"text": "x", "label": NaN}', "data.empty-text", "missing"),
        ('{"text": 5, "label": "card"}', "data.bad-value", "5"),
        ('{"text": "x", "label": ["card"]}', "data.bad-value", "['card']"),
        (r'{"text": "\ud800", "label": "card"}', "data.bad-value", "ud800"),
        ('{"text": "x", "label": "mortgage"}', "data.unknown-label", "mortgage"),
        ('{"text": "' + "x" * 10_000_000 + '", "label": "card"}', "data.line-too-long", None),
    ],
)
def test_a_bad_row_is_named_with_its_line(
    tmp_path: Path, opened: Callable[..., Parts], third_line: str, code: str, got: str | None
) -> None:
    lines = good_lines()
    lines[2] = third_line
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    fields = refused(code, lambda: opened(CLASS_COLUMNS + "path: a.jsonl\n"))
    assert fields["line"] == 3
    assert str(fields["path"]).endswith("a.jsonl")
    assert got is None or got in fields["got"]


def test_empty_rows_are_skipped_and_counted_where_the_mapping_says_so(
    tmp_path: Path, opened: Callable[..., Parts]
) -> None:
    write_rows(tmp_path / "a.csv", [*ROWS, {"text": "", "label": "card"}, {"text": "x", "label": ""}])
    assert opened(CLASS_COLUMNS + "path: a.csv\nempty: skip\n").skipped_empty == 2


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("text,label\na,card\nb,card,loan\n", "data.malformed-line", 3),
        ('text,label\na,card\n"b"x,card\n', "data.malformed-line", 3),
        ('text,label\n"a\nb",card\n"open,card\nx,loan\n', "data.malformed-line", 4),
        ("text,label,text\na,card,b\n", "data.malformed-line", 1),
    ],
)
def test_a_torn_csv_row_is_named_with_its_line(
    tmp_path: Path, opened: Callable[..., Parts], text: str, code: str, line: int
) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert refused(code, lambda: opened(CLASS_COLUMNS + "path: a.csv\n"))["line"] == line


def test_a_missing_column_names_the_columns_there(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    write_rows(tmp_path / "a.csv", ROWS)
    write_rows(tmp_path / "a.parquet", ROWS)
    for name in ("a.csv", "a.parquet"):
        fields = refused(
            "data.missing-column", lambda n=name: opened(f"columns: {{text: question, label: label}}\npath: {n}\n")
        )
        assert fields["column"] == "question"
        assert set(fields["known"].split(", ")) == {"text", "label"}
    fields = refused("data.no-column-named", lambda: opened("columns: {text: text}\npath: a.csv\n"))
    assert fields["role"] == "label"


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_an_empty_file_is_refused(tmp_path: Path, opened: Callable[..., Parts], content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    refused("data.empty-file", lambda: opened(CLASS_COLUMNS + "path: a.csv\n"))


def test_files_that_are_absent_torn_or_of_another_format_are_refused(
    tmp_path: Path, opened: Callable[..., Parts]
) -> None:
    refused("data.missing-file", lambda: opened(CLASS_COLUMNS + "path: absent.csv\n"))
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    refused("data.unknown-format", lambda: opened(CLASS_COLUMNS + "path: a.xlsx\n"))
    whole = gzip.compress("\n".join(good_lines()).encode())
    for spoilt in (whole[: len(whole) // 2], b"not gzip", whole[:60] + b"\xff\xff" + whole[62:]):
        (tmp_path / "a.jsonl.gz").write_bytes(spoilt)
        refused("data.torn-archive", lambda: opened(CLASS_COLUMNS + "path: a.jsonl.gz\n"))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    refused("data.unreadable", lambda: opened(CLASS_COLUMNS + "path: a.parquet\n"))
    (tmp_path / "folder").mkdir()
    refused("data.unreadable", lambda: opened(CLASS_COLUMNS + "path: folder\n"))
    (tmp_path / "folder" / "state.json").write_text('{"_data_files": [{"filename": "../../secret"}]}')
    (tmp_path / "folder" / "dataset_info.json").write_text("{}")
    refused("data.unreadable", lambda: opened(CLASS_COLUMNS + "path: folder\n"))


@pytest.mark.parametrize(
    ("row", "scheme", "code"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "iob2", "data.bad-tags"),
        ({"tokens": ["a", "b"], "tags": ["O", "I-PER"]}, "iob2", "data.bad-tags"),
        ({"tokens": ["a", "b"], "tags": ["O", "PER"]}, "iob1", "data.bad-tags"),
        ({"tokens": ["a", "b"], "tags": ["B-PER", "O"]}, "bmes", "data.bad-tags"),
        ({"tokens": ["a", "b"], "tags": ["O", "B-PER"]}, "bmes", "data.bad-tags"),
        ({"tokens": ["a", "b"], "tags": ["O", "E-PER"]}, "bmes", "data.bad-tags"),
        ({"tokens": ["a", "b"], "tags": ["B-PER", "E-LOC"]}, "bmes", "data.bad-tags"),
        ({"tokens": ["a", "b"], "tags": ["O", "B-ORG"]}, "iob2", "data.unknown-label"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "iob2", "data.empty-text"),
        ({"tokens": [], "tags": []}, "iob2", "data.empty-text"),
        ({"tokens": [1.5], "tags": ["O"]}, "iob2", "data.bad-value"),
        ({"tokens": '["a"', "tags": "O"}, "iob2", "data.bad-value"),
    ],
)
def test_bad_tags_are_named_with_their_line(
    tmp_path: Path, opened: Callable[..., Parts], row: dict[str, Any], scheme: str, code: str
) -> None:
    write_rows(tmp_path / "a.jsonl", [row, *SENTENCES])
    yaml = f"path: a.jsonl\ntags: {scheme}\ncolumns: {{tokens: tokens, tags: tags}}\n"
    assert refused(code, lambda: opened(yaml, ENTITIES))["line"] == 1


@pytest.mark.parametrize(
    "spans",
    [
        [[0, 9, "PER"]],
        [[3, 3, "PER"]],
        [[-1, 2, "PER"]],
        [[0, 2]],
        [{"start": 0}],
        [[0, 4, "PER"], [2, 5, "LOC"]],
        [[2, 3, "PER"]],
    ],
)
def test_bad_spans_are_named_with_their_line(tmp_path: Path, opened: Callable[..., Parts], spans: list[Any]) -> None:
    write_rows(tmp_path / "a.jsonl", [{"text": "Al Bo", "spans": spans}])
    yaml = "path: a.jsonl\ncolumns: {text: text, spans: spans}\n"
    assert refused("data.bad-span", lambda: opened(yaml, ENTITIES))["line"] == 1


def test_ill_formed_tags_and_spans_are_mended_where_the_mapping_says_so(
    tmp_path: Path, opened: Callable[..., Parts]
) -> None:
    rows = [{"tokens": ["a", "b", str(i)], "tags": ["B-PER", "M-PER", "O"]} for i in range(60)]
    write_rows(tmp_path / "a.jsonl", rows)
    parts = opened("path: a.jsonl\ntags: bmes\nill_formed: repair\ncolumns: {tokens: tokens, tags: tags}\n", ENTITIES)
    assert {example.spans for example in parts.train} == {(Span(0, 2, "PER"),)}
    assert parts.repaired == 60
    rows = [{"text": f"Al Bo {i}", "spans": [[0, 2, "PER"], [0, 5, "LOC"]]} for i in range(60)]
    write_rows(tmp_path / "b.jsonl", rows)
    parts = opened("path: b.jsonl\nill_formed: repair\ncolumns: {text: text, spans: spans}\n", ENTITIES)
    assert {example.spans for example in parts.train} == {(Span(0, 2, "LOC"),)}
    assert parts.repaired == 60


def test_a_conll_line_with_other_columns_is_named(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    (tmp_path / "a.conll").write_text("Ann B-PER\nsaw\nRome B-LOC\n")
    assert refused("data.malformed-line", lambda: opened("path: a.conll\n", ENTITIES))["line"] == 2


def test_data_from_which_nothing_can_be_learnt_is_refused(tmp_path: Path, opened: Callable[..., Parts]) -> None:
    write_rows(tmp_path / "a.jsonl", [{**row, "label": "card"} for row in ROWS])
    assert refused("data.one-label", lambda: opened(CLASS_COLUMNS + "path: a.jsonl\n"))["got"] == "card"
    write_rows(tmp_path / "b.jsonl", [{**row, "tags": ["O"] * 5} for row in SENTENCES])
    refused("data.no-entities", lambda: opened("path: b.jsonl\ncolumns: {tokens: tokens, tags: tags}\n", ENTITIES))
    write_rows(tmp_path / "c.jsonl", ROWS[:12])
    fields = refused("data.too-few", lambda: opened(CLASS_COLUMNS + "path: c.jsonl\n"))
    assert fields["smallest_cell"] == 5


@pytest.mark.parametrize(
    ("yaml", "line", "where"),
    [
        ("path: a.csv\ncolumn: {text: text}\n", 7, "column"),
        ("path: a.csv\ncolumns: {test: text}\n", 7, "columns.test"),
        ("path: a.csv\nformat: excel\n", 7, "format"),
        ("path: a.csv\nsplit: {train: 70}\nparts: {train: b}\n", 1, "data.yaml"),
        ("path: a.csv\nsplit: {train: 80}\n", 7, "split"),
        ("path: a.csv\nsplit: {train: 70.5}\n", 7, "split.train"),
        ("parts: {validation: a.csv}\n", 1, "data.yaml"),
        ("description: no file\n", 1, "data.yaml"),
    ],
)
def test_a_bad_mapping_is_named_with_its_line(opened: Callable[..., Parts], yaml: str, line: int, where: str) -> None:
    fields = refused("data.bad-mapping", lambda: opened(yaml))
    assert (fields["line"], fields["where"]) == (line, where)


def test_a_mapping_without_licence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(HEAD.replace("licence: CC0-1.0\n", "") + "path: a.csv\n")
    fields = refused(
        "data.bad-mapping",
        lambda: open_parts(tmp_path / "data.yaml", task=CLASSES, member="a", secret_key=KEY, smallest_cell=5),
    )
    assert fields["where"] == "licence"


# ── real data ────────────────────────────────────────────────────────────────

real = pytest.mark.skipif("FOEDUS_DATA" not in os.environ, reason="FOEDUS_DATA names no folder of research data sets")


@real
def test_conll_2003_has_the_published_number_of_entities(opened: Callable[..., Parts]) -> None:
    folder = Path(os.environ["FOEDUS_DATA"]) / "conll2003"
    yaml = (
        f"parts: {{train: {folder}/train.jsonl.gz, validation: {folder}/dev.jsonl.gz, test: {folder}/test.jsonl.gz}}\n"
    )
    yaml += "tags: iob1\ncolumns: {tokens: tokens, tags: tags, document: doc}\n"
    task = terms.TokenClassification(labels=("LOC", "MISC", "ORG", "PER"))
    parts = opened(yaml, task)
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [14041, 3250, 3453]
    counts = [sum(s.type == kind for e in parts.test for s in e.spans) for kind in task.labels]
    assert counts == [1668, 702, 1661, 1617]  # Tjong Kim Sang and De Meulder 2003, Table 2


@real
@pytest.mark.parametrize(
    ("name", "yaml", "task", "train"),
    [
        (
            "cluener2020_zh",
            "span_end: inclusive\nill_formed: repair\ncolumns: {text: text, spans: label}\n"
            "parts: {train: %s/train.jsonl.gz, test: %s/dev.jsonl.gz}\n",
            terms.TokenClassification(
                labels=CLUENER,
                level="character",
            ),
            9109,
        ),
        (
            "resume_ner_zh",
            "tags: bmes\nill_formed: repair\ncolumns: {tokens: tokens, tags: tags}\n"
            "parts: {train: %s/train.jsonl.gz, validation: %s/dev.jsonl.gz, test: %s/test.jsonl.gz}\n",
            terms.TokenClassification(
                labels=("CONT", "EDU", "LOC", "NAME", "ORG", "PRO", "RACE", "TITLE"), level="character"
            ),
            3821,
        ),
        (
            "financial_phrasebank",
            "columns: {text: text, label: label}\npath: %s/all_50agree.jsonl.gz\n",
            terms.TextClassification(labels=("negative", "neutral", "positive")),
            3388,
        ),
    ],
)
def test_real_sets_open(opened: Callable[..., Parts], name: str, yaml: str, task: Any, train: int) -> None:
    parts = opened(yaml.replace("%s", f"{os.environ['FOEDUS_DATA']}/{name}"), task)
    assert len(parts.train) == pytest.approx(train, abs=60)
    assert parts.card.parts["test"].examples > 400
