"""`foedus completion`: the script, read by the shell itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foedus.cli.completion import SCRIPTS
from practised import foedus

HERE = Path(sys.executable).parent


def completed(*words):
    """What bash offers for the last of these words."""
    script = 'eval "$(foedus completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _foedus foedus\n'
    script += 'printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "--norc", "-c", script, "bash", *words]
    environment = {**os.environ, "PATH": f"{HERE}:{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not (HERE / "foedus").exists(), reason="Foedus is not installed as a command")
def test_bash_completes_commands_and_their_commands():
    assert completed("foedus", "led") == ["ledger"]
    assert completed("foedus", "hub", "") == ["backup", "restore"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_script(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n"], input=SCRIPTS[shell], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_script_asks_foedus_itself(shell):
    told = foedus("completion", shell).data
    assert told["script"] == SCRIPTS[shell]
    assert f"_FOEDUS_COMPLETE=complete_{shell}" in told["script"]


def test_an_unknown_shell_is_answered_with_the_known_ones():
    told = foedus("completion", "tcsh")
    assert (told.code, told.data["code"]) == (2, "cli.no-such-shell")
    assert "zsh" in told.data["expected"]
