"""From practice workspaces to a verified release, through the commands that people type."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

import foedus.cli.main  # noqa: F401 - it puts `export` among the commands of a release
from foedus.cli import gate, release
from foedus.cli import shell as shell_room
from foedus.cli.verify import verify
from foedus.core.digest import sha256
from foedus.core.parcel import Parcel
from foedus.ledger.fold import shares
from foedus.records import acts
from foedus.records.evidence import Credit, CreditReport, DataCard, PartSummary, Salted
from foedus.workspace import (
    act,
    collect_acts,
    consortium,
    export_ledger,
    make_act,
    practice,
    propose_accord,
    receive_accord,
    sign_accord,
    take_ledger,
)
from gates.hand_made import model
from measured import measured, replied

MEMBERS = ("bank-a", "bank-b", "bank-c")
STATE = "sha256:" + "2" * 64


def salted_card(number, member):
    parts = {name: "sha256:" + f"{number}{len(name):x}" * 32 for name in ("train", "validation", "test")}
    summary = PartSummary(examples=500, labels={}, tokens_median=9, tokens_p95=20)
    card = DataCard(
        member=member, name="questions", source="own", licence="CC-BY-4.0", consent="contract", smallest_cell=5,
        mapping="sha256:" + "e" * 64, parts=dict.fromkeys(parts, summary), commitments=parts, duplicates=0,
        across_parts=0,
    )  # fmt: skip
    return card, Salted(salt=f"{number}" * 32, document=card.model_dump(mode="json")).to_bytes()


@pytest.fixture(scope="module")
def parties(tmp_path_factory):
    """Three banks and a hub in practice, with a run that was carried through and evidence that was entered."""
    made = practice(tmp_path_factory.mktemp("parties"), MEMBERS)
    hub = made["hub"]
    offer = propose_accord(hub)
    for member in MEMBERS:
        accord = receive_accord(made[member], offer.parcel)
        collect_acts(hub, [sign_accord(made[member], accord)])
    accord = consortium(hub).accord
    licence = accord.data.licences[0] if accord.data.licences else "CC-BY-4.0"
    consent = accord.data.consents[0] if accord.data.consents else "contract"
    for number, member in enumerate(MEMBERS):
        take_ledger(made[member], export_ledger(hub))
        card, data = salted_card(number, member)
        card = card.model_copy(update={"licence": licence, "consent": consent})
        data = Salted(salt=f"{number}" * 32, document=card.model_dump(mode="json")).to_bytes()
        register = acts.RegisterCard(
            card=sha256(data), name=card.name, licence=licence, consent=consent, examples=500, parts=card.commitments
        )
        collect_acts(hub, [make_act(made[member], register, [data])])
    act(hub, acts.OpenRun(run="r1", roster=MEMBERS, start=STATE, engine="inprocess", numerics={"torch": "2"}))
    weights = shares(accord.aggregation.combine, dict.fromkeys(MEMBERS, 500))
    for number in range(1, accord.training.rounds + 1):
        used = tuple(acts.Used(member=m, reply=sha256(f"{m}{number}".encode()), weight=weights[m]) for m in MEMBERS)
        act(hub, acts.CloseRound(run="r1", round=number, snapshot=STATE, state=STATE, used=used))
    rounds = accord.training.rounds
    act(hub, acts.CloseRun(run="r1", outcome="done", rounds=rounds, released_round=rounds, state=STATE))
    close = {("difference", member): ("0.01", "0.03") for member in MEMBERS}
    examination = measured(accord, MEMBERS, state=STATE, n=1000, federated=98, alone=96, intervals=close)
    credit = CreditReport(
        run="r1", method="aumann-shapley", start_loss="1", released_loss="0.4", total="0.6", residual="0",
        tolerance="0.01", credits=tuple(Credit(member=m, value="0.2", by_round=("0.2",)) for m in MEMBERS),
    )  # fmt: skip
    has_credit = accord.credit.name != "none"
    entered = acts.EnterEvidence(
        run="r1", evidence=examination.digest, credit=credit.digest if has_credit else None, replies=replied(MEMBERS)
    )
    act(hub, entered, [examination.to_bytes(), credit.to_bytes()])
    model(hub.folder / "runs" / "r1" / "model")
    for member in MEMBERS:
        take_ledger(made[member], export_ledger(hub))
    return made


def call(app, workspace, *arguments, code=0):
    """What a command's `--json` object says."""
    shell_room._current.workspace = workspace.folder if workspace else shell_room._current.workspace
    shell_room._current.as_json = shell_room._current.yes = True
    try:
        done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    finally:
        shell_room._current.as_json = shell_room._current.yes = False
        shell_room._current.workspace = type(shell_room._current)().workspace
    assert done.exit_code == code, done.output
    return json.loads(done.stdout.strip().splitlines()[-1])


