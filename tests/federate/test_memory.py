"""How much memory an update takes on its way through the coordinator: measured in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from federation import memory_folder
from memory import free_memory

SCRIPT = '''
import json, sys
from datetime import UTC, datetime
from pathlib import Path

from foedus.core.digest import sha256
from foedus.core.keys import from_seed
from foedus.core.objects import ObjectStore
from foedus.core.parcel import Parcel
from foedus.federate.engine import InProcess
from foedus.federate.talk import Answer, Send
from foedus.ledger.consortium import Consortium
from foedus.post import Desk, Post
from foedus.records.asks import Reply, Train
from memory import peak
from samples import private_keys, sample_accord

folder, size = Path(sys.argv[1]), int(sys.argv[2])


def deliver(member, message):
    """A member whose update is so many bytes."""
    ask = sha256(Parcel.from_bytes(message).documents[0].to_bytes())
    update = member.encode() * (size // len(member))
    reply = Reply(ask=ask, member=member, outcome="done", objects={"update": sha256(update)})
    return Parcel.of([reply.sign(private_keys(member)["act"])], [update]).to_bytes()


accord, store = sample_accord(), ObjectStore(folder / "objects")
keys = {(name, "act"): private_keys(name)["act"].public for name in accord.contributors}
desk = Desk(
    act=private_keys("hub")["act"], store=store, folder=folder / "run",
    clock=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC),
)
engine = InProcess(deliver, workers=1)
post = Post(desk, keys, accord, "run-1", sha256(b"roster"), 600, engine)
start = store.put(b"x" * (int(sys.argv[3])))
before = peak()
answers = post.exchange(Send(1, "train", dict.fromkeys(accord.contributors, (Train(start=start),))))
after = peak()
engine.close()
assert all(isinstance(one, Answer) for (one,) in answers.values()), answers
assert all(one.reply.objects["update"] in store for (one,) in answers.values())
print(json.dumps(after - before))
'''


def growth(folder: Path, *, update: int, state: int) -> int:
    """By how many bytes a step with three members lets the coordinator's memory grow."""
    tests = Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(update), str(state)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tests), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


@pytest.mark.slow
@pytest.mark.skipif(free_memory() < 8 << 30, reason="three updates of 1 GB and their sender want 8 GB of free memory")
def test_updates_of_1_gb_are_in_the_coordinators_memory_once_and_one_at_a_time():
    size = 1 << 30
    with memory_folder() as folder:
        assert size < growth(folder, update=size, state=10) < 1.5 * size


@pytest.mark.slow
def test_a_state_of_200_mb_is_in_memory_once_beside_the_message_that_is_sent():
    size = 200 << 20
    with memory_folder() as folder:
        assert growth(folder, update=10, state=size) < 1.5 * size  # the state itself was in memory before
