"""The hub's process with members behind sockets instead of Flower: runs, lies, and how `foedus run` speaks with it."""

import shutil
import threading

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from apart import at_work, found
from foedus import workspace as ws
from foedus.core.clock import now
from foedus.core.errors import CallerError, IdentityError, RunError
from foedus.hub import control
from foedus.hub.marker import Marked, marked, set_mark
from foedus.hub.serve import Hub
from foedus.resident.join import node_key_of
from foedus.wire import pipe
from practised import examined, foedus


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """The consortium of `practised`, its keys held apart. Tests copy it."""
    folder = tmp_path_factory.mktemp("apart")
    found(folder, examined())
    return folder


@pytest.fixture
def apart(founded, tmp_path):
    shutil.copytree(founded, tmp_path, symlinks=True, dirs_exist_ok=True)
    with at_work(tmp_path) as apart:
        yield apart


def test_a_run_by_the_hub_reaches_the_state_of_a_run_in_one_process(apart):
    told = []
    hub = apart.up(report=told.append)
    try:
        answer = foedus("run", "start", "--engine", "flower", "--workspace", apart.hub.folder)
        assert answer.code == 0, answer.err
        one = ws.consortium(ws.open_workspace(examined() / "hub")).runs["run-1"]
        here = apart.state().runs["run-1"]
        assert (here.opened.engine, one.opened.engine) == ("flower", "inprocess")
        assert [close.state for close in here.closes] == [close.state for close in one.closes]
        assert answer.data["state"] == one.close.state
        assert {event.kind for event in told} >= {"hub-up", "opened", "answered", "round", "examined", "ended"}
        again = foedus("run", "resume", "run-1", "--workspace", apart.hub.folder)
        assert (again.code, again.data["code"]) == (1, "run.over")
        assert not (apart.hub.folder / "hub" / "run").exists()
    finally:
        hub.close()


def test_who_leaves_a_run_is_told_its_name_and_its_log_can_be_completed_later(apart, tmp_path, monkeypatch):
    ask = control.ask

    def left_at_once(folder, what, **fields):
        if what == "standing":
            raise KeyboardInterrupt
        return ask(folder, what, **fields)

    target = f"tensorboard:{tmp_path / 'logs'}"
    hub = apart.up()
    try:
        monkeypatch.setattr(control, "ask", left_at_once)
        left = foedus("run", "start", "--engine", "flower", "--log", target, "--workspace", apart.hub.folder)
        monkeypatch.undo()
        assert left.code == 130
        assert "run-1 goes on in the hub; `foedus run show run-1 --workspace " in left.err
        hub.wait(300)
    finally:
        hub.close()
    assert foedus("run", "log", "run-1", "--log", target, "--workspace", apart.hub.folder).code == 0
    found = EventAccumulator(str(tmp_path / "logs" / "run-1"))
    found.Reload()
    closes = apart.state().runs["run-1"].closes
    assert [one.step for one in found.Scalars("validation_loss")] == [0, *(close.round for close in closes)]
    assert foedus("run", "log", "run-1", "--log", target, "--workspace", apart.hub.folder).code == 0
    assert len(list((tmp_path / "logs" / "run-1").iterdir())) == 1


def test_a_reply_for_another_round_and_a_forged_one_are_left_out_named_in_the_ledger_and_the_run_goes_on(apart):
    kept = []
    honest = apart.residents["bank-c"].handle

    def replaying(message):
        kept.append(honest(message))
        return kept[0]

    apart.served[2].close()
    apart.served[2] = pipe.serve(apart.carrier.members["bank-c"], replaying)
    hub = apart.up()
    try:
        hub.start("run-1")
        hub.wait(300)
    finally:
        hub.close()
    run = apart.state().runs["run-1"]
    assert run.close.outcome == "done"
    first, second = run.closes
    assert "bank-c" in [one.member for one in first.used]
    assert [(one.member, one.code) for one in second.left_out] == [("bank-c", "reply:run.bad-reply")]
    named = [place for place in apart.state().refusals if place[0] == "run-1" and place[3] == "bank-c"]
    assert {code for _, _, code, _ in named} == {"run.bad-reply"}
    assert {round_ for _, round_, _, _ in named} >= {1, 2}


def test_a_hub_that_ended_in_a_round_goes_on_by_itself_with_what_it_had(apart):
    whole = ws.consortium(ws.open_workspace(examined() / "hub")).runs["run-1"].close.state
    hub = apart.up()
    (apart.hub.folder / "runs" / "run-1").mkdir(parents=True)

    def stopping(event):
        if event.kind == "round":
            (apart.hub.folder / "runs" / "run-1" / "stop").write_bytes(b"")

    hub.report = stopping
    hub.start("run-1")
    hub.wait(300)
    hub.close()
    if apart.state().runs["run-1"].close is None:
        (apart.hub.folder / "hub" / "run").write_text("run-1")  # as a kill leaves it
    hub = apart.up()
    hub.wait(300)
    hub.close()
    assert apart.state().runs["run-1"].close.state == whole


