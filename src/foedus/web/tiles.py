"""The tiles of a run that goes on: a member each, with its sign, seconds and bytes, and what to do where it failed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from foedus.core.messages import say
from foedus.track import words
from foedus.track.advice import advice
from foedus.track.board import Board
from foedus.web.words import seconds

__all__ = ["MOST_TILES", "head_of", "tiles_of"]

MOST_TILES = 200


def head_of(board: Board, now: datetime) -> str:
    """One line: round n of N, the step, the time left, bytes both ways, the loss so far."""
    return words.head_of(board, now)


def tiles_of(board: Board) -> list[dict[str, Any]]:
    """A tile a member, at most `MOST_TILES`: those in trouble first, then those that are asked, then the rest."""
    trouble = ("refused", "failed", "late", "gone")
    order = sorted(
        board.members.items(), key=lambda item: (item[1].state not in trouble, item[1].state == "idle", item[0])
    )
    tiles = []
    for member, one in order[:MOST_TILES]:
        notes = [seconds(one.seconds)] if one.seconds is not None else []
        if one.bytes_out or one.bytes_in:
            notes.append(say("web.run.bytes", out=words.size_text(one.bytes_out), into=words.size_text(one.bytes_in)))
        told = advice(one.code, {}, refused=one.state == "refused") if one.state in trouble else None
        tiles.append(
            {
                "member": member, "state": one.state, "text": say(f"web.standing.{one.state}"), "code": one.code,
                "notes": tuple(notes), "do": told.do if told else "",
            }
        )  # fmt: skip
    return tiles
