"""The commands that the pages show are run, in order, in an empty folder, and print what the pages say.

A ```console block is a session: a line after `$ ` is a command, `> ` continues it, and the lines below are what it
prints. `…` in such a line stands for anything; a line that is only `…` for any lines. `[exit 6]` says that the command
ends with 6; without it, it ends with 0. What cannot be run here (cloning, installing) stands in ```sh blocks.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = ("README.md", "README.zh.md")
SLOW = ("docs/tutorial.md", "docs/tutorial.zh.md")
END = "<<end of command>>"


@dataclass
class Step:
    command: str
    shown: list[str] = field(default_factory=list)
    exit_code: int = 0


def steps(text):
    """The steps of all console blocks of a page."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            elif line.startswith("> "):
                found[-1].command += "\n" + line[2:]
            elif ended := re.fullmatch(r"\[exit (\d+)\]", line):
                found[-1].exit_code = int(ended[1])
            elif line.strip():
                found[-1].shown.append(line)
    return found


def play(page_steps, folder):
    """Run the steps in one shell; gives each step with what it printed and its exit code."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "FOEDUS_LANG": "",
        "LC_ALL": "C.UTF-8",
        "XDG_DATA_HOME": str(folder / ".data"),
    }
    environment.pop("FOEDUS_WORKSPACE", None)
    script = "\n".join(f"{{ {step.command}\n}} </dev/null 2>&1; printf '\\n{END}%s\\n' $?" for step in page_steps)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    outcomes = re.split(rf"\n{END}(\d+)\n", done.stdout)
    return list(zip(page_steps, outcomes[0::2], map(int, outcomes[1::2]), strict=False))


def as_shown(shown, printed):
    """Whether the printed text has the shown lines, in order."""
    parts = [".*" if line.strip() == "…" else re.escape(line.strip()).replace("…", ".*") for line in shown]
    lines = [re.sub(r"\s+", " ", line.strip()) for line in printed.splitlines()]
    at = 0
    for part in parts:
        wanted = re.compile(re.sub(r"(\\ )+", " ", part))
        while at < len(lines) and not wanted.fullmatch(lines[at]):
            at += 1
        if at == len(lines) and part != ".*":
            return False
        at += 1
    return True


def check(page, folder):
    page_steps = steps((ROOT / page).read_text(encoding="utf-8"))
    assert page_steps, f"{page} shows no session"
    played = play(page_steps, folder)
    assert len(played) == len(page_steps), f"{page}: the shell ended after {played[-1][0].command}"
    for step, printed, code in played:
        assert code == step.exit_code, f"{page}: {step.command}\nended with {code}\n{printed}"
        assert as_shown(step.shown, printed), f"{page}: {step.command}\nshown: {step.shown}\nprinted: {printed}"


@pytest.mark.parametrize("page", QUICK)
def test_the_commands_of_a_short_page_run(page, tmp_path):
    check(page, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_the_commands_of_a_long_page_run(page, tmp_path):
    check(page, tmp_path)


def test_a_session_keeps_its_folder_and_variables_and_tells_exit_codes(tmp_path):
    lines = [
        "$ mkdir a && cd a",
        "$ X=1; echo $X-$(basename $PWD)",
        "1-a",
        "$ false",
        "[exit 1]",
        "$ cat <<E",
        "> b",
        "> E",
        "b",
    ]
    page = "\n".join(["```console", *lines, "```", ""])
    played = play(steps(page), tmp_path)
    assert [(code, step.exit_code) for step, _, code in played] == [(0, 0), (0, 0), (1, 1), (0, 0)]
    assert all(as_shown(step.shown, printed) for step, printed, _ in played)


@pytest.mark.parametrize(
    ("shown", "holds"),
    [
        (["one", "two"], True),
        (["two"], True),
        (["o…e"], True),
        (["one", "…", "three"], True),
        (["two", "one"], False),
        (["on"], False),
        (["four"], False),
    ],
)
def test_shown_lines_are_looked_for_in_order(shown, holds):
    assert as_shown(shown, "one\ntwo\nthree\n") == holds
