"""`foedus bench engine`: options go on to the benchmark; without a source tree it says where to get it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import foedus
from foedus.cli import main as cli


def test_the_benchmark_gets_its_options_and_names_its_cells(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "engine", "--list", "--members", "3", "--samples", "7", "--repeats", "1"]
    assert cli.run(words, {}) == 0
    assert "m3.s7.r3.full.engine.foedus.1" in capfd.readouterr().out


def test_what_the_benchmark_refuses_is_an_error_with_its_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "engine", "--engines", "nonsense", "--json"], {}) == 1
    told = capfd.readouterr()
    assert json.loads(told.out)["code"] == "bench.failed"
    assert "nonsense" in told.err


def test_without_a_source_tree_it_says_where_the_benchmarks_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(foedus, "__file__", str(tmp_path / "site-packages" / "foedus" / "__init__.py"))
    assert cli.run(["bench", "engine"], {}) == 2
    assert "source tree" in capfd.readouterr().err
