"""What the hub needs to carry runs under the accord in force, put together once: base model, start state, engines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foedus.core.errors import IdentityError, RunError
from foedus.federate.engine import Engine
from foedus.hub.carrier import Carrier
from foedus.hub.nodes import node_keys
from foedus.hub.refusals import Refusals
from foedus.ledger.consortium import Consortium
from foedus.records.accord import Accord
from foedus.records.acts import CloseRound, EnterEvidence
from foedus.records.base import Record
from foedus.records.membership import NodeKey
from foedus.run import Hall, start_of
from foedus.track.event import Report
from foedus.workspace import (
    OwnLedger,
    Workspace,
    collect_acts,
    pending,
    private_key,
    prune_replies,
    readable_private_keys,
    working,
)

if TYPE_CHECKING:
    from foedus.state.tensors import State

__all__ = ["Ready", "ready"]


@dataclass(frozen=True, slots=True)
class Ready:
    """A hub at work: what runs under one accord share."""

    hub: Workspace
    ledger: OwnLedger
    accord: Accord
    start: State
    carrier: Carrier
    refusals: Refusals
    report: Report

    @contextmanager
    def carrying(self, name: str) -> Iterator[tuple[Hall, Engine]]:
        """The hall of a run, and an engine that reaches every member over the wire; raises as the carrier's engine."""
        engine = self.carrier.engine()
        hall = Hall(
            ledger=_Noting(self.ledger, self.refusals, name),
            act=private_key(
                self.hub, "act", public=self.ledger.state().key(self.hub.party, "act"),
                passphrase=self.ledger.passphrase,
            ),
            store=self.hub.objects,
            folder=self.hub.folder / "runs" / name,
            clock=self.ledger.clock,
            report=self.report,
            elsewhere={key.member: _machine(key) for key in node_keys(self.hub)},
        )  # fmt: skip
        try:
            yield hall, engine
        finally:
            engine.close()


@contextmanager
def ready(
    hub: Workspace, ledger: OwnLedger, carrier: Carrier, refusals: Refusals, *, report: Report
) -> Iterator[Ready]:
    """Hold the coordinator's workspace, and have accord and start state at hand.

    Raises:
        IdentityError: `hub.keys-readable` where keys must be apart and are not.
        RunError: `run.no-accord`; `workspace.busy`.
        VerifyError: `base.differs`.
    """
    import torch

    from foedus.accord import compile_plan
    from foedus.state.base import open_base

    with working(hub):
        collect_acts(hub, pending(hub), passphrase=ledger.passphrase, clock=ledger.clock)
        prune_replies(hub, at=ledger.clock())
        state = ledger.state()
        accord = state.accord
        if accord is None:
            missing = sorted({one for digest in state.accords for one in state.unsigned(digest)})
            raise RunError("run.no-accord", missing=", ".join(missing) or "–")
        readable = [one for one in readable_private_keys(hub.folder) if accord.member(one)]
        if accord.custody == "separate" and len(readable) > 1:
            raise IdentityError("hub.keys-readable", readable=", ".join(readable))
        base = open_base(accord.base.source, accord.base.pin)
        torch.set_num_threads(1)  # the start state's bits, as everywhere
        start, _ = start_of(accord, compile_plan(accord), base=base)
        yield Ready(hub, ledger, accord, start, carrier, refusals, report)
        prune_replies(hub, at=ledger.clock())


def _machine(key: NodeKey) -> str:
    """What the bits of a member's training depend on, as its node said."""
    return ", ".join(f"{name} {value}" for name, value in sorted(key.numerics.items())) or "–"


@dataclass(frozen=True, slots=True)
class _Noting:
    """The coordinator's ledger; when a round is closed, what was refused in it follows."""

    ledger: OwnLedger
    refusals: Refusals
    run: str

    def state(self) -> Consortium:
        return self.ledger.state()

    def record(self, record: Record, objects: Iterable[bytes] = ()) -> None:
        self.ledger.record(record, objects)
        match record:
            case CloseRound():
                self.refusals.enter(self.ledger.record, run=self.run, round=record.round)
            case EnterEvidence():
                self.refusals.enter(self.ledger.record, run=self.run, round=self.state().runs[self.run].round + 1)
