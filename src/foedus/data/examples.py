"""Examples of a task: one internal form for all the ways in which texts, labels and entities are written down.

Entities become spans over tokens, `(start, end_exclusive, type)`. Tags are read as they were meant: IOB1 by the CoNLL
rule, IOB2 and BMES (BIOES) strictly, so that a wrong declaration is noticed and not trained on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from unicodedata import normalize

__all__ = [
    "WORD",
    "Example",
    "Span",
    "chunks",
    "normalised",
    "of_text",
    "repaired",
    "spans_of_bmes",
    "spans_of_iob2",
    "words_of",
]

WORD = (
    r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"  # one ideograph, kana or hangul sign
    r"|[^\W\d_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"  # letters
    r"|\d+|[^\w\s]|_"
)
"""The pattern of one word: a run of letters, a run of digits, a single sign or ideograph."""
_WORD = re.compile(WORD)


class Span(NamedTuple):
    """An entity over tokens `start` to before `end`."""

    start: int
    end: int
    type: str


class Example(NamedTuple):
    """One example. Classification has `label`; entity tasks have `tokens` and `spans`; `document` groups examples.

    `id` names it within its part: a keyed digest of the example, which tells nothing without the member's key.
    """

    text: str
    label: str | None = None
    tokens: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    document: str | None = None
    id: str = ""

    def content(self) -> dict[str, Any]:
        """What the example says, as a JSON value."""
        return {
            "document": self.document,
            "label": self.label,
            "spans": [list(span) for span in self.spans],
            "text": self.text,
            "tokens": list(self.tokens),
        }


def of_text(text: str, *, level: str | None = None) -> Example:
    """An example without label, to predict from; `level` (word, character) for entity tasks."""
    text = text.strip()
    if level is None:
        return Example(text)
    return Example(text, tokens=tuple(text) if level == "character" else tuple(token for token, _ in words_of(text)))


def words_of(text: str) -> list[tuple[str, int]]:
    """The words of a text, each with its offset: runs of letters, runs of digits, single signs, single ideographs."""
    return [(found.group(), found.start()) for found in _WORD.finditer(text)]


def normalised(text: str) -> str:
    """What makes two texts the same: NFKC, case folded, white space runs made one space."""
    return " ".join(normalize("NFKC", text).casefold().split())


def chunks(tags: Sequence[str]) -> list[Span]:
    """The entities of IOB tags by the CoNLL rule (conlleval; seqeval's default mode), well formed or not.

    `B-X` begins an entity; so does `I-X` after `O` or after another type. It ends before `O`, `B-…` or another type.
    """
    out: list[Span] = []
    start, kind = 0, None
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind is not None and (prefix != "I" or name != kind):
            out.append(Span(start, i, kind))
            kind = None
        if kind is None and prefix in ("B", "I"):
            start, kind = i, name
    return out


def spans_of_iob2(tags: Sequence[str]) -> list[Span]:
    """The entities of IOB2 tags; ValueError where `I-X` continues no entity of type X, or for an unknown tag."""
    previous = "O"
    for i, tag in enumerate(tags):
        prefix, name = _parts(tag, "BI")
        if prefix == "I" and previous.partition("-")[2] != name:
            raise ValueError(f"{tag} after {previous} at token {i + 1}")
        previous = tag
    return chunks(tags)


def spans_of_iob1(tags: Sequence[str]) -> list[Span]:
    """The entities of IOB1 tags, or of ill-formed IOB2 tags; ValueError for an unknown tag."""
    for tag in tags:
        _parts(tag, "BI")
    return chunks(tags)


def spans_of_bmes(tags: Sequence[str]) -> list[Span]:
    """The entities of BMES or BIOES tags; ValueError where an entity is not closed, not begun, or changes its type."""
    out: list[Span] = []
    start, kind = 0, ""
    for i, tag in enumerate(tags):
        prefix, name = _parts(tag, "BMIES")
        if bool(kind) != (prefix in ("M", "I", "E")) or (kind and name != kind):
            raise ValueError(f"{tag} after {tags[i - 1] if i else 'the start'} at token {i + 1}")
        if prefix in ("B", "S"):
            start, kind = i, name
        if prefix in ("E", "S"):
            out.append(Span(start, i + 1, name))
            kind = ""
    if kind:
        raise ValueError(f"B-{kind} at token {start + 1} without its end")
    return out


def repaired(tags: Sequence[str]) -> list[Span]:
    """The entities of ill-formed tags: B and S begin, M, I and E go on; the CoNLL rule does the rest."""
    return chunks([tag if tag == "O" else "BI"[tag[:1] in "MIE"] + tag[1:] for tag in tags])


def _parts(tag: str, prefixes: str) -> tuple[str, str]:
    """The prefix and type of a tag; ("", "") for O."""
    if tag == "O":
        return "", ""
    prefix, dash, name = tag.partition("-")
    if not dash or not name or len(prefix) != 1 or prefix not in prefixes:
        raise ValueError(f"the tag {tag!r}")
    return prefix, name
