"""Figures, sizes and times as people read them, in the language in force. A figure that is not there is a dash."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from foedus.core.clock import parse
from foedus.core.digest import short
from foedus.core.messages import catalogue, language, say
from foedus.track.words import size_text

__all__ = [
    "DASH",
    "age",
    "count",
    "day",
    "engine_name",
    "figure",
    "fingerprint",
    "gate_name",
    "instant",
    "metric_name",
    "note_text",
    "percent",
    "reason",
    "said",
    "seconds",
    "short",
    "size_text",
    "tone",
    "written",
]

DASH = "–"


def count(value: int | None) -> str:
    """A whole number with separators: 12,340."""
    return DASH if value is None else f"{value:,}"


def figure(value: str | Fraction | float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A decimal rounded for people: 0.863; with `signed`, +0.031."""
    if value is None:
        return DASH
    text = f"{float(Fraction(value)):{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "−")


def percent(value: str | Fraction | float | None, digits: int = 0) -> str:
    """A share of one as per cent: 31 %."""
    return DASH if value is None else f"{float(Fraction(value)) * 100:.{digits}f} %".replace("-", "−")


def seconds(value: float | None) -> str:
    """A duration: 0.4 s, 38 s, 4:05, 1:02:10."""
    if value is None:
        return DASH
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    text = str(timedelta(seconds=round(value)))
    return text.removeprefix("0:").lstrip("0") or text


def instant(value: str | None) -> str:
    """An instant of a record for people: 2026-11-22 07:41 UTC."""
    return DASH if not value else f"{value[:10]} {value[11:16]} UTC"


def day(value: str | None) -> str:
    """The day of an instant."""
    return value[:10] if value else DASH


def age(value: str | None, at: datetime) -> str:
    """How long ago: `5 minutes ago`; from a month on, the day itself."""
    if not value:
        return DASH
    passed = max(0, int((at - parse(value)).total_seconds()))
    for unit, length, most in (("second", 1, 60), ("minute", 60, 60), ("hour", 3600, 24), ("day", 86400, 31)):
        if passed < length * most:
            number = passed // length
            return say(f"web.age.{unit}" if number == 1 else f"web.age.{unit}s", count=number)
    return day(value)


def metric_name(metric: str) -> str:
    """What a metric is called; its own name where the catalogue has none."""
    return str(catalogue("gates", language())["metric"].get(metric, metric))


def gate_name(gate: str) -> str:
    """What a gate is called; its own name where the catalogue has none."""
    return str(catalogue("gates", language())["gate"].get(gate, gate))


def engine_name(engine: str) -> str:
    """How asks travelled; the engine's own name where the catalogue has none."""
    return say(f"web.engine.{engine}") if engine in catalogue("web", language())["engine"] else engine


def note_text(kind: str, note: str) -> str:
    """The index's note on an act in words: of a vote its matter and choice, of a run its outcome or engine. All other
    notes are names and reasons, as they were signed.
    """
    match kind, note.split(" "):
        case "vote.cast", [matter, choice]:
            return f"{say(f'web.matter.{matter}')} · {say(f'web.choice.{choice}')}"
        case "vote.close", [matter, outcome]:
            return f"{say(f'web.matter.{matter}')} · {say(f'web.vote-outcome.{outcome}')}"
        case "run.close", [outcome]:
            return say(f"web.outcome.{outcome}")
        case "run.open", [engine]:
            return engine_name(engine)
        case "key.rotate", [purpose]:
            return say(f"web.key.{purpose}")
        case "key.replace", [member, purpose]:
            return f"{member} · {say(f'web.key.{purpose}')}"
    return note


def reason(code: str) -> str:
    """Why a gate said what it said; the code itself where the catalogue has no words for it."""
    return str(catalogue("gates", language())["reason"].get(code, code))


def fingerprint(key: str | None) -> str:
    """The end of a public key, in groups of four: for two people to compare; it decides nothing."""
    if not key:
        return DASH
    tail = key.partition(":")[2][-16:]
    return " ".join(tail[start : start + 4] for start in range(0, len(tail), 4))


_TONES = {
    "ok": ("pass", "done", "published", "approved", "ok", "member", "signed", "approve", "used", "answered", "current",
           "measured", "kept", "verified", "in-force", "reviewed", "over", "running"),
    "bad": ("fail", "failed", "rejected", "revoked", "refused", "gone", "frozen", "object", "refuse", "missing",
            "critical"),
    "warn": ("inconclusive", "late", "left-out", "undecided", "stale", "recorded", "claimed", "not-measured", "warn",
             "waived", "warning", "notice", "in-review"),
    "run": ("open", "working", "voting"),
    "wait": ("unsigned", "waiting", "awaited", "silent"),
}  # fmt: skip


def tone(value: str) -> str:
    """The tone of a state: `ok`, `bad`, `warn`, `run` (it goes on), `wait` (for somebody), else `off`."""
    return next((name for name, values in _TONES.items() if value in values), "off")


def said(words: str, names: Iterable[str]) -> str:
    """A list of names, each as the message `words.name` calls it."""
    return ", ".join(say(f"{words}.{name}") for name in names) or DASH


def written(kind: str, value: Any) -> str:
    """A cell's value as its column writes it."""
    match kind:
        case "count":
            return count(value)
        case "figure":
            return figure(value)
        case "instant":
            return instant(value)
        case "size":
            return size_text(value)
        case "engine":
            return engine_name(value)
        case "names":
            return ", ".join(value) or DASH
    return str(value)
