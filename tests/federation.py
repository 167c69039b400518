"""A federation in one process, for tests: real keys, real ledger, real nodes, a tiny base model, made-up texts.

A test bends it (a member that lies, is late or silent, tampers) and runs it.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from foedus.accord import compile_plan
from foedus.core.digest import sha256
from foedus.core.envelope import b64
from foedus.core.objects import ObjectStore
from foedus.core.rng import PublicRng
from foedus.data.examples import Example, of_text
from foedus.federate.answer import Shelf
from foedus.federate.engine import InProcess
from foedus.ledger.consortium import Consortium
from foedus.ledger.fold import resolve
from foedus.ledger.log import Ledger
from foedus.node import Node
from foedus.records import terms
from foedus.records.accord import Accord, Aggregation, Base, Coordinator, Training
from foedus.records.acts import Entry, ProposeAccord, RegisterCard, SignAccord, possession_message
from foedus.records.base import Record
from foedus.run import Hall, Outcome, run, start_of
from foedus.state.base import base_digest
from foedus.track.event import Event
from foedus.train.model import Model, build
from samples import coordinator_keys, keys, private_keys, sample_accord
from tiny import tiny_base

torch.set_num_threads(1)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
LABELS = ("card", "loan", "transfer")
WORDS = {
    "card": ("card", "lost", "stolen", "block", "pin"),
    "loan": ("loan", "rate", "borrow", "credit", "years"),
    "transfer": ("send", "transfer", "abroad", "account", "money"),
}


def texts(member: str, part: str, count: int) -> tuple[Example, ...]:
    """Short texts with a label, drawn from each label's words: the same every time.

    No bank has seen all: bank-a trains on no text of the first label, bank-b on none of the second, and so on. So a
    model that they train together can be better than what each trains alone.
    """
    rng = PublicRng("texts", member, part)
    unseen = "abcdefgh".find(member[-1]) % 3 if part == "train" else None
    labels = [label for i, label in enumerate(LABELS) if i != unseen]
    out = []
    for i in range(count):
        label = labels[i % len(labels)]
        words = [rng.shuffled(WORDS[label])[0] for _ in range(2)] + [rng.shuffled(("my", "the", "a", "please"))[0]]
        out.append(of_text(" ".join(rng.shuffled(words)))._replace(label=label))
    return tuple(out)


@dataclass
class InMemoryLedger:
    """The ledger in a folder, with the acts of everybody appended directly."""

    folder: Path
    store: ObjectStore
    accord: Accord
    log: Ledger = field(init=False)

    def __post_init__(self) -> None:
        path = self.folder / "ledger"
        key = private_keys("hub")["log"]
        self.log = Ledger(path) if path.exists() else Ledger.create(path, origin=self.accord.origin, key=key)

    def state(self) -> Consortium:
        def objects(digest: str) -> bytes | None:
            return self.store.get(digest) if digest in self.store else None

        return resolve(self.log.leaves(), objects=objects, anchor=None)

    def record(self, act: Record, objects: Iterable[bytes] = ()) -> None:
        self.append("hub", act, objects)

    def append(self, actor: str, act: Record, objects: Iterable[bytes] = ()) -> None:
        for data in objects:
            self.store.put(data)
        number, prev = self.state().heads.get(actor, (0, None))
        entry = Entry.of(act, accord=self.accord.digest, actor=actor, number=number + 1, prev=prev)
        envelope = entry.sign(private_keys(actor)["act"])
        self.log.append(envelope, key=private_keys("hub")["log"], clock=lambda: NOW)


@dataclass
class Federation:
    """Members, their data and nodes, and a coordinator, below one folder."""

    folder: Path
    accord: Accord
    base: Path
    counts: dict[str, int]
    clock: Callable[[], datetime] = lambda: NOW
    events: list[Event] = field(default_factory=list)
    parts: dict[str, dict[str, tuple[Example, ...]]] = field(default_factory=dict)

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.folder / "objects")

    def ledger(self) -> InMemoryLedger:
        return InMemoryLedger(self.folder, self.store, self.accord)

    def found(self) -> Federation:
        """Accord proposed and signed by all, cards registered."""
        ledger = self.ledger()
        ledger.append("hub", ProposeAccord(accord=self.accord.digest), [self.accord.to_bytes()])
        for member in self.accord.members:
            message = possession_message(self.accord.digest, member.name)
            held = private_keys(member.name)
            proofs = {p: b64(held[p].sign(message)) for p in ("witness", "release")}
            act = SignAccord(
                accord=self.accord.digest, witness_proof=proofs["witness"], release_proof=proofs["release"]
            )
            ledger.append(member.name, act)
        for member in self.accord.members:
            trains = "contributor" in member.roles
            parts: dict[Any, str] = {p: sha256(f"{member.name} {p}".encode()) for p in ("train", "validation", "test")}
            ledger.append(
                member.name,
                RegisterCard(
                    card=sha256(member.name.encode()),
                    name="questions",
                    licence="CC-BY-4.0",
                    consent="contract",
                    examples=self.counts[member.name] if trains else 0,
                    parts=parts if trains else {"test": parts["test"]},
                ),
            )
        return self

    def node(self, member: str) -> Node:
        return Node(
            member=member,
            accord=self.accord,
            signed=True,
            asker=private_keys("hub")["act"].public,
            act=private_keys(member)["act"],
            folder=self.folder / "members" / member,
            make_shelf=lambda: self.shelf(member),
            clock=self.clock,
        )

    def shelf(self, member: str) -> Shelf:
        plan = compile_plan(self.accord)
        rank = None
        if isinstance(plan.method, terms.Lora):
            rank = next((one.rank for one in plan.method.member_ranks if one.member == member), None)
        model = shared_model(self.base, plan.task, plan.method, plan.craft.dropout, rank)
        return Shelf(member, self.parts.get(member) or self.default_parts(member), model, plan)

    def default_parts(self, member: str) -> dict[str, tuple[Example, ...]]:
        trains = "contributor" in (self.accord.member(member) or self.accord.members[0]).roles
        sizes = {"train": self.counts[member] if trains else 0, "validation": 12 if trains else 0, "test": 30}
        return {part: texts(member, part, size) for part, size in sizes.items()}

    def hall(self, name: str = "run-1") -> Hall:
        return Hall(
            ledger=self.ledger(),
            act=private_keys("hub")["act"],
            store=self.store,
            folder=self.folder / "runs" / name,
            clock=self.clock,
            report=self.events.append,
        )

    def run(self, *, deliver: Callable[[str, bytes], bytes] | None = None, workers: int = 0) -> Outcome:
        """One run to its end, from wherever it stands."""
        nodes = {member.name: self.node(member.name) for member in self.accord.members}
        start, _ = start_of(self.accord, compile_plan(self.accord), base=self.base)
        engine = InProcess(deliver or (lambda member, message: nodes[member].handle(message)), workers=workers)
        try:
            return run(self.hall(), "run-1", engine=engine, start=start)
        finally:
            engine.close()


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory, where there is such: a run flushes hundreds of files, and no test here cuts the power."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder below it
    folder = Path(tempfile.mkdtemp(prefix="foedus-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@cache
def shared_model(base: Path, task: terms.Task, method: terms.Method, dropout: str | None, rank: int | None) -> Model:
    """One network for all members of this process, as in practice: nothing of one member's work may stay in it."""
    return build(base, task, method, dropout=dropout, rank=rank)


