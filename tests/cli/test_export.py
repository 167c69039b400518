"""`foedus release export`: the zip as before, or a folder for another library; only of what verifies."""

import json
import shutil
from pathlib import Path

import pytest

from foedus.core.digest import sha256_file
from practised import anchor, bundle, done, foedus, published

NAME = "practice-intents-1.0"


@pytest.fixture(scope="module")
def home():
    return published()


def test_a_folder_for_transformers_holds_the_releases_files_and_says_what_it_is(home, tmp_path):
    data = done("release", "export", NAME, "--to", "transformers", "-o", tmp_path / "out", "--workspace", home / "hub")
    assert (data["form"], data["difference"]) == ("transformers", "0.000000000")
    model = {path.name: sha256_file(path) for path in (bundle(home) / "model").iterdir()}
    assert data["files"] == model
    assert sorted(data["files_of_the_release"]) == sorted(model)
    told = json.loads((tmp_path / "out" / "FOEDUS.json").read_text())
    proposal = json.loads((bundle(home) / "report" / "proposal.json").read_text())
    assert (told["release"], told["model"], told["anchor"]) == (NAME, proposal["model"], anchor(home))
    assert told["practice"] is True
    assert (tmp_path / "out" / "FOEDUS.md").read_text().startswith("**practice:")


def test_people_are_told_the_greatest_difference_in_their_language(home, tmp_path):
    words = ("release", "export", bundle(home), "--to", "transformers", "-o", tmp_path / "out")
    answer = foedus(*words, "--anchor", anchor(home), "--lang", "zh", at=tmp_path, as_json=False)
    assert answer.code == 0, answer.err
    assert "logits 与发布的最大差异：0（允许：0.0001）。" in answer.out
    assert (tmp_path / "out" / "FOEDUS.md").read_text().startswith("**演练：")


def test_without_a_form_the_release_itself_is_packed(home, tmp_path):
    data = done("release", "export", NAME, "-o", tmp_path / "r.zip", "--workspace", home / "hub")
    assert Path(data["file"]).is_file()
    assert foedus("verify", tmp_path / "r.zip", "--anchor", anchor(home)).code == 0


@pytest.mark.parametrize(
    ("form", "code", "ends"), [("tensorflow", "export.unknown-form", 2), ("peft", "export.no-adapter", 2)]
)
def test_what_cannot_be_made_is_told_before_anything_is_written(form, code, ends, home, tmp_path):
    words = ("release", "export", NAME, "--to", form, "-o", tmp_path / "out", "--workspace", home / "hub")
    answer = foedus(*words)
    assert (answer.code, answer.data["code"]) == (ends, code)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_release_is_not_exported(home, tmp_path):
    copy = shutil.copytree(bundle(home), tmp_path / bundle(home).name)
    card = copy / "model" / "README.md"
    card.write_bytes(card.read_bytes() + b" ")
    words = ("release", "export", copy, "--to", "transformers", "-o", tmp_path / "out", "--anchor", anchor(home))
    answer = foedus(*words, at=tmp_path)
    assert (answer.code, answer.data["code"]) == (6, "release.model-changed")
    assert not (tmp_path / "out").exists()
