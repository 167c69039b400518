"""`foedus join`: a member's machine joins a hub, and answers it for as long as the command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, chosen, known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.resident.serve import Resident
    from foedus.track.event import Event


def join(
    invite: Annotated[Path, typer.Option("--invite", metavar="FILE", help="The invitation.")],
    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help="The member's own data.yaml.")] = None,
    passphrase_file: PassphraseFile = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Send nothing; say what would work.")] = False,
    ui: Annotated[
        bool, typer.Option("--ui", help="Also show this node's own page, for a browser on this machine.")
    ] = False,
    ui_port: Annotated[
        int, typer.Option("--ui-port", help="The page's port; 0 asks the system for a free one.", min=0, max=65535)
    ] = 0,
) -> None:
    """Join a hub and answer its asks, next to the data, until stopped. Started again, it goes on."""
    from foedus.core.clock import now
    from foedus.core.files import read_bytes
    from foedus.resident.join import join as join_hub
    from foedus.resident.join import keep_data, read_hub
    from foedus.resident.link import Link
    from foedus.resident.serve import Resident
    from foedus.wire.process import needs_flower

    here = shell()
    invitation = read_bytes(invite, limit_bytes=1 << 20)
    if check:
        _check(invitation, data)
        return
    needs_flower()
    _, hub = read_hub(invitation)
    link = Link.to(hub, now)
    link.greeting()
    is_new = not (here.workspace / "workspace.json").exists()
    secret = chosen(passphrase_file) if is_new else known(passphrase_file)
    workspace = join_hub(here.workspace, invitation, link, passphrase=secret)
    if data is not None:
        keep_data(workspace, data)
    page = workspace.page
    here.say("join.cli.joined", party=workspace.party, consortium=page.consortium, folder=workspace.folder)
    if is_new and secret is None:
        here.say("workspace.new.unprotected")
    resident = Resident(workspace, link, secret, now, _tell)
    with _page(resident, ui_port) if ui else nullcontext():
        _until_stopped(resident)
    here.say("join.cli.stopped")
    here.result("join", {"party": workspace.party, "hub": hub.address, "workspace": str(workspace.folder)})


@contextmanager
def _page(resident: Resident, port: int) -> Iterator[None]:
    """The node's own page while it runs: it hears what is told here."""
    from foedus.core.messages import say
    from foedus.web.node.up import node_page

    here = shell()
    opened = node_page(
        resident.workspace, resident.link, passphrase=resident.passphrase, clock=resident.clock,
        sync=resident.sync_now, port=port,
    )  # fmt: skip
    with opened as page:
        here.note(say("node_page.cli.open", link=page.link))

        def tell(event: Event) -> None:
            page.desk.hear(event)
            _tell(event)

        resident.report = tell
        yield


def _until_stopped(resident: Resident) -> None:
    """Answer until Ctrl-C or the system's wish that this process end."""
    import signal

    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: resident.stop.set())
    resident.run()


def _tell(event: Event) -> None:
    from foedus.core.messages import say

    here = shell()
    if event.kind == "to-sign":
        here.note(say("join.cli.to-sign", party=_party(), at=here.at()))
    else:
        here.note(say(f"join.cli.{event.kind}", **event.fields))


def _party() -> str:
    from foedus.workspace import open_workspace

    return open_workspace(shell().workspace).party


def _check(invitation: bytes, data: Path | None) -> None:
    """Say what would work; the first check that fails gives the exit code."""
    from foedus.core.clock import now
    from foedus.core.messages import error_text, say
    from foedus.resident.check import checks

    here = shell()
    found = list(checks(here.workspace, invitation, data, clock=now))
    head = [say("join.cli.head-check"), "", say("join.cli.head-found")]
    rows = []
    for one in found:
        mark = "✗" if one.error else "✓" if one.known else "·"
        rows.append([say(f"join.cli.{one.name}"), mark, one.error.code if one.error else one.found or _later()])
    here.table(head, rows)
    here.say("join.cli.nothing-sent")
    errors = [one.error for one in found if one.error is not None]
    if errors:
        for error in errors[1:]:
            here.note(str(error_text(error)))
        raise errors[0]
    here.result("join.check", {"checks": [{"name": one.name, "found": one.found} for one in found]})


def _later() -> str:
    from foedus.core.messages import say

    return say("join.cli.later")
