"""One catalogue of messages for command line, errors and documents, in English and Chinese.

A file a room and language: `messages/en/accord.toml`, `messages/zh/accord.toml`. The key `accord.explain.rounds` is the
entry `explain.rounds` of the room `accord`; the error `accord.unknown-key` is the table `error.unknown-key` of that
room, with `expected`, `got` and `do`. Entries are `str.format` templates.
"""

from __future__ import annotations

import tomllib
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from foedus.core.errors import FoedusError

__all__ = ["LANGUAGES", "ErrorText", "Language", "error_text", "language", "rooms", "say", "set_language"]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
_language: ContextVar[Language] = ContextVar("foedus_language", default="en")


def language() -> Language:
    """The language in which messages are given here."""
    return _language.get()


def set_language(value: Language) -> None:
    """Choose the language of messages from here on."""
    _language.set(value)


@dataclass(frozen=True, slots=True)
class ErrorText:
    """What a person reads of an error. `str()` gives the lines as printed."""

    code: str
    expected: str
    got: str
    do: str

    def __str__(self) -> str:
        heads = {"en": ("expected", "got", "do"), "zh": ("应为", "实际", "处理")}[language()]
        body = zip(heads, (self.expected, self.got, self.do), strict=True)
        return "\n".join([f"[{self.code}]", *(f"  {head}: {text}" for head, text in body)])


def rooms() -> tuple[str, ...]:
    """The rooms that have messages."""
    folder = files(__name__) / "en"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


@cache
def catalogue(room: str, lang: Language) -> dict[str, Any]:
    """All messages of a room in one language, as nested tables."""
    return tomllib.loads((files(__name__) / lang / f"{room}.toml").read_text(encoding="utf-8"))


def say(key: str, /, *, lang: Language | None = None, **fields: object) -> str:
    """The message under `key`, with its fields filled in."""
    room, *path = key.split(".")
    node: Any = catalogue(room, lang or language())
    for part in path:
        node = node[part]
    return str(node).format(**fields)


def error_text(error: FoedusError, *, lang: Language | None = None) -> ErrorText:
    """What a person reads of an error, in one language."""
    lang = lang or language()
    room, _, name = error.code.partition(".")
    entry = catalogue(room, lang)["error"][name]
    fields = {field: _translated(value, lang) for field, value in error.fields.items()}
    return ErrorText(
        code=error.code,
        expected=entry["expected"].format(**fields),
        got=entry["got"].format(**fields),
        do=entry["do"].format(**fields),
    )


def _translated(value: object, lang: Language) -> object:
    """A reason that the operating system gave, which is English wherever it comes from, in this language."""
    names = {said: name for name, said in catalogue("system", "en")["said"].items()}
    return catalogue("system", lang)["said"][names[value]] if isinstance(value, str) and value in names else value
