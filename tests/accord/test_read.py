from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.drafts import DRAFT, JOINED, read, to_yaml
from foedus.accord import load_accord, open_accord, read_accord, read_draft
from foedus.accord.read import SIZE_LIMIT_BYTES
from foedus.core.errors import CallerError
from foedus.core.messages import LANGUAGES, error_text
from foedus.records.accord import Accord
from samples import coordinator_keys, keys, sample_accord


def refused(text: str) -> CallerError:
    with pytest.raises(CallerError) as caught:
        read(text)
    for lang in LANGUAGES:
        assert error_text(caught.value, lang=lang).do
    return caught.value


def test_a_draft_with_defaults_left_out_is_the_accord_with_all_of_them_written() -> None:
    assert read(DRAFT) == sample_accord()


def test_keys_of_the_draft_win_over_those_of_who_joined() -> None:
    other = keys("another")
    given = "".join(f"\n      {purpose}: {key}" for purpose, key in other.model_dump().items())
    accord = read(DRAFT.replace("  - name: bank-a\n", f"  - name: bank-a\n    keys:{given}\n"))
    assert accord.members[0].keys == other


def shuffled(value: Any, rng: random.Random, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(one, rng, (*path, key)) for key, one in items}
    if isinstance(value, list):
        out = [shuffled(one, rng, path) for one in value]
        if path != ("task", "labels"):
            rng.shuffle(out)
        return out
    return value


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False))
def test_order_remarks_and_written_defaults_do_not_change_the_id(rng: random.Random) -> None:
    accord = sample_accord(auditors=("auditor",))
    text = to_yaml(shuffled(accord.model_dump(mode="json"), rng))
    remarked = "".join(f"{line}  # a remark\n\n" for line in text.splitlines())
    assert read(remarked).digest == accord.digest


@settings(deadline=None, max_examples=25)
@given(st.text("ábc̈日e\u0301 ", min_size=1, max_size=12).filter(lambda text: text.strip() == text))
def test_text_is_read_in_one_unicode_form(text: str) -> None:
    from unicodedata import normalize

    accord = read(DRAFT.replace("sample", f'"{text}"'))
    assert accord.training.seed == normalize("NFC", text)
    assert load_accord(accord.to_bytes()) == accord


@pytest.mark.parametrize("word", ["no", "yes", "on", "017", "1_000", "~", "0x10", "1e3", "2026-01-01", ".inf", "true"])
def test_a_word_that_yaml_might_take_for_something_else_stays_text(word: str) -> None:
    accord = read(DRAFT.replace("[card, loan, transfer]", f"[{word}, loan]"))
    assert accord.task.labels == (word, "loan")


@pytest.mark.parametrize("word", ["017", "1_000", "~", "0x10", "1e3", "4.0", "-4", "+4", "0", "yes", "null", "'4 '"])
def test_a_number_has_one_spelling(word: str) -> None:
    error = refused(DRAFT.replace("rounds: 4", f"rounds: {word}"))
    assert (error.code, error.fields["line"]) == ("accord.not-positive", 21)
    assert error.fields["where"] == "training.rounds"


@pytest.mark.parametrize(("word", "decimal"), [("0.80", "0.8"), ("00.8", "0.8"), ("0.8", "0.8"), ("-0.0", "0")])
def test_a_decimal_may_be_written_in_several_ways_and_is_kept_in_one(word: str, decimal: str) -> None:
    gate = read(DRAFT.replace("minimum: 0.8", f"minimum: {word}")).gates[2]
    assert gate.model_dump()["minimum"] == decimal


