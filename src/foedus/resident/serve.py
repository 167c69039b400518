"""A member's resident process: it answers the hub's asks, next to the data, for as long as it runs.

The base model is in memory once. Before an ask is answered, the ledger is brought up to date and folded, so that what
is in force is what everybody signed. The SuperNode of Flower is a child process: it carries messages to the Unix socket
here, and knows no accord and no key but its own. Killed at any instant and started again, the process takes up what it
had reserved: an ask that was answered gets the same bytes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from foedus.core.clock import Clock
from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError
from foedus.core.files import lock, write_atomic
from foedus.core.version import version
from foedus.ledger.consortium import Consortium
from foedus.node import Node
from foedus.records.accord import Accord
from foedus.resident.check import check_clock, check_disk
from foedus.resident.join import Standing, node_key_of, standing, sync
from foedus.resident.link import Link
from foedus.resident.pause import paused_since
from foedus.resident.work import DATA_FILE, check_commitments, node_of, parts_of, register, shelf_of
from foedus.run import numerics
from foedus.track.event import Event, Report
from foedus.wire import pipe
from foedus.wire.supernode import SuperNode
from foedus.wire.tls import node_key as transport_key
from foedus.workspace import (
    Workspace,
    consortium,
    open_workspace,
    pending,
    private_key,
    prune_answers,
    readable_private_keys,
    socket_folder,
)

if TYPE_CHECKING:
    from foedus.train.model import Model

__all__ = ["Resident", "StartNode", "Wired", "over_flower"]

_POLL_SECONDS = 3.0
_MOST_PAUSE_SECONDS = 30.0
_REFRESH_SECONDS = 30.0
_PRUNE_SECONDS = 3600.0


class Wired(Protocol):
    """What carries messages to this process: Flower's SuperNode, or a test's."""

    def alive(self) -> bool:
        """Whether it runs."""

    def close(self) -> None:
        """End it."""


StartNode = Callable[[Workspace, Path, Path], Wired]
"""`start(workspace, transport_key, socket)`."""


def over_flower(workspace: Workspace, key: Path, socket: Path) -> Wired:
    """Flower's SuperNode; raises as `SuperNode.start`."""
    hub = workspace.page.hub
    assert hub is not None  # noqa: S101 - who joined a hub has one
    certificate = workspace.folder / "node" / "hub-ca.pem"
    write_atomic(certificate, hub.certificate.encode())
    return SuperNode.start(
        workspace.folder / "node" / "flower", hub=hub.address, ca=certificate, node_key=key, socket=socket
    )


