"""The commands: each writes a page and its data, says where, and gives the same as JSON."""

import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from foedus.core.digest import sha256_file
from practised import MEMBERS, anchor, bundle, done, foedus, published
from report.reading import Read

NAME = "practice-intents-1.0"


@pytest.fixture(scope="module")
def home():
    return published()


def texts(path):
    return Read(Path(path).read_text(encoding="utf-8")).text


def test_a_run_report_stands_beside_its_data(home, tmp_path):
    data = done("run", "report", "run-1", "-o", tmp_path / "r.html", "--workspace", home / "hub")
    assert (data["kind"], data["digest"]) == ("run", sha256_file(tmp_path / "r.json"))
    twin = json.loads((tmp_path / "r.json").read_text())
    assert [row["member"] for row in twin["members"]] == list(MEMBERS)
    assert all(row["carried"]["bytes_in"] > 0 for row in twin["members"])
    assert twin["rounds"][0]["loss"] is not None
    assert twin["start_loss"] is not None
    assert "practice: one process held every key" in texts(data["file"])


def test_a_target_that_ends_with_pdf_asks_for_one_and_its_page_lies_beside_it(home, tmp_path, monkeypatch):
    writing = import_module("foedus.report.render")
    monkeypatch.setattr(writing, "browser", lambda: "chromium")
    monkeypatch.setattr(writing, "to_pdf", lambda page, target: target.write_bytes(page.read_bytes()))
    data = done("run", "report", "run-1", "-o", tmp_path / "r.pdf", "--workspace", home / "hub")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.pdf"]
    assert (data["file"], data["pdf"]) == (str(tmp_path / "r.html"), str(tmp_path / "r.pdf"))


def test_every_member_gets_its_own_statement_and_the_coordinator_all(home, tmp_path):
    data = done("credit", "statement", NAME, "-o", tmp_path / "all", "--workspace", home / "hub")
    assert [Path(one["file"]).name for one in data["statements"]] == [f"{member}.html" for member in MEMBERS]
    shown = [json.loads(Path(one["data"]).read_text()) for one in data["statements"]]
    entered = done("credit", "show", "run-1", "--workspace", home / "hub")["report"]["credits"]
    assert {one["member"]: one["own"]["value"] for one in shown} == {one["member"]: one["value"] for one in entered}

    data = done("credit", "statement", bundle(home), "-o", tmp_path / "own.html", "--workspace", home / "bank-b")
    assert [Path(one["file"]).name for one in data["statements"]] == ["own.html"]
    assert "bank-b in practice-intents-1.0" in texts(tmp_path / "own.html")


def test_a_certificate_needs_no_workspace_but_the_anchor(home, tmp_path):
    data = done("release", "certificate", bundle(home), "--anchor", anchor(home), at=tmp_path)
    assert data["file"] == f"{NAME}-certificate.html"
    assert "practice: one process held every key" in texts(tmp_path / data["file"])
    answer = foedus("release", "certificate", bundle(home), at=tmp_path, env={})
    assert answer.code in (0, 6)  # 0 where this reader took the anchor up before


def test_a_tampered_release_gets_an_audit_report_and_no_certificate(home, tmp_path):
    copy = shutil.copytree(bundle(home), tmp_path / bundle(home).name)
    card = copy / "model" / "README.md"
    card.write_bytes(card.read_bytes() + b" ")
    answer = foedus("release", "certificate", copy, "--anchor", anchor(home), at=tmp_path)
    assert (answer.code, answer.data["code"]) == (6, "release.model-changed")
    assert not (tmp_path / f"{NAME}-certificate.html").exists()
    answer = foedus("release", "audit", copy, "--anchor", anchor(home), at=tmp_path)
    assert (answer.code, answer.data["outcome"]) == (6, "refused")
    assert "It must not be used." in texts(tmp_path / f"{NAME}-audit.html")


def test_an_audit_report_holds_the_replay_and_how_to_do_it_again(home, tmp_path):
    data = done(
        "release", "audit", NAME, "--replay", home / "replies", "--auditor", "A. Auditor", "-o", tmp_path / "a.html",
        "--workspace", home / "hub", "--lang", "zh",
    )  # fmt: skip
    twin = json.loads((tmp_path / "a.json").read_text())
    assert data["outcome"] == "verified"
    assert twin["auditor"] == "A. Auditor"
    assert "replay.state" in [check["name"] for check in twin["verification"]["checks"]]
    assert twin["rerun"] == [f"foedus verify {bundle(home)} --anchor {anchor(home)} --replay {home / 'replies'}"]
    text = texts(tmp_path / "a.html")
    assert text.startswith("practice-intents-1.0 的审计")
    assert "控制表" in text


def test_people_are_told_where_the_pages_are(home, tmp_path):
    answer = foedus(
        "release", "certificate", NAME, "-o", tmp_path / "c", "--workspace", home / "hub", "--lang", "zh", as_json=False
    )
    assert answer.code == 0
    assert f"发布证书：{tmp_path / 'c.html'}" in answer.out


def test_an_unknown_run_is_told_with_those_that_are_known(home):
    answer = foedus("run", "report", "run-9", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"], answer.data["fields"]["known"]) == (2, "run.unknown", "run-1")
