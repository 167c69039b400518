"""Global options, help, languages, and how a call ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foedus.cli import main as cli
from foedus.cli.help import texts
from foedus.core.errors import CallerError, IdentityError, LateError, RunError, VerifyError
from foedus.core.messages import catalogue, set_language


@pytest.fixture(autouse=True)
def _english():
    yield
    set_language("en")


@pytest.fixture
def breaking(monkeypatch):
    """A command `break` that ends as the test says."""

    def arrange(outcome):
        def broken() -> None:
            """Break."""
            if isinstance(outcome, BaseException):
                raise outcome

        monkeypatch.setitem(cli.COMMANDS, "break", broken)

    return arrange


def test_help_loads_neither_torch_nor_numpy_nor_pydantic():
    code = (
        "import sys; from foedus.cli.main import run; assert run(['--help'], {}) == 0;"
        "heavy = {'torch', 'numpy', 'pydantic', 'transformers', 'cryptography'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_of_each_group_and_command_names_its_path(capsys):
    paths = [where.split(" ")[1:] for where, _ in texts(cli.build())]
    for words in {
        tuple(word for word in path if word.isascii() and word.islower() and word[0] != "-") for path in paths
    }:
        assert cli.run([*words, "--help"], {}) == 0
        assert capsys.readouterr().out.startswith(" ".join(["Usage: foedus", *words]))


def test_every_command_stands_under_one_title_of_the_first_help_page():
    listed = [name for names in cli.PANELS.values() for name in names]
    assert sorted(listed) == sorted(cli.build().commands)


def test_every_command_group_and_option_is_explained_in_english_and_chinese():
    chinese = catalogue("help", "zh")
    found = dict(texts(cli.build()))
    assert [where for where, text in found.items() if not text] == []
    assert [f"{where}: {text}" for where, text in found.items() if text not in chinese] == []
    assert [text for text in chinese if text not in found.values()] == [], "translations of texts that no longer exist"


def test_help_is_chinese_where_chinese_is_asked_for(capsys):
    assert cli.run(["doctor", "--help", "--lang", "zh"], {}) == 0
    assert "用法：" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "environment", "settings", "expected"),
    [
        (["--lang", "en"], {"FOEDUS_LANG": "zh"}, "zh", "en"),
        ([], {"FOEDUS_LANG": "zh", "LANG": "en_GB.UTF-8"}, "en", "zh"),
        ([], {"LANG": "en_GB.UTF-8"}, "zh", "zh"),
        ([], {"LC_ALL": "zh_CN.UTF-8", "LANG": "en_GB.UTF-8"}, None, "zh"),
        ([], {"LANG": "zh_TW"}, None, "zh"),
        ([], {"LC_ALL": "C", "LANG": "zh_TW"}, None, "en"),
        ([], {}, None, "en"),
    ],
)
def test_the_language_is_the_flag_then_the_variable_then_the_workspace_then_the_system(
    tmp_path, capsys, arguments, environment, settings, expected
):
    if settings:
        (tmp_path / "workspace.json").write_text(json.dumps({"language": settings}))
    assert cli.run(["doctor", "--workspace", str(tmp_path), *arguments], environment) == 0
    assert ("可用" in capsys.readouterr().out) == (expected == "zh")


def test_a_language_that_foedus_does_not_speak_is_the_callers_mistake(capsys):
    assert cli.run(["doctor", "--lang", "la"], {}) == 2
    assert "[cli.no-such-language]" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--json", "doctor"], ["doctor", "--json"]])
def test_global_options_stand_before_or_after_the_command(capsys, arguments):
    assert cli.run(arguments, {}) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "doctor"


def test_the_workspace_comes_from_the_flag_then_the_variable(tmp_path, capsys):
    (tmp_path / "a").mkdir()
    for arguments, environment, expected in (
        (["--workspace=here"], {"FOEDUS_WORKSPACE": "there"}, "here"),
        ([], {"FOEDUS_WORKSPACE": "there"}, "there"),
        ([], {}, "."),
    ):
        assert cli.run(["doctor", "--json", *arguments], environment) == 0
        assert json.loads(capsys.readouterr().out)["workspace"]["path"] == expected


def test_what_follows_two_dashes_belongs_to_the_command():
    call = cli.take_apart(["accord", "--", "--json", "--lang"])
    assert call.rest == ["accord", "--", "--json", "--lang"]
    assert not call.as_json


def test_version_is_global_before_the_command_and_the_commands_own_after_it():
    assert cli.take_apart(["--version"]).version
    after = cli.take_apart(["release", "build", "--version", "1"])
    assert (after.version, after.rest) == (False, ["release", "build", "--version", "1"])


def test_version_prints_the_version(capsys):
    assert cli.run(["--version", "--json"], {}) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "0.1.0"


def test_quiet_prints_no_lines(capsys):
    assert cli.run(["doctor", "-q"], {}) == 0
    assert capsys.readouterr() == ("", "")


def test_an_option_without_its_value_is_named(capsys):
    assert cli.run(["doctor", "--workspace"], {}) == 2
    assert "--workspace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (CallerError("files.missing", path="x"), 2),
        (RunError("files.locked", path="x"), 1),
        (IdentityError("keys.unreadable", path="x"), 3),
        (LateError("files.locked", path="x"), 4),
        (VerifyError("objects.changed", path="x", expected="a", got="b"), 6),
    ],
)
def test_each_family_of_errors_has_its_exit_code_and_three_parts(breaking, capsys, error, exit_code):
    breaking(error)
    assert cli.run(["break", "--json"], {}) == exit_code
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["foedus"], told["kind"], told["code"], told["exit"]) == (1, "error", error.code, exit_code)
    assert told["fields"] == error.fields
    assert told["expected"]
    assert told["got"]
    assert told["do"]
    assert err.startswith(f"[{error.code}]")


def test_any_other_exception_is_a_bug_and_shows_its_traceback_only_when_asked(breaking, capsys):
    breaking(ZeroDivisionError("by nought"))
    assert cli.run(["break"], {}) == 5
    assert "Traceback" not in (plain := capsys.readouterr().err)
    assert "[cli.bug]" in plain
    assert "ZeroDivisionError: by nought" in plain
    assert cli.run(["break", "-v"], {}) == 5
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "hub"), OSError(36, "Too long", "x" * 300)])
def test_a_path_that_the_system_refuses_is_the_callers_to_mend(breaking, capsys, error):
    breaking(error)
    assert cli.run(["break", "--json"], {}) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["fields"]["path"]) == ("files.unreadable", error.filename)


def test_a_failure_of_the_system_without_a_path_is_a_bug(breaking):
    breaking(OSError(9, "Bad file descriptor"))
    assert cli.run(["break"], {}) == 5


def test_interrupting_gives_130(breaking):
    breaking(KeyboardInterrupt())
    assert cli.run(["break"], {}) == 130


def test_a_missing_package_of_an_extra_names_the_command_that_adds_it(breaking, capsys):
    breaking(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert cli.run(["break"], {}) == 2
    assert "pip install 'foedus[train]'" in capsys.readouterr().err


def test_a_missing_module_that_no_extra_brings_is_a_bug(breaking):
    breaking(ModuleNotFoundError("No module named 'foedus.nowhere'", name="foedus.nowhere"))
    assert cli.run(["break"], {}) == 5


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nonsense"], "cli.unknown-command"),
        (["doctor", "--nonsense"], "cli.no-such-option"),
        (["doctor", "more"], "cli.unexpected-argument"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_where_help_is(capsys, arguments, code):
    assert cli.run([*arguments, "--json"], {}) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["exit"]) == (code, 2)
    assert "--help" in told["do"]


def test_nothing_at_all_gives_the_help_page_and_2(capsys):
    assert cli.run([], {}) == 2
    assert capsys.readouterr().out.startswith("Usage: foedus")


def test_a_reader_that_goes_away_is_no_bug():
    command = f"{sys.executable} -m foedus --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout.startswith("Usage: foedus"), done.stderr) == (True, "")


def test_every_extra_of_the_map_exists_and_every_module_has_a_requirement():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for module, extra in cli.EXTRA_OF.items():
        assert any(line.replace("-", "_").startswith(module) for line in project["optional-dependencies"][extra])


def test_python_dash_m_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "foedus", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "foedus 0.1.0\n")
