"""The base installation: built, installed by pip without extras in a fresh environment, and used like an auditor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import samples

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of commands of an environment that has Foedus and what its base requires, nothing else."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    [wheel] = folder.glob("foedus-*.whl")
    subprocess.run([*pip, "install", "-c", ROOT / "constraints.txt", wheel], check=True)
    return folder / "venv" / "bin"


@pytest.fixture
def foedus(base, tmp_path):
    def call(*arguments):
        command = [base / "foedus", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})

    return call


@pytest.fixture
def accord(tmp_path):
    path = tmp_path / "sample.accord"
    path.write_bytes(samples.sample_accord().to_bytes())
    return path


def test_torch_and_numpy_are_absent(base):
    code = "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) for m in ('torch', 'numpy', 'transformers')))"
    assert subprocess.run([base / "python", "-c", code]).returncode == 0


def test_help_works_in_both_languages(foedus):
    assert foedus("--help").stdout.startswith("Usage: foedus")
    assert foedus("--help", "--lang", "zh").stdout.startswith("用法：")


def test_an_accord_is_checked_and_explained(foedus, accord):
    assert foedus("accord", "check", str(accord)).returncode == 0
    english, chinese = (
        foedus("accord", "explain", str(accord)),
        foedus("accord", "explain", str(accord), "--lang", "zh"),
    )
    assert (english.returncode, chinese.returncode) == (0, 0), english.stderr + chinese.stderr
    assert "bank-a" in english.stdout
    assert "成员" in chinese.stdout


def test_verifying_a_path_that_is_not_there_is_the_callers_mistake(foedus):
    done = foedus("verify", "nowhere", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit"], told["kind"]) == (2, 2, "error")
    assert told["code"] == "files.missing"


def test_doctor_names_the_command_that_adds_training(foedus):
    told = json.loads(foedus("doctor", "--json").stdout)
    assert told["works"] == {"verify": True, "train": False}
    assert "pip install 'foedus[train]'" in told["commands"]


def test_every_command_answers_help_without_the_training_extra(foedus, base):
    listed = json.loads(foedus("--help", "--json").stdout)["commands"]
    assert listed
    for name in listed:
        done = foedus(name, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"Usage: foedus {name}")
