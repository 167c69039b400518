"""The same bits on every processor: golden digests, computed under two sets of CPU kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

VECTORS = Path(__file__).parent.parent / "vectors" / "combine.json"
SCRIPT = Path(__file__).parent / "portable.py"


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str]]:
    return {kernels: run(kernels) for kernels in ("default", "avx2")}


def run(kernels: str, *ways: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(VECTORS), *ways],
        env={**os.environ, "ATEN_CPU_CAPABILITY": kernels, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("kernels", ["default", "avx2"])
def test_combining_gives_the_golden_digests_under_either_set_of_kernels(found, kernels):
    expected = json.loads(VECTORS.read_text(encoding="utf-8"))["expected"]
    assert found[kernels]["digests"] == expected


def test_compiled_sums_give_the_golden_digests():
    pytest.importorskip("numba")
    expected = json.loads(VECTORS.read_text(encoding="utf-8"))["expected"]
    assert run("default", "compiled")["digests"] == expected


def test_the_two_runs_did_use_two_sets_of_kernels_and_the_control_differs(found):
    about = {kernels: found[kernels]["about"] for kernels in found}
    if about["avx2"]["capability"] != "AVX2":
        pytest.skip("this processor has no AVX2 kernels to compare with")
    assert about["default"]["capability"] != about["avx2"]["capability"]
    assert about["default"]["control"] != about["avx2"]["control"], "matmul, alpha= and sum differ: why we use none"
