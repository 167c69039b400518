"""Templates hold no prose, every message they name is in both catalogues, and every message of the pages is used."""

import re
from pathlib import Path

import foedus.web
from foedus.core.messages import catalogue
from foedus.records.acts import BODIES
from foedus.track.event import REPLIES

ROOM = Path(foedus.web.__file__).parent
TEMPLATES = sorted((ROOM / "templates").rglob("*.html"))
PLAIN = {"Foedus", "JSON", "CSV", "n", "sha256", "model.", ".sig", "doctype html"}


def keys(table, path=()):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from keys(value, (*path, key))
        else:
            yield ".".join((*path, key))


def test_no_template_holds_prose_of_its_own():
    wrong = []
    for path in TEMPLATES:
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        said = re.sub(r"<[^>]*>", "\n", text)
        attributes = re.findall(r'(?:alt|title|aria-label|placeholder|value)="([^"]*)"', text)
        for piece in [*said.splitlines(), *attributes]:
            left = piece.strip()
            for plain in sorted(PLAIN, key=len, reverse=True):
                left = left.replace(plain, "")
            if (re.search(r"[A-Za-z]{2,}|[㐀-鿿]", left) and not left.islower()) or re.search(
                r"[a-z]{3,} [a-z]{2,}", left
            ):
                wrong.append(f"{path.name}: {piece.strip()[:60]}")
    assert wrong == []


def said():
    """Every key that templates and pages name whole, and the beginnings of those put together."""
    sources = [*TEMPLATES, *ROOM.rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    text = re.sub(r"'(web\.[^']+)'", r'"\1"', text)
    whole = set(re.findall(r'"(web\.[a-z0-9_.-]+?)"(?! ?~)', text))
    begun = set(re.findall(r'"(web\.[a-z0-9_.-]+[.-])" ~', text)) | set(
        re.findall(r'f"(web\.[a-z0-9_.-]+?[.-])\{', text)
    )
    return whole, begun | {f"{one}." for one in re.findall(r'words="(web\.[a-z-]+)"', text)}


def test_every_message_that_a_template_or_page_names_is_there():
    known = {f"web.{key}" for key in keys(catalogue("web", "en"))}
    whole, begun = said()
    groups = {key.rpartition(".")[0] for key in known}
    missing = {key for key in whole if key not in known and key not in groups and "error" not in key.split(".")}
    errors = {key.rpartition(".")[0].replace(".error.", ".") for key in known if ".error." in key}
    assert {key for key in missing if key not in errors} == set()
    assert {begin for begin in begun if not any(key.startswith(begin) for key in known)} == set()


def test_every_message_of_the_pages_is_said_somewhere():
    whole, begun = said()
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*TEMPLATES, *ROOM.rglob("*.py")])
    unused = []
    for key in keys(catalogue("web", "en")):
        full, last = f"web.{key}", key.rpartition(".")[2]
        if key.startswith(("error.", "about.", "nav.")) or full in whole or full.startswith(tuple(begun)):
            continue
        if key.split(".")[0] in ("loop", "need", "card", "age", "column") and re.search(
            rf'["(]{re.escape(last)}["{{]', text
        ):
            continue
        unused.append(key)
    assert unused == []


def test_every_kind_of_act_and_of_reply_has_its_words():
    for lang in ("en", "zh"):
        words = catalogue("web", lang)
        assert {kind.replace(".", "-") for kind in BODIES} <= set(words["act"])
        assert {*REPLIES, "idle", "waiting", "working", "kept"} <= set(words["standing"])


def test_the_words_of_the_glossary_are_those_of_the_project():
    text = (ROOM.parents[2] / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    english, chinese = catalogue("words", "en"), catalogue("words", "zh")
    assert {cell[0]: cell[1] for cell in cells} == {one["word"]: chinese[key]["word"] for key, one in english.items()}