def test_null_is_null_where_the_schema_allows_it_and_text_elsewhere() -> None:
    accord = read(DRAFT.replace("rounds: 4", "rounds: 4, early_stopping: null, craft: {clip_norm: null}"))
    assert accord.training.craft.clip_norm is None
    assert accord.training.early_stopping is None
    assert read(DRAFT.replace("seed: sample", "seed: null")).training.seed == "null"


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "where"),
    [
        ("rounds: 4", "round: 4", "accord.misspelt-key", 21, "training"),
        ("rounds: 4", "epsilon: 4", "accord.unknown-key", 21, "training"),
        ("rounds: 4", "method: {name: lora, rnak: 8}", "accord.misspelt-key", 21, "training.method"),
        ("rounds: 4", "method: {name: lora, lora: 8}", "accord.unknown-key", 21, "training.method"),
        ("rounds: 4", "method: {name: qlora}", "accord.unknown-name", 21, "training.method"),
        ("rounds: 4", "method: {rank: 8}", "accord.unknown-name", 21, "training.method"),
        ("rounds: 4", "method: lora", "accord.not-a-mapping", 21, "training.method"),
        ("rounds: 4", "method: {name: lora, dropout: 1e-3}", "accord.not-decimal", 21, "training.method.dropout"),
        ("rounds: 4", "craft: {warmup_bp: 10001}", "accord.not-basis-points", 21, "training.craft.warmup_bp"),
        ("rounds: 4", "craft: {schedule: step}", "accord.not-one-of", 21, "training.craft.schedule"),
        ("rounds: 4", "craft: {weight_decay: 2}", "accord.no-share", 21, "training.craft.weight_decay"),
        ("labels: [card, loan, transfer]", "labels: card", "accord.not-a-list", 15, "task.labels"),
        ("labels: [card, loan, transfer]", "labels: [card]", "accord.too-few", 15, "task.labels"),
        ("labels: [card, loan, transfer]", "labels: [card, '']", "accord.not-text", 15, "task.labels[1]"),
        ("last: 2027-12-31}\n", "last: 2027-02-30}\n", "accord.not-day", 5, "valid.last"),
        ("last: 2027-12-31}\n", "last: 20271231}\n", "accord.not-day", 5, "valid.last"),
        ("name: bank-b\n", "name: Bank B\n", "accord.not-name", 9, "members[1].name"),
        ("pin: sha256:5a", "pin: sha256:5A", "accord.not-digest", 13, "base.pin"),
        ("  licence: Apache-2.0\ntask", "task", "accord.missing-key", 11, "base.licence"),
        ("release: {", "release: {quorum: 2/4, ", "accord.not-quorum", 26, "release.quorum"),
        ("release: {", "release: {quorum: 1/1, ", "accord.not-quorum", 26, "release.quorum"),
        ("release: ", "evaluation: {replicates: 1e3}\nrelease: ", "accord.not-positive", 26, "evaluation.replicates"),
        ("release: {", "ledger: {faults: x}\nrelease: {", "accord.not-integer", 26, "ledger.faults"),
        ("release: {", "data: {}\nrelease: {", "yaml.duplicate-key", 26, None),
        ("release: {", "rules: 2\nrelease: {", "accord.not-one-of", 26, "rules"),
        ("release: {", "version: 2\nrelease: {", "accord.prev", 1, "the accord as a whole"),
        ("release: {", "release: &x {", "yaml.forbidden", 26, None),
        ("release: {", "release: {<<: {}, ", "yaml.forbidden", 26, None),
        ("release: {", "release: !!map {", "yaml.forbidden", 26, None),
        ("coordinator: {name: hub}", "coordinator: {name: bank-a}", "accord.coordinator-is-member", 6, "coordinator"),
        ("  - name: bank-b\n", "  - name: bank-a\n", "accord.named-twice", 7, "members"),
    ],
)  # fmt: skip
def test_what_the_schema_does_not_know_is_refused_with_line_and_clause(
    old: str, new: str, code: str, line: int, where: str | None
) -> None:
    assert old in DRAFT
    error = refused(DRAFT.replace(old, new, 1))
    assert (error.code, error.fields["line"]) == (code, line)
    assert error.fields.get("where") == where


def test_a_misspelt_key_is_answered_with_the_nearest_and_all_that_are_known() -> None:
    error = refused(DRAFT.replace("rounds: 4", "round: 4"))
    assert error.fields["nearest"] == "rounds"
    assert error.fields["known"] == "craft, early_stopping, method, rounds, seed"


