"""What the hub has said it took stays taken: killed at random instants, with a clock that jumps, under many hands.

`FOEDUS_KILLS` says how often; a hundred times where nothing is said.
"""

import os
import random
import select
import signal
import threading
import time
from datetime import timedelta

import pytest

import met
from foedus import workspace as ws
from foedus.core.errors import FoedusError
from foedus.index import keeping, open_index
from foedus.ledger.verify import verify_structure
from foedus.records.acts import RegisterCard, Vote
from scene import card, digest

KILLS = int(os.environ.get("FOEDUS_KILLS", "100"))


@pytest.fixture
def entered(tmp_path):
    return met.entered(tmp_path)


def votes(member, count, door):
    """So many acts of a member, each a parcel: votes on digests that nobody else votes on."""
    made = []
    for number in range(count):
        vote = Vote(subject=digest(f"{member.party} {number}"), choice="approve", matter="waive")
        made.append(ws.make_act(member, vote, clock=door.clock))
    return made


def taken(door, parcel):
    """Whether the hub says that it has the act."""
    return door.reception().answer("POST", "/foedus/v1/acts", parcel, "10.0.0.5").status == 200


def hub_that_takes(door, parcels, start):
    """A child that takes acts one after the other and writes a byte for each, after it has answered."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for parcel in parcels[start:]:
                if not taken(door, parcel):
                    break
                os.write(writing, b"+")
            else:
                code = 0
        finally:
            os._exit(code)
    os.close(writing)
    return child, reading


@pytest.mark.slow
def test_a_hub_killed_at_random_instants_keeps_every_act_that_it_accepted(entered):
    hub, members, door = entered
    parcels = votes(members["bank-a"], 3 * KILLS, door)
    before = ws.consortium(hub).size
    chance = random.Random(11)  # noqa: S311 - instants of a test
    accepted = kills = 0
    while accepted < len(parcels) and kills < KILLS:
        child, reading = hub_that_takes(door, parcels, accepted)
        select.select([reading], [], [], 60)  # it has begun
        time.sleep(chance.uniform(0, 0.25))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        while said := os.read(reading, 4096):
            accepted += len(said)
        os.close(reading)
        state = ws.consortium(hub)
        assert accepted <= state.size - before <= accepted + 1  # one may be in that was not answered any more
        accepted = state.size - before if state.size - before > accepted else accepted
    for parcel in parcels[accepted:]:
        assert taken(door, parcel)
    assert all(taken(door, parcel) for parcel in parcels[:3])  # again changes nothing
    page = hub.page
    checks, leaves = verify_structure(
        hub.ledger, log_key=page.coordinator_keys.log, origin=ws.consortium(hub).accord.origin
    )
    assert [check.error for check in checks if check.error] == []
    assert len(leaves) == before + len(parcels)
    assert [leaf.entry.body["subject"] for leaf in leaves[before:]] == [
        digest(f"bank-a {n}") for n in range(len(parcels))
    ]
    index = open_index(None, hub)
    while not index.refresh().is_current:
        pass
    assert index.acts(kind="vote.cast").total == len(parcels)
    index.close()
    assert kills >= min(KILLS, 3)


def test_a_clock_that_jumps_moves_no_entry_and_loses_none(entered):
    hub, members, door = entered
    parcels = votes(members["bank-a"], 4, door)
    index = open_index(None, hub)
    index.refresh()
    jumps = (timedelta(0), timedelta(days=-400), timedelta(days=30), timedelta(minutes=-5))
    for parcel, jump in zip(parcels, jumps, strict=True):
        door.at = met.AT + jump
        assert taken(door, parcel)
        assert index.refresh().is_current
    times = [one.recorded_at for one in reversed(index.acts().items)]
    assert times == sorted(times)
    assert [one.recorded_at for one in index.acts(kind="vote.cast", oldest_first=True).items] == [
        "2026-06-01T10:00:00Z", "2026-06-01T10:00:00Z", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z",
    ]  # fmt: skip
    index.close()


def test_many_members_and_many_readers_at_once_see_one_ledger(entered):
    hub, members, door = entered
    door.turnstile.burst = 10_000
    parcels = {name: votes(member, 5, door) for name, member in members.items()}
    before, index = ws.consortium(hub).size, open_index(None, hub)
    seen, failed, stop = [], [], threading.Event()

    def send(name):
        for parcel in parcels[name]:
            if not taken(door, parcel):
                failed.append(name)

    def read():
        while not stop.is_set():
            try:
                page = index.acts(size=500)
                seen.append(page.total)
                if [one.at for one in page.items] != list(range(page.total - 1, -1, -1)):
                    failed.append("torn page")
            except FoedusError as error:
                failed.append(error.code)

    readers = [threading.Thread(target=read) for _ in range(4)]
    senders = [threading.Thread(target=send, args=(name,)) for name in parcels]
    with keeping(index, pause_seconds=0.01):
        for thread in (*readers, *senders):
            thread.start()
        for thread in senders:
            thread.join()
        for _ in range(2000):
            if index.acts().total == before + 10:
                break
            time.sleep(0.01)
        stop.set()
        for thread in readers:
            thread.join()
    assert failed == []
    assert index.acts().total == before + 10
    assert ws.consortium(hub).size == before + 10
    index.close()


def test_a_card_that_came_in_twice_is_there_once(entered):
    hub, members, door = entered
    parcel = ws.make_act(members["bank-b"], RegisterCard(**card("bank-b").model_dump()), clock=door.clock)
    assert taken(door, parcel)
    assert taken(door, parcel)
    assert list(ws.consortium(hub).cards) == ["bank-b"]
