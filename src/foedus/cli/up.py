"""`foedus up`: the hub, as long as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.passphrase import PassphraseFile, known
from foedus.cli.shell import shell
from foedus.cli.watch import watching

if TYPE_CHECKING:
    from foedus.hub.serve import Hub
    from foedus.track.event import Event

_REST_SECONDS = 60.0


def up(
    host: Annotated[str | None, typer.Option(help="The address to listen on; 127.0.0.1, or that of last time.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 8443, or that of last time.")] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A name or address under which members reach the hub; the first is told.")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Start the hub: members' acts, Flower's SuperLink, and the runs of this coordinator, on one port."""
    from foedus.core.messages import say
    from foedus.hub.serve import Hub

    here, secret = shell(), known(passphrase_file)

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

        hub = Hub.up(Path(here.workspace), host=host, port=port, names=name or (), passphrase=secret, report=tell)
        _until_stopped(hub)
    here.say("hub.cli.down")
    here.result("up", {"address": hub.address})


def _until_stopped(hub: Hub) -> None:
    """Wait for Ctrl-C or the system's wish that this process end; then close."""
    import signal
    import threading

    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    try:
        while not stop.wait(_REST_SECONDS):
            hub.rest()
    finally:
        hub.close()
