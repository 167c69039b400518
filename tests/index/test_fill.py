"""The index is derived: brought up to date by what is new, made anew where it is another ledger's, killed anywhere."""

import os
import random
import signal
import stat
import sys
import time

import pytest
from sqlalchemy import select, text

import foedus.index.fill as filling
from foedus.core.errors import RunError, VerifyError
from foedus.index import open_index, tables
from foedus.index.fill import fill
from foedus.records import acts
from indexed import grown, rows_of, whole, workspace_of
from samples import sample_accord
from scene import Scene, digest


def test_one_entry_at_a_time_gives_what_all_at_once_gives(tmp_path, url):
    scene = Scene()
    subject = scene.released()
    scene.vote(subject, "revoke")
    workspace = workspace_of(tmp_path, scene)
    index = open_index(url, workspace)
    sizes = []
    while not (at := fill(index.database, index.source, limit=1)).is_current:
        sizes.append(at.done)
    assert sizes == list(range(1, len(scene.leaves)))
    assert rows_of(index) == whole(workspace)


def test_only_new_entries_are_read(tmp_path, url, monkeypatch):
    scene = Scene().in_force()
    workspace = workspace_of(tmp_path, scene)
    index = open_index(url, workspace)
    index.refresh()
    read = []
    monkeypatch.setattr(filling, "parse_leaf", lambda data, at: read.append(at) or parse(data, at))
    parse = sys.modules["foedus.ledger.leaf"].parse_leaf
    index.refresh()
    assert read == []
    scene.with_cards()
    grown(workspace, scene)
    assert index.refresh().is_current
    assert read == [4, 5, 6]


def test_an_index_is_taken_up_where_the_last_process_left_it(tmp_path, url):
    scene = Scene()
    scene.released()
    workspace = workspace_of(tmp_path, scene)
    first = open_index(url, workspace)
    assert fill(first.database, first.source, limit=7).done == 7
    first.close()
    again = open_index(url, workspace)
    assert again.refresh().is_current
    assert rows_of(again) == whole(workspace)


def test_an_index_of_another_ledger_is_made_anew(tmp_path, url):
    one, other = Scene(), Scene(sample_accord(name="other-intents"))
    one.released()
    other.in_force()
    index = open_index(url, workspace_of(tmp_path / "one", one))
    index.refresh()
    index.close()
    workspace = workspace_of(tmp_path / "other", other)
    index = open_index(url, workspace)
    assert index.refresh().is_current
    assert rows_of(index) == whole(workspace)


def test_an_index_of_the_same_ledger_with_another_past_is_made_anew(tmp_path, url):
    """As after a ledger was put back from a back-up, and went another way."""
    past, present = Scene(), Scene()
    past.in_force().act("bank-b", acts.Leave(reason="of our own will"))
    present.in_force().with_cards()
    index = open_index(url, workspace_of(tmp_path / "past", past))
    index.refresh()
    assert index.members()[1].state == "left"
    index.close()
    for cut in (5, 7):  # as many entries as the index has, and more
        shorter = Scene()
        shorter.leaves, shorter.objects = present.leaves[:cut], present.objects
        workspace = workspace_of(tmp_path / f"present {cut}", shorter)
        index = open_index(url, workspace)
        assert index.refresh().is_current
        assert rows_of(index) == whole(workspace)


def test_a_process_sees_that_its_ledger_was_put_back(tmp_path, url):
    past, present = Scene().in_force().with_cards(), Scene().in_force()
    workspace = workspace_of(tmp_path / "w", past)
    index = open_index(url, workspace)
    index.refresh()
    assert len(index.consortium().cards) == 3
    workspace.ledger.rename(tmp_path / "gone")
    workspace_of(tmp_path / "w", present)
    assert index.refresh().is_current
    assert (index.overview().entries, len(index.consortium().cards)) == (4, 0)


def test_an_index_of_an_older_schema_is_made_anew(tmp_path, url):
    scene = Scene().in_force()
    workspace = workspace_of(tmp_path, scene)
    index = open_index(url, workspace)
    index.refresh()
    with index.database.writing() as connection:
        connection.execute(text("UPDATE foedus_mark SET schema = 0"))
        connection.execute(text("DROP TABLE foedus_runs"))
        connection.execute(text("CREATE TABLE of_somebody_else (kept INTEGER)"))
    index.close()
    again = open_index(url, workspace)
    assert again.refresh().is_current
    assert rows_of(again) == whole(workspace)
    with again.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM of_somebody_else")).scalar() == 0


