"""Corrections become training data: only with consent, only in the train part, counted in the card."""

import json

import pytest

from foedus.core.errors import CallerError
from foedus.data.card import check_consents
from foedus.data.mapping import read_mapping
from foedus.data.parts import open_parts
from foedus.records import terms
from foedus.serve.feedback.learn import FILE, learn_from
from foedus.serve.store import Feedback, Traffic
from watched import answers, judge, serve

TASK = terms.TextClassification(labels=("card", "loan", "transfer"), max_tokens=32)
YAML = """\
data: foedus/v1
name: questions
parts: {train: train.csv, validation: validation.csv, test: test.csv}
columns: {text: text, label: label}
source: here
licence: own
consent: contract
"""


@pytest.fixture
def data(tmp_path):
    for part, count in (("train", 12), ("validation", 6), ("test", 6)):
        rows = [f"{part} {i},{TASK.labels[i % 3]}" for i in range(count)]
        (tmp_path / f"{part}.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    path = tmp_path / "data.yaml"
    path.write_text(YAML)
    return path


def opened(path):
    return open_parts(path, task=TASK, member="bank-a", secret_key=b"k" * 32, smallest_cell=5)


def corrected(folder, count, *, consent=True, start=0, text="where is it"):
    rows = answers(start, count, text=text)
    serve(folder, rows)
    judge(folder, rows, lambda _: True, correct="transfer", consent=consent)
    return rows


def test_corrections_with_consent_join_the_train_part_and_the_card_counts_them(tmp_path, data):
    before = opened(data)
    corrected(tmp_path, 8)
    took = learn_from(tmp_path, data, consent="a ticked box")
    assert (took.new, took.total, took.file) == (8, 8, tmp_path / FILE)
    after = opened(data)
    assert len(after.train) == len(before.train) + 8
    assert (after.validation, after.test) == (before.validation, before.test)
    assert after.card.feedback.examples == 10
    assert after.card.feedback.consent == "a ticked box"
    assert after.card.commitments["train"] != before.card.commitments["train"]
    assert before.card.feedback is None
    assert b"feedback" not in before.card.to_bytes()


def test_without_consent_or_correction_nothing_is_taken(tmp_path, data):
    corrected(tmp_path, 8, consent=False)
    rows = answers(100, 3, text="fine")
    serve(tmp_path, rows)
    judge(tmp_path, rows, lambda _: False, consent=True)
    with pytest.raises(CallerError) as caught:
        learn_from(tmp_path, data, consent="a ticked box")
    assert caught.value.code == "data.no-corrections"
    assert data.read_text() == YAML
    with pytest.raises(CallerError) as caught:
        learn_from(tmp_path, data)
    assert caught.value.code == "data.no-consent"


def test_what_was_taken_stays_after_the_store_forgot_it_and_a_later_word_replaces_it(tmp_path, data):
    rows = corrected(tmp_path, 6)
    learn_from(tmp_path, data, consent="a ticked box")
    with Traffic.of(tmp_path) as traffic:
        traffic.say(Feedback(rows[0].id, rows[0].at, "wrong", "loan", None, True))
    took = learn_from(tmp_path, data)
    assert (took.new, took.total, took.consent) == (0, 6, "a ticked box")
    with Traffic.of(tmp_path) as traffic:
        traffic.forget("2099-01-01T00:00:00Z")
    corrected(tmp_path, 1, start=50, text="new one")
    assert learn_from(tmp_path, data).total == 7
    labels = [json.loads(line)["label"] for line in (tmp_path / FILE).read_text().splitlines()]
    assert sorted(labels) == ["loan", *["transfer"] * 6]
    assert data.read_text().count("feedback:") == 1


def test_who_takes_consent_back_is_no_longer_learned_from(tmp_path, data):
    rows = corrected(tmp_path, 2)
    learn_from(tmp_path, data, consent="a ticked box")
    with Traffic.of(tmp_path) as traffic:
        traffic.say(Feedback(rows[0].id, rows[0].at, "wrong", "loan", None, False))
        assert [answer.id for answer, _ in traffic.corrections()] == [rows[1].id]
    assert learn_from(tmp_path, data).total == 1
    with Traffic.of(tmp_path) as traffic:
        traffic.say(Feedback(rows[1].id, rows[1].at, "wrong", "loan", None, False))
    assert learn_from(tmp_path, data).total == 0
    assert len(opened(data).train) == 12


def test_what_was_right_after_all_is_not_learned_from(tmp_path, data):
    rows = corrected(tmp_path, 2)
    with Traffic.of(tmp_path) as traffic:
        traffic.say(Feedback(rows[0].id, rows[0].at, "right", "transfer", None, True))
        assert [answer.id for answer, _ in traffic.corrections()] == [rows[1].id]
    assert learn_from(tmp_path, data, consent="a ticked box").total == 1
    with Traffic.of(tmp_path) as traffic:
        traffic.say(Feedback(rows[1].id, rows[1].at, "right", None, None, True))
    assert learn_from(tmp_path, data).total == 0


def test_a_text_on_which_the_model_is_measured_is_not_trained_on(tmp_path, data):
    (tmp_path / FILE).write_text(
        "".join(json.dumps({"text": text, "label": "loan"}) + "\n" for text in ("Test  3", "validation 2", "other"))
    )
    data.write_text(YAML + f"feedback: {{path: {FILE}, consent: a ticked box}}\n")
    parts = opened(data)
    assert [example.text for example in parts.train if example.text in ("Test  3", "validation 2", "other")] == [
        "other"
    ]
    assert parts.card.feedback.examples is None  # one is below the smallest cell


def test_the_basis_must_be_one_that_the_accord_allows(tmp_path, data):
    corrected(tmp_path, 6)
    learn_from(tmp_path, data, consent="a ticked box")
    card = opened(data).card
    check_consents(card, ())
    check_consents(card, ("a ticked box", "contract"))
    with pytest.raises(CallerError) as caught:
        check_consents(card, ("contract",))
    assert caught.value.code == "data.feedback-consent"


def test_entities_are_not_learned_from_a_label(tmp_path, data):
    corrected(tmp_path, 6)
    learn_from(tmp_path, data, consent="a ticked box")
    (tmp_path / "train.csv").write_text("")
    task = terms.TokenClassification(labels=("PER",), max_tokens=32)
    for part in ("train", "validation", "test"):
        (tmp_path / f"{part}.csv").write_text(
            "text,spans\n" + "".join(f'"Ann {i}","[[0, 3, ""PER""]]"\n' for i in range(6))
        )
    data.write_text(data.read_text().replace("{text: text, label: label}", "{text: text, spans: spans}"))
    with pytest.raises(CallerError) as caught:
        open_parts(data, task=task, member="bank-a", secret_key=b"k" * 32, smallest_cell=2)
    assert caught.value.code == "data.feedback-task"


def test_a_mapping_that_cannot_be_added_to_is_left_as_it_was(tmp_path, data):
    corrected(tmp_path, 6)
    data.write_text("{" + ", ".join(line for line in YAML.splitlines()) + "}\n")
    before = data.read_text()
    assert read_mapping(data).name == "questions"
    with pytest.raises(CallerError) as caught:
        learn_from(tmp_path, data, consent="a ticked box")
    assert caught.value.code == "data.name-feedback"
    assert data.read_text() == before
