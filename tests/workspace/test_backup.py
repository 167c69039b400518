"""A back-up: whole at any instant, without keys unless they have a passphrase, verified before it is in place."""

import json
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import practised
from foedus import workspace as ws
from foedus.core.errors import CallerError, FoedusError, IdentityError, VerifyError
from foedus.core.keys import load_private
from foedus.index import open_index
from foedus.records import acts
from foedus.workspace.backup import back_up, restore
from indexed import AT, grown, workspace_of
from scene import Scene


def clock():
    return AT


@pytest.fixture
def scene():
    scene = Scene()
    scene.released()
    return scene


@pytest.fixture
def hub(tmp_path, scene):
    return workspace_of(tmp_path / "hub", scene)


def saved(hub, target, **options):
    return back_up(hub, target, **{"with_keys": False, "passphrase": None, "clock": clock, **options})


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_what_is_restored_is_what_was_there(tmp_path, hub, scene):
    (hub.folder / "runs" / "r1").mkdir(parents=True)
    (hub.folder / "runs" / "r1" / "events.jsonl").write_text("{}\n")
    page = saved(hub, tmp_path / "b.tar")
    workspace, state, told = restore(tmp_path / "b.tar", tmp_path / "again")
    assert files_of(tmp_path / "again") == {
        name: data for name, data in files_of(hub.folder).items() if not Path(name).name.startswith(".")
    }
    assert (state, told) == (scene.fold(), page)
    assert (page.size, page.made_at) == (len(scene.leaves), "2026-06-01T10:00:00Z")
    assert ws.consortium(workspace) == state
    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600