def verifier():
    app = typer.Typer()
    app.command()(verify)
    return app


def test_from_a_run_to_a_release_that_verifies(parties, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOEDUS_KNOWN", str(tmp_path / "known.json"))
    hub = parties["hub"]
    anchor = consortium(hub).anchor
    ready = hub.folder / "runs" / "r1" / "model"
    drafted = call(release.app, hub, "build", "--run", "r1", "--version", "1.0.0", "--model", ready)
    folder = drafted["folder"]
    assert call(gate.app, hub, "check", folder)["clear"]
    assert {one["name"] for one in call(gate.app, hub, "list")["gates"]} >= {"artefact"}
    assert call(release.app, hub, "list")["releases"][0]["standing"] == "draft"
    votes = []
    for member in MEMBERS:
        sent = call(gate.app, parties[member], "approve", folder, "-o", tmp_path / f"{member}.vote")
        votes.append(sent["file"])
        assert sent["proposal"] == drafted["proposal"]
    counted = call(gate.app, hub, "approve", folder, "--collect", *votes)
    assert (counted["outcome"], counted["missing"]) == ("approved", [])
    published = call(release.app, hub, "build", drafted["folder"])
    assert published["anchor"] == anchor

    shutil.copytree(folder, tmp_path / "elsewhere" / "x.foedus")
    elsewhere = tmp_path / "elsewhere" / "x.foedus"
    seen = call(verifier(), None, elsewhere, "--anchor", anchor)
    assert (seen["code"], seen["practice"], seen["checks"][0]["name"]) == ("verified", True, "release.practice")
    anchor_file = tmp_path / "anchor.txt"
    anchor_file.write_text(anchor + "\n")
    assert call(verifier(), None, elsewhere, "--anchor", anchor_file)["outcome"] == "verified"
    assert call(verifier(), None, elsewhere, code=6)["code"] == "unanchored"
    assert call(verifier(), None, elsewhere, "--first-use")["code"] == "verified"
    assert call(verifier(), None, elsewhere)["code"] == "verified"
    late = (datetime.now(UTC) + timedelta(days=4000)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert call(verifier(), None, elsewhere, "--at", late, code=6)["code"] == "stale"
    assert call(verifier(), None, elsewhere, "--at", late, "--allow-stale")["code"] == "verified"
    packed = call(release.app, None, "export", elsewhere, "-o", tmp_path / "x.zip")
    assert call(verifier(), None, packed["file"])["code"] == "verified"
    assert call(verifier(), None, hub.folder, "--anchor", anchor)["what"] == "ledger"
    assert call(verifier(), None, elsewhere / "accord/accord.json", "--anchor", anchor)["what"] == "accord"
    assert "Figures" in call(release.app, None, "show", elsewhere)["card"]
    assert call(release.app, None, "diff", elsewhere, packed["file"])["changes"] == []
    (elsewhere / "model/config.json").write_text("{}")
    assert call(verifier(), None, elsewhere, code=6)["code"] == "release.model-changed"


def test_a_vote_file_is_one_parcel_with_vote_signature_and_cosignature(parties, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub = parties["hub"]
    ready = hub.folder / "runs" / "r1" / "model"
    drafted = call(release.app, hub, "build", "--run", "r1", "--version", "2.0.0", "--model", ready)
    sent = call(gate.app, parties["bank-a"], "approve", drafted["folder"])
    parcel = Parcel.from_bytes((tmp_path / sent["file"]).read_bytes())
    assert (len(parcel.documents), len(parcel.objects)) == (1, 2)
    sent = call(gate.app, parties["bank-b"], "object", drafted["folder"], "--reason", "not yet", "-o", "b.vote")
    assert call(gate.app, hub, "approve", drafted["folder"], "--collect", "b.vote")["objected"] == ["bank-b"]
