"""Loggers: what a run's events amount to as numbers by round, for the tools in which people compare runs.

A logger is two functions, `log` and `close`; `LOGGERS` names those there are. What is logged is what the ledger tells
every member anyway: losses, who was used with what weight, who was left out, sizes, durations, figures over all
members; and as facts the digests of accord, start state, state and evidence. Nothing of a member's data, no figure of
one member, no name of a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from foedus.core.clock import parse
from foedus.core.errors import CallerError
from foedus.track.board import Board
from foedus.track.event import Event

__all__ = ["LOGGERS", "Entry", "Logger", "Scribe", "opener", "target"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Values at a round, and facts of the whole run. Round 0 is the start state."""

    round: int
    values: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


class Logger(Protocol):
    """Where entries go. A run that goes on after an interruption opens its logger again."""

    def log(self, entry: Entry) -> None:
        """Write an entry so that it stays, whatever happens next."""

    def close(self) -> None:
        """Let go of files."""


LOGGERS: Mapping[str, tuple[str, str]] = {
    "tensorboard": ("tensorboard", "foedus.track.to_tensorboard"),
    "mlflow": ("mlflow", "foedus.track.to_mlflow"),
    "wandb": ("wandb", "foedus.track.to_wandb"),
    "trackio": ("trackio", "foedus.track.to_trackio"),
}
"""Name → the package that it needs, and the module whose `open_logger(folder, run)` opens it."""


def target(text: str) -> tuple[str, Path]:
    """A logger and its folder from `NAME:FOLDER`.

    Raises: CallerError: `track.no-such-logger`; `cli.extra-missing` where its package is not installed.
    """
    name, _, folder = text.partition(":")
    if name not in LOGGERS or not folder:
        raise CallerError("track.no-such-logger", got=text, known=", ".join(f"{known}:FOLDER" for known in LOGGERS))
    package, _ = LOGGERS[name]
    if find_spec(package) is None:
        raise CallerError("cli.extra-missing", module=package, extra="log")
    return name, Path(folder).resolve()


def opener(name: str) -> Callable[[Path, str], Logger]:
    """The function that opens a logger: `open_logger(folder, run)`."""
    found: Callable[[Path, str], Logger] = import_module(LOGGERS[name][1]).open_logger
    return found


class Scribe:
    """Entries from events, in order."""

    def __init__(self) -> None:
        self._board = Board()
        self._began = ""
        self._before = (0, 0)

    def entries(self, event: Event) -> Iterator[Entry]:
        """What an event adds."""
        self._board.see(event)
        fields = event.fields
        if event.kind in ("opened", "resumed"):
            names = ("run", "accord", "start", "engine", "rounds")
            facts = {name: str(fields[name]) for name in names} | {"members": ", ".join(fields.get("roster", ()))}
            yield Entry(fields["round"], {}, facts)
        elif event.kind == "asked" and fields["step"] == "train":
            self._began, self._before = event.at, (self._board.bytes_out, self._board.bytes_in)
        elif event.kind == "round":
            if fields["round"] == 1 and fields.get("start_loss"):
                yield Entry(0, {"validation_loss": float(fields["start_loss"])})
            yield Entry(fields["round"], self._values(event))
        elif event.kind == "closed":
            facts = {name: str(fields[name]) for name in ("outcome", "rounds", "released_round", "state")}
            yield Entry(fields["rounds"], {}, facts)
        elif event.kind == "examined":
            yield Entry(self._board.round, _figures(event), {"evidence": fields["evidence"]})

    def _values(self, event: Event) -> dict[str, float]:
        fields, board = event.fields, self._board
        values = {
            "members_used": float(len(fields["used"])),
            "members_left_out": float(len(fields.get("left_out", ()))),
            "bytes_out": float(board.bytes_out - self._before[0]),
            "bytes_in": float(board.bytes_in - self._before[1]),
            **{f"weight/{member}": float(weight) for member, weight in fields.get("weights", {}).items()},
        }
        if fields.get("loss"):
            values["validation_loss"] = float(fields["loss"])
        if self._began:
            values["seconds"] = (parse(event.at) - parse(self._began)).total_seconds()
        return values


def _figures(event: Event) -> dict[str, float]:
    """The figures over all members, with their intervals."""
    values = {}
    for one in event.fields["figures"]:
        if one["member"] is None:
            for part in ("estimate", "low", "high"):
                values[f"{one['metric']}/{one['arm']}/{part}"] = float(one[part])
    return values
