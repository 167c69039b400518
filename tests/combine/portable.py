"""Digests of what leads to a release, from the inputs in tests/vectors/combine.json. A script: it prints JSON.

With the argument `compiled`, sums of any size are compiled (foedus.combine.compiled).
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import torch

import foedus.combine.update
from foedus.combine import Update, combine, dense, outer_apply, outer_init
from foedus.core.digest import sha256
from foedus.records import terms
from foedus.state import State, digest, dot, product, to_bytes

OUTERS = (terms.Plain(learning_rate="0.3"), terms.Nesterov(), terms.Adam(), terms.Yogi())


def tensor(item: dict[str, list[int]]) -> torch.Tensor:
    """Whole numbers over 3000: most are no float32, so every rounding shows."""
    values = torch.tensor(item["thousandths"], dtype=torch.float64) / 3000
    return values.to(torch.float32).reshape(item["shape"])


def state(items: dict[str, dict[str, list[int]]]) -> State:
    return {name: tensor(item) for name, item in items.items()}


def digests(inputs: dict[str, object]) -> dict[str, str]:
    start = state(inputs["start"])
    updates = [
        [Update(u["member"], Fraction(u["weight"]), lambda u=u: state(u["delta"])) for u in round_]
        for round_ in inputs["rounds"]
    ]
    deltas = [combine(terms.Mean(), round_) for round_ in updates]
    found = {f"mean {number}": digest(delta) for number, delta in enumerate(deltas, 1)}
    for settings in OUTERS:
        moved, memory = start, outer_init(settings, start)
        for delta in deltas:
            moved, memory = outer_apply(settings, moved, delta, memory)
        found[f"outer {settings.name}"] = digest(moved)
        found[f"memory {settings.name}"] = digest(memory)
    factors = state(inputs["factors"])
    b, a = (next(t for name, t in factors.items() if half in name) for half in ("lora_B", "lora_A"))
    found["product"] = digest({"w": product(b, a, scale=0.7)})
    found["dense"] = digest(dense(factors, alpha=5))
    found["dot"] = dot(start, deltas[0]).hex()
    found["bytes"] = sha256(to_bytes(start))
    return found


def control(inputs: dict[str, object]) -> str:
    """What must not be used: a library's fused and reordered arithmetic, on the same inputs."""
    factors = state(inputs["factors"])
    b, a = (next(t for name, t in factors.items() if half in name) for half in ("lora_B", "lora_A"))
    start = state(inputs["start"])["head.weight"].reshape(-1)
    return digest({"matmul": b @ a, "alpha": start.add(start.flip(0), alpha=0.3), "sum": start.sum()})


if __name__ == "__main__":
    if "compiled" in sys.argv:
        foedus.combine.update.PAYS_FROM = 0
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    about = {"capability": torch.backends.cpu.get_cpu_capability(), "control": control(document["inputs"])}
    sys.stdout.write(json.dumps({"about": about, "digests": digests(document["inputs"])}))
