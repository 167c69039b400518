"""`foedus data`, run as a member runs it: in its workspace, under an accord that is in force."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foedus import workspace as ws
from foedus.cli import data, shell
from foedus.core.errors import CallerError, IdentityError
from foedus.core.messages import error_text
from foedus.data.key import data_key
from foedus.records import terms
from foedus.records.base import Record
from foedus.records.evidence import DataCard, Salted

PIN = "sha256:" + "5a" * 32
NAMES = ("bank-a", "bank-b")


def clock() -> datetime:
    return datetime(2026, 6, 1, 10, tzinfo=UTC)


@pytest.fixture
def parties(tmp_path: Path) -> tuple[ws.Workspace, ws.Workspace]:
    """A coordinator and bank-a under an accord in force."""
    hub = ws.create_coordinator(tmp_path / "hub", "hub", members=NAMES)
    hub.draft.write_text(hub.draft.read_text().replace("sha256:" + "0" * 64, PIN))
    for name in NAMES:
        ws.collect_joined(hub, ws.join(tmp_path / name, ws.invite(hub, name)))
    offer = ws.propose_accord(ws.open_workspace(hub.folder), clock=clock)
    hub = ws.open_workspace(hub.folder)
    for name in NAMES:
        member = ws.open_workspace(tmp_path / name)
        accord = ws.receive_accord(member, offer.parcel)
        ws.collect_acts(hub, [ws.sign_accord(member, accord, clock=clock)], clock=clock)
    member = ws.open_workspace(tmp_path / "bank-a")
    ws.take_ledger(member, ws.export_ledger(hub))
    return hub, member


def write_data(folder: Path, task: terms.Task, licence: str, consent: str) -> Path:
    labels = task.labels
    rows = [{"text": f"question {i}", "label": labels[i % len(labels)]} for i in range(60 * len(labels))]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "data.yaml").write_text(
        f"data: foedus/v1\nname: questions\npath: rows.jsonl\ncolumns: {{text: text, label: label}}\n"
        f"source: a test\nlicence: {licence}\nconsent: {consent}\n"
    )
    return folder / "data.yaml"


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str, as_json: bool = False) -> str:
    monkeypatch.setattr(shell, "_current", shell.Shell(as_json=as_json, workspace=folder))
    result = CliRunner().invoke(data.app, list(arguments), catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture
def mapping(parties: tuple[ws.Workspace, ws.Workspace], tmp_path: Path) -> Path:
    accord = ws.consortium(parties[1]).accord
    assert accord is not None
    allowed = accord.data
    return write_data(
        tmp_path, accord.task, (allowed.licences or ("CC0-1.0",))[0], (allowed.consents or ("contract",))[0]
    )


def test_a_card_is_registered_by_one_command(
    parties: tuple[ws.Workspace, ws.Workspace], mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, member = parties
    monkeypatch.chdir(tmp_path)
    answer = json.loads(run(monkeypatch, member.folder, "card", str(mapping), "--register", as_json=True))
    assert answer["registered"] == "bank-a.card.act"
    ws.collect_acts(hub, [(tmp_path / "bank-a.card.act").read_bytes()], clock=clock)
    act = ws.consortium(hub).cards["bank-a"].act
    stored = Salted.from_bytes(hub.objects.get(act.card))
    card: Record = DataCard.from_json(stored.document)
    assert card.model_dump(mode="json") == answer["card"]
    assert act.examples == answer["card"]["parts"]["train"]["examples"]
    assert stat.S_IMODE((member.folder / "keys" / "data.key").stat().st_mode) == 0o600


def test_the_card_is_told_in_words_and_names_no_row(
    parties: tuple[ws.Workspace, ws.Workspace], mapping: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run(monkeypatch, parties[1].folder, "card", str(mapping))
    assert "Data card of questions (bank-a)" in text
    assert "question 1" not in text
    assert f"foedus data card {mapping} --register" in text


def test_check_says_what_will_be_read(
    parties: tuple[ws.Workspace, ws.Workspace], mapping: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.loads(run(monkeypatch, parties[1].folder, "check", str(mapping), as_json=True))
    assert sum(answer["parts"].values()) % 60 == 0
    assert answer["kind"] == "data.check"


def test_without_a_workspace_a_draft_serves_and_nothing_is_registered(
    parties: tuple[ws.Workspace, ws.Workspace], mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = str(parties[0].draft)
    assert "this call only" in run(monkeypatch, tmp_path, "card", str(mapping), "--task", draft)
    assert not (tmp_path / "keys").exists()
    for arguments, code in (
        (["card", str(mapping), "--task", draft, "--register"], "data.no-workspace"),
        (["card", str(mapping)], "data.no-accord"),
    ):
        with pytest.raises(CallerError) as caught:
            run(monkeypatch, tmp_path, *arguments)
        assert caught.value.code == code
        assert error_text(caught.value, lang="zh").do


def test_the_data_key_is_made_once_and_guarded(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "data.key"
    key = data_key(path)
    assert len(key) == 32
    assert data_key(path) == key
    path.chmod(0o644)
    with pytest.raises(IdentityError) as caught:
        data_key(path)
    assert caught.value.code == "keys.readable-by-others"
    path.chmod(0o600)
    path.write_text("not a key")
    with pytest.raises(IdentityError) as caught:
        data_key(path)
    assert caught.value.code == "keys.unreadable"
