"""Loggers: what was told of a run is read back from each tool's own files. Nothing goes over a network."""

import os
import socket
import sqlite3
import stat
import struct
import subprocess
import sys

import pytest

from foedus.core.errors import CallerError
from foedus.track import log
from foedus.track.event import Event
from foedus.track.feed import feeding
from foedus.track.kept import EVENTS, append_event
from foedus.track.log import LOGGERS, Entry, Scribe, target
from foedus.track.onward import RunLog

ACCORD, STATE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
FIGURE = {"metric": "accuracy", "n": 90, "estimate": "0.75", "low": "0.5", "high": "0.875"}


def at(second, kind, **fields):
    return Event(kind, fields, f"2026-11-22T12:00:{second:02}Z")


def round_of(number, second, loss, left_out=()):
    used = [member for member in ("bank-a", "bank-b") if member not in left_out]
    yield at(second, "asked", round=number, step="train", until="2026-11-22T13:00:00Z", members=used, kept=[])
    for member in used:
        yield at(second, "working", member=member, bytes=1000)
        fields = {"round": number, "step": "train", "member": member, "code": "", "fields": {}}
        yield at(second + 2, "answered", **fields, bytes=300, seconds=2.0)
    weights = {member: f"{1 / len(used):.1f}" for member in used}
    yield at(
        second + 3, "round", round=number, used=used, weights=weights, left_out=dict.fromkeys(left_out, "engine.late"),
        loss=loss, start_loss="2.5", state=STATE,
    )  # fmt: skip


RUN = [
    at(
        0, "opened", run="run-1", round=0, rounds=2, roster=["bank-a", "bank-b"], accord=ACCORD, engine="inprocess",
        start=STATE,
    ),
    *round_of(1, 1, "1.5"),
    *round_of(2, 5, "0.5", left_out=("bank-b",)),
    at(9, "closed", outcome="done", rounds=2, released_round=2, state=STATE),
    at(
        10, "examined", evidence=ACCORD, credit=None,
        figures=[{**FIGURE, "arm": "federated", "member": None}, {**FIGURE, "arm": "alone", "member": "bank-a"}],
    ),
    at(10, "ended", run="run-1", code="", fields={}),
]  # fmt: skip

LOSSES = [(0, 2.5), (1, 1.5), (2, 0.5)]


def kept(folder, events=RUN):
    """The events in the run's file, as the coordinator keeps them."""
    for event in events:
        append_event(folder / "runs" / "run-1" / EVENTS, event)
    return folder / "runs"


def fed(name, folder, events=RUN):
    """Logged to `folder / "logs"` as the events come."""
    lost = []
    with feeding([f"{name}:{folder / 'logs'}"], runs=folder / "runs", lost=lost.append) as report:
        for event in events:
            kept(folder, [event])
            report(event)
    assert lost == []
    return folder / "logs"


def scalars(folder, name="validation_loss"):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "run-1"))
    found.Reload()
    return [(one.step, one.value) for one in found.Scalars(name)]


# ── what an entry holds ──────────────────────────────────────────────────────


def test_a_round_is_its_loss_its_members_their_weights_bytes_and_seconds():
    scribe = Scribe()
    entries = [entry for event in RUN for entry in scribe.entries(event)]
    assert entries[1] == Entry(0, {"validation_loss": 2.5})
    assert entries[3] == Entry(
        2,
        {
            "members_used": 1.0,
            "members_left_out": 1.0,
            "bytes_out": 1000.0,
            "bytes_in": 300.0,
            "weight/bank-a": 1.0,
            "validation_loss": 0.5,
            "seconds": 3.0,
        },
    )
    assert entries[4].facts["state"] == STATE
    assert entries[0].facts["accord"] == ACCORD


def test_no_figure_of_a_single_member_is_logged():
    scribe = Scribe()
    names = {name for event in RUN for entry in scribe.entries(event) for name in entry.values}
    assert {name for name in names if name.startswith("accuracy")} == {
        "accuracy/federated/estimate",
        "accuracy/federated/low",
        "accuracy/federated/high",
    }


# ── read back ────────────────────────────────────────────────────────────────


