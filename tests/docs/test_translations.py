"""A guide in both languages shows the same commands and clauses, has the same sections and tables, and each leads to
the other.
"""

import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
CHINESE = sorted(GUIDES.glob("*.zh.md"))
TRANSLATED = {
    "bring-your-data", "export", "many-machines", "reports", "verify-a-release", "watch-a-run", "write-an-accord",
}  # fmt: skip


def text(path):
    return path.read_text(encoding="utf-8")


def english(path):
    return path.with_name(path.name.replace(".zh.md", ".md"))


def commands(path):
    """Lines of blocks that are commands or clauses, without remarks. What a command prints, and what a person writes in
    it, is in each page's language.
    """
    found = []
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", text(path), re.DOTALL | re.MULTILINE):
        lines = [re.sub(r"\s+#.*", "", line).rstrip() for line in block.splitlines()]
        if kind in ("yaml", "python"):
            found += [re.sub(r"language(s?): (\[\w+\]|\w+)$", r"language\1: …", line) for line in lines]
        else:
            shown = [line for line in lines if re.match(r"(\S*\$ )?(foedus|pip|model_signing|make) ", line)]
            found += [re.sub(r'(--\w+) "[^"]*"', r'\1 "…"', line) for line in shown]
    return found


def test_what_coordinators_auditors_and_business_users_read_is_there_in_chinese():
    assert {path.name.removesuffix(".zh.md") for path in CHINESE} >= TRANSLATED


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: path.name)
def test_both_languages_show_the_same_commands_and_clauses(path):
    assert commands(path) == commands(english(path))


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: path.name)
def test_both_languages_have_the_same_sections_lists_and_tables(path):
    def shape(page):
        plain = re.sub(r"^```.*?^```", "```", text(page), flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"^(#+ |- |\| )", plain, re.MULTILINE)

    assert shape(path) == shape(english(path))


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: path.name)
def test_each_language_leads_to_the_other(path):
    other = english(path)
    assert f"[English]({other.name})" in text(path)
    assert f"[中文]({path.name})" in text(other)
