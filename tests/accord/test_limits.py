"""Every number of an accord has a limit that its schema shows, so that no draft makes who reads it work for long."""

from __future__ import annotations

import copy
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from accord.drafts import DRAFT, read, to_yaml
from accord.leaves import leaves, variants
from foedus.accord import findings, json_schema
from foedus.core.errors import CallerError
from foedus.core.messages import LANGUAGES, catalogue, error_text

SCHEMA = json_schema()
ENGLISH = re.compile(r"[A-Za-z']+(?: [A-Za-z']+){2,}")


def whole_numbers() -> Iterator[tuple[str, Any, tuple[str | int, ...]]]:
    """Each clause that takes a whole number, with an accord's tree that holds it and the path to it."""
    seen = set()
    for accord in variants():
        tree = accord.model_dump(mode="json")
        for path, value in leaves(tree):
            name = ".".join(str(part) for part in path)
            if isinstance(value, int) and not isinstance(value, bool) and path != ("rules",) and name not in seen:
                seen.add(name)
                yield name, tree, path


NUMBERS = [pytest.param(tree, path, id=name) for name, tree, path in whole_numbers()]


def with_value(tree: Any, path: tuple[str | int, ...], value: Any) -> str:
    tree = copy.deepcopy(tree)
    if tree["simulated"]:
        tree["members"] = []
    node = tree
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return to_yaml(tree)


def test_every_clause_with_a_whole_number_has_a_most_in_the_schema() -> None:
    for shape in [SCHEMA, *SCHEMA["$defs"].values()]:
        for name, field in shape["properties"].items():
            for arm in field.get("anyOf", [field]):
                if arm.get("type") == "integer":
                    assert "maximum" in arm or "const" in arm, (shape["title"], name)


@pytest.mark.parametrize(("tree", "path"), NUMBERS)
@pytest.mark.parametrize("value", [10**9, 2**53 - 1])
def test_a_large_number_is_refused_or_costs_nothing(tree: Any, path: tuple[str | int, ...], value: int) -> None:
    text = with_value(tree, path, value)
    tracemalloc.start()
    refusal = refused(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
    if refusal:
        assert refusal.code in ("accord.too-large", "accord.not-basis-points")
        assert str(value) in text.splitlines()[int(str(refusal.fields["line"])) - 1]


def refused(text: str) -> CallerError | None:
    try:
        findings(read(text))
    except CallerError as error:
        return error
    return None


@pytest.mark.parametrize("clause", ["learning_rate", "head_learning_rate", "clip_norm", "weight_decay", "dropout"])
@pytest.mark.parametrize("digits", ["9" * 250, "9" * 400, "0." + "0" * 200 + "1"])
def test_a_rate_that_no_computer_can_calculate_with_is_refused(clause: str, digits: str) -> None:
    with pytest.raises(CallerError) as caught:
        read(DRAFT.replace("rounds: 4", f"rounds: 4, craft: {{{clause}: {digits}}}"))
    assert caught.value.code == "accord.long-decimal"
    assert caught.value.fields["where"] == f"training.craft.{clause}"


def test_every_decimal_of_the_schema_is_short() -> None:
    for shape in SCHEMA["$defs"].values():
        for field in shape["properties"].values():
            for arm in field.get("anyOf", [field]):
                if arm.get("type") == ["string", "number"]:
                    assert not re.search(arm["pattern"], "9" * 10)


BAD = {
    "accord.not-above-zero": ("rounds: 4", "rounds: 4, craft: {learning_rate: 0}"),
    "accord.no-share": ("rounds: 4", "rounds: 4, craft: {weight_decay: 1}"),
    "accord.named-twice": ("  - name: bank-b\n", "  - name: bank-a\n"),
    "accord.no-member": ("members:\n  - name: bank-a\n  - name: bank-b\n  - name: bank-c\n", "members: []\n"),
    "accord.simulated-custody": ("members:\n  - name: bank-a\n  - name: bank-b\n  - name: bank-c\n",
                                 "members: {simulated: 3}\n"),
    "accord.coordinator-is-member": ("coordinator: {name: hub}", "coordinator: {name: bank-a}"),
    "accord.prev": ("release: {", "version: 2\nrelease: {"),
    "accord.item-twice": ("uses: [customer-service]\nvalid", "uses: [customer-service, customer-service]\nvalid"),
    "accord.too-large": ("rounds: 4", "rounds: 1000000000"),
    "accord.too-small": ("release: {", "evaluation: {confidence_bp: 10}\nrelease: {"),
    "accord.long-decimal": ("rounds: 4", f"rounds: 4, craft: {{learning_rate: {'9' * 400}}}"),
    "accord.range-or-choices": ("release: {", "tune: {space: [{path: training.craft.epochs}]}\nrelease: {"),
    "accord.choices": ("release: {", "tune: {space: [{path: training.craft.epochs, choices: [1, 1]}]}\nrelease: {"),
    "accord.range": ("release: {", "tune: {space: [{path: training.craft.epochs, low: 2, high: 1}]}\nrelease: {"),
    "accord.range-log": (
        "release: {", "tune: {space: [{path: training.craft.learning_rate, low: 0, high: 1, log: true}]}\nrelease: {",
    ),
    "accord.range-of-words": (
        "release: {", "tune: {space: [{path: training.craft.schedule, low: 0, high: 1}]}\nrelease: {",
    ),
    "accord.range-whole": (
        "release: {", "tune: {space: [{path: training.craft.epochs, low: 1, high: 1.5}]}\nrelease: {",
    ),
    "accord.dimensions": ("release: {", "tune: {space: []}\nrelease: {"),
    "accord.not-boolean": (
        "release: {", "tune: {space: [{path: training.craft.learning_rate, low: 1, high: 2, log: yes}]}\nrelease: {",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", BAD)
def test_what_the_records_refuse_is_told_in_the_language_of_who_reads_it(code: str) -> None:
    old, new = BAD[code]
    with pytest.raises(CallerError) as caught:
        read(DRAFT.replace(old, new))
    assert caught.value.code == code
    texts = {lang: error_text(caught.value, lang=lang) for lang in LANGUAGES}
    said = " ".join((texts["zh"].expected, texts["zh"].got, texts["zh"].do)).replace("one-process", "")
    assert not ENGLISH.search(re.sub(r"`[^`]*`|'[^']*'|the accord as a whole", "", said)), said


def test_every_reason_has_a_case_here_and_a_text_in_each_language() -> None:
    from foedus.accord.read import REASONS

    assert {f"accord.{reason}" for reason in REASONS} - set(BAD) <= {"accord.key-twice"}
    for lang in LANGUAGES:
        assert set(REASONS) <= set(catalogue("accord", lang)["error"])
