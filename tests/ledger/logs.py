"""A small ledger to test with: entries by three banks, a log key, a clock that ticks."""

from datetime import UTC, datetime, timedelta
from itertools import count

from foedus.ledger import merkle
from foedus.ledger.leaf import leaf_bytes
from foedus.ledger.log import Ledger
from foedus.ledger.note import Checkpoint, Note, sign
from foedus.records.acts import Entry, Vote
from samples import private_keys

ORIGIN = "foedus/banks"
LOG = private_keys("hub")["log"]
BANKS = ("bank-a", "bank-b", "bank-c")
WITNESSES = {name: private_keys(name)["witness"].public for name in BANKS}
START = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)


def ticking(start=START):
    ticks = count()
    return lambda: start + timedelta(seconds=next(ticks))


def envelope(number, actor="bank-a", reason=""):
    """A signed entry; not one that the fold would accept, which looks at more than its form."""
    act = Vote(subject="sha256:" + "a" * 64, choice="approve", matter="release", reason=reason)
    entry = Entry.of(act, accord="sha256:" + "b" * 64, actor=actor, number=number, prev=None)
    return entry.sign(private_keys(actor)["act"])


def filled(folder, size):
    """A ledger of `size` entries."""
    ledger = Ledger.create(folder, origin=ORIGIN, key=LOG)
    clock = ticking()
    for number in range(1, size + 1):
        ledger.append(envelope(number), key=LOG, clock=clock)
    return ledger


def received(folder, leaves):
    """A copy of these leaves under a signed head of its own, made at once."""
    head = Checkpoint(ORIGIN, len(leaves), merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]))
    note = Note(head.text, (sign(head.text, ORIGIN, LOG),))
    return Ledger.receive(folder, leaves, note.to_bytes(), origin=ORIGIN, log_key=LOG.public)


def made(folder, size):
    """A ledger of `size` entries, made at once: quicker than appending them."""
    at = "2026-11-22T07:30:00Z"
    return received(folder, [leaf_bytes(envelope(number), at) for number in range(1, size + 1)])


def copied(folder, ledger, size):
    """A copy of a ledger's first `size` entries."""
    return received(folder, [leaf.data for leaf in ledger.leaves()][:size])