@pytest.mark.parametrize("data", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_database_is_made_anew(tmp_path, data):
    workspace = workspace_of(tmp_path, Scene().in_force())
    file = tmp_path / "index" / "ledger.sqlite"
    file.parent.mkdir()
    file.write_bytes(data)
    index = open_index(None, workspace)
    assert index.refresh().is_current
    assert rows_of(index) == whole(workspace)


def test_the_file_can_be_read_by_its_owner_only(tmp_path):
    index = open_index(None, workspace_of(tmp_path, Scene().in_force()))
    index.refresh()
    files = list((tmp_path / "index").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 3  # the database, its write-ahead log, the memory that processes share


def test_a_process_killed_at_any_instant_leaves_whole_batches(tmp_path):
    scene = Scene()
    scene.released()
    workspace = workspace_of(tmp_path, scene)
    chance = random.Random(7)  # noqa: S311 - instants of a test
    done, kills = 0, 0
    while done < len(scene.leaves):
        child = os.fork()
        if child == 0:
            index = open_index(None, workspace)
            while not fill(index.database, index.source, limit=1).is_current:
                pass
            os._exit(0)
        time.sleep(chance.uniform(0.005, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        if kills == 20:
            break
        index = open_index(None, workspace)
        with index.database.reading() as connection:
            done = connection.execute(select(tables.marks.c.done)).scalar()
            assert connection.execute(text("SELECT count(*) FROM foedus_entries")).scalar() == done
        index.close()
    index = open_index(None, workspace)
    assert index.refresh().is_current
    assert rows_of(index) == whole(workspace)


def test_two_processes_that_keep_one_index_do_not_disturb_each_other(tmp_path, url):
    scene = Scene()
    scene.released()
    workspace = workspace_of(tmp_path, scene)
    one, other = open_index(url, workspace), open_index(url, workspace)
    done = 0
    while done < len(scene.leaves):
        done = max(fill(index.database, index.source, limit=2).done for index in (one, other))
    assert rows_of(one) == whole(workspace)


def test_a_ledger_whose_file_was_changed_is_refused(tmp_path, url):
    scene = Scene().in_force()
    workspace = workspace_of(tmp_path, scene)
    [file] = (workspace.ledger / "tile" / "entries").rglob("4")
    data = bytearray(file.read_bytes())
    at = data.index(b"T10:00:00Z") + 8
    data[at] = ord("1")
    file.write_bytes(bytes(data))
    index = open_index(url, workspace)
    with pytest.raises(VerifyError) as caught:
        fill(index.database, index.source, limit=100)
    assert caught.value.code == "index.root-differs"
    with pytest.raises(VerifyError):
        index.consortium()


def test_a_long_ledger_is_folded_in_steps_and_requests_are_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr("foedus.index.fold._AT_ONCE", 3)
    scene = Scene()
    scene.released()
    workspace = workspace_of(tmp_path, scene)
    index = open_index(None, workspace)
    with pytest.raises(RunError) as caught:
        index.consortium()
    assert (caught.value.code, caught.value.fields) == ("index.catching-up", {"done": 3, "size": 20})
    while not index.fold.complete:
        index.fold.advance(5)
    state = index.consortium()
    assert state == scene.fold()
    scene.act("hub", acts.Refuse(code="wire.garbage", source="10.0.0.1", count=1))
    grown(workspace, scene)
    assert index.consortium().size == 21


def test_the_fold_is_that_of_the_ledger_whatever_the_steps(tmp_path):
    scene = Scene().in_force()
    new = scene.accord.model_copy(update={"version": 2, "prev": scene.accord.digest})
    scene.propose_accord(new)
    scene.sign("bank-a", "bank-b", "bank-c", accord=new)
    workspace = workspace_of(tmp_path, scene)
    for step in (1, 2, 3, 100):
        index = open_index(None, workspace)
        while index.fold.advance(step) < len(scene.leaves):
            pass
        assert index.consortium() == scene.fold()
        assert [(one.accord, one.at) for one in index.fold.enacted] == [(scene.accord.digest, 3), (new.digest, 7)]


def test_long_lists_that_stand_in_an_object_are_indexed(tmp_path, url):
    names = tuple(f"member-{number:03d}" for number in range(300))
    accord = sample_accord(names)
    scene = Scene(accord).in_force().with_cards()
    scene.act("hub", acts.OpenRun(run="r1", roster=names, start=digest("s"), engine="inprocess", numerics={}))
    used = tuple(acts.Used(member=name, reply=digest(name), weight="0.003333333") for name in names)
    scene.act("hub", acts.CloseRound(run="r1", round=1, snapshot=digest("x"), state=digest("y"), used=used))
    assert scene.leaves[-1].entry.body["lists"]
    index = open_index(url, workspace_of(tmp_path, scene))
    assert index.refresh().is_current
    assert (index.run("r1").members, index.rounds("r1").items[0].used, len(index.asked("r1", 1))) == (300, 300, 300)
