"""The hub's process, and the one run, or search of settings trial by trial, that it carries at a time.

    up → certificates, SuperLink, gateway → the run that was open when the hub last ended → requests to start another

The run is `run.run`, in a thread of this process, with the coordinator's own ledger, key and store. `hub/run` names it
while it is carried: a hub that was killed finds it there and goes on from the last closed round, with a new Flower run;
`hub/search` says the same of a search.
What is refused meanwhile is counted, and stands in the ledger once the round is closed.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from foedus.core.clock import Clock, now
from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.core.files import write_atomic
from foedus.hub import control
from foedus.hub.carrier import Answer, Carrier, OverFlower, Refused
from foedus.hub.marker import Marked, marked, set_mark, take_mark_away
from foedus.hub.nodes import node_keys
from foedus.hub.reception import Reception
from foedus.hub.refusals import Refusals
from foedus.hub.work import Ready, ready
from foedus.ledger.consortium import RunState
from foedus.records.membership import HubAddress, HubPage, NodeKey
from foedus.records.tune import Trial
from foedus.run import Prune, name_for, run, run_trial
from foedus.search import search, trial_name
from foedus.track.event import Event, Report
from foedus.track.kept import EVENTS
from foedus.workspace import (
    OwnLedger,
    Workspace,
    open_workspace,
    private_key,
    prune_when_idle,
    socket_folder,
)

__all__ = ["DEFAULT_PORT", "Hub", "Start"]

DEFAULT_PORT = 8443
_REST_SECONDS = 3600.0
"""How often refusals outside a run are put into the ledger, at most."""


class Start(Protocol):
    """Starts a carrier: `OverFlower.start`, or a test's."""

    def __call__(
        self, folder: Path, *, host: str, port: int, names: list[str], sockets: Path, answer: Answer,
        refused: Refused, clock: Clock,
    ) -> Carrier:  # fmt: skip
        """Listen on `host` and `port`; `answer` gives what is asked under /foedus/, `refused` hears of the rest."""


