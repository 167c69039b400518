"""A run in words: the line that an event is, and the rows of a board, in the language in force."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from foedus.core.messages import say
from foedus.track.advice import advice
from foedus.track.board import Board
from foedus.track.event import REPLIES, Event

__all__ = ["COLUMNS", "head_of", "line_of", "loss_text", "rows_of", "size_text"]

COLUMNS = ("member", "state", "seconds", "out", "in")
"""The columns of `rows_of`: keys of `track.head`."""


def line_of(event: Event) -> str | None:
    """An event as one or more lines of text; None for what is only of interest on a board."""
    fields, kind = event.fields, event.kind
    if kind == "opened":
        return _say("opened", run=fields["run"], members=_listed(fields.get("roster")), rounds=fields["rounds"])
    if kind == "resumed":
        return _say("resumed", run=fields["run"], round=fields["round"])
    if kind == "asked":
        return _asked(event)
    if kind in REPLIES:
        return _reply(event)
    if kind == "round":
        loss = fields.get("loss")
        lines = [_say("round" if loss else "round-plain", round=fields["round"], loss=loss_text(loss))]
        lines += [_say("used-late", member=member, rounds=rounds) for member, rounds in fields.get("late", {}).items()]
        lines += [_say("left-out", member=member, code=code) for member, code in fields.get("left_out", {}).items()]
        return "\n".join(lines)
    if kind == "left-out":
        return _say("dropped", **fields)
    if kind == "ended" and fields["code"]:
        return _say("stopped" if fields["code"] == "run.stopped" else "ended", run=fields["run"], code=fields["code"])
    return None


def _asked(event: Event) -> str | None:
    fields = event.fields
    if not fields["members"]:
        return None
    return f"  {_step(event)}: " + _say("asked", members=_listed(fields["members"]), until=fields["until"])


def _reply(event: Event) -> str:
    fields = event.fields
    head = f"  {_step(event)}: "
    if event.kind == "answered":
        size, seconds = size_text(fields["bytes"]), f"{fields['seconds']:.1f}"
        return head + _say("answered", member=fields["member"], seconds=seconds, size=size)
    told = advice(fields["code"], fields["fields"], refused=event.kind == "refused")
    lines = [head + _say(event.kind, member=fields["member"], code=told.code)]
    lines += [f"      {text}" for text in (told.got, told.do) if text]
    return "\n".join(lines)


def _step(event: Event) -> str:
    return say(f"track.step.{event.fields['step']}", round=event.fields["round"])


def head_of(board: Board, now: datetime) -> str:
    """One line: the run, its round, the step, the time left, bytes both ways, the loss so far."""
    parts = [_say("head", run=board.run, round=board.round, rounds=board.rounds)]
    if board.step and board.ended is None:
        parts.append(say(f"track.step.{board.step}", round=board.round))
    if (left := board.left(now)) is not None:
        parts.append(_say("left", time=str(left).partition(".")[0]))
    parts.append(_say("bytes", out=size_text(board.bytes_out), into=size_text(board.bytes_in)))
    if board.losses:
        first, last = (board.losses[number] for number in (min(board.losses), max(board.losses)))
        parts.append(_say("loss", first=loss_text(first), last=loss_text(last)))
    return "   ".join(parts)


def rows_of(board: Board, *, limit: int = 20) -> list[tuple[str, ...]]:
    """A row a member, `COLUMNS` wide, at most `limit`: who is asked comes before who is not; a last row counts the
    rest.
    """
    chosen = sorted(board.members, key=lambda member: (board.members[member].state == "idle", member))
    rows = []
    for member in sorted(chosen[:limit]):
        one = board.members[member]
        seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
        sizes = (size_text(size) if size else "" for size in (one.bytes_out, one.bytes_in))
        doing = say(f"track.working.{board.step or 'train'}") if one.state == "working" else ""
        rows.append((member, doing or say(f"track.state.{one.state}", code=one.code), seconds, *sizes))
    if more := len(chosen) - limit if len(chosen) > limit else 0:
        rows.append((_say("more", count=more), "", "", "", ""))
    return rows


def size_text(size: int) -> str:
    """Bytes with a unit: 512 B, 12 kB, 3.4 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit != "MB" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def loss_text(loss: str | None) -> str:
    """A loss for people."""
    return f"{float(loss):.4f}" if loss else "–"


def _listed(names: object, *, limit: int = 20) -> str:
    known = [str(name) for name in names] if isinstance(names, list | tuple) else []
    rest = len(known) - limit
    return ", ".join([*known[:limit], *([_say("more", count=rest)] if rest > 0 else [])])


def _say(key: str, /, **fields: Any) -> str:
    return say(f"track.line.{key}", **fields)
