"""What every command shares: the global options, printing for people or as one JSON object, progress, and exit codes.

For people: results on stdout, progress and warnings on stderr. With `--json`: one object on stdout, all else on stderr.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from foedus.core.messages import say

__all__ = ["Progress", "Shell", "shell"]

JSON_VERSION = 1


class Progress(Protocol):
    """Something to tell of work that goes on."""

    def advance(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps; `note` is said beside the bar."""


@dataclass(slots=True)
class Shell:
    """The global options of this call, and how to speak under them."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    workspace: Path = field(default_factory=Path)
    passphrase: str | None = field(default=None, repr=False)

    def line(self, text: str = "") -> None:
        """A line of the result: stdout, or stderr with --json; nothing with --quiet."""
        if not self.quiet:
            print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def say(self, key: str, /, **fields: Any) -> None:
        """A message of the catalogue as a line of the result."""
        self.line(say(key, **fields))

    def note(self, text: str) -> None:
        """A remark: always on stderr; nothing with --quiet."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is where we print

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table in plain text; columns are as wide as their widest cell (a Chinese character counts two)."""
        from rich.cells import cell_len

        widths = [max(cell_len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
        for row in [head, *rows]:
            cells = (str(c) + " " * (w - cell_len(str(c))) for c, w in zip(row, widths, strict=True))
            self.line("  ".join(cells).rstrip())

    def result(self, kind: str, data: Mapping[str, Any]) -> None:
        """The result as data: printed only with --json, once a call."""
        if self.as_json:
            body = {"foedus": JSON_VERSION, "kind": kind, **data}
            print(json.dumps(body, ensure_ascii=False, sort_keys=True))  # noqa: T201 - this is where we print

    def next(self, *commands: str) -> None:
        """The last lines: what to do next. Each command can be run as it stands, from where this one was run."""
        if not commands:
            return
        self.line()
        self.say("cli.next")
        for command in commands:
            self.line(f"  {command}")

    def at(self, folder: Path | None = None) -> str:
        """What to add to a command so that it runs in a workspace, this call's by default; nothing for `.`."""
        place = os.path.normpath(self.workspace if folder is None else folder)
        return "" if place == "." else f" --workspace {shlex.quote(place)}"

    def confirm(self, key: str, /, **fields: Any) -> bool:
        """Ask before an act; `--yes` answers yes, a call that is not at a terminal answers no."""
        if self.yes:
            return True
        if not sys.stdin.isatty():
            return False
        print(say(key, **fields) + " [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - this is where we print
        return sys.stdin.readline().strip().lower() in ("y", "yes", "是")

    @property
    def is_live(self) -> bool:
        """Whether there is a terminal on which something may move."""
        return not self.quiet and not self.as_json and sys.stderr.isatty()

    @contextmanager
    def live(self, render: Callable[[], Any]) -> Iterator[Callable[[str], None]]:
        """Show what `render` gives (anything that rich prints) on the terminal, anew each second, until the end; what
        is given prints a line above it.

        A timer's signal draws, no thread: whoever forks meanwhile forks from one thread.
        """
        import signal

        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False)
        with Live(get_renderable=render, console=console, auto_refresh=False, transient=True) as live:
            drawing = False

            def draw(*_: object) -> None:
                nonlocal drawing
                if not drawing:
                    drawing = True
                    live.refresh()
                    drawing = False

            def line(text: str) -> None:
                nonlocal drawing
                drawing = True
                console.print(text, markup=False, soft_wrap=True)
                drawing = False

            before = signal.signal(signal.SIGALRM, draw)
            signal.setitimer(signal.ITIMER_REAL, 0.1, 1.0)
            try:
                yield line
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """A bar on a terminal, one line an event otherwise."""
        if self.quiet or not sys.stderr.isatty():
            yield _Lines(self, title)
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Bar(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=True) as bar:
            yield _Bar(bar, bar.add_task(title, total=None, note=""))


class _Lines:
    def __init__(self, shell: Shell, title: str) -> None:
        self.shell, self.title = shell, title

    def advance(self, done: int, total: int, note: str = "") -> None:
        self.shell.note(f"{self.title} {done}/{total} {note}".rstrip())


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self.bar, self.task = bar, task

    def advance(self, done: int, total: int, note: str = "") -> None:
        self.bar.update(self.task, completed=done, total=total, note=note)


_current = Shell()


def shell() -> Shell:
    """The shell of this call; `main` sets its options before a command runs."""
    return _current
