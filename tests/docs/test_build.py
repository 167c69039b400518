"""The generated pages: every error, every room and every command has one."""

import importlib.util
from pathlib import Path

import pytest

from foedus.cli.help import texts
from foedus.cli.main import build as command_tree
from foedus.core.messages import catalogue, rooms

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(builder):
    return builder.pages()


def test_every_error_has_a_page_in_both_languages_and_a_line_of_the_index(pages):
    for room in rooms():
        for name in catalogue(room, "en").get("error", {}):
            page = pages[f"errors/{room}.{name}.md"]
            assert "**Expected**" in page
            assert "**应为**" in page
            assert f"]({room}.{name}.md)" in pages["errors/index.md"]


def test_every_room_has_a_page_with_its_public_names(pages):
    for folder in (ROOT / "src" / "foedus").iterdir():
        if (folder / "__init__.py").exists() and folder.name != "cli":
            assert f"reference/{folder.name}.md" in pages
    core = pages["reference/core.md"]
    assert "### `write_atomic(path: Path, data: bytes | memoryview, *, mode: int=420) -> None`" in core
    assert "#### `signed_by(public: str) -> bool`" in core.replace("self, ", "")
    assert "_refuse_floats" not in core


def test_every_act_of_the_ledger_and_every_signed_document_has_a_page_with_its_fields(pages):
    from foedus.records.acts import BODIES, Entry
    from foedus.records.asks import Ask, Reply
    from foedus.records.release import Proposal

    for record in (*BODIES.values(), Entry, Ask, Reply, Proposal):
        page = pages[f"formats/records/{record.kind}.md"]
        assert (f"`type` is `{record.kind}`" in page) or (f"`{record.payload_type()}`" in page)
        assert all(f"| `{field}` |" in page for field in record.model_fields)


def test_every_command_has_its_help_page(pages):
    for path, text in texts(command_tree()):
        command = " ".join(word for word in path.split(" ") if word.islower() and not word.startswith(("-", "[")))
        assert f"## `{command}`" in pages["reference/commands.md"]
        assert text.splitlines()[0] in pages["reference/commands.md"]


def test_a_page_that_was_changed_removed_or_added_by_hand_is_named_and_mended(builder, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "DOCS", tmp_path)
    builder.write()
    assert builder.differences() == []
    (tmp_path / "errors" / "index.md").write_text("by hand")
    (tmp_path / "errors" / "keys.unreadable.md").unlink()
    (tmp_path / "reference" / "extra.md").write_text("by hand")
    assert builder.differences() == ["errors/index.md", "errors/keys.unreadable.md", "reference/extra.md"]
    builder.write()
    assert builder.differences() == []
    assert not (tmp_path / "reference" / "extra.md").exists()
