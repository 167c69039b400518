"""Cut the sample of BANKING77 that the demo ships: five banks with unequal mixes of questions, and an official test
part.

    python benchmarks/make_demo_data.py BANKING77_FOLDER      # holds train.csv.gz and test.csv.gz with columns text,
    category

BANKING77 (Casanueva et al. 2020, arXiv:2003.04807, PolyAI) is CC BY 4.0. Each intent's questions are shared out among
the banks by a Dirichlet(2) draw from a fixed seed; a bank keeps 300 to train, 60 to validate and 80 to test. The
official part is 500 questions of the official test part, which no bank sees. Nothing is written, changed or invented:
rows are chosen.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path

import numpy as np

BANKS = ("bank-a", "bank-b", "bank-c", "bank-d", "bank-e")
SIZES = {"train": 200, "validation": 25, "test": 100}
OFFICIAL = 300
ALPHA = 2.0
SEED = 7
TARGET = Path(__file__).parents[1] / "src/foedus/demo/data/banking77.csv.gz"


def read(path: Path) -> list[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]


def shared_out(rows: list[tuple[str, str]], rng: np.random.Generator) -> dict[str, list[tuple[str, str]]]:
    """Each intent's questions by a Dirichlet draw over the banks, then each bank's in random order, cut to its size."""
    banks: dict[str, list[tuple[str, str]]] = {bank: [] for bank in BANKS}
    for intent in sorted({label for _, label in rows}):
        mine = sorted(row for row in rows if row[1] == intent)
        rng.shuffle(mine)
        cuts = (np.cumsum(rng.dirichlet([ALPHA] * len(BANKS))) * len(mine)).astype(int)[:-1]
        for bank, part in zip(BANKS, np.split(np.arange(len(mine)), cuts), strict=True):
            banks[bank] += [(str(mine[i][0]), str(mine[i][1])) for i in part]
    for rows_of_bank in banks.values():
        rng.shuffle(rows_of_bank)
    return banks


def main(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    banks = shared_out(sorted(set(read(folder / "train.csv.gz"))), rng)
    lines = [("member", "part", "text", "label")]
    for bank, rows in banks.items():
        start = 0
        for part, size in SIZES.items():
            chosen = rows[start : start + size]
            if len(chosen) < size:
                raise SystemExit(f"{bank} has {len(rows)} questions, too few")
            lines += [(bank, part, text, label) for text, label in chosen]
            start += size
    official = sorted(set(read(folder / "test.csv.gz")))
    rng.shuffle(official)
    lines += [("exam", "test", text, label) for text, label in official[:OFFICIAL]]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(gzip.compress(buffer.getvalue().encode(), 9, mtime=0))
    print(
        TARGET.name,
        TARGET.stat().st_size,
        "bytes",
        {bank: len({r[1] for r in rows[: SIZES["train"]]}) for bank, rows in banks.items()},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
