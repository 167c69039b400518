"""A consortium whose keys are held apart, its hub in this process, its members behind sockets instead of Flower."""

import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

from foedus import workspace as ws
from foedus.core.clock import now
from foedus.core.errors import FoedusError
from foedus.hub.serve import Hub
from foedus.ledger.consortium import Consortium
from foedus.resident.join import join, keep_data, sync
from foedus.resident.serve import Resident
from foedus.resident.work import register
from foedus.wire import pipe
from foedus.workspace import socket_folder
from hubbed import accord_text
from met import ADDRESS, Door
from practised import MEMBERS, write_rows


class LiveDoor(Door):
    def clock(self):
        return now()

    def member_clock(self):
        return now()


@dataclass
class Sockets:
    """A carrier whose members answer at Unix sockets; an engine asks all of them at once."""

    members: dict
    port: int = 4711
    certificate: str = ADDRESS.certificate
    registered: dict = field(default_factory=dict)
    tended: int = 0

    def register(self, member, public):
        self.registered[member] = public

    def engine(self):
        return self

    def carry(self, messages, *, deadline_seconds):
        answers = {}

        def ask(member, message):
            try:
                answers[member] = pipe.call(self.members[member], message, timeout_seconds=deadline_seconds)
            except FoedusError as error:
                answers[member] = str(error.fields.get("code", "engine.late"))

        threads = [threading.Thread(target=ask, args=(member, messages[member])) for member in messages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield from answers.items()

    def late(self):
        return []

    def tend(self):
        self.tended += 1

    def close(self):
        pass


@dataclass
class Apart:
    """Parties in folders of their own, and what is served for them."""

    hub: ws.Workspace
    members: dict
    residents: dict
    carrier: Sockets
    served: list

    def up(self, **options):
        return Hub.up(self.hub.folder, start=lambda *_, **__: self.carrier, **options)

    def state(self) -> Consortium:
        return ws.consortium(ws.open_workspace(self.hub.folder))


def found(folder, same, *, changes=()):
    """A consortium with the names, rows, seed and data keys of the one in `same`; `changes` as in `hubbed.agreed`."""
    hub = ws.create_coordinator(folder / "hub" / "home", "hub", members=MEMBERS)
    hub.draft.write_text(accord_text(MEMBERS, custody="separate", changes=changes))
    link, members = LiveDoor(hub.folder).link(), {}
    for name in MEMBERS:
        members[name] = join(folder / name / "home", ws.invite(hub, name, hub=ADDRESS), link)
        shutil.copy(same / name / "keys" / "data.key", members[name].folder / "keys" / "data.key")
    write_rows(folder)
    ws.propose_accord(hub)
    for name, member in members.items():
        sync(member, link)
        ws.sign_accord(member, ws.accord_to_sign(member))
        members[name] = ws.open_workspace(member.folder)
        keep_data(members[name], folder / name / "data.yaml")
        sync(members[name], link)
    for member in members.values():
        register(member, sync(member, link).accord)
        sync(member, link)


@contextmanager
def at_work(folder):
    """That consortium, and its members' processes behind sockets."""
    hub = ws.open_workspace(folder / "hub" / "home")
    door = LiveDoor(hub.folder)
    members = {name: ws.open_workspace(folder / name / "home") for name in MEMBERS}
    residents = {name: Resident(member, door.link(), None, now, lambda _: None) for name, member in members.items()}
    sockets = {name: socket_folder(member.folder) / "node.sock" for name, member in members.items()}
    served = [pipe.serve(sockets[name], resident.handle) for name, resident in residents.items()]
    try:
        yield Apart(hub, members, residents, Sockets(sockets), served)
    finally:
        for one in served:
            one.close()
