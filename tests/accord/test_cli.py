from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from accord.drafts import DRAFT
from foedus.accord import json_schema
from foedus.cli.accord import app
from foedus.cli.shell import shell
from foedus.core.errors import CallerError
from foedus.core.objects import ObjectStore
from samples import sample_accord

ACCORD = sample_accord()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shell(), "workspace", tmp_path)
    monkeypatch.setattr(shell(), "as_json", False)
    (tmp_path / "accord.yaml").write_text(DRAFT)
    (tmp_path / "one.accord").write_bytes(ACCORD.to_bytes())
    return tmp_path


def call(*words: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, CallerError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.stdout


def data(monkeypatch: pytest.MonkeyPatch, *words: object, exit_code: int = 0) -> dict[str, Any]:
    monkeypatch.setattr(shell(), "as_json", True)
    out: dict[str, Any] = json.loads(call(*words, exit_code=exit_code))
    return out


def test_check_of_a_draft_before_anyone_joined_says_whose_keys_are_missing(folder: Path) -> None:
    out = call("check", folder / "accord.yaml")
    assert "keys missing: bank-a, bank-b, bank-c, hub" in out
    assert "2 absent members stop it" in out


def test_check_lists_every_problem_and_ends_with_two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = DRAFT.replace("rounds: 4", "rounds: 1").replace("package:gt", "gt")
    (folder / "accord.yaml").write_text(bad)
    out = call("check", folder / "accord.yaml", exit_code=2)
    assert "plan.alternate-one-round" in out
    assert "plan.base-source" in out
    found = data(monkeypatch, "check", folder / "accord.yaml", exit_code=2)
    assert (found["kind"], found["problems"], found["accord"]) == ("accord.check", 2, None)


def test_check_of_the_signed_form_finds_nothing_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = data(monkeypatch, "check", folder / "one.accord")
    assert (found["problems"], found["accord"]) == (0, ACCORD.digest)
    assert {one["level"] for one in found["findings"]} == {"note"}


def test_show_prints_the_signed_form_and_its_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = call("show", folder / "one.accord").splitlines()
    assert lines[0].encode() == ACCORD.to_bytes()
    assert ACCORD.digest in lines[-1]
    assert call("show", folder / "one.accord", "--anchor") == ACCORD.digest + "\n"
    assert data(monkeypatch, "show", folder / "one.accord")["accord"] == ACCORD.model_dump(mode="json")


def test_show_of_an_unfinished_draft_is_refused(folder: Path) -> None:
    with pytest.raises(CallerError) as caught:
        call("show", folder / "accord.yaml")
    assert caught.value.code == "accord.keys-missing"


def test_explain_takes_a_file_or_an_id(folder: Path) -> None:
    ObjectStore(folder / "objects").put(ACCORD.to_bytes())
    assert call("explain", ACCORD.digest) == call("explain", folder / "one.accord")
    assert "keys missing" in call("explain", folder / "accord.yaml")


def test_amend_writes_the_next_version_which_leads_back_to_the_anchor(folder: Path) -> None:
    ObjectStore(folder / "objects").put(ACCORD.to_bytes())
    (folder / "accord.yaml").write_text(DRAFT.replace("rounds: 4", "rounds: 6"))
    out = call("amend", folder / "accord.yaml", "--current", folder / "one.accord")
    assert "training.rounds" in out
    written = folder / "bank-intents-v2.accord"
    assert call("show", written, "--anchor") == ACCORD.digest + "\n"
    changes = call("diff", folder / "one.accord", written)
    assert "training.rounds" in changes
    assert "prev" in changes


def test_amend_without_current_takes_the_accord_in_force_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foedus import workspace

    made = workspace.practice(folder / "practice", ("bank-a", "bank-b"))
    hub = made["hub"]
    monkeypatch.setattr(shell(), "workspace", hub.folder)
    hub.draft.write_text(hub.draft.read_text().replace("quorum: 2/3 ", "quorum: all "))
    with pytest.raises(CallerError) as caught:
        call("amend", hub.draft)
    assert caught.value.code == "accord.no-accord"

    offer = workspace.propose_accord(hub)
    for name in ("bank-a", "bank-b"):
        accord = workspace.receive_accord(made[name], offer.parcel)
        workspace.collect_acts(workspace.open_workspace(hub.folder), [workspace.sign_accord(made[name], accord)])
    hub.draft.write_text(hub.draft.read_text().replace("rounds: 4", "rounds: 6"))
    assert "training.rounds" in call("amend", hub.draft, "--out", folder / "next.accord")
    assert call("show", folder / "next.accord", "--anchor") == offer.accord.digest + "\n"


def test_amend_refuses_what_cannot_work_and_writes_nothing(folder: Path) -> None:
    (folder / "accord.yaml").write_text(DRAFT.replace("rounds: 4", "rounds: 1"))
    with pytest.raises(CallerError) as caught:
        call("amend", folder / "accord.yaml", "--current", folder / "one.accord")
    assert caught.value.code == "accord.has-problems"
    assert str(caught.value)
    assert not list(folder.glob("*-v2*"))


def test_diff_of_two_drafts_says_nothing_of_keys_that_nobody_holds(folder: Path) -> None:
    (folder / "two.yaml").write_text(DRAFT + "# a remark\n")
    assert call("diff", folder / "accord.yaml", folder / "two.yaml") == "The two accords are the same.\n"


def test_schema_is_printed_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(call("schema")) == json_schema()
    assert data(monkeypatch, "schema")["schema"] == json_schema()
