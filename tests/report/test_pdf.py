"""PDF by Chromium: where it is, selectable text and one page where one is promised; where it is not, what to do."""

import os
import shutil
import subprocess
import time

import pytest

from foedus import report
from foedus.core.errors import CallerError, RunError
from foedus.core.messages import set_language
from foedus.report.pdf import NAMES, to_pdf
from report.reports import KINDS, made

HEADS = {
    "en": ("Run report", "Contribution statement", "Release certificate", "Audit report"),
    "zh": ("运行报告", "贡献结算单", "发布证书", "审计报告"),
}
chromium = pytest.mark.skipif(
    not any(map(shutil.which, NAMES)) or not shutil.which("pdftotext"), reason="needs Chromium and pdftotext"
)


@chromium
@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pdf_has_text_that_can_be_selected_in_its_language_and_its_foot(kind, lang, world, released, tmp_path):
    set_language(lang)
    try:
        written = report.write(made(kind, world, released), tmp_path / "made.html", pdf=True)
    finally:
        set_language("en")
    told = subprocess.run(["pdfinfo", written.pdf], capture_output=True, text=True, check=True).stdout
    pages = int(told.partition("Pages:")[2].split()[0])
    assert "A4" in told
    text = subprocess.run(["pdftotext", "-layout", written.pdf, "-"], capture_output=True, text=True, check=True).stdout
    assert HEADS[lang][KINDS.index(kind)] in text
    assert f"1/{pages}" in text
    assert f"{pages}/{pages}" in text
    if kind in ("statement", "certificate"):
        assert pages == 1
    if kind == "statement":
        assert {"en": "second method: not measured", "zh": "第二种方法下的份额：未测量"}[lang] in text


def test_without_chromium_it_says_what_to_do_and_writes_nothing(world, released, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CallerError) as error:
        report.write(made("certificate", world, released), tmp_path / "made.html", pdf=True)
    assert error.value.code == "report.no-chromium"
    assert "chromium" in error.value.fields["looked"]
    assert list(tmp_path.iterdir()) == []


def browser_of(folder, script):
    program = folder / "chromium"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_browser_that_hangs_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    script = f"sleep 600 & echo $! > {tmp_path}/child; sleep 600"
    monkeypatch.setenv("PATH", browser_of(tmp_path / "bin", script))
    page = tmp_path / "page.html"
    page.write_text("<p>")
    with pytest.raises(RunError) as error:
        to_pdf(page, tmp_path / "made.pdf", limit_seconds=1)
    assert error.value.code == "report.pdf-failed"
    assert "not done after 1 seconds" in error.value.fields["reason"]
    assert not (tmp_path / "made.pdf").exists()
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not is_there(child):
            break
        time.sleep(0.05)
    assert not is_there(child)


def is_there(pid):
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - a file of the kernel's
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("script", "reason"), [("echo broken; exit 3", "exit code 3: broken"), ("exit 0", "no file was written")]
)
def test_a_browser_that_prints_nothing_is_told_with_its_last_word(script, reason, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", browser_of(tmp_path / "bin", script))
    page = tmp_path / "page.html"
    page.write_text("<p>")
    with pytest.raises(RunError) as error:
        to_pdf(page, tmp_path / "made.pdf")
    assert error.value.fields["reason"] == reason
