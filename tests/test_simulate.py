"""Simulated members: the same nodes and conversation, at a cost that does not grow with those who are not asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foedus.accord import read_accord
from foedus.core.errors import CallerError
from foedus.records.accord import Accord
from foedus.simulate import Simulation, simulate
from foedus.state.base import base_digest
from tiny import tiny_base

WORDS = ("rain", "sun", "snow")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny", words=WORDS, steps=60)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [{"text": f"{word} again on day {i}", "label": word} for i in range(80) for word in WORDS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    page = folder / "data.yaml"
    page.write_text(
        "data: foedus/v1\nname: weather\nsource: made for this test\nlicence: CC0-1.0\nconsent: none needed\n"
        "path: rows.jsonl\ncolumns: {text: text, label: label}\n",
        encoding="utf-8",
    )
    return page


def crowd(base: Path, *, members: int = 40, sample: int = 6, rounds: int = 2, seed: str = "crowd") -> Accord:
    text = f"""
accord: foedus/v1
name: crowd
custody: one-process
purpose: {{summary: Try many members., uses: [engine-trial]}}
valid: {{first: "2020-01-01", last: "2099-12-31"}}
coordinator: {{name: hub}}
members: {{simulated: {members}, examples: 8}}
base: {{source: "folder:{base}", pin: "{base_digest(base)}", licence: Apache-2.0}}
task: {{name: text-classification, labels: [rain, sun, snow], max_tokens: 32}}
training:
  method: {{name: lora, rank: 2, alpha: 4, combine: stack, targets: [query, value]}}
  craft: {{batch_size: 8, max_steps: 1, learning_rate: "0.01"}}
  rounds: {rounds}
  seed: {seed}
aggregation:
  outer: {{name: plain}}
  participation: {{sample: {sample}}}
  min_members: 2
credit: {{name: none}}
evaluation: {{replicates: 400}}
gates:
- {{name: artefact}}
- {{name: utility, metric: accuracy, minimum: "0.1"}}
release: {{licence: Apache-2.0}}
"""
    return read_accord(text, source="accord.yaml")


def run(accord: Accord, data: Path, folder: Path, **options) -> Simulation:
    return simulate(accord, data, folder, **{"workers": 0, **options})


def test_only_those_who_are_drawn_are_asked_and_each_round_draws_others(base, data, tmp_path):
    asked = []
    done = run(
        crowd(base), data, tmp_path / "out",
        report=lambda event: asked.append(event.fields["members"]) if event.kind == "asked" else None,
    )  # fmt: skip
    assert (done.members, done.rounds) == (40, 2)
    assert [len(members) for members in asked] == [6, 6]
    assert set(asked[0]) != set(asked[1])
    assert done.examination is not None
    assert {figure.metric for figure in done.examination.figures} == {"accuracy", "macro-f1"}


def test_the_same_seed_gives_the_same_state_with_and_without_workers_and_another_seed_another(base, data, tmp_path):
    states = [run(crowd(base), data, tmp_path / f"{n}", workers=n).state for n in (0, 2)]
    assert states[0] == states[1]
    assert run(crowd(base, seed="other"), data, tmp_path / "other").state != states[0]


def test_what_a_round_no_longer_needs_is_gone_when_it_is_closed(base, data, tmp_path):
    run(crowd(base), data, tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"accord.json", "events.jsonl", "objects", "snapshot.json"}
    assert sum(1 for path in (tmp_path / "out" / "objects").rglob("*") if path.is_file()) <= 2


def test_killed_in_mid_round_it_goes_on_to_the_same_state(base, data, tmp_path):
    whole = run(crowd(base, rounds=3), data, tmp_path / "whole").state

    class CutError(Exception):
        """Stands for a kill: it leaves everything as it lies."""

    def stop(event):
        if event.kind == "answered" and event.fields["round"] == 2:
            raise CutError

    with pytest.raises(CutError):
        run(crowd(base, rounds=3), data, tmp_path / "cut", report=stop)
    assert run(crowd(base, rounds=3), data, tmp_path / "cut").state == whole


def test_a_folder_with_something_else_in_it_is_left_alone(base, data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CallerError) as caught:
        run(crowd(base), data, tmp_path)
    assert caught.value.code == "simulate.folder-not-empty"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_another_accord_does_not_go_on_with_a_folder(base, data, tmp_path):
    run(crowd(base), data, tmp_path / "out")
    with pytest.raises(CallerError) as caught:
        run(crowd(base, seed="other"), data, tmp_path / "out")
    assert caught.value.code == "simulate.other-accord"


PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[5])
from memory import peak
from test_simulate import crowd, run
base, data, out, members = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
run(crowd(base, members=members, sample=members // 2, rounds=1), data, out)
print(peak())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_members(base, data, tmp_path):
    """Peaks at 100 and at 1,000 members, half of whom are asked, each in a process of its own."""
    here = str(Path(__file__).parent)
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", PEAK, base, data, tmp_path / f"{members}", f"{members}", here],
                check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": here},
            ).stdout
        )
        for members in (100, 1000)
    ]  # fmt: skip
    assert peaks[1] < 1.05 * peaks[0], f"peaks in bytes: {peaks}"
