"""Where a run stands: the fold of its events. It reads no clock and prints nothing, so that a terminal, a page and a
test show the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from foedus.core.clock import parse
from foedus.track.event import REPLIES, Event

__all__ = ["Board", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a member in the present step.

    `state`: `idle` (not asked), `waiting` (asked), `working`, `kept` (it had answered before the run was interrupted),
    or the kind of the event that said what became of its message.
    """

    state: str
    code: str = ""
    bytes_out: int = 0
    bytes_in: int = 0
    seconds: float | None = None


@dataclass(slots=True)
class Board:
    """A run as its events tell it so far.

    `losses`: the validation loss of the start state (0) and after each round. `ended`: None
    while the run goes on, else the code with which it ended (empty: it is done).
    """

    run: str = ""
    rounds: int = 0
    round: int = 0
    step: str = ""
    until: str = ""
    roster: tuple[str, ...] = ()
    members: dict[str, Standing] = field(default_factory=dict)
    losses: dict[int, str] = field(default_factory=dict)
    bytes_out: int = 0
    bytes_in: int = 0
    ended: str | None = None

    def see(self, event: Event) -> None:
        """Take in the next event."""
        fields = event.fields
        if event.kind in ("opened", "resumed"):
            self.run, self.rounds, self.round = fields["run"], fields["rounds"], fields["round"]
            self.roster, self.members = tuple(fields.get("roster", ())), {}
            self.step, self.until, self.ended = "", "", None
        elif event.kind == "asked":
            self.round, self.step, self.until = fields["round"], fields["step"], fields["until"]
            states = {"idle": self.roster, "waiting": fields["members"], "kept": fields["kept"]}
            now = {member: Standing(state) for state, members in states.items() for member in members}
            self.members = dict(sorted(now.items()))
        elif event.kind == "working":
            self.bytes_out += fields["bytes"]
            self.members[fields["member"]] = Standing("working", bytes_out=fields["bytes"])
        elif event.kind in REPLIES:
            self._replied(event)
        elif event.kind == "round":
            self.round, self.until = fields["round"], ""
            both = {0: fields.get("start_loss"), fields["round"]: fields.get("loss")}
            self.losses |= {number: loss for number, loss in both.items() if loss is not None}
        elif event.kind == "ended":
            self.ended, self.until = fields["code"], ""

    def _replied(self, event: Event) -> None:
        fields, member = event.fields, event.fields["member"]
        self.bytes_in += fields["bytes"]
        self.members[member] = replace(
            self.members.get(member, Standing("idle")),
            state=event.kind, code=fields["code"], bytes_in=fields["bytes"], seconds=fields["seconds"],
        )  # fmt: skip

    def left(self, now: datetime) -> timedelta | None:
        """The time until the present step's deadline, none below zero; None between steps."""
        return max(parse(self.until) - now, timedelta(0)) if self.until else None
