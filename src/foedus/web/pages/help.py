"""Help: what each page is for, the words, and a page for every error code."""

from __future__ import annotations

import string
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from foedus.core.errors import CallerError
from foedus.core.messages import catalogue, language, rooms
from foedus.web.frame import page as render
from foedus.web.table import EVERYONE, page


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the glossary: its key, the word and what it is, and the word in the other language."""

    key: str
    word: str
    meaning: str
    other: str


@dataclass(frozen=True, slots=True)
class Explained:
    """An error of the catalogue. What it fills in when it happens stands between angle marks."""

    code: str
    expected: str
    got: str
    do: str


@page("/help", title="web.title.help", section="help", roles=EVERYONE)
def overview(request: Request) -> Response:
    """What each page is for, and where words and errors are explained."""
    return render(request, "help.html", errors=len(_codes()), words=len(_words()))


@page("/help/words", title="web.title.words", section="help", roles=EVERYONE)
def words(request: Request) -> Response:
    """The glossary."""
    return render(request, "words.html", words=_words())


@page("/help/errors", title="web.title.errors", section="help", roles=EVERYONE)
def errors(request: Request) -> Response:
    """Every error code with what it expects, by room."""
    wanted = request.query_params.get("q", "").strip().lower()
    found = [one for one in map(explained, _codes()) if wanted in f"{one.code} {one.expected} {one.do}".lower()]
    return render(request, "errors.html", errors=found, total=len(_codes()))


@page("/help/errors/{code}", title="web.title.error", section="help", roles=EVERYONE)
def error(request: Request, code: str) -> Response:
    """One error code; CallerError `web.no-such-error`."""
    if code not in _codes():
        raise CallerError("web.no-such-error", got=code[:100])
    return render(request, "explained.html", error=explained(code))


def explained(code: str) -> Explained:
    """An error of the catalogue in the language in force."""
    room, _, name = code.partition(".")
    entry = catalogue(room, language())["error"][name]
    return Explained(code, *(_spoken(entry[part]) for part in ("expected", "got", "do")))


def _spoken(template: str) -> str:
    """A template for reading: the names of its fields between angle marks."""
    parts = string.Formatter().parse(template)
    return "".join(text + (f"‹{name.partition('.')[0]}›" if name else "") for text, name, _, _ in parts)


def _codes() -> tuple[str, ...]:
    return tuple(f"{room}.{name}" for room in rooms() for name in sorted(catalogue(room, "en").get("error", {})))


def _words() -> tuple[Word, ...]:
    here, other = catalogue("words", language()), catalogue("words", "en" if language() == "zh" else "zh")
    return tuple(Word(key, one["word"], one["is"], other[key]["word"]) for key, one in here.items())
