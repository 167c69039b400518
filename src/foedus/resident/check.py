"""What would work on this machine, before anything is sent: each check by name, with the error that it found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from foedus.core.clock import Clock, spell
from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.data.mapping import read_mapping
from foedus.records.accord import Accord
from foedus.records.membership import CLOCK_BOUND_SECONDS
from foedus.resident.join import read_hub
from foedus.resident.link import Link
from foedus.resident.work import DATA_FILE, check_commitments, parts_of
from foedus.workspace import Workspace, consortium, open_workspace, signable
from foedus.workspace.folder import PAGE

__all__ = ["FREE_BYTES_NEEDED", "Checked", "check_base", "check_clock", "check_disk", "checks"]

FREE_BYTES_NEEDED = 1 << 30

Name = Literal["invitation", "hub", "clock", "packages", "engine", "disk", "base", "data"]


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: what was found where it holds, the error where it does not; neither where it cannot be known yet."""

    name: Name
    found: str = ""
    error: FoedusError | None = None

    @property
    def known(self) -> bool:
        """Whether it could be looked at."""
        return bool(self.found or self.error)


def checks(
    folder: Path, invitation: bytes, mapping: Path | None, *, clock: Clock, link: Callable[..., Link] = Link.to
) -> Iterator[Checked]:
    """Every check in order. Base model and data can be looked at once the accord is in this workspace."""
    try:
        invited, hub = read_hub(invitation)
    except FoedusError as error:
        yield Checked("invitation", error=error)
        return
    yield Checked("invitation", f"{invited.member} · {invited.consortium} · {invited.coordinator}")
    ahead: list[float] = []

    def reach() -> str:
        greeting, seconds = link(hub, clock).greeting()
        ahead.append(seconds)
        return f"{hub.address} · Foedus {greeting.foedus}"

    yield _checked("hub", reach)
    yield _checked("clock", lambda: check_clock(ahead[0], clock)) if ahead else Checked("clock")
    yield _checked("packages", _packages)
    yield _checked("engine", _engine)
    yield _checked("disk", lambda: check_disk(folder))
    workspace = open_workspace(folder) if (folder / PAGE).is_file() else None
    accord = (consortium(workspace).accord or signable(workspace)) if workspace else None
    yield _checked("base", lambda: check_base(accord)) if accord else Checked("base")
    yield _checked("data", lambda: _data(workspace, accord, mapping))


def check_clock(ahead_seconds: float, clock: Clock) -> str:
    """How far the hub's clock is ahead of this one; RunError `join.clock-behind` or `join.clock-ahead` where this one
    is behind or ahead by more than 60 seconds.
    """
    if abs(ahead_seconds) > CLOCK_BOUND_SECONDS:
        code = "join.clock-behind" if ahead_seconds > 0 else "join.clock-ahead"
        raise RunError(code, got=spell(clock()), seconds=round(abs(ahead_seconds)), bound=CLOCK_BOUND_SECONDS)
    return f"{ahead_seconds:+.1f} s"


def check_disk(folder: Path, needed_bytes: int = FREE_BYTES_NEEDED) -> str:
    """The room for replies and private states; RunError `join.no-room`."""
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise RunError("join.no-room", path=str(there), expected=f"{needed_bytes >> 20}", got=f"{free >> 20}")
    return f"{free / (1 << 30):.1f} GiB"


def check_base(accord: Accord) -> str:
    """The base model that the accord pins is here and reads texts of the agreed length; raises as `open_base` and
    `require_reach`.
    """
    from foedus.accord import require_reach
    from foedus.state.base import open_base

    require_reach(accord, open_base(accord.base.source, accord.base.pin))
    return accord.base.source


def _data(workspace: Workspace | None, accord: Accord | None, mapping: Path | None) -> str:
    if workspace is None or accord is None or not (workspace.folder / DATA_FILE).exists():
        if mapping is None:
            raise CallerError("join.no-data")
        return read_mapping(mapping).name
    parts = parts_of(workspace, accord)
    check_commitments(workspace, parts)
    return f"{len(parts.train)} + {len(parts.validation)} + {len(parts.test)}"


def _packages() -> str:
    for module in ("torch", "transformers", "peft"):
        if find_spec(module) is None:
            raise CallerError("cli.extra-missing", module=module, extra="train")
    return "torch, transformers, peft"


def _engine() -> str:
    from foedus.wire.process import needs_flower

    needs_flower()
    return "flwr"


def _checked(name: Name, look: Callable[[], str]) -> Checked:
    try:
        return Checked(name, look() or "–")
    except FoedusError as error:
        return Checked(name, error=error)