def test_what_is_derived_or_of_the_moment_is_left_out(tmp_path, hub):
    open_index(None, hub).refresh()
    for name in (
        "sockets/hub.sock",
        "hub/flower/state.db",
        ".run.lock",
        "hub/tls/lock",
        "outbox/.000001.act.0a1b2c3d.tmp",
    ):
        (hub.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (hub.folder / name).write_bytes(b"x")
    (hub.folder / "link").symlink_to("/etc/passwd")
    page = saved(hub, tmp_path / "b.tar")
    kept = {name.partition("/")[0] for name in page.files}
    assert kept == {"workspace.json", "ledger", "objects"}


def test_no_private_key_is_in_it_unless_asked_for(tmp_path):
    hub = ws.create_coordinator(tmp_path / "hub", "hub", passphrase="open sesame")  # noqa: S106 - a test's
    (hub.folder / "hub" / "tls").mkdir(parents=True)
    pem = b"-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n"
    (hub.folder / "hub" / "tls" / "hub.key").write_bytes(pem)
    saved(hub, tmp_path / "without.tar")
    assert b"PRIVATE KEY" not in (tmp_path / "without.tar").read_bytes()
    saved(hub, tmp_path / "with.tar", with_keys=True, passphrase="open sesame")  # noqa: S106
    data = (tmp_path / "with.tar").read_bytes()
    assert (data.count(b"BEGIN ENCRYPTED PRIVATE KEY"), b"MHcC" in data) == (2, False)
    for passphrase in (None, "wrong"):
        with pytest.raises(IdentityError):
            restore(tmp_path / "with.tar", tmp_path / "again", passphrase=passphrase)
        assert not (tmp_path / "again").exists()
    restore(tmp_path / "with.tar", tmp_path / "again", passphrase="open sesame")  # noqa: S106
    again = tmp_path / "again"
    assert (again / "hub" / "tls" / "hub.key").read_bytes() == pem
    assert stat.S_IMODE((again / "hub" / "tls" / "hub.key").stat().st_mode) == 0o600
    key = load_private(again / "keys" / "act.pem", passphrase="open sesame")  # noqa: S106
    assert key.public == hub.page.coordinator_keys.act


def test_keys_without_a_passphrase_never_enter(tmp_path):
    hub = ws.create_coordinator(tmp_path / "hub", "hub")
    with pytest.raises(CallerError) as caught:
        saved(hub, tmp_path / "b.tar", with_keys=True)
    assert caught.value.code == "backup.keys-open"
    assert list(tmp_path.iterdir()) == [hub.folder]


def test_a_wrong_passphrase_is_told_before_anything_is_written(tmp_path):
    hub = ws.create_coordinator(tmp_path / "hub", "hub", passphrase="open sesame")  # noqa: S106
    with pytest.raises(IdentityError) as caught:
        saved(hub, tmp_path / "b.tar", with_keys=True, passphrase="wrong")  # noqa: S106
    assert caught.value.code == "keys.passphrase-wrong"
    assert not (tmp_path / "b.tar").exists()


def test_nothing_is_written_over(tmp_path, hub):
    saved(hub, tmp_path / "b.tar")
    with pytest.raises(CallerError) as caught:
        saved(hub, tmp_path / "b.tar")
    assert caught.value.code == "backup.file-exists"
    with pytest.raises(CallerError) as caught:
        restore(tmp_path / "b.tar", hub.folder)
    assert caught.value.code == "backup.folder-exists"


def test_a_database_is_saved_as_its_last_transaction_left_it(tmp_path, hub):
    path = hub.folder / "serving" / "traffic.sqlite"
    path.parent.mkdir()
    writer = sqlite3.connect(path)
    writer.executescript("PRAGMA journal_mode=WAL; CREATE TABLE answers (n); INSERT INTO answers VALUES (1);")
    writer.commit()
    writer.execute("INSERT INTO answers VALUES (2)")  # not committed
    page = saved(hub, tmp_path / "b.tar")
    writer.close()
    assert [name for name in page.files if "traffic" in name] == ["serving/traffic.sqlite"]
    restore(tmp_path / "b.tar", tmp_path / "again")
    reader = sqlite3.connect(tmp_path / "again" / "serving" / "traffic.sqlite")
    assert reader.execute("SELECT n FROM answers").fetchall() == [(1,)]
    reader.close()


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_one_changed_byte_is_refused_or_changes_nothing(kept, place, flip):
    """Bytes of padding and of a file's date or owner in the archive say nothing, and are not looked at."""
    folder, data, whole = kept
    at = int(len(data) * place)
    torn = folder / "torn.tar"
    torn.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
    shutil.rmtree(folder / "again", ignore_errors=True)
    try:
        restore(torn, folder / "again")
    except FoedusError:
        assert not (folder / "again").exists()
    else:
        assert files_of(folder / "again") == whole
    assert not list(folder.glob(".again*"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    hub = workspace_of(folder / "hub", Scene().in_force())
    saved(hub, folder / "b.tar")
    restore(folder / "b.tar", folder / "first")
    return folder, (folder / "b.tar").read_bytes(), files_of(folder / "first")


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", "a//b"])
def test_a_file_that_would_lie_elsewhere_is_refused(tmp_path, name):
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, BytesIO(b"x"))
    with pytest.raises(CallerError) as caught:
        restore(tmp_path / "b.tar", tmp_path / "again")
    assert caught.value.code == "backup.malformed"
    assert not (tmp_path / "outside").exists()


def test_a_link_in_a_back_up_is_refused(tmp_path):
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        info = tarfile.TarInfo("workspace.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(CallerError) as caught:
        restore(tmp_path / "b.tar", tmp_path / "again")
    assert caught.value.code == "backup.malformed"


def test_a_ledger_that_was_changed_before_the_back_up_is_not_put_in_place(tmp_path, hub):
    [bundle] = (hub.ledger / "tile" / "entries").rglob("20")
    data = bytearray(bundle.read_bytes())
    data[data.index(b"T10:00:00Z") + 8] = ord("1")
    bundle.write_bytes(bytes(data))
    saved(hub, tmp_path / "b.tar")
    with pytest.raises(VerifyError) as caught:
        restore(tmp_path / "b.tar", tmp_path / "again")
    assert caught.value.code == "ledger.entry-changed"
    assert not (tmp_path / "again").exists()


def test_later_entries_come_from_a_members_copy(tmp_path, hub, scene):
    saved(hub, tmp_path / "b.tar")
    proposal = scene.leaves[-1].entry.body["proposal"]
    scene.vote(proposal, "revoke")
    grown(hub, scene)
    copy = ws.export_ledger(hub)
    _, state, _ = restore(tmp_path / "b.tar", tmp_path / "again", ledger=copy)
    assert state == scene.fold()
    with pytest.raises(CallerError) as gap:
        restore(tmp_path / "b.tar", tmp_path / "second", ledger=ws.export_ledger(hub, state.size))
    assert gap.value.code == "workspace.copy-leaves-gap"
    other = Scene()
    other.in_force().act("bank-a", acts.Leave(reason="gone"))
    forked = ws.export_ledger(workspace_of(tmp_path / "other", other))
    with pytest.raises(VerifyError) as caught:
        restore(tmp_path / "b.tar", tmp_path / "third", ledger=forked)
    assert caught.value.code == "ledger.forked"


def test_acts_that_come_in_meanwhile_are_in_it_or_not_and_it_always_folds(tmp_path):
    scene = Scene().in_force().with_cards()
    hub = workspace_of(tmp_path / "hub", scene)
    stop = threading.Event()

    def goes_on():
        number = 0
        while not stop.is_set():
            number += 1
            scene.act("hub", acts.Refuse(code="wire.garbage", source=f"10.0.0.{number}", count=1))
            grown(hub, scene)

    thread = threading.Thread(target=goes_on)
    thread.start()
    try:
        pages = [saved(hub, tmp_path / f"b{number}.tar") for number in range(6)]
    finally:
        stop.set()
        thread.join()
    for number, page in enumerate(pages):
        _, state, _ = restore(tmp_path / f"b{number}.tar", tmp_path / f"again{number}")
        assert state.size == page.size
    assert [page.size for page in pages] == sorted(page.size for page in pages)


@pytest.mark.slow
def test_a_hub_restored_from_a_back_up_made_during_a_run_ends_it_with_the_same_state(tmp_path):
    """The run is killed right after the back-up: nothing that members saw is missing from it."""
    expected = shutil.copytree(practised.ready_to_run(), tmp_path / "expected")
    practised.done("run", "start", "--workers", "0", "--workspace", expected / "hub", at=expected)
    home = shutil.copytree(practised.ready_to_run(), tmp_path / "home")
    hub = ws.open_workspace(home / "hub")
    command = [sys.executable, "-m", "foedus", "run", "start", "--workers", "0", "--workspace", str(home / "hub")]
    child = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made = 0
    try:
        while child.poll() is None and ws.consortium(hub).runs.get("run-1") is None:
            time.sleep(0.1)
        while child.poll() is None and ws.consortium(hub).runs["run-1"].close is None:
            saved(hub, tmp_path / f"{made}.tar")
            made += 1
            time.sleep(0.3)
            if ws.consortium(hub).runs["run-1"].round == 1:
                break
    finally:
        child.kill()
        child.wait()
    for number in {0, made // 2, made - 1}:
        restore(tmp_path / f"{number}.tar", tmp_path / f"check{number}")
    saved(hub, tmp_path / "last.tar")
    keys = home / "hub" / "keys"
    keys.rename(tmp_path / "keys")
    (home / "hub").rename(tmp_path / "broken")
    restore(tmp_path / "last.tar", home / "hub")
    (tmp_path / "keys").rename(keys)
    practised.done("run", "resume", "run-1", "--workers", "0", "--workspace", home / "hub", at=home)
    runs = [ws.consortium(ws.open_workspace(place / "hub")).runs["run-1"] for place in (expected, home)]
    assert runs[0].close.state == runs[1].close.state
    assert made >= 1


def test_the_commands_say_what_is_in_it_and_what_is_not(tmp_path):
    home = tmp_path
    practised.done("new", "hub", at=home)
    told = practised.done("hub", "backup", "b.tar", "--workspace", "hub", at=home)
    assert (told["party"], told["entries"], told["with_keys"]) == ("hub", 0, False)
    said = practised.foedus("hub", "restore", "b.tar", "again", at=home, as_json=False)
    assert "private keys" in said.out
    assert json.loads((home / "again" / "workspace.json").read_text())["party"] == "hub"