def test_tensorboard_reads_back_every_value_and_fact(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = fed("tensorboard", tmp_path)
    found = EventAccumulator(str(folder / "run-1"))
    found.Reload()
    assert scalars(folder) == LOSSES
    assert [one.value for one in found.Scalars("weight/bank-a")] == [0.5, 1.0]
    assert found.Scalars("accuracy/federated/high")[0].value == 0.875
    [accord] = found.Tensors("accord/text_summary")
    assert accord.tensor_proto.string_val[0].decode() == ACCORD
    assert socket.gethostname() not in "".join(path.name for path in folder.rglob("*"))


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own use of SQLAlchemy
def test_mlflow_reads_back_metrics_parameters_and_tags(tmp_path):
    from mlflow.tracking import MlflowClient

    folder = fed("mlflow", tmp_path)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    [run] = client.search_runs([client.get_experiment_by_name("foedus").experiment_id])
    assert [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "validation_loss")] == LOSSES
    assert (run.info.run_name, run.info.status) == ("run-1", "FINISHED")
    assert (run.data.params["accord"], run.data.params["members"]) == (ACCORD, "bank-a, bank-b")
    assert (run.data.tags["state"], run.data.tags["mlflow.user"]) == (STATE, "foedus")
    # A run that goes on after an interruption goes on here too.
    resumed = Event("resumed", {**RUN[0].fields, "round": 2}, "2026-11-22T12:00:30Z")
    fed("mlflow", tmp_path, [resumed, *round_of(3, 31, "0.25")])
    assert len(client.search_runs([run.info.experiment_id])) == 1
    assert len(client.get_metric_history(run.info.run_id, "validation_loss")) == 4


