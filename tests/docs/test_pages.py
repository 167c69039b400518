"""What is written by hand: links lead somewhere, both READMEs say the same, and the words are the glossary's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.parent.name not in ("errors", "records", "reference")
)


def named(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", WRITTEN, ids=named)
def test_every_link_between_files_leads_to_a_file(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    broken = [link for link in links if link and "://" not in link and not (path.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("path", WRITTEN, ids=named)
def test_words_that_the_glossary_replaces_are_not_used(path):
    if path.name.startswith(("GLOSSARY", "index")):
        return
    strangers = r"\b(clients?|sites?|blockchain|smart contract)\b|客户端|站点|区块链|合约|练习|中枢"
    assert re.findall(strangers, path.read_text(encoding="utf-8"), re.IGNORECASE) == []


def test_every_page_below_docs_can_be_reached_from_its_index():
    reached, left = set(), [ROOT / "docs" / "index.md"]
    while left:
        page = left.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        left += [to for link in links if (to := (page.parent / link).resolve()).is_file() and to not in reached]
    assert [named(page) for page in sorted((ROOT / "docs").rglob("*.md")) if page not in reached] == []


def blocks(path):
    return re.findall(r"```(?:console|sh|python)\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def commands(path):
    return [line for block in blocks(path) for line in block.splitlines() if re.match(r"\$ |make |foedus |pip ", line)]


def test_both_readmes_show_the_same_commands():
    plain = [re.sub(r" --lang zh| #.*", "", line) for line in commands(ROOT / "README.zh.md")]
    assert plain == [re.sub(r" #.*", "", line) for line in commands(ROOT / "README.md")]


def test_both_readmes_have_as_many_sections():
    heads = [
        re.findall(r"^#+ ", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name in ("README.md", "README.zh.md")
    ]
    assert heads[0] == heads[1]


def test_every_command_that_a_page_shows_exists():
    from foedus.cli.main import DEFAULTS, build

    def find(words):
        command, path = build(), []
        for word in words:
            child = getattr(command, "commands", {}).get(word)
            if child is None:
                return path, hasattr(command, "commands") and path[-1:] not in [[name] for name in DEFAULTS]
            command, path = child, [*path, word]
        return path, False

    for page in WRITTEN:
        for block in blocks(page):
            for line in block.splitlines():
                for call in re.findall(r"(?:^|\$ |&& |\| |\$\()foedus ([a-z][^|&>)]*)", line):
                    words = re.sub(r"--(workspace|lang) \S+", "", call).split()
                    path, unfinished = find(words)
                    assert path, f"{named(page)}: foedus {call}"
                    assert not unfinished or "--help" in words, f"{named(page)}: foedus {call}"


def test_every_room_of_the_house_stands_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for room in (ROOT / "src" / "foedus").iterdir():
        if (room / "__init__.py").exists() or (room.suffix == ".py" and not room.stem.startswith("__")):
            assert f"`{room.stem}" in text, f"{room.stem} is not in ARCHITECTURE.md"
