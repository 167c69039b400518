"""Whole files: every row with its answer, in order, in bounded memory; and int8 compared on labelled rows."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foedus.core.errors import CallerError
from foedus.serve import files
from foedus.serve.int8 import compare, in_int8
from foedus.serve.predict import Predictor, Question
from practised import LABELS, bundle, foedus
from served import TEXTS, admitted, first


def rows(count: int) -> list[dict[str, str]]:
    return [{"id": str(i), "text": TEXTS[i % 3] * (1 + i % 5)} for i in range(count)]


def write_csv(path: Path, given: list[dict[str, str]]) -> Path:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(given[0]))
        table.writeheader()
        table.writerows(given)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
@pytest.mark.parametrize("out", ["out.csv", "out.jsonl", "out.jsonl.gz"])
def test_every_row_keeps_its_columns_and_gains_its_answer(tmp_path: Path, name: str, out: str) -> None:
    given = rows(70)
    predictor, heard = admitted().predictor, []
    source, target = write_csv(tmp_path / name, given), tmp_path / out
    told = files.predict_file(predictor, source, target, advance=heard.append)
    assert (told.rows, told.refused, heard) == (70, 0, [70])
    if out.startswith("out.csv"):
        found: list[dict[str, Any]] = list(read_csv(target))
    else:
        text = gzip.decompress(target.read_bytes()) if out.endswith("gz") else target.read_bytes()
        found = [json.loads(line) for line in text.splitlines()]
    assert [{"id": row["id"], "text": row["text"]} for row in found] == given
    expected = predictor.predict([row["text"] for row in given])
    assert [row["predicted"] for row in found] == [one["label"] for one in expected]
    sure = [float(row["probability"]) for row in found]
    assert sure == pytest.approx([one["probability"] for one in expected], abs=1e-4)


def test_a_row_without_a_text_is_told_and_the_others_are_answered(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    lines = [{"text": TEXTS[0]}, {"text": "  "}, {"text": None}, {"text": TEXTS[1], "more": [1, {"a": "é"}]}]
    source.write_text("\n".join(json.dumps(line) for line in lines))
    told = files.predict_file(admitted().predictor, source, tmp_path / "out.jsonl")
    assert (told.rows, told.refused) == (4, 2)
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row.get("error") for row in found] == [None, "serve.empty-text", "serve.empty-text", None]
    assert found[3]["more"] == [1, {"a": "é"}]


def test_an_entitys_row_holds_its_entities_as_json(tmp_path: Path) -> None:
    entities = [{"text": "A", "start": 0, "end": 1, "type": "ORG"}]

    class Tagger:
        class model:  # noqa: N801 - as a predictor has it
            class task:  # noqa: N801 - likewise
                model_class = "AutoModelForTokenClassification"

        def answer(self, questions: list[Question]) -> list[Any]:
            from foedus.serve.predict import Answered

            return [Answered({"entities": entities, "words": 1, "words_read": 1}, 3, 0.25) for _ in questions]

    source = write_csv(tmp_path / "in.csv", rows(2))
    files.predict_file(Tagger(), source, tmp_path / "out.csv")  # type: ignore[arg-type]  # what is used of one
    found = read_csv(tmp_path / "out.csv")
    assert json.loads(found[0]["entities"]) == entities
    assert (found[0]["probability"], found[0]["error"]) == ("0.25", "")


def test_what_went_wrong_leaves_no_half_written_file(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "where\n" * 600 + '"torn\n')
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(CallerError, match="malformed-line"):
        files.predict_file(admitted().predictor, source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.parametrize(
    ("name", "content", "out", "code"),
    [
        ("in.csv", "id\n1\n", "out.csv", "data.missing-column"),
        ("in.csv", "text,predicted\na,b\n", "out.csv", "serve.column-taken"),
        ("in.csv", "", "out.csv", "data.empty-file"),
        ("in.jsonl", '{"text": 3}\n', "out.csv", "data.bad-value"),
        ("in.jsonl", "nonsense\n", "out.csv", "data.malformed-line"),
        ("in.parquet", "PAR1", "out.csv", "serve.unknown-format"),
        ("in.csv", "text\na\n", "out.xlsx", "serve.unknown-format"),
        ("in.csv", "text\na\n", "in.csv", "serve.same-file"),
        ("in.csv.gz", "text\na\n", "out.csv", "data.torn-archive"),
    ],
)
def test_a_wrong_file_gets_a_clear_error(tmp_path: Path, name: str, content: str, out: str, code: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CallerError) as caught:
        files.predict_file(admitted().predictor, tmp_path / name, tmp_path / out)
    assert caught.value.code == code


def test_a_long_file_is_read_and_written_a_part_at_a_time(tmp_path: Path) -> None:
    ahead = 0

    class Counting:
        model = admitted().predictor.model

        def answer(self, questions: list[Question]) -> list[Any]:
            nonlocal ahead
            ahead = max(ahead, read - answered)
            return admitted().predictor.answer(questions)

    read = answered = 0

    def counted(path: Path, column: str) -> Iterator[dict[str, Any]]:
        nonlocal read
        for row in rows(2000):
            read += 1
            yield dict(row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "rows_of", counted)
        for chunk in files.answered_rows(Counting(), tmp_path / "in.csv"):  # type: ignore[arg-type]  # as above
            answered += len(chunk)
    assert answered == 2000
    assert ahead <= 512


def test_from_the_command_line(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [{"id": "1", "text": TEXTS[0]}, {"id": "2", "text": " "}])
    hub = first() / "hub"
    answer = foedus("release", "predict", bundle(first()), source, "-o", tmp_path / "out.csv", "--workspace", hub)
    assert answer.code == 0, answer.err
    assert (answer.data["rows"], answer.data["refused"]) == (2, 1)
    assert read_csv(tmp_path / "out.csv")[0]["predicted"] in LABELS
    plain = foedus("release", "predict", bundle(first()), source, "--workspace", hub, as_json=False)
    assert plain.out.splitlines()[0] == "id,text,predicted,probability,error"
    dash = foedus("release", "predict", bundle(first()), source, "-o", "-", "--workspace", hub, as_json=False)
    assert (dash.code, dash.out) == (0, plain.out)
    for words in ((), (source, "--text", "a"), (source,), (source, "-o", "-")):
        wrong = foedus("release", "predict", bundle(first()), *words, "--workspace", hub)
        assert (wrong.code, wrong.data["code"]) == (2, "release.nothing-asked")


# ── int8 ─────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def small() -> Predictor:
    return in_int8(admitted().predictor)


def test_int8_is_close_to_the_model_and_leaves_it_as_it_was(small: Predictor) -> None:
    import torch

    full = admitted().predictor
    before = {name: value.clone() for name, value in full.model.net.state_dict().items()}
    questions = [Question(text * count) for text in TEXTS for count in (1, 3)]
    for one, other in zip(full.answer(questions), small.answer(questions), strict=True):
        assert other.confidence == pytest.approx(one.confidence, abs=0.1)
        assert other.answer["probabilities"] != one.answer["probabilities"], "it is another model"
    assert all(torch.equal(value, before[name]) for name, value in full.model.net.state_dict().items())
    assert not any(type(one) is torch.nn.Linear for one in small.model.net.modules())


def test_int8_is_compared_on_labelled_rows(small: Predictor, tmp_path: Path) -> None:
    full = admitted().predictor
    truth = [full.predict([text])[0]["label"] for text in TEXTS]
    given = [{"text": TEXTS[i % 3], "label": truth[i % 3] if i % 4 else "other"} for i in range(40)]
    found = compare(full, small, write_csv(tmp_path / "in.csv", given))
    assert (found.n, found.right) == (40, 30)
    assert found.to_json()["accuracy"] == 0.75
    assert 0 <= found.right_int8 <= 40
    assert found.alike == sum(
        small.predict([row["text"]])[0]["label"] == full.predict([row["text"]])[0]["label"] for row in given
    )


@pytest.mark.parametrize("content", ["text\na\n", "text,label\n ,card\n"])
def test_int8_is_not_compared_on_rows_without_labels(small: Predictor, tmp_path: Path, content: str) -> None:
    (tmp_path / "in.csv").write_text(content)
    with pytest.raises(CallerError, match="no-labels"):
        compare(admitted().predictor, small, tmp_path / "in.csv")


def test_a_zip_is_served_as_its_folder_is(tmp_path: Path) -> None:
    from foedus.core.clock import now
    from foedus.release.bundle import pack
    from foedus.serve.standing import Source, admit
    from practised import anchor

    pack(bundle(first()), tmp_path / "one.foedus.zip")
    release = admit(Source(tmp_path / "one.foedus.zip", anchor(first())), now())
    assert release.digest == admitted().digest
    assert release.predictor.predict(TEXTS) == admitted().predictor.predict(TEXTS)
    shutil.rmtree(tmp_path)
