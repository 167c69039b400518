"""`foedus run`: what it shows of a run, in both languages, and what it refuses."""

import shutil

import pytest

from foedus.core.messages import set_language
from practised import MEMBERS, done, examined, foedus, ready_to_run


@pytest.fixture(autouse=True)
def _english():
    yield
    set_language("en")


@pytest.fixture
def hub():
    return examined() / "hub"


def test_a_run_is_shown_round_by_round_with_weights_and_figures(hub):
    data = done("run", "show", "run-1", "--workspace", hub)
    assert [one["round"] for one in data["rounds"]] == [1, 2]
    assert [one["member"] for one in data["rounds"][0]["used"]] == list(MEMBERS)
    assert {one["arm"] for one in data["figures"]} >= {"federated", "alone", "difference"}
    text = foedus("run", "show", "run-1", "--workspace", hub, as_json=False).out
    assert text.startswith("run-1: done; state sha256:")
    assert "bank-a (0.333), bank-b (0.333), bank-c (0.333)" in text
    chinese = foedus("run", "show", "run-1", "--workspace", hub, "--lang", "zh", as_json=False).out
    assert chinese.startswith("run-1：完成；参数状态 sha256:")


def test_runs_are_listed_with_where_they_stand(hub):
    [run] = done("run", "list", "--workspace", hub)["runs"]
    assert run == {"run": "run-1", "round": 2, "roster": list(MEMBERS), "outcome": "done", "proposal": None}
    assert done("run", "list", "--workspace", ready_to_run() / "hub")["runs"] == []
    told = foedus("run", "list", "--workspace", ready_to_run() / "hub", as_json=False).out
    assert "No runs here yet" in told


def test_a_run_tells_each_step_on_stderr_and_its_result_on_stdout(tmp_path):
    home = shutil.copytree(ready_to_run(), tmp_path / "p")
    answer = foedus("run", "start", "--workers", "0", "--workspace", "p/hub", at=tmp_path, as_json=False)
    assert answer.code == 0, answer.err
    assert "run-1 is open: 2 rounds with bank-a, bank-b, bank-c" in answer.err
    assert "  training, round 1: bank-a answered" in answer.err
    assert "round 2 closed: validation loss" in answer.err
    assert "run-1 is done: state " in answer.out
    assert "  foedus credit show --workspace p/hub" in answer.out
    assert (home / "hub" / "runs" / "run-1").is_dir()


@pytest.mark.parametrize("command", ["show", "stop"])
def test_an_unknown_run_is_answered_with_the_known_ones(hub, command):
    answer = foedus("run", command, "run-9", "--workspace", hub)
    assert (answer.code, answer.data["code"], answer.data["fields"]["known"]) == (2, "run.unknown", "run-1")


def test_an_unknown_run_is_not_resumed_as_a_new_one(hub):
    answer = foedus("run", "resume", "nix", "--workers", "0", "--workspace", hub)
    assert (answer.code, answer.data["code"], answer.data["fields"]["known"]) == (2, "run.unknown", "run-1")
    assert not (hub / "runs" / "nix").exists()


@pytest.mark.parametrize("name", ["", "a b", "../../../../x", "中文", "Run", "x" * 300])
def test_a_name_that_no_run_can_bear_is_refused_before_anything_is_touched(hub, name):
    for words in (
        ["start", "--name", name, "--workers", "0"], ["start", "--name", name, "--engine", "flower"],
        ["log", name], ["export-replies", name, "x"],
    ):  # fmt: skip
        answer = foedus("run", *words, "--workspace", hub)
        assert (answer.code, answer.data["code"]) == (2, "run.bad-name")
        assert answer.data["fields"]["got"] == name[:100]


def test_a_finished_run_is_neither_stopped_nor_carried_again(hub):
    for words in (["stop", "run-1"], ["resume", "run-1", "--workers", "0"]):
        answer = foedus("run", *words, "--workspace", hub)
        assert (answer.code, answer.data["code"]) == (1, "run.over")


def test_a_member_neither_stops_runs_nor_exports_replies(tmp_path):
    place = examined() / "bank-a"
    for words in (["stop", "run-1"], ["export-replies", "run-1", tmp_path / "x"], ["start"]):
        answer = foedus("run", *words, "--workspace", place)
        assert (answer.code, answer.data["code"]) == (2, "workspace.wrong-role")