def records_in(raw):
    """The records of a .wandb file: after seven bytes of its own, LevelDB's log format, in blocks of 32 kB whose
    records have a header of checksum (4), length (2) and kind (1: whole, 2: first, 3: middle, 4: last).
    """
    assert raw[:4] == b":W&B"
    place, block, parts = 7, 32768, []
    while place + 7 <= len(raw):
        if block - place % block < 7:
            place += block - place % block
        _, length, kind = struct.unpack_from("<IHB", raw, place)
        parts.append(raw[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []


def test_weights_and_biases_stays_offline_and_its_file_reads_back(tmp_path):
    from wandb.proto.wandb_internal_pb2 import Record

    folder = fed("wandb", tmp_path)
    [path] = (folder / "wandb").glob("offline-run-*/*.wandb")
    rows, facts, hosts = [], {}, set()
    for data in records_in(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        if "validation_loss" in row:
            rows.append((int(row["round"]), float(row["validation_loss"])))
        if record.HasField("run"):
            hosts.add(record.run.host)
        facts |= {item.key: item.value_json for item in (*record.config.update, *record.run.config.update)}
    assert rows == LOSSES
    assert facts["accord"] == f'"{ACCORD}"'
    assert facts["state"] == f'"{STATE}"'
    assert hosts == {"foedus"}


def test_trackio_reads_back_from_its_database(tmp_path):
    import json

    folder = fed("trackio", tmp_path)
    [path] = folder.glob("*.db")
    with sqlite3.connect(path) as database:
        rows = [(step, json.loads(metrics)) for step, metrics in database.execute("SELECT step, metrics FROM metrics")]
        [(config,)] = database.execute("SELECT config FROM configs")
    database.close()
    found = sorted((step, row["validation_loss"]) for step, row in rows if "validation_loss" in row)
    assert found == LOSSES
    assert (json.loads(config)["accord"], json.loads(config)["state"]) == (ACCORD, STATE)


# ── followed again ───────────────────────────────────────────────────────────


def test_who_follows_again_logs_only_what_is_new_and_who_comes_late_logs_the_rest(tmp_path):
    head = RUN.index(next(event for event in RUN if event.kind == "round")) + 1
    folder = fed("tensorboard", tmp_path, RUN[:head])
    assert scalars(folder) == LOSSES[:2]
    kept(tmp_path, RUN[head:])  # it goes on, and ends, while nobody follows
    for expected_files in (2, 2):  # told from its beginning, as who follows again is: once with news, once without
        with feeding([f"tensorboard:{folder}"], runs=tmp_path / "runs", lost=[].append) as report:
            for event in RUN:
                report(event)
        assert scalars(folder) == LOSSES
        assert scalars(folder, "members_used") == [(1, 2.0), (2, 1.0)]
        assert scalars(folder, "bytes_out") == [(1, 2000.0), (2, 1000.0)]
        assert len(list((folder / "run-1").iterdir())) == expected_files


def test_what_is_logged_before_a_kill_is_at_most_one_event_again(tmp_path):
    folder = fed("tensorboard", tmp_path)
    [mark] = (path for path in (folder / ".foedus").iterdir() if path.suffix != ".lock")
    mark.write_text(str(len(RUN) - 2))  # as a kill leaves it after the figures were logged
    log = RunLog("tensorboard", folder, tmp_path / "runs", "run-1")
    log.catch_up()
    log.close()
    assert scalars(folder, "accuracy/federated/high") == [(2, 0.875)] * 2
    assert scalars(folder) == LOSSES


def test_while_one_logs_a_run_another_leaves_it_to_it(tmp_path):
    runs, folder = kept(tmp_path, RUN[:-3]), tmp_path / "logs"
    one, other = (RunLog("tensorboard", folder, runs, "run-1") for _ in range(2))
    one.catch_up()
    other.catch_up()
    kept(tmp_path, RUN[-3:])
    other.catch_up()
    assert scalars(folder) == LOSSES
    one.close()
    other.catch_up()
    other.close()
    assert scalars(folder) == LOSSES
    assert scalars(folder, "accuracy/federated/high") == [(2, 0.875)]


def test_another_run_of_the_same_name_is_logged_whole_and_one_put_back_from_a_copy_goes_on(tmp_path):
    folder = fed("tensorboard", tmp_path)
    path = tmp_path / "runs" / "run-1" / EVENTS
    lines = path.read_bytes().splitlines(keepends=True)
    half = next(n for n, event in enumerate(RUN) if event.kind == "round") + 1
    path.write_bytes(b"".join(lines[:half]))  # as a back-up had it
    resumed = Event("resumed", {**RUN[0].fields, "round": 1}, "2026-11-22T12:00:30Z")
    fed("tensorboard", tmp_path, [resumed, *round_of(2, 31, "0.25")])
    assert scalars(folder) == [*LOSSES, (2, 0.25)]
    path.unlink()
    again = Event("opened", RUN[0].fields, "2026-11-23T12:00:00Z")
    fed("tensorboard", tmp_path, [again, *round_of(1, 1, "1.25")])
    assert scalars(folder)[-2:] == [(0, 2.5), (1, 1.25)]


# ── offline, missing, lost ───────────────────────────────────────────────────

NO_NETWORK = """
import runpy, socket, sys
def refuse(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        open(sys.argv.pop(1) + "/dialled", "a").write(str(address))
        raise OSError("no network here")
    return connect(self, address)
connect = socket.socket.connect
socket.socket.connect = refuse
socket.getaddrinfo_before = socket.getaddrinfo
log, sys.argv = sys.argv[1], ["feed", *sys.argv[2:]]
def look_up(host, *rest, **more):
    if host not in ("127.0.0.1", "::1", "localhost", None, ""):
        open(log, "a").write(str(host) + "\\n")
    return socket.getaddrinfo_before(host, *rest, **more)
socket.getaddrinfo = look_up
runpy.run_module("foedus.track.feed", run_name="__main__")
"""


@pytest.mark.parametrize("name", LOGGERS)
def test_no_logger_looks_up_a_host(name, tmp_path, monkeypatch):
    """Whatever the user's settings say: the process that logs is started with its own."""
    from foedus.track.feed import OFFLINE

    dialled = tmp_path / "dialled"
    command = [sys.executable, "-c", NO_NETWORK, str(dialled), name, str(tmp_path / "logs"), str(kept(tmp_path))]
    subprocess.run(command, input="run-1\n", text=True, check=True, env={**os.environ, **OFFLINE}, capture_output=True)
    assert not dialled.exists()
    assert list((tmp_path / "logs").iterdir())


def test_an_unknown_logger_and_one_without_a_folder_are_answered_with_the_known_ones():
    for text in ("neptune:logs", "tensorboard", "tensorboard:", ""):
        with pytest.raises(CallerError) as caught:
            target(text)
        assert caught.value.code == "track.no-such-logger"
        assert "mlflow:FOLDER" in str(caught.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(log.LOGGERS, "wandb", ("no_such_package_here", ""))
    with pytest.raises(CallerError) as caught:
        target("wandb:logs")
    assert "pip install 'foedus[log]'" in str(caught.value)


def test_a_logger_that_ends_is_told_of_and_the_others_get_everything(tmp_path):
    (tmp_path / "taken").write_text("a file where the folder should be")
    lost = []
    targets = [f"tensorboard:{tmp_path / 'taken'}", f"tensorboard:{tmp_path / 'good'}"]
    with feeding(targets, runs=kept(tmp_path), lost=lost.append) as report:
        for event in RUN:
            report(event)
    assert lost == targets[:1]
    assert scalars(tmp_path / "good") == LOSSES
    assert stat.S_ISREG((tmp_path / "taken").stat().st_mode)
