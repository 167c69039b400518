"""The four reports from Python: the same data as the commands write, shown in a frame, for what verifies only."""

import json
import re
import shutil
from html import unescape

import pytest

import foedus
from foedus.api.extra import needs
from foedus.core import canonical
from practised import foedus as typed


@pytest.fixture(scope="module")
def home(played):
    """The release as somebody else got it, with the anchor and without the consortium's folder."""
    _, names = played
    return foedus.Release(names["release"].path, anchor=names["practice"].anchor)


def test_each_report_is_of_its_kind_and_of_this_run(played, home):
    _, names = played
    found = [names["practice"].report(), home.certificate(), home.statement("bank-a"), home.audit(auditor="A. Auditor")]
    assert [one.kind for one in found] == ["run", "certificate", "statement", "audit"]
    assert found[2].data["member"] == "bank-a"
    assert found[3].data["auditor"] == "A. Auditor"
    assert all(one.data["practice"] for one in found)


def test_a_report_is_what_the_command_writes(played, tmp_path):
    folder, names = played
    hub = folder / "my-consortium" / "hub"
    name = names["release"].path.name.removesuffix(".foedus")
    typed("release", "certificate", name, "--workspace", hub, "-o", tmp_path / "typed.html")
    typed("credit", "statement", name, "--member", "bank-b", "--workspace", hub, "-o", tmp_path / "statement.html")
    commands = [json.loads((tmp_path / f"{one}.json").read_text()) for one in ("typed", "statement")]
    made = [names["release"].certificate().data, names["release"].statement("bank-b").data]
    for command, python in zip(commands, made, strict=True):
        assert set(command) == set(python)
        timeless = [
            {key: value for key, value in one.items() if "at" not in key.split("_")} for one in (command, python)
        ]
        assert timeless[0] == timeless[1]


def test_a_report_is_written_with_its_data_beside_it(home, tmp_path):
    report = home.certificate()
    done = report.write(tmp_path / "certificate.html")
    assert done.digest == report.digest
    assert canonical.decode(done.twin.read_bytes()) == report.data
    assert done.page.read_text().startswith("<!doctype html>")


def test_in_a_notebook_the_page_stands_in_a_frame_in_which_nothing_runs(home, chinese):
    shown = home.certificate()._repr_html_()
    [frame] = re.findall(r'<iframe sandbox [^>]*srcdoc="([^"]*)"></iframe>', shown)
    assert 'lang="zh' in unescape(frame)
    assert "<" not in re.sub(r"^<iframe |></iframe>$", "", shown)


def test_of_a_refused_release_there_is_an_audit_and_no_certificate(home, tmp_path):
    copy = shutil.copytree(home.path, tmp_path / home.path.name)
    (copy / "README.md").write_text("another") if (copy / "README.md").exists() else (copy / "more").write_text("x")
    refused = foedus.Release(copy, anchor=home.anchor)
    assert refused.audit().data["findings"]
    for ask in (refused.certificate, lambda: refused.statement("bank-a")):
        with pytest.raises(foedus.FoedusError) as raised:
            ask()
        assert raised.value.code.startswith("release.")
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.Release(home.path).certificate()
    assert raised.value.code == "report.not-verified"


def test_a_stranger_has_no_statement_and_a_run_that_is_not_there_no_report(played, home):
    _, names = played
    with pytest.raises(foedus.FoedusError) as raised:
        home.statement("bank-z")
    assert raised.value.code == "report.no-such-member"
    with pytest.raises(foedus.FoedusError) as raised:
        names["practice"].report("run-9")
    assert raised.value.code == "api.no-run"


def test_what_an_installation_lacks_is_told_with_the_extra_that_brings_it():
    with pytest.raises(foedus.FoedusError) as raised, needs("Report", extra="serve"):
        raise ModuleNotFoundError("no module", name="jinja2")
    assert raised.value.fields == {"what": "Report", "module": "jinja2", "extra": "serve"}
