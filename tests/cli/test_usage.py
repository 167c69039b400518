"""A mistake in the arguments is told by a code of its own, in the language of who made it."""

import re

import pytest

from practised import foedus

ENGLISH = re.compile(r"[A-Za-z']+(?: [A-Za-z']+){2,}")

MISTAKES = [
    (["new"], "cli.missing-argument"),
    (["new", "x", "--practice", "abc"], "cli.bad-value"),
    (["new", "x", "--nonsense"], "cli.no-such-option"),
    (["new", "x", "y", "z"], "cli.unexpected-argument"),
    (["new", "x", "--names"], "cli.value-missing"),
    (["accord", "check"], "cli.missing-argument"),
    (["accord", "amend", "x", "--out"], "cli.value-missing"),
    (["run", "start", "--workers", "many"], "cli.bad-value"),
]


@pytest.mark.parametrize(("words", "code"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_it_has_its_own_code_and_no_english_in_the_chinese_text(tmp_path, words, code):
    told = foedus(*words, "--lang", "zh", at=tmp_path)
    assert (told.code, told.data["code"]) == (2, code)
    said = re.sub(r"`[^`]*`", "", " ".join(told.data[part] for part in ("expected", "got", "do")))
    assert not ENGLISH.search(said), said
    english = foedus(*words, "--lang", "en", at=tmp_path)
    assert (english.code, english.data["code"]) == (2, code)


def test_a_missing_argument_is_named_as_the_help_names_it(tmp_path):
    assert foedus("new", at=tmp_path).data["fields"]["name"] == "DIR"


def test_a_wrong_value_is_shown(tmp_path):
    told = foedus("new", "x", "--practice", "abc", at=tmp_path).data["fields"]
    assert (told["name"], told["got"], told["kind"]) == ("--practice", "abc", "a whole number")
