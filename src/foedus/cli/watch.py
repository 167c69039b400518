"""A run as it goes on, for who sits at the terminal: a live table there, one line an event elsewhere; and loggers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.track.board import Board
    from foedus.track.event import Event, Report

__all__ = ["logging_to", "watching"]

_ON_THE_BOARD = ("asked", "working", "answered")
"""Kinds that the live table shows, so that no line need stay of them."""


@contextmanager
def watching(targets: Iterable[str] = ()) -> Iterator[Report]:
    """What to report a run's events to: they are shown on stderr as they come, and logged to `targets`
    (`NAME:FOLDER`). Raises as `track.feed.feeding`.
    """
    with logging_to(targets) as feed, _shown() as show:

        def report(event: Event) -> None:
            show(event)
            feed(event)

        yield report


@contextmanager
def logging_to(targets: Iterable[str]) -> Iterator[Report]:
    """What to report the events of this workspace's runs to, so that they are logged; one that was lost is told of.

    Raises as `track.feed.feeding`.
    """
    from foedus.core.messages import say
    from foedus.track.feed import feeding

    here, lost = shell(), list[str]()
    try:
        with feeding(targets, runs=here.workspace / "runs", lost=lost.append) as feed:
            yield feed
    finally:
        for target in lost:
            here.note(say("track.line.lost", target=target))


@contextmanager
def _shown() -> Iterator[Report]:
    from foedus.core.clock import now
    from foedus.track.board import Board
    from foedus.track.words import line_of

    here, board = shell(), Board()

    def as_line(event: Event) -> None:
        if text := line_of(event):
            here.note(text)

    if not here.is_live:
        yield as_line
        return

    with here.live(lambda: _table(board, now())) as above:

        def on_board(event: Event) -> None:
            board.see(event)
            if event.kind not in _ON_THE_BOARD and (text := line_of(event)):
                above(text)

        yield on_board


def _table(board: Board, moment: Any) -> Any:
    """The board as rich draws it: a line, and a row a member."""
    from rich.console import Group
    from rich.table import Table

    from foedus.core.messages import say
    from foedus.track.words import COLUMNS, head_of, rows_of

    if not board.run:
        return ""
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(say(f"track.head.{column}"), justify="left" if column in ("member", "state") else "right")
    for row in rows_of(board):
        table.add_row(*row)
    return Group(head_of(board, moment), table)
