"""A hub's workspace as the version before the index wrote it (`vectors/hub-before-index.tar`): this version goes on."""

import tarfile
from pathlib import Path

import pytest
from sqlalchemy import text

from foedus import workspace as ws
from foedus.index import open_index
from foedus.workspace.backup import back_up, restore
from indexed import AT, rows_of

STORED = Path(__file__).parents[1] / "vectors" / "hub-before-index.tar"
ANCHOR = "sha256:f667c6209d01bfcb2809b48dae479bb3d78eb89a8f068f3b7135faf2c28f0418"


@pytest.fixture
def hub(tmp_path):
    with tarfile.open(STORED) as tar:
        tar.extractall(tmp_path, filter="data")
    return ws.open_workspace(tmp_path / "hub")


def test_its_pages_and_its_ledger_are_read_as_they_were(hub):
    state = ws.consortium(hub)
    assert (state.anchor, state.size) == (ANCHOR, 8)
    assert [member.name for member in state.members] == ["bank-a", "bank-b"]
    assert (hub.page.objects, hub.hub.address.address) == (None, "hub.example:8443")
    assert ws.open_workspace(hub.folder).page.to_bytes() == (hub.folder / "workspace.json").read_bytes()


def test_it_is_indexed_though_it_never_was(hub):
    index = open_index(None, hub)
    assert index.refresh().is_current
    assert index.kinds() == {
        "accord.propose": 1, "accord.sign": 2, "data.register": 2, "hub.refused": 1, "vote.cast": 2,
    }  # fmt: skip
    assert (index.members()[0].examples, index.votes().items[0].approve) == (100, 2)
    index.close()


def test_an_index_that_an_older_version_left_is_made_anew(hub):
    index = open_index(None, hub)
    index.refresh()
    expected = rows_of(index)
    with index.database.writing() as connection:  # as if its tables had been fewer and its rows others
        connection.execute(text("DROP TABLE foedus_votes"))
        connection.execute(text("DELETE FROM foedus_entries WHERE at > 3"))
        connection.execute(text("UPDATE foedus_mark SET schema = 0"))
    index.close()
    again = open_index(None, ws.open_workspace(hub.folder))
    assert again.refresh().is_current
    assert rows_of(again) == expected
    again.close()


def test_it_is_backed_up_and_restored(tmp_path, hub):
    back_up(hub, tmp_path / "b.tar", with_keys=False, passphrase=None, clock=lambda: AT)
    workspace, state, _ = restore(tmp_path / "b.tar", tmp_path / "again")
    assert state == ws.consortium(hub)
    assert workspace.page == hub.page