def test_a_stop_that_was_asked_for_outlives_the_hub_until_a_person_starts_the_run_again(apart):
    told = []
    stop = apart.hub.folder / "runs" / "run-1" / "stop"
    stop.parent.mkdir(parents=True)
    stop.touch()
    set_mark(apart.hub.folder, Marked("run-1"))  # as a kill leaves it, before the round's end
    hub = apart.up(report=told.append)
    hub.wait(300)
    hub.close()
    assert [event.fields["code"] for event in told if event.kind == "ended"] == ["run.stopped"]
    assert (apart.state().runs["run-1"].round, apart.state().runs["run-1"].close) == (1, None)
    assert marked(apart.hub.folder) is None
    stop.touch()
    hub = apart.up()
    try:
        assert foedus("run", "resume", "run-1", "--workspace", apart.hub.folder).code == 0
    finally:
        hub.close()
    assert not stop.exists()


def test_a_run_that_the_hub_holds_but_has_not_opened_yet_is_resumed_by_its_name(apart):
    set_mark(apart.hub.folder, Marked("first"))
    answer = foedus("run", "resume", "first", "--engine", "flower", "--workspace", apart.hub.folder)
    assert answer.data["code"] == "hub.not-up"
    answer = foedus("run", "resume", "second", "--engine", "flower", "--workspace", apart.hub.folder)
    assert answer.data["code"] == "run.unknown"


@pytest.mark.parametrize("name", ["a b", "../../keep", "中文", "x" * 300])
def test_the_hub_refuses_a_name_that_no_run_can_bear_before_it_touches_a_file(apart, name):
    (apart.hub.folder / "runs").mkdir()
    kept = apart.hub.folder.parent / "keep" / "stop"
    kept.parent.mkdir()
    kept.touch()
    hub = apart.up()
    try:
        with pytest.raises(CallerError) as caught:
            control.ask(apart.hub.folder, "start", name=name, proposal="")
        assert caught.value.code == "run.bad-name"
        assert (hub.running, marked(apart.hub.folder), kept.exists()) == (None, None, True)
    finally:
        hub.close()


def test_one_hub_a_workspace_and_one_run_at_a_time(apart):
    hub = apart.up()
    try:
        with pytest.raises(RunError) as caught:
            apart.up()
        assert caught.value.code == "hub.already-up"
        hub._name, hub._thread = "run-7", threading.Thread(target=threading.Event().wait, args=(2,))
        hub._thread.start()
        with pytest.raises(RunError) as caught:
            control.ask(apart.hub.folder, "start", name="run-8", proposal="")
        assert (caught.value.code, caught.value.fields["run"]) == ("hub.busy", "run-7")
        with pytest.raises(CallerError) as refused:
            control.ask(apart.hub.folder, "shutdown")
        assert refused.value.code == "hub.no-such-path"
    finally:
        hub.close()


def test_without_a_hub_a_run_over_flower_says_how_to_start_one(apart):
    answer = foedus("run", "start", "--engine", "flower", "--workspace", apart.hub.folder)
    assert (answer.code, answer.data["code"]) == (1, "hub.not-up")
    answer = foedus("run", "start", "--engine", "steam", "--workspace", apart.hub.folder)
    assert (answer.code, answer.data["code"]) == (2, "run.unknown-engine")
    answer = foedus("run", "start", "--workspace", apart.hub.folder)
    assert (answer.code, answer.data["code"]) == (3, "practice.separate-custody")


def test_a_hub_that_could_read_two_members_keys_carries_no_real_run(apart):
    for name in ("bank-a", "bank-b"):
        (apart.hub.folder.parent / name).symlink_to(apart.members[name].folder)
    told = []
    hub = apart.up(report=told.append)
    try:
        answer = foedus("run", "start", "--engine", "flower", "--workspace", apart.hub.folder)
        assert (answer.code, answer.data["code"]) == (3, "hub.keys-readable")
        assert [one.fields["code"] for one in told if one.kind == "ended"] == ["hub.keys-readable"]
        assert apart.state().runs == {}
    finally:
        hub.close()


def test_a_hub_on_every_address_needs_a_name(apart):
    with pytest.raises(CallerError) as caught:
        apart.up(host="::")
    assert caught.value.code == "hub.no-name"
    hub = apart.up(host="::", names=["hub.example.org"])
    assert hub.address == "hub.example.org:4711"
    hub.close()
    hub = apart.up()
    assert hub.address == "hub.example.org:4711"
    hub.close()


def test_members_of_a_workspace_only_coordinators_start_a_hub(apart):
    with pytest.raises(CallerError) as caught:
        Hub.up(apart.members["bank-a"].folder)
    assert caught.value.code == "workspace.wrong-role"


def test_an_ask_with_a_ledger_that_contradicts_the_members_copy_is_not_answered(apart):
    resident = apart.residents["bank-a"]
    resident.link.send = lambda *_: (200, b"no parcel at all")
    with pytest.raises(CallerError):
        resident.handle(b"whatever")
    resident.link.send = lambda *_: (_ for _ in ()).throw(IdentityError("link.unreachable", hub="h", reason="gone"))
    with pytest.raises(IdentityError):
        resident.handle(b"whatever")
    assert not (apart.members["bank-a"].folder / "node" / "journal.jsonl").exists()


def test_a_node_key_that_the_hub_knows_is_registered_again_when_it_comes_up(apart):
    member = apart.members["bank-a"]
    apart.residents["bank-a"]._introduce("pem of bank-a")
    assert node_key_of(member, "pem of bank-a", version="x", numerics={}, clock=now).public == "pem of bank-a"
    hub = apart.up()
    hub.rest()
    hub.close()
    assert apart.carrier.tended == 1
    assert apart.carrier.registered == {"bank-a": "pem of bank-a"}
