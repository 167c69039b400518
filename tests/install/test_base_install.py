"""The base installation: built, installed by pip without extras in a fresh environment, and used like an auditor."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

import samples
from foedus.core.clock import spell
from release.tiny_consortium import LATER, Consortium

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PIP = ["-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    [found] = folder.glob("foedus-*.whl")
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory, wheel):
    """The folder of commands of an environment that has Foedus and what its base requires, nothing else."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, *PIP, "install", "-c", ROOT / "constraints.txt", wheel], check=True)
    return python.parent


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A consortium with a published release, made with everything installed."""
    world = Consortium(tmp_path_factory.mktemp("world"))
    world.release()
    return world


@pytest.fixture
def foedus(base, tmp_path):
    def call(*arguments):
        command = [base / "foedus", *arguments]
        known = str(tmp_path / "known.json")  # this reader has seen nothing before
        environment = {"PATH": "/usr/bin:/bin", "FOEDUS_KNOWN": known}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

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
    assert [name for name, works in told["works"].items() if works] == ["verify"]
    assert "pip install 'foedus[train]'" in told["commands"]


def test_every_command_answers_help_without_the_training_extra(foedus, base):
    listed = json.loads(foedus("--help", "--json").stdout)["commands"]
    assert listed
    for name in listed:
        done = foedus(name, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"Usage: foedus {name}")


def data_files(names):
    """The files of the package that are no code, below `foedus/`."""
    inside = (name.partition("foedus/")[2] for name in names if "/foedus/" in f"/{name}")
    return {name for name in inside if name and not name.endswith((".py", "/"))}


def in_the_source():
    kept = (path for path in (ROOT / "src" / "foedus").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT / "src" / "foedus")) for path in kept if path.suffix not in (".py", ".pyc")}


def test_the_wheel_has_every_message_template_and_row(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = data_files(name for name in archive.namelist() if name.startswith("foedus/"))
    assert names == in_the_source()
    assert {"accord/template.yaml", "accord/template.zh.yaml", "core/messages/zh/api.toml", "py.typed"} <= names
    assert {"web/templates/base.html", "web/static/pages.css"} <= names
    assert {"demo/accords/banking.yaml", "demo/data/banking77.csv.gz", "demo/data/NOTICE.md"} <= names


def test_the_source_archive_has_them_too(tmp_path):
    tools = tmp_path / "tools"
    constraints = ["-c", ROOT / "constraints.txt"]
    subprocess.run([sys.executable, *PIP, "install", *constraints, "--target", tools, "hatchling"], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path]
    subprocess.run(build, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tools)}, capture_output=True)
    [source] = tmp_path.glob("foedus-*.tar.gz")
    with tarfile.open(source) as archive:
        names = archive.getnames()
    root = source.name.removesuffix(".tar.gz")
    assert data_files(name.removeprefix(f"{root}/") for name in names if f"{root}/src/" in name) == in_the_source()
    assert {f"{root}/{name}" for name in ("LICENSE", "NOTICE", "README.md", "pyproject.toml")} <= set(names)


def test_a_release_is_verified_and_one_changed_byte_is_refused(foedus, world):
    when = ["--at", spell(LATER + timedelta(days=1))]
    path = world.folder()
    done = foedus("verify", str(path), "--anchor", world.accord.digest, *when)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Release intents 1.0.0 of bank-intents was approved by 3 of its 3 members" in done.stdout

    weights = path / "model" / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        done = foedus("verify", str(path), "--anchor", world.accord.digest, *when, "--json")
        assert (done.returncode, json.loads(done.stdout)["outcome"]) == (6, "refused")
    finally:
        weights.write_bytes(data)


def test_python_verifies_reads_and_explains_without_the_training_extra(base, world, accord):
    code = """
import sys, foedus
from foedus.core.clock import parse
path, anchor, accord, when = sys.argv[1:]
assert foedus.verify(path, anchor=anchor, at=parse(when))
assert "bank-a" in foedus.explain(foedus.read_accord(accord))
for use in (lambda: foedus.Practice, lambda: foedus.Release(path, anchor=anchor).predict(["a"])):
    try:
        use()
    except foedus.FoedusError as error:
        assert error.code == "api.extra-missing" and "pip install 'foedus[train]'" in str(error), error
    else:
        sys.exit("no refusal")
"""
    words = [str(world.folder()), world.accord.digest, str(accord), spell(LATER + timedelta(days=1))]
    done = subprocess.run([base / "python", "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_parties_found_a_consortium_and_sign_without_the_training_extra(foedus, tmp_path):
    for arguments in (
        "new first --practice 2",
        "accord check first/hub/accord.yaml --workspace first/hub",
        "member list --workspace first/hub",
        "accord sign --workspace first/hub",
        "accord sign bank-intents-v1.to-sign --workspace first/member-1",
        "accord sign bank-intents-v1.to-sign --workspace first/member-2",
        "accord sign --collect member-1-bank-intents-v1.act --collect member-2-bank-intents-v1.act "
        "--workspace first/hub",
    ):
        done = foedus(*arguments.split(), "--yes")
        assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
    shown = foedus("ledger", "show", "--workspace", "first/hub")
    assert [shown.stdout.count(act) for act in ("accord.propose", "accord.sign")] == [1, 2]

    anchor = json.loads((tmp_path / "first" / "member-1" / "workspace.json").read_text())["anchor"]
    done = foedus("accord", "show", anchor, "--workspace", "first/member-1")
    assert done.returncode == 0, done.stdout + done.stderr
    done = foedus("verify", "first/hub/ledger", "--anchor", anchor)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["run start", "demo"])
def test_what_needs_names_the_extra(foedus, command):
    assert foedus("new", "first", "--practice", "2").returncode == 0
    done = foedus(*command.split(), "--workspace", "first/hub", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["code"], told["fields"]["extra"]) == (2, "cli.extra-missing", "train")
    assert "pip install 'foedus[train]'" in done.stderr


def test_the_serve_extra_brings_what_the_pages_and_their_index_need(tmp_path, wheel):
    """In an environment of its own; the pages answer from what the wheel holds."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    extras = f"{wheel}[serve,postgres,objects]"
    subprocess.run([python, *PIP, "install", "-c", ROOT / "constraints.txt", extras], check=True)
    environment = {"PATH": "/usr/bin:/bin"}
    told = subprocess.run([python, "-m", "foedus", "doctor", "--json"], capture_output=True, env=environment)
    works = json.loads(told.stdout)["works"]
    assert (works["pages"], works["postgres"], works["objects"], works["train"]) == (True, True, True, False)
    code = """
import sys, urllib.request
from pathlib import Path
from foedus.web.up import hub_pages
from foedus.workspace import create_coordinator
with hub_pages(create_coordinator(Path(sys.argv[1]), "hub"), port=0) as pages:
    for path in ("/", "/static/pages.css"):
        with urllib.request.urlopen(pages.origin + path, timeout=30) as answer:
            assert answer.status == 200, path
"""
    done = subprocess.run([python, "-c", code, tmp_path / "hub"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
