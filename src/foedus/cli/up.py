"""`foedus up`: the hub, as long as it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell
from foedus.cli.watch import watching

if TYPE_CHECKING:
    from foedus.track.event import Event
    from foedus.web.up import Pages

_REST_SECONDS = 60.0


def up(
    host: Annotated[str | None, typer.Option(help="The address to listen on; 127.0.0.1, or that of last time.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 8443, or that of last time.", min=0, max=65535)] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A name or address under which members reach the hub; the first is told.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    *,
    pages: Annotated[bool, typer.Option("--pages/--no-pages", help="Also show the hub's pages.")] = True,
    pages_only: Annotated[
        bool, typer.Option("--pages-only", help="Show the pages alone; no member is answered.")
    ] = False,
    pages_host: Annotated[
        str, typer.Option("--pages-host", help="The address of the pages; another needs --pages-url.")
    ] = "127.0.0.1",
    pages_port: Annotated[int, typer.Option("--pages-port", help="The port of the pages.", min=0, max=65535)] = 8600,
    pages_url: Annotated[
        str | None,
        typer.Option("--pages-url", metavar="URL", help="The address that a reverse proxy with TLS gives the pages."),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option("--index", metavar="URL", help="PostgreSQL for the pages' index; else a file in the workspace."),
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option("--objects", metavar="URL", help="Where objects are kept from here on; `folder`: the workspace."),
    ] = None,
) -> None:
    """Start the hub: members' acts, Flower's SuperLink, the runs of this coordinator; and its pages."""
    here = shell()
    if objects is not None:
        from foedus.workspace import keep_objects_at, open_workspace

        keep_objects_at(open_workspace(here.workspace), None if objects == "folder" else objects)
    stop = _asked_to_end()
    with _pages(pages_host, pages_port, pages_url, index) if pages or pages_only else nullcontext() as shown:
        if pages_only:
            stop.wait()
            address = None
        else:
            address = _hub(host, port, name or [], known(passphrase_file), stop)
    here.say("hub.cli.down")
    here.result("up", {"address": address, "pages": shown.origin if shown else None})


@contextmanager
def _pages(host: str, port: int, url: str | None, index: str | None) -> Iterator[Pages]:
    """The hub's pages; how to sign in is told."""
    from foedus.core.errors import FoedusError
    from foedus.core.messages import say
    from foedus.web.door.store import LINK_LIFE
    from foedus.web.up import hub_pages
    from foedus.workspace import open_workspace

    here = shell()

    def told(error: FoedusError | None) -> None:
        here.note(str(error) if error else say("hub.cli.index-goes-on"))

    workspace = open_workspace(here.workspace)
    with hub_pages(workspace, host=host, port=port, url=url, index_url=index, told=told) as pages:
        if pages.first_link:
            here.note(say("door.cli.first", minutes=int(LINK_LIFE.total_seconds() // 60)))
            here.note(f"  {pages.first_link}")
        here.note(say("door.cli.again", url=pages.origin, at=here.at()))
        yield pages


def _hub(host: str | None, port: int | None, names: list[str], secret: str | None, stop: threading.Event) -> str:
    """Carry members' acts and runs until it is time to stop; where members reached it."""
    from foedus.core.messages import say
    from foedus.hub.serve import Hub

    here = shell()
    with watching() as report:

        def tell(event: Event) -> None:
            match event.kind:
                case "hub-refused":
                    here.note(say("hub.cli.refused", **event.fields))
                case "hub-node":
                    here.note(say("hub.cli.node", **event.fields))
                case "hub-fault":
                    here.note(say("hub.cli.fault", **event.fields))
                case "hub-up":
                    here.note(say("hub.cli.up", address=event.fields["address"]))
                case _:
                    report(event)

        hub = Hub.up(Path(here.workspace), host=host, port=port, names=names, passphrase=secret, report=tell)
        try:
            while not stop.wait(_REST_SECONDS):
                hub.rest()
        finally:
            hub.close()
    return hub.address


def _asked_to_end() -> threading.Event:
    """Set once Ctrl-C was pressed or the system wishes that this process end; from here on neither ends it at once."""
    import signal

    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    return stop
