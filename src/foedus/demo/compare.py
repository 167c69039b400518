"""The arms that no federation can measure: all data pooled, and every member's own model on the official test part.

Outside the protocol. It needs every member's data or private model in one place, which only a demo or a benchmark
has, and what it gives is never evidence: it is printed beside the federated figure, marked, and enters no ledger.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from foedus.accord import compile_plan
from foedus.core.errors import FoedusError, RunError
from foedus.core.rng import PublicRng
from foedus.federate.answer import counts_of, put_back, trained_names
from foedus.practice import Practice, parts_of
from foedus.records.accord import Accord
from foedus.records.plan import Plan
from foedus.run import start_of
from foedus.state import State, from_bytes
from foedus.state.base import open_base
from foedus.train.learn import Span, learn
from foedus.train.lower import prepare
from foedus.train.model import Model, fresh_adapter, load

__all__ = ["Apart", "alone_answers", "alone_on", "apart", "pooled_on"]


T = TypeVar("T")


@dataclass(slots=True)
class Apart(Generic[T]):
    """Work that goes on in a process of its own."""

    pipe: Connection
    process: multiprocessing.process.BaseProcess

    def result(self) -> T:
        """What the work gave, or raised; waits for it. RunError `demo.part-failed` when its process ended without."""
        try:
            value: T | FoedusError = self.pipe.recv()
        except EOFError as error:
            raise RunError("demo.part-failed") from error
        self.process.join()
        if isinstance(value, FoedusError):
            raise value
        return value


def apart(work: Callable[[], T]) -> Apart[T]:
    """Begin work in a forked process, single-threaded as the workers of a run are."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, work), daemon=True)
    process.start()
    theirs.close()
    return Apart(ours, process)


def _send(pipe: Connection, work: Callable[[], Any]) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        pipe.send(work())
    except FoedusError as error:
        pipe.send(error)
    pipe.close()


def pooled_on(practice: Practice, auditor: str, metric: str) -> tuple[float, int]:
    """One model trained on all members' data with as many examples seen as in the federation: its metric on the
    auditor's test part, and how many examples it saw.
    """
    accord = practice.accord
    plan, model, start = _ready(accord)
    texts = [e for m in plan.members for e in parts_of(practice.members[m], accord).train]
    data = prepare(model, model.task.encode(model.tokenizer, texts))
    load(model, start)
    if model.stacks:
        fresh_adapter(model, PublicRng(plan.seed, "pooled", "adapter"))
    span = Span(1, plan.rounds, plan.rounds)
    most = plan.craft.max_steps
    craft = plan.craft.model_copy(update={"max_steps": None if most is None else most * len(plan.members)})
    steps = learn(model, data, trained_names(model, "all"), craft=craft, span=span, seed=(plan.seed, "pooled"))
    seen = min(steps * craft.batch_size * craft.accumulation, len(data) * craft.epochs * plan.rounds)
    return _measure(practice, accord, model, auditor)[metric], seen


def alone_on(practice: Practice, auditor: str, metric: str, *, run: str) -> dict[str, float]:
    """Each member's own model on the auditor's test part."""
    accord = practice.accord
    plan, model, start = _ready(accord)
    test = parts_of(practice.members[auditor], accord).test
    data = prepare(model, model.task.encode(model.tokenizer, test))
    out = {}
    for member in plan.members:
        load(model, start)
        put_back(model, alone_model(practice, member, run))
        out[member] = model.task.metrics(counts_of(model, data, test).sum(axis=0))[metric]
    return out


def alone_model(practice: Practice, member: str, run: str) -> State:
    """The model that a member trained by itself and keeps in its node's private store."""
    from foedus.core.objects import ObjectStore
    from foedus.workspace.journal import Journal

    folder = practice.members[member].folder / "node"
    kept = Journal(folder / "journal.jsonl").private(run, 1 << 30)
    return from_bytes(ObjectStore(folder / "private").get(kept["alone"]))


def alone_answers(practice: Practice, member: str, texts: list[str], *, run: str) -> list[dict[str, Any]]:
    """What a member's own model says of texts."""
    from foedus.train.learn import logits_of

    _, model, start = _ready(practice.accord)
    load(model, start)
    put_back(model, alone_model(practice, member, run))
    examples = [model.task.example(text) for text in texts]
    encoded = model.task.encode(model.tokenizer, examples)
    data = prepare(model, encoded)
    return [
        model.task.predict(row, encoded[i], examples[i])
        for chosen, _, logits in logits_of(model, data)
        for i, row in zip(chosen, logits, strict=True)
    ]


def _ready(accord: Accord) -> tuple[Plan, Model, State]:
    plan = compile_plan(accord)
    start, model = start_of(accord, plan, base=open_base(accord.base.source, accord.base.pin))
    return plan, model, start


def _measure(practice: Practice, accord: Accord, model: Model, auditor: str) -> Mapping[str, float]:
    test = parts_of(practice.members[auditor], accord).test
    data = prepare(model, model.task.encode(model.tokenizer, test))
    figures = model.task.metrics(counts_of(model, data, test).sum(axis=0))
    if not all(math.isfinite(value) for value in figures.values()):
        raise ValueError(f"figures that are no numbers: {figures}")
    return figures
