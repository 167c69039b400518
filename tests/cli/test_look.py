"""`foedus run log` and `foedus run compare`, and stopping a run: what is seen of runs from elsewhere and afterwards."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

from foedus.core.messages import set_language
from practised import MEMBERS, done, examined, foedus, ready_to_run, shared


@cache
def twice():
    """A consortium with two runs under one accord."""
    home = shutil.copytree(examined(), shared() / "twice")
    done("run", "start", "--name", "run-2", "--workers", "0", "--workspace", home / "hub")
    return home


@pytest.fixture(autouse=True)
def _english():
    yield
    set_language("en")


def test_the_log_tells_a_run_from_its_opening_to_its_end():
    hub = examined() / "hub"
    events = done("run", "log", "run-1", "--workspace", hub)["events"]
    kinds = [one["kind"] for one in events]
    assert (kinds[0], kinds[-2:], kinds.count("round")) == ("opened", ["examined", "ended"], 2)
    assert kinds.index("asked") < kinds.index("working") < kinds.index("answered") < kinds.index("round")
    answered = [one["fields"] for one in events if one["kind"] == "answered"]
    assert all(one["bytes"] > 0 and one["seconds"] >= 0 and one["code"] == "" for one in answered)
    assert all(one["at"].endswith("Z") for one in events)
    [opened] = [one["fields"] for one in events if one["kind"] == "opened"]
    assert (opened["roster"], opened["rounds"]) == (list(MEMBERS), 2)
    text = foedus("run", "log", "run-1", "--workspace", hub, as_json=False).out
    assert "Z  run-1 is open: 2 rounds" in text
    assert "Z  round 2 closed: validation loss" in text


def test_following_a_run_that_has_ended_ends_too():
    hub = examined() / "hub"
    assert done("run", "log", "run-1", "--follow", "--workspace", hub) == done(
        "run", "log", "run-1", "--workspace", hub
    )


def test_the_log_of_one_member_leaves_out_the_others():
    events = done("run", "log", "run-1", "--member", "bank-b", "--workspace", examined() / "hub")["events"]
    assert {one["fields"].get("member", "bank-b") for one in events} == {"bank-b"}
    assert [one["kind"] for one in events].count("answered") == 6


def test_a_run_without_a_log_and_an_unknown_run_are_told_apart(tmp_path):
    home = shutil.copytree(examined(), tmp_path / "p")
    (home / "hub" / "runs" / "run-1" / "events.jsonl").unlink()
    for name, code in (("run-1", "run.no-log"), ("run-9", "run.unknown")):
        answer = foedus("run", "log", name, "--workspace", home / "hub")
        assert (answer.code, answer.data["code"]) == (2, code)


def test_two_runs_of_one_accord_with_one_seed_differ_by_their_names_alone():
    data = done("run", "compare", "run-1", "run-2", "--workspace", twice() / "hub")
    one, two = data["runs"]
    # The order of a member's data and its bootstrap are drawn for the run: another run of the accord is another draw.
    assert (one["start"], one["accord"], data["settings"]) == (two["start"], two["accord"], {})
    assert data["same_state"] is (one["state"] == two["state"])
    assert one["used"] == dict.fromkeys(MEMBERS, 2)
    assert {figure["arm"] for figure in one["figures"]} == {"federated", "alone", "difference"}
    text = foedus("run", "compare", "run-1", "run-2", "--workspace", twice() / "hub", as_json=False).out
    assert "The same accord and the same numerics." in text
    assert "bank-a: rounds it entered" in text
    assert "accuracy, federated − alone" in text
    assert (
        "验证损失，第 2 轮"
        in foedus("run", "compare", "run-1", "run-2", "--lang", "zh", "--workspace", twice() / "hub", as_json=False).out
    )


def test_comparing_takes_two_runs_that_are_known():
    hub = twice() / "hub"
    for words, code in ((["run-1"], "run.compare-one"), (["run-1", "run-1"], "run.compare-one")):
        assert foedus("run", "compare", *words, "--workspace", hub).data["code"] == code
    assert foedus("run", "compare", "run-1", "run-9", "--workspace", hub).data["code"] == "run.unknown"


def test_a_run_stopped_from_another_terminal_ends_cleanly_and_says_so_in_its_log(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    hub = home / "hub"
    command = [sys.executable, "-m", "foedus", "run", "start", "--workers", "0", "--workspace", str(hub)]
    environment = {**os.environ, "FOEDUS_LANG": "en"}
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    told = []
    for text in child.stderr:
        told.append(text)
        if "training, round 1: asked" in text:
            done("run", "stop", "run-1", "--workspace", hub)
    child.stderr.close()
    assert child.wait() == 1, told
    assert "run-1 is stopped, as asked\n" in told
    events = done("run", "log", "run-1", "--workspace", hub)["events"]
    assert (events[-1]["kind"], events[-1]["fields"]["code"]) == ("ended", "run.stopped")
    done("run", "resume", "run-1", "--workers", "0", "--workspace", hub)
    kinds = [one["kind"] for one in done("run", "log", "run-1", "--workspace", hub)["events"]]
    assert (kinds.count("opened"), kinds.count("resumed"), kinds.count("round")) == (1, 1, 2)
    assert done("run", "show", "run-1", "--workspace", hub)["outcome"] == "done"


def test_a_run_is_logged_where_its_starter_says_and_reads_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    words = ["--workers", "0", "--log", f"tensorboard:{tmp_path / 'logs'}", "--workspace", home / "hub"]
    data = done("run", "start", *words)
    found = EventAccumulator(str(tmp_path / "logs" / "run-1"))
    found.Reload()
    rounds = done("run", "show", "run-1", "--workspace", home / "hub")["rounds"]
    wanted = [pytest.approx(float(one["validation_loss"])) for one in rounds]
    assert [one.value for one in found.Scalars("validation_loss")][1:] == wanted
    [state] = found.Tensors("state/text_summary")
    assert state.tensor_proto.string_val[0].decode() == data["state"]


def test_a_logger_that_there_is_not_is_refused_before_anything_runs(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    answer = foedus("run", "start", "--log", "neptune:logs", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"]) == (2, "track.no-such-logger")
    assert done("run", "list", "--workspace", home / "hub")["runs"] == []