@dataclass(slots=True)
class Hub:
    """A hub that is up. One thread at a time carries a run."""

    workspace: Workspace
    passphrase: str | None = field(repr=False)
    clock: Clock
    report: Report
    refusals: Refusals
    _carrier: Carrier | None = None
    _control: Any = None
    _thread: threading.Thread | None = None
    _name: str | None = None
    _begun: bool = False
    _ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    _search_ended: dict[str, Any] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _entered: float = field(default_factory=time.monotonic)

    @classmethod
    def up(
        cls,
        folder: Path,
        *,
        host: str | None = None,
        port: int | None = None,
        names: Iterable[str] = (),
        passphrase: str | None = None,
        report: Report = lambda _: None,
        clock: Clock = now,
        start: Start = OverFlower.start,
    ) -> Hub:
        """Start the hub of a coordinator's workspace, and the run that was open when it last ended.

        What is not given is as it was the last time: host 127.0.0.1, port 8443, names none.

        Raises:
            CallerError: `workspace.wrong-role`; `hub.no-name` where it listens on every address under no name.
            IdentityError: as `private_key`.
            RunError: `hub.already-up`; as the carrier's start.
        """
        workspace = open_workspace(folder)
        workspace.require("coordinator")
        private_key(workspace, "act", passphrase=passphrase)
        private_key(workspace, "log", passphrase=passphrase)

        def tell(code: str, source: str, detail: str) -> None:
            report(Event("hub-refused", {"code": code, "source": source, "detail": detail}))

        refusals = Refusals(folder / "hub" / "refused.json", tell)
        hub = cls(workspace, passphrase, clock, report, refusals)
        try:
            hub._control = control.serve(folder, hub._handle)
            hub._listen(host, port, list(names), start)
            hub._resume()
        except BaseException:
            hub.close()
            raise
        return hub

    # ── the door ─────────────────────────────────────────────────────────────

    def _listen(self, host: str | None, port: int | None, names: list[str], start: Start) -> None:
        folder, before = self.workspace.folder, self.workspace.hub
        host = host or (before.host if before else "127.0.0.1")
        port = port if port is not None else (before.port if before else DEFAULT_PORT)
        names = names or (list(before.names) if before else [])
        if not names and host in ("0.0.0.0", "::"):  # noqa: S104 - the address is refused, not bound
            raise CallerError("hub.no-name", host=host)
        reception = Reception(
            folder=folder, passphrase=self.passphrase, register=self._register, refused=self.refusals.note,
            clock=self.clock, steady=time.monotonic,
        )  # fmt: skip
        self._carrier = start(
            folder / "hub", host=host, port=port, names=[*names, host], sockets=socket_folder(folder),
            answer=reception.answer, refused=self.refusals.note, clock=self.clock,
        )  # fmt: skip
        reached = names[0] if names else host
        reached = f"[{reached}]" if ":" in reached else reached
        address = HubAddress(address=f"{reached}:{self._carrier.port}", certificate=self._carrier.certificate)
        page = HubPage(host=host, port=self._carrier.port, names=tuple(names), address=address)
        self.workspace.keep_hub(page)
        for key in node_keys(self.workspace):
            self._carrier.register(key.member, key.public)
        self.report(Event("hub-up", {"address": address.address, "host": host, "port": self._carrier.port}))

    def _register(self, key: NodeKey) -> None:
        assert self._carrier is not None  # noqa: S101 - who asks came through it
        self._carrier.register(key.member, key.public)
        self.report(Event("hub-node", {"member": key.member, "version": key.foedus}))

    @property
    def address(self) -> str:
        """Where members reach it."""
        page = self.workspace.hub
        assert page is not None  # noqa: S101 - written when it came up
        return page.address.address

    # ── runs ─────────────────────────────────────────────────────────────────

    @property
    def running(self) -> str | None:
        """The run that is being carried; empty where a search is between two trials."""
        return self._name or "" if self._thread is not None and self._thread.is_alive() else None

    def start(self, name: str | None = None, proposal: str | None = None) -> str:
        """Begin to carry a run: the one of this name, the one that is open, or a new one, which may carry out an
        approved `proposal`; gives its name. A stop that was asked for before is over with this.

        Raises:
            CallerError: `run.bad-name`.
            RunError: `hub.busy` while it carries another.
        """
        with self._lock:
            current = self.running
            if current and name in (None, current) and not self.searching:
                return current
            self._require_free()
            chosen = name_for(self._ledger().state(), name)
            self._forget_stop(chosen)
            mark = Marked(chosen, proposal)
            set_mark(self.workspace.folder, mark)
            self._begin(mark)
            return chosen

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the run that is carried has ended, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _resume(self) -> None:
        """Go on with what was carried when the hub last ended. A stop that was asked for meanwhile still counts."""
        if (mark := marked(self.workspace.folder)) is not None:
            self._begin(mark)
        elif self._search_marker.exists():
            self._occupy(None, self._search)

    def _begin(self, mark: Marked) -> None:
        self._ended.pop(mark.run, None)
        self._occupy(mark.run, lambda: self._carry(*mark))

    def _forget_stop(self, name: str) -> None:
        (self.workspace.folder / "runs" / name / "stop").unlink(missing_ok=True)

    def _carry(self, name: str, proposal: str | None) -> None:
        self._begun = False
        try:
            self._run(name, proposal)
            self._ended[name] = {}
        except FoedusError as error:
            self._ended[name] = control.error_of(error)
            if not self._begun:  # the run itself tells how it ended
                self.report(Event("ended", {"run": name, "code": error.code, "fields": {}}))
        except Exception as error:  # noqa: BLE001 - told as a fault
            self._ended[name] = self._fault(name, error)
        take_mark_away(self.workspace.folder)
        self.refusals.enter(self._ledger().record)

    def _run(self, name: str, proposal: str | None) -> None:
        with self._ready() as here, here.carrying(name) as (hall, engine):
            self._begun = True
            run(hall, name, engine=engine, start=here.start, carried="flower", proposal=proposal)

    def _ready(self) -> AbstractContextManager[Ready]:
        assert self._carrier is not None  # noqa: S101 - `_occupy` saw to it
        return ready(self.workspace, self._ledger(), self._carrier, self.refusals, report=self._watch)

    # ── searches ─────────────────────────────────────────────────────────────

    def search(self) -> None:
        """Begin to carry the search of the accord in force, from wherever it stands; again changes nothing. A stop of a
        trial that was asked for before is over with this.

        Raises: RunError: `hub.busy` while it carries a run.
        """
        with self._lock:
            if self.searching:
                return
            self._require_free()
            if (accord := self._ledger().state().accord) is not None and accord.tune is not None:
                for number in range(1, accord.tune.trials + 1):
                    self._forget_stop(trial_name(accord, number))
            write_atomic(self._search_marker, b"")
            self._search_ended = None
            self._occupy(None, self._search)

    @property
    def searching(self) -> bool:
        """Whether a search is being carried."""
        return self.running is not None and self._search_marker.exists()

    def _search(self) -> None:
        def carry(name: str, trial: Trial, prune: Prune) -> RunState:
            self._name = name
            with here.carrying(name) as (hall, engine):
                return run_trial(hall, name, trial, engine=engine, start=here.start, prune=prune, carried="flower")

        try:
            with self._ready() as here:
                search(here.ledger.state(), here.accord, carry)
            self._search_ended = {}
        except FoedusError as error:
            self._search_ended = control.error_of(error)
        except Exception as error:  # noqa: BLE001 - as in a run
            self._search_ended = self._fault(self._name or "", error)
        self._search_marker.unlink(missing_ok=True)
        self.refusals.enter(self._ledger().record)

    # ── what is carried ──────────────────────────────────────────────────────

    def _require_free(self) -> None:
        if self._carrier is None:
            raise RunError("hub.not-up", folder=str(self.workspace.folder))
        if (current := self.running) is not None:
            raise RunError("hub.busy", run=current or "–")

    def _occupy(self, name: str | None, work: Callable[[], None]) -> None:
        self._name = name
        self._thread = threading.Thread(target=work, daemon=True, name=name or "search")
        self._thread.start()

    def _fault(self, name: str, error: Exception) -> dict[str, Any]:
        """A bug in a run must not end the hub, and must be seen."""
        self.report(Event("hub-fault", {"run": name, "trace": traceback.format_exc()}))
        fields = {"kind": type(error).__name__, "message": str(error)[:300], "where": name}
        return control.error_of(FoedusError("cli.bug", **fields))

    def _watch(self, event: Event) -> None:
        """Tell on what happens; a reply that does not hold is something refused, by the name of its member."""
        code = str(event.fields.get("code", ""))
        if code.startswith("reply:"):
            self.refusals.note(code.removeprefix("reply:"), str(event.fields["member"]))
        self.report(event)

    # ── requests of `foedus run` ─────────────────────────────────────────────

    def _handle(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        match request:
            case {"ask": "start", "name": str(name), "proposal": str(proposal)} if len(request) == 3:
                return self._started(name or None, proposal or None)
            case {"ask": "standing", "run": str(name)} if len(request) == 2:
                return {"running": self.running == name, "ended": self._ended.get(name)}
            case {"ask": "search"} if len(request) == 1:
                self.search()
                return {}
            case {"ask": "searching"} if len(request) == 1:
                return {"running": self.searching, "ended": self._search_ended}
        raise CallerError("hub.no-such-path", got=str(request)[:100])

    def _started(self, name: str | None, proposal: str | None) -> Mapping[str, Any]:
        chosen = (None if name else self.running) or name_for(self._ledger().state(), name)
        events = self.workspace.folder / "runs" / chosen / EVENTS
        offset = events.stat().st_size if events.exists() and self.running != chosen else 0
        return {"run": self.start(chosen, proposal), "offset": offset}

    # ── the end ──────────────────────────────────────────────────────────────

    def rest(self) -> None:
        """To be called now and then: a SuperLink that died is started again; once an hour what was refused outside a
        run goes into the ledger, and replies whose term is over are deleted.
        """
        if self._carrier is not None and self.running is None:
            self._carrier.tend()
        if self.running is None and time.monotonic() - self._entered > _REST_SECONDS:
            self._entered = time.monotonic()
            self.refusals.enter(self._ledger().record)
            self._prune()

    def _prune(self) -> None:
        """While nothing is carried, and nothing can begin."""
        with self._lock:
            if self.running is None:
                prune_when_idle(open_workspace(self.workspace.folder), at=self.clock())

    def close(self) -> None:
        """Stop listening. A run that is open stays so, and goes on when the hub is up again."""
        if self._control is not None:
            self._control.close()
        if self._carrier is not None:
            self._carrier.close()
        if self.running is None:
            self.refusals.enter(self._ledger().record)

    def _ledger(self) -> OwnLedger:
        return OwnLedger(open_workspace(self.workspace.folder), self.passphrase, self.clock)

    @property
    def _search_marker(self) -> Path:
        return self.workspace.folder / "hub" / "search"
