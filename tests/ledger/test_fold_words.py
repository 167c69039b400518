"""Every refusal has its words, every type of act its section."""

import re
import tomllib
from pathlib import Path

import pytest

from foedus.core.messages import LANGUAGES
from foedus.ledger.rules import RULES
from foedus.records.acts import BODIES

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "foedus"


def raised(room: str, files: list[Path]) -> set[str]:
    pattern = r'Refused\(\s*"([a-z-]+)"' if room == "fold" else rf'Error\(\s*"{room}\.([a-z-]+)"'
    return {code for file in files for code in re.findall(pattern, file.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(("room", "where"), [("fold", "ledger/*.py"), ("workspace", "*/*.py")])
def test_every_code_that_is_raised_has_words_and_every_word_a_code(room, where, lang):
    path = SOURCE / "core" / "messages" / lang / f"{room}.toml"
    errors = tomllib.loads(path.read_text(encoding="utf-8"))["error"]
    assert set(errors) == raised(room, sorted(SOURCE.glob(where)))
    assert all(set(entry) == {"expected", "got", "do"} for entry in errors.values())


def test_every_type_of_act_has_a_rule_and_a_section():
    page = (ROOT / "docs" / "formats" / "acts.md").read_text(encoding="utf-8")
    assert set(RULES) == set(BODIES) == set(re.findall(r"(?m)^## (\S+)$", page))