@cache
def taught_base() -> Path:
    """A tiny base model that knows the words of these texts, made once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="foedus-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return tiny_base(folder / "base", words=tuple(word for words in WORDS.values() for word in words), steps=300)


def federation(folder: Path, *, members: int = 3, auditor: bool = False, **changes: Any) -> Federation:
    """A federation of `members` banks, its accord changed as told; not yet founded."""
    base = taught_base()
    names = tuple(f"bank-{letter}" for letter in "abcdefgh"[:members])
    fields: dict[str, Any] = {
        "custody": "one-process",
        "coordinator": Coordinator(name="hub", keys=coordinator_keys()),
        "base": Base(source=f"folder:{base}", pin=base_digest(base), licence="Apache-2.0"),
        "task": terms.TextClassification(labels=LABELS, max_tokens=32),
        "training": training(),
        "aggregation": Aggregation(outer=terms.Plain(), min_members=2),
    }
    accord = sample_accord(names, auditors=("exam",) if auditor else (), **{**fields, **changes})
    counts = {name: 30 + 15 * i for i, name in enumerate(names)}
    return Federation(folder, accord, base, counts)


def training(**changes: Any) -> Training:
    """Two rounds of LoRA in both layers, quick on the tiny model."""
    craft = terms.Craft(batch_size=8, learning_rate="0.01", head_learning_rate="0.02", dropout="0")
    fields = {"method": terms.Lora(rank=4), "craft": craft, "rounds": 2, "seed": "test"}
    return Training(**{**fields, **changes})


__all__ = [
    "NOW",
    "Federation",
    "InMemoryLedger",
    "federation",
    "keys",
    "memory_folder",
    "taught_base",
    "texts",
    "training",
]