@dataclass(slots=True)
class Resident:
    """One member's process. `report` hears of each step; `run` blocks until `stop` is set."""

    workspace: Workspace
    link: Link
    passphrase: str | None = field(repr=False)
    clock: Clock
    report: Report
    start_node: StartNode = over_flower
    poll_seconds: float = _POLL_SECONDS
    stop: threading.Event = field(default_factory=threading.Event)
    _told: Standing | None = None
    _synced: float = 0.0
    _pruned: float = field(default_factory=time.monotonic)
    _node: tuple[Any, Node] | None = None
    _model: tuple[str, Path, Model] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Join step by step, then answer until stopped.

        Raises:
            CallerError: `link.other-protocol`; `practice.other-data` when the rows are not those committed to;
                `join.no-data`; what is wrong with the data.
            IdentityError: `link.unreachable`, `link.wrong-certificate` at the start; `join.keys-readable`.
            RunError: as `check_clock`; `join.no-room`; `join.already-here` where another process serves this workspace.
            VerifyError: `base.differs`; the ledger does not hold.
        """
        with _alone(self.workspace):
            _, ahead = self.link.greeting()
            check_clock(ahead, self.clock)
            check_disk(self.workspace.folder)
            if self._attend() is None:
                return
            self._prepare()
            self._serve()

    # ── joining ──────────────────────────────────────────────────────────────

    def _attend(self) -> Consortium | None:
        """Wait until this member is ready to be asked, doing what a machine may do; None when stopped before."""
        state = self._sync()
        while not self.stop.is_set():
            match standing(self.workspace):
                case "ready":
                    return state
                case "left":
                    raise IdentityError("join.left", party=self.workspace.party)
                case "to-register":
                    state = self._register(state)
                    continue
                case step:
                    self._tell_once(step)
            self.stop.wait(self.poll_seconds)
            try:
                state = self._sync()
            except IdentityError as error:  # the hub may be away for a while
                if error.code != "link.unreachable":
                    raise
                self._tell("trouble", error=error)
        return None

    def _sync(self) -> Consortium:
        self._synced = time.monotonic()
        self.workspace = open_workspace(self.workspace.folder)  # its page changes when an accord is signed
        return sync(self.workspace, self.link, passphrase=self.passphrase)

    def _register(self, state: Consortium) -> Consortium:
        assert state.accord is not None  # noqa: S101 - who is to register is a member under it
        if not (self.workspace.folder / DATA_FILE).exists():
            raise CallerError("join.no-data")
        register(self.workspace, state.accord, passphrase=self.passphrase, clock=self.clock)
        state = self._sync()
        self._tell("registered", examples=state.cards[self.workspace.party].act.examples)
        return state

    def _prepare(self) -> None:
        """What must be right before anything is asked: keys apart, the pinned base model, the committed rows."""
        state = consortium(self.workspace)
        accord = state.accord
        assert accord is not None  # noqa: S101 - this member has signed it
        others = [one for one in readable_private_keys(self.workspace.folder) if accord.member(one)]
        if accord.custody == "separate" and len(others) > 1:
            raise IdentityError("join.keys-readable", readable=", ".join(others))
        self._tell("loading", base=accord.base.source)
        check_commitments(self.workspace, parts_of(self.workspace, accord))
        self._loaded(accord)

    # ── answering ────────────────────────────────────────────────────────────

    def _serve(self) -> None:
        """Answer messages until stopped; a SuperNode that ended is started again, after a growing pause."""
        key = self.workspace.folder / "keys" / "node.key"
        with pipe.serve(socket_folder(self.workspace.folder) / "node.sock", self.handle) as served:
            node, pause = self._connected(key, served.socket), 1.0
            try:
                while not self.stop.wait(self.poll_seconds):
                    try:
                        if node.alive():
                            self._keep_up()
                            continue
                        node, pause = self._connected(key, served.socket), 1.0
                    except FoedusError as error:
                        self._tell("trouble", error=error)
                        self.stop.wait(pause)
                        pause = min(_MOST_PAUSE_SECONDS, 2 * pause)
            finally:
                node.close()

    def _connected(self, key: Path, socket: Path) -> Wired:
        """A node that the hub has let in, after it heard of the node's key."""
        self._introduce(transport_key(key))
        node = self.start_node(self.workspace, key, socket)
        self._tell("serving", hub=self.link.hub.address)
        return node

    def _introduce(self, public: str) -> None:
        machine = {name: value for name, value in numerics().items() if name in ("cpu", "machine", "torch")}
        key = node_key_of(self.workspace, public, version=version(), numerics=machine, clock=self.clock)
        act = private_key(self.workspace, "act", public=self._act_key(), passphrase=self.passphrase)
        self.link.node_key(key, act)

    def _act_key(self) -> str | None:
        return consortium(self.workspace).key(self.workspace.party, "act")

    def _keep_up(self) -> None:
        """Between asks: send acts that a person made here, take what is new, say when an accord waits; now and then,
        delete replies whose term is over.
        """
        if time.monotonic() - self._pruned > _PRUNE_SECONDS:
            self._pruned = time.monotonic()
            prune_answers(self.workspace, at=self.clock())
        if time.monotonic() - self._synced < _REFRESH_SECONDS and not pending(self.workspace):
            return
        with self._lock:
            self._sync()
        if standing(self.workspace) == "to-sign":
            self._tell_once("to-sign")

    def handle(self, message: bytes) -> bytes:
        """The reply to a message of asks; raises as `Node.handle`, and what is wrong with the hub's ledger.

        Raises: RunError: `join.paused` while the member holds its node.
        """
        if paused_since(self.workspace):
            raise RunError("join.paused")
        with self._lock:
            self._sync()
            node = self._current()
        began = time.monotonic()
        try:
            reply = node.handle(message)
        except FoedusError as error:
            self._tell("trouble", error=error)
            raise
        line = node.journal.lines[-1] if node.journal.lines else None
        if line is not None:
            self._tell("answered", place=line.place, event=line.event, seconds=round(time.monotonic() - began, 1))
        return reply

    def _current(self) -> Node:
        """The node for the accord, run and card in force; another one when any of these has changed."""
        state = consortium(self.workspace)
        accord = state.accord
        if accord is None or state.accord_digest is None:
            raise CallerError("workspace.no-accord", party=self.workspace.party)
        open_run = next((name for name in reversed(list(state.runs)) if _is_open(state, name)), None)
        card = state.cards.get(self.workspace.party)
        now = (state.accord_digest, state.key(accord.coordinator.name, "act"), open_run, card.entry if card else None)
        if self._node is None or self._node[0] != now:
            base, model = self._loaded(accord)
            workspace = self.workspace
            node = node_of(
                workspace,
                accord,
                lambda: shelf_of(workspace, accord, base=base, model=model, run=open_run),
                passphrase=self.passphrase,
                clock=self.clock,
            )
            self._node = now, node
        return self._node[1]

    def _loaded(self, accord: Accord) -> tuple[Path, Model]:
        """The base model in memory, once an accord."""
        import torch

        from foedus.accord import compile_plan, require_reach
        from foedus.state.base import open_base
        from foedus.train.model import build

        if self._model is None or self._model[0] != accord.digest:
            torch.set_num_threads(1)  # the bits of a training step depend on it
            plan, base = compile_plan(accord), open_base(accord.base.source, accord.base.pin)
            require_reach(accord, base)
            self._model = accord.digest, base, build(base, plan.task, plan.method, dropout=plan.craft.dropout)
        return self._model[1], self._model[2]

    def sync_now(self) -> Consortium:
        """Send what waits and take the ledger at once: for who acts on this machine while the process runs."""
        with self._lock:
            return self._sync()

    # ── telling ──────────────────────────────────────────────────────────────

    def _tell_once(self, step: Standing) -> None:
        if self._told != step:
            self._told = step
            self._tell(step)

    def _tell(self, kind: str, **fields: Any) -> None:
        self.report(Event(kind, fields))


def _is_open(state: Consortium, name: str) -> bool:
    """Whether asks of this run may still come: it has no evidence yet."""
    return all(entered.run != name for entered in state.evidence.values())


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace as its one resident process; RunError `join.already-here` while another does."""
    try:
        with lock(workspace.folder / ".resident.lock"):
            yield
    except RunError as error:
        if error.code != "files.locked" or not str(error.fields["path"]).endswith(".resident.lock"):
            raise
        raise RunError("join.already-here", folder=str(workspace.folder)) from error
