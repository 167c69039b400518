from __future__ import annotations

from collections.abc import Iterator

import pytest

from accord.leaves import Path, changed, leaves, variants
from foedus.accord import explain
from foedus.accord.fields import clauses
from foedus.core.messages import LANGUAGES, Language, language, set_language
from foedus.records.accord import Accord
from samples import sample_accord

FIXED = {
    "accord",
    "rules",
    "version",
    "prev",
    "task.name",
    "training.method.name",
    "aggregation.combine.name",
    "aggregation.outer.name",
    "aggregation.late.name",
    "simulated",
    "aggregation.visibility",
    "credit.name",
    "gates.name",
    "tune.space.low",  # of a list of choices
    "tune.space.high",
    "tune.space.log",
}
"""Clauses with a single value, and names that choose which other clauses there are: the variants differ in those."""


@pytest.fixture(autouse=True)
def _same_language_after() -> Iterator[None]:
    before = language()
    yield
    set_language(before)


def dotted(path: Path) -> str:
    return ".".join(part for part in path if isinstance(part, str))


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("number", range(len(variants())))
def test_every_clause_is_said_so_that_changing_it_changes_the_words_and_the_id(number: int, lang: Language) -> None:
    set_language(lang)
    accord = variants()[number]
    words = explain(accord)
    for path, _ in leaves(accord.model_dump(mode="json")):
        other = changed(accord, path)
        if other is None:
            assert dotted(path) in FIXED or (accord.simulated and dotted(path) == "custody")
        else:
            assert other.digest != accord.digest, dotted(path)
            assert explain(other) != words, dotted(path)


def paths(accord: Accord) -> set[str]:
    return {dotted(path) for path, _ in leaves(accord.model_dump(mode="json"))}


def test_the_variants_together_hold_every_clause_of_the_schema() -> None:
    import re

    left_out = {"training.early_stopping", "tune", "simulated"}  # null
    held = set().union(*map(paths, variants())) - left_out
    assert {re.sub(r"\[[^\]]*\]", "", clause.path) for clause in clauses()} == held


@pytest.mark.parametrize("lang", LANGUAGES)
def test_nobody_reads_a_placeholder(lang: Language) -> None:
    set_language(lang)
    for accord in variants():
        assert "{" not in explain(accord)
        assert "None" not in explain(accord)


def test_the_two_languages_say_the_same_things() -> None:
    accord = sample_accord()
    set_language("en")
    english = explain(accord).splitlines()
    set_language("zh")
    chinese = explain(accord).splitlines()
    assert [line[:2] == "- " for line in english] == [line[:2] == "- " for line in chinese]
    assert chinese[0] == "盟约 bank-intents，第 1 版"
