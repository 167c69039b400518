"""How fast updates become one state, beside the memory bandwidth that the same run measures.

    python benchmarks/combine.py [--updates 100] [--values 10000000] [--repeats 5] [--json] [--write-docs]

`triad` is a[i] = b[i] + 2 · c[i] over arrays larger than any cache, in float32, on as many threads as there are cores;
its bandwidth counts 12 bytes an element. `combine` is the weighted mean that a run takes (`foedus.combine`): checks of
shape and finiteness, float64 sums in member order, one rounding. Its bandwidth counts each update once, 4 bytes a
value. It is measured as it is with numba installed (extra `fast`) and as it is without; compiling happens once in a
process, before the first turn, and is told apart. All take turns; wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import version
from time import perf_counter

import torch
from page import write_section

import foedus.combine.update
from foedus.combine import Update, combine
from foedus.combine.compiled import PAYS_FROM, compiled
from foedus.records import terms

GOAL = 0.5
TRIAD_VALUES = 50_000_000


def seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def measure(count: int, values: int, repeats: int) -> dict[str, float]:
    cores = len(os.sched_getaffinity(0))
    compiling = seconds(compiled)
    if compiled() is None:
        raise SystemExit("This wants numba: pip install 'foedus[fast]'")
    states = [{"w": torch.randn(values)} for _ in range(count)]
    updates = [Update(f"member-{number:05}", Fraction(number + 1), states[number].copy) for number in range(count)]
    b, c = torch.randn(TRIAD_VALUES), torch.randn(TRIAD_VALUES)
    a = torch.empty_like(b)
    triads, rates, plain = [], [], []
    for _ in range(repeats):
        torch.set_num_threads(cores)
        best = min(seconds(lambda: torch.add(b, c, alpha=2.0, out=a)) for _ in range(3))
        triads.append(12 * TRIAD_VALUES / best / 1e9)
        torch.set_num_threads(1)  # as in every process of a run
        for pays_from, found in ((0, rates), (sys.maxsize, plain)):
            foedus.combine.update.PAYS_FROM = pays_from
            found.append(4 * values * count / seconds(lambda: combine(terms.Mean(), updates)) / 1e9)
    ratios = sorted(rate / triad for rate, triad in zip(rates, triads, strict=True))
    return {
        "updates": count,
        "values": values,
        "cores": cores,
        "repeats": repeats,
        "compiling_seconds": round(compiling, 1),
        "triad_gb_per_second": round(statistics.median(triads), 1),
        "combine_gb_per_second": round(statistics.median(rates), 1),
        "without_numba_gb_per_second": round(statistics.median(plain), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_lowest": round(ratios[0], 2),
        "ratio_highest": round(ratios[-1], 2),
        "load": round(os.getloadavg()[0], 1),
    }


def section(result: dict[str, float]) -> str:
    """The page's section on combining."""
    met = "**met**" if result["ratio"] >= GOAL else "**missed**"
    return f"""## Combining updates

{result["updates"]:,} updates of {result["values"]:,} values (float32) become their weighted mean: checked, summed in \
member order in float64, rounded once. Beside it the bandwidth of a triad in the same run, in turns.

| | GB a second |
| --- | ---: |
| triad, {result["cores"]} threads | {result["triad_gb_per_second"]} |
| combine with numba (extra `fast`), each update read once | {result["combine_gb_per_second"]} |
| combine without numba | {result["without_numba_gb_per_second"]} |

Combine with numba beside triad: {result["ratio"]} (turns: {result["ratio_lowest"]} to {result["ratio_highest"]}; load \
of the machine {result["load"]}); the goal of at least {GOAL}: {met}. Both ways give the same bits: every value is \
widened to float64, multiplied, rounded, added, and never fused, since a fused multiply-add gives other bits on other \
processors. Compiling, {result["compiling_seconds"]} s once in a process that combines {PAYS_FROM:,} values or more at \
a time, is not counted. Python {platform.python_version()}, torch {torch.__version__}, numba {version("numba")}, \
{datetime.now(UTC):%Y-%m-%d}.

```console
$ python benchmarks/combine.py --write-docs
```"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--values", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5, help="the rates printed are medians")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    result = measure(options.updates, options.values, options.repeats)
    print(json.dumps(result) if options.json else "\n".join(f"{name:24} {value}" for name, value in result.items()))
    if options.write_docs:
        write_section("combine", section(result))


if __name__ == "__main__":
    main()
