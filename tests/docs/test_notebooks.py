"""The notebooks of the main path: without outputs in the repository, run here from the first cell to the last."""

import html
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def code(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_well_formed_and_has_no_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.keys() <= {"kernelspec", "language_info"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_link_of_a_notebook_leads_to_a_file(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_both_languages_run_the_same_code():
    english, chinese = (code(ROOT / "docs" / "notebooks" / name) for name in ("main-path.ipynb", "main-path.zh.ipynb"))
    assert english == [cell.replace('\nfoedus.set_language("zh")\n', "") for cell in chinese]


def test_the_pages_lead_to_the_notebooks():
    for page, name in (
        ("docs/index.md", "main-path.ipynb"),
        ("README.md", "main-path.ipynb"),
        ("README.zh.md", "main-path.zh.ipynb"),
    ):
        assert f"notebooks/{name})" in (ROOT / page).read_text(encoding="utf-8"), page


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_to_its_end_and_shows_its_results(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    for name, value in (("HF_HUB_OFFLINE", "1"), ("OMP_NUM_THREADS", "1"), ("PYTHONWARNINGS", "ignore")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FOEDUS_LANG", raising=False)
    notebook = read(path)
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pages = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    lang = "zh" if ".zh." in path.name else "en"
    frames = [html.unescape(page) for page in pages if page.startswith("<iframe")]
    assert (len(pages), len(frames)) == (7, 1)
    assert f'<html lang="{lang}' in frames[0]
    assert all(f'<div lang="{lang}"' in page and "<table" in page for page in pages if not page.startswith("<iframe"))
    plain = [output.data["text/plain"] for output in shown if "text/plain" in output.get("data", {})]
    assert any("('cash'" in text or "('card'" in text for text in plain)
    assert not [output for output in shown if output.output_type == "error"]
