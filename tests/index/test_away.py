"""A database that is away, or full, is told so; the index goes on by itself when it is back, and nothing is lost."""

import threading

import pytest
from sqlalchemy import event

import postgres
from foedus.core.errors import CallerError, RunError
from foedus.core.messages import LANGUAGES, error_text
from foedus.index import keeping, open_index
from foedus.records import acts
from indexed import grown, rows_of, whole, workspace_of
from scene import Scene


def refused(ask):
    with pytest.raises(RunError) as caught:
        ask()
    assert caught.value.code == "index.away"
    assert caught.value.fields["reason"] in error_text(caught.value, lang="en").got
    for lang in LANGUAGES:
        assert caught.value.fields["database"] in error_text(caught.value, lang=lang).got
    return caught.value


def test_a_server_that_stops_is_away_and_comes_back_without_hands(tmp_path):
    server = postgres.server()
    scene = Scene()
    subject = scene.ready().proposed()
    workspace = workspace_of(tmp_path, scene)
    index = open_index(server.database(), workspace)
    assert index.refresh().is_current
    told, changed = [], threading.Event()

    def hear(error):
        told.append(error and error.code)
        changed.set()

    with keeping(index, pause_seconds=0.05, told=hear):
        server.stop()
        try:
            assert changed.wait(30)
            refused(index.overview)
            refused(lambda: index.acts(page=2))
            assert index.consortium().size == len(scene.leaves)  # what the ledger says needs no database
            scene.vote(subject, "release")
            grown(workspace, scene)
        finally:
            changed.clear()
            server.start()
        assert changed.wait(30)
    assert told == ["index.away", None]
    assert index.refresh().is_current
    assert rows_of(index) == whole(workspace)


def test_no_server_there_is_away_and_its_password_is_not_told(tmp_path):
    pytest.importorskip("psycopg")
    workspace = workspace_of(tmp_path, Scene().in_force())
    index = open_index(f"postgresql://foedus:secret@/x?host={tmp_path}", workspace)
    error = refused(index.refresh)
    assert "secret" not in str(error)
    assert "***" in error.fields["database"]


def test_a_folder_that_cannot_be_made_is_away_until_it_can(tmp_path):
    workspace = workspace_of(tmp_path, Scene().in_force())
    (tmp_path / "index").write_text("in the way")
    index = open_index(None, workspace)
    refused(index.refresh)
    (tmp_path / "index").unlink()
    assert index.refresh().is_current


def test_a_full_disk_while_indexing_loses_nothing_and_is_told(tmp_path):
    scene = Scene().in_force()
    for number in range(150):
        scene.act("hub", acts.Refuse(code="wire.garbage", source=f"10.0.0.{number}", count=1))
    workspace = workspace_of(tmp_path, scene)
    index = open_index(None, workspace)
    assert index.overview().entries == 0  # the tables are made
    limits = []

    @event.listens_for(index.database.engine, "begin")
    def full(connection):
        if limits:  # SQLite then answers as on a full disk
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages if limits[0] else 1 << 30}")

    limits[:] = [True]
    error = refused(index.refresh)
    assert "full" in error.fields["reason"]
    assert index.overview().entries == 0  # pages go on with what there is
    limits[:] = [False]
    assert index.refresh().is_current
    assert rows_of(index) == whole(workspace)


@pytest.mark.parametrize("wrong", ["mysql://localhost/x", "nonsense", "sqlite://", "postgresql+pg8000://x/y"])
def test_a_url_of_another_kind_is_refused(tmp_path, wrong):
    with pytest.raises(CallerError) as caught:
        open_index(wrong, workspace_of(tmp_path, Scene().in_force()))
    assert caught.value.code == "index.bad-url"


def test_the_keeper_takes_in_what_comes(tmp_path, url):
    scene = Scene().in_force()
    workspace = workspace_of(tmp_path, scene)
    index = open_index(url, workspace)
    with keeping(index, pause_seconds=0.01):
        scene.with_cards()
        grown(workspace, scene)
        for _ in range(3000):
            if index.cards().total == 3:
                break
            threading.Event().wait(0.01)
    assert index.cards().total == 3
