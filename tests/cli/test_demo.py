"""`foedus demo` refuses what it cannot tell; `foedus new --sample` gives its rows and accord to practise with."""

import csv
import subprocess
import sys

import pytest

from practised import done, foedus


def test_an_unknown_demo_is_answered_with_the_known_ones(tmp_path):
    answer = foedus("demo", "weather", at=tmp_path)
    assert (answer.code, answer.data["code"]) == (2, "demo.unknown")
    assert "banking" in answer.data["fields"]["known"]


def test_a_folder_with_files_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    answer = foedus("demo", "--out", "mine", at=tmp_path)
    assert (answer.code, answer.data["code"]) == (2, "demo.folder-exists")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("names", [("shop", "bank"), ("a-one", "b-two", "c-three", "d-four", "e-five")])
def test_a_sample_is_an_accord_that_can_be_signed_and_rows_that_can_be_read(tmp_path, names):
    done("new", "p", "--practice", len(names), "--sample", "--names", ",".join(names), "--party", "desk", at=tmp_path)
    hub = tmp_path / "p" / "desk"
    checked = done("accord", "check", hub / "accord.yaml", "--workspace", hub)
    assert (checked["problems"], checked["keys_missing"]) == (0, [])
    for name in names:
        place = tmp_path / "p" / name
        read = done("data", "check", place / "data.yaml", "--task", hub / "accord.yaml", "--workspace", place)
        with (place / "train.csv").open(newline="") as file:
            assert read["parts"]["train"] == sum(1 for _ in csv.DictReader(file)) > 100


def test_more_members_than_the_sample_has_banks_is_refused(tmp_path):
    answer = foedus("new", "p", "--practice", "9", "--sample", at=tmp_path)
    assert (answer.code, answer.data["code"]) == (2, "demo.too-many-members")
    assert not (tmp_path / "p").exists()
    answer = foedus("new", "q", "--sample", at=tmp_path)
    assert (answer.code, answer.data["code"]) == (2, "workspace.bad-option")


BASE_ONLY = """
import sys
from foedus.cli.main import run


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "numpy", "transformers", "peft", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])


sys.meta_path.insert(0, Absent())
hub, member = ["--workspace", "p/hub"], ["--workspace", "p/member-1"]
for words in (
    ["new", "p", "--practice", "1", "--names", "member-1,member-2", "--sample"],
    ["new", "p", "--practice", "2", "--sample"],
    ["accord", "check", "p/hub/accord.yaml", *hub],
    ["data", "check", "p/member-1/data.yaml", "--task", "p/hub/accord.yaml", *member],
    ["data", "card", "p/member-1/data.yaml", "--task", "p/hub/accord.yaml", *member],
):
    print(run([*words, "--json"], {}), file=sys.stderr)
"""


def test_a_sample_is_made_checked_and_described_without_the_training_extra(tmp_path):
    ended = subprocess.run([sys.executable, "-c", BASE_ONLY], cwd=tmp_path, capture_output=True, text=True)
    codes = [line for line in ended.stderr.splitlines() if line.isdigit()]
    assert codes == ["2", "0", "0", "0", "0"], ended.stderr