def test_lines_are_those_of_the_text_also_where_members_are_not_in_order() -> None:
    text = DRAFT.replace(
        "  - name: bank-a\n  - name: bank-b\n", "  - {name: bank-b, roles: [boss]}\n  - name: bank-a\n"
    )
    error = refused(text)
    assert (error.code, error.fields["line"]) == ("accord.not-one-of", 8)


def test_of_several_mistakes_the_first_line_is_named() -> None:
    error = refused(DRAFT.replace("rounds: 4", "rounds: x").replace("first: 2026", "first: 26"))
    assert error.fields["line"] == 5


def test_missing_keys_are_named_and_the_draft_can_still_be_read() -> None:
    with pytest.raises(CallerError) as caught:
        read_accord(DRAFT, source="accord.yaml", joined={"bank-b": JOINED["bank-b"]})
    assert caught.value.code == "accord.keys-missing"
    assert caught.value.fields["parties"] == "bank-a, bank-c, hub"
    draft = read_draft(DRAFT, source="accord.yaml", coordinator_keys=coordinator_keys())
    assert draft.missing == ("bank-a", "bank-b", "bank-c")
    assert draft.accord.training == sample_accord().training


@pytest.mark.parametrize(
    ("training", "outer"),
    [
        ("rounds: 4", "nesterov"),
        ("rounds: 3", "plain"),
        ("rounds: 1, method: {name: head}", "plain"),
        ("rounds: 2, method: {name: head}", "nesterov"),
        ("rounds: 2, method: {name: lora, combine: stack}", "nesterov"),
        ("rounds: 3, method: {name: lora, rank: 4}", "plain"),
        ("method: {name: lora}", "nesterov"),
    ],
)
def test_momentum_is_the_default_where_every_name_is_trained_twice(training: str, outer: str) -> None:
    text = DRAFT.replace("rounds: 4", training)
    assert read(text).aggregation.outer.name == outer
    assert read(text + "aggregation: {min_members: 3}\n").aggregation.outer.name == outer
    assert read(text + "aggregation: {outer: {name: adam}}\n").aggregation.outer.name == "adam"


def test_a_text_beyond_the_limit_is_not_parsed() -> None:
    error = refused(DRAFT + "#" * SIZE_LIMIT_BYTES)
    assert error.code == "files.too-large"


@pytest.mark.parametrize(
    ("text", "code"), [("", "yaml.empty"), ("- a\n", "accord.not-a-mapping"), ("a", "accord.not-a-mapping")]
)
def test_what_is_no_mapping_is_no_accord(text: str, code: str) -> None:
    assert refused(text).code == code


def test_a_file_is_read_by_its_ending(tmp_path: Path) -> None:
    accord = sample_accord()
    signed, draft, latin = tmp_path / "a.accord", tmp_path / "a.yaml", tmp_path / "b.yaml"
    signed.write_bytes(accord.to_bytes())
    draft.write_text(DRAFT)
    latin.write_bytes(DRAFT.replace("sample", "d\xe9j\xe0").encode("latin-1"))
    assert open_accord(signed).accord == accord
    assert open_accord(draft, joined=JOINED, coordinator_keys=coordinator_keys()).accord == accord
    with pytest.raises(CallerError) as caught:
        open_accord(latin)
    assert caught.value.code == "files.not-utf8"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_signed_form_is_read_to_the_letter(data: st.DataObject) -> None:
    whole = sample_accord().to_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    try:
        accord = load_accord(changed)
    except CallerError:
        return
    assert accord.digest != sample_accord().digest
    assert accord.to_bytes() == changed


def test_a_default_left_out_of_the_signed_form_is_refused() -> None:
    whole = sample_accord().to_bytes()
    without = whole.replace(b'"custody":"separate",', b"")
    assert without != whole
    with pytest.raises(CallerError):
        Accord.from_bytes(without)
