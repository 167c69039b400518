"""The benchmark of engines: measuring a tree of processes, judging ends before times, and the charts."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[2] / "benchmarks" / "engine"


@pytest.fixture(scope="module")
def peers() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("peers")
    sys.path.remove(str(FOLDER))


@pytest.fixture
def results(peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(peers, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def cell(peers: ModuleType, setting: Any, arm: str, *, repeat: int = 1, **changes: Any) -> None:
    fields = {
        "processor_seconds": 10.0, "wall_seconds": 8.0, "peak_mb": 500.0, "first_step_seconds": 2.0,
        "most_processes": 1, "distance": 0.0, "of_the_way": 0.0, "equal": True, "round_seconds": [3.0, 3.0],
        "start_processor_seconds": 4.0,
    } | changes  # fmt: skip
    (peers.RESULTS / f"{setting.name}.{arm}.{repeat}.json").write_text(json.dumps(fields))


def test_a_tree_costs_what_all_its_processes_cost_and_nothing_of_it_stays(peers: ModuleType, tmp_path: Path) -> None:
    tree = importlib.import_module("tree")
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); block = bytearray(os.urandom(1) * 60_000_000)\n"
        "    end = time.process_time() + 0.5\n"
        "    while time.process_time() < end: pass\n"
        "    open('here', 'w').write(str(os.getpid())); time.sleep(600)\n"
        "while not os.path.exists('here'): time.sleep(0.05)\n"
        "time.sleep(0.6)\n"
    )
    cost = tree.measured(
        [sys.executable, "-c", code], environment=dict(os.environ), folder=tmp_path, log=tmp_path / "log", limit=60
    )
    assert cost.code == 0
    assert cost.most_processes == 2
    assert cost.peak_mb > 55
    assert cost.processor_seconds >= 0.45
    left = Path(f"/proc/{(tmp_path / 'here').read_text()}/cmdline")
    assert not left.exists() or not left.read_bytes()  # gone, or dead and not yet cleared away


def test_a_command_that_does_not_end_is_ended_and_has_no_code(peers: ModuleType, tmp_path: Path) -> None:
    tree = importlib.import_module("tree")
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    cost = tree.measured(command, environment=dict(os.environ), folder=tmp_path, log=tmp_path / "log", limit=0.3)
    assert cost.code is None


def test_an_engine_that_ends_elsewhere_has_no_time(peers: ModuleType, results: Path) -> None:
    setting = peers.Setting(4, 200, 3)
    arms = [peers.Arm("bare-1", "one", ()), peers.Arm("foedus", "ours", ())]
    cell(peers, setting, "bare-1")
    cell(peers, setting, "foedus", distance=2e-5, equal=False)
    with pytest.raises(SystemExit, match="another end"):
        peers.lines_of(setting, arms)
    cell(peers, setting, "foedus", distance=2e-6, equal=False)
    assert [line.arm for line in peers.lines_of(setting, arms)] == ["bare-1", "foedus"]


def test_goals_are_met_missed_or_not_measured(peers: ModuleType, results: Path) -> None:
    setting = peers.Setting(10, 200, 3)
    for repeat, seconds in enumerate((14.0, 15.0, 19.0), start=1):
        cell(peers, setting, "bare-2", repeat=repeat, processor_seconds=seconds, wall_seconds=20.0)
    cell(peers, setting, "bare-1")
    cell(peers, setting, "off-1", processor_seconds=11.0, first_step_seconds=3.5)
    cell(peers, setting, "foedus", processor_seconds=10.0, wall_seconds=10.0)
    cell(peers, setting, "flower", wall_seconds=16.0, peak_mb=2000.0)
    every = peers.argparse.Namespace(top_layers=None, flower_python="-", nvflare_python="-")
    lines = peers.lines_of(setting, peers.engines(every))
    said = "\n".join(peers.verdicts(setting, lines))
    assert "Savings off, one process: processor beside the bare loop: 1.10, goal at most 1.05: **missed**" in said
    assert "later: 1.50, goal at most 2: **met**" in said
    assert "times less processor than the bare loop: 1.50, goal at least 1.4: **met**" in said
    assert "times faster than the better simulator: 1.60, goal at least 1.5: **met**" in said
    assert "memory beside the leaner simulator: 0.25, goal at most 0.5: **met**" in said
    assert said.count("**not measured**") == 3
    assert "| bare loop, 2 threads | 15.0 (14.0–19.0) |" in peers.table(lines)


def test_goals_for_ten_members_are_not_held_against_four(peers: ModuleType, results: Path) -> None:
    setting = peers.Setting(4, 200, 3)
    cell(peers, setting, "bare-1")
    cell(peers, setting, "foedus", wall_seconds=10.0)
    cell(peers, setting, "flower", wall_seconds=12.0, peak_mb=2000.0)
    every = peers.argparse.Namespace(top_layers=None, flower_python="-", nvflare_python="-")
    said = "\n".join(peers.verdicts(setting, peers.lines_of(setting, peers.engines(every))))
    assert "A whole run: times faster than the better simulator: 1.20." in said
    assert "not measured" not in said


def test_the_distance_of_two_ends_is_over_the_norm_and_over_the_way(peers: ModuleType, tmp_path: Path) -> None:
    states = {"start": [0.0, 3.0], "reference": [4.0, 3.0], "end": [4.0, 3.5]}
    paths = {name: tmp_path / f"{name}.safetensors" for name in states}
    for name, values in states.items():
        save_file({"a": torch.tensor(values)}, paths[name])
    told = peers.far(paths["end"], paths["reference"], paths["start"])
    assert told == {"distance": pytest.approx(0.1), "of_the_way": pytest.approx(0.125), "equal": False}
    assert peers.far(paths["end"], paths["end"], paths["start"])["equal"] is True


def test_a_saving_is_measured_in_the_rounds_alone(peers: ModuleType, results: Path) -> None:
    told, setting, before, _, after = next(iter(peers.switches()))
    cell(peers, setting, before.name, processor_seconds=16.0, start_processor_seconds=4.0)
    cell(peers, setting, after.name, processor_seconds=10.0, start_processor_seconds=4.0)
    assert f"| {told} | 2.00 (2.00–2.00) | 1.00 (1.00–1.00) | 500, 500 | – |" in peers.switch_table(None)


def test_charts_are_drawn_twice_with_title_axes_and_every_bar(peers: ModuleType, tmp_path: Path) -> None:
    chart = importlib.import_module("chart")
    bars = [("bare <loop>", 30.0, 28.0, 33.0), ("Foedus", 20.0, 20.0, 20.0)]
    chart.write_chart("Ten members", [chart.Panel("Wall time, seconds", bars)], tmp_path / "a.b")
    root = ElementTree.parse(tmp_path / "a.b.svg").getroot()  # noqa: S314 - written just now
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Ten members", "Wall time, seconds", "bare <loop>", "Foedus", "30", "20"} <= set(words)
    assert (tmp_path / "a.b.png").read_bytes().startswith(b"\x89PNG")
    assert chart.ticks(33.0) == (5.0, 35.0)
    assert chart.ticks(0.9) == (0.2, 1.0)
    assert chart.ticks(1234.0) == (200.0, 1400.0)


def test_every_other_saving_names_a_program_that_is_there(peers: ModuleType) -> None:
    every = peers.argparse.Namespace(top_layers=2, flower_python="-", nvflare_python="-")
    arms = [*peers.engines(every), *(arm for _, _, one, _, other in peers.switches() for arm in (one, other))]
    assert all((FOLDER / arm.words[0]).is_file() for arm in arms)
