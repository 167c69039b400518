"""Search: trials across the federation, in the ledger, reproducible, resumed, and no more than was agreed."""

import re
import shutil
from functools import cache

import pytest

from foedus.core.errors import RunError
from foedus.practice import open_practice, tune_here
from foedus.records.acts import OpenRun
from foedus.records.tune import Trial
from foedus.workspace import act, consortium, open_workspace
from practised import agreed, done, drawn_up, foedus, ready_to_run, registered, shared, small_base

TUNE = """tune:
  trials: 6
  rounds: 2
  pruning: median
  space:
    - {path: training.craft.head_learning_rate, low: 0.00001, high: 0.1, log: true}
    - {path: training.craft.schedule, choices: [linear, constant]}
gates:"""


@cache
def searchable():
    """A consortium whose accord allows a search, with cards registered."""
    home = shared() / "searchable"
    drawn_up(home, small_base(), [(r"gates:", TUNE)])
    agreed(home)
    registered(home)
    return home


@cache
def searched():
    """The search carried to its end."""
    home = shutil.copytree(searchable(), shared() / "searched")
    data = done("run", "tune", "--workers", "0", "--workspace", home / "hub")
    return home, data


def test_every_trial_is_a_run_in_the_ledger_with_its_settings_named():
    home, data = searched()
    assert [one["run"] for one in data["trials"]] == [f"trial-1-{number}" for number in range(1, 7)]
    runs = consortium(open_workspace(home / "hub")).runs
    for one in data["trials"]:
        run = runs[one["run"]]
        assert run.opened.trial == Trial(number=one["number"], settings=one["settings"])
        assert run.close.outcome == one["outcome"] in ("done", "pruned")
        assert [close.validation_loss for close in run.closes] == one["losses"]
        rate = float(one["settings"]["training.craft.head_learning_rate"])
        assert 0.00001 <= rate <= 0.1
    assert len({one["settings"]["training.craft.head_learning_rate"] for one in data["trials"]}) == 6


def test_the_best_trial_has_the_lowest_loss_and_the_amendment_is_proposed():
    home, data = searched()
    whole = [one for one in data["trials"] if one["outcome"] == "done"]
    best = min(whole, key=lambda one: float(one["losses"][-1]))
    assert data["best"] == best["number"]
    # Settings matter: a rate of 0.00001 learns nothing in two rounds.
    assert float(best["losses"][-1]) < max(float(one["losses"][-1]) for one in data["trials"]) - 0.05
    text = foedus("run", "tune", "--workers", "0", "--workspace", home / "hub", as_json=False)
    assert text.code == 0, text.err
    assert f"training.craft.head_learning_rate: {best['settings']['training.craft.head_learning_rate']}" in text.out
    assert re.search(r"foedus accord amend \S*accord\.yaml", text.out)


def test_a_search_is_the_same_again_and_one_that_was_killed_goes_on_with_its_next_trial(tmp_path):
    home = shutil.copytree(searchable(), tmp_path / "p")
    seen = []

    def cut_off(event):
        seen.append(event)
        answered = event.kind == "answered" and event.fields["round"] == 2
        if answered and [one.kind for one in seen].count("opened") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune_here(open_practice(home / "hub"), workers=0, report=cut_off)
    runs = consortium(open_workspace(home / "hub")).runs
    assert [run.close is not None for run in runs.values()] == [True, True, False]
    again = done("run", "tune", "--workers", "0", "--workspace", home / "hub")
    assert again == searched()[1]


def test_trials_are_neither_examined_nor_taken_for_the_next_run():
    home, _ = searched()
    assert not consortium(open_workspace(home / "hub")).evidence
    answer = foedus("release", "build", "--run", "trial-1-1", "--version", "1.0", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"]) == (2, "practice.no-evidence")


def test_trials_stand_side_by_side_with_what_they_tried():
    home, data = searched()
    found = done("run", "compare", "trial-1-1", "trial-1-2", "--workspace", home / "hub")
    wanted = [data["trials"][number]["settings"]["training.craft.head_learning_rate"] for number in (0, 1)]
    assert found["settings"]["training.craft.head_learning_rate"] == wanted


def test_a_trial_outside_the_space_is_refused_by_the_ledger(tmp_path):
    home = shutil.copytree(searchable(), tmp_path / "p")
    hub = open_workspace(home / "hub")
    settings = {"training.craft.head_learning_rate": "0.5", "training.craft.schedule": "linear"}
    roster = consortium(hub).accord.contributors
    opened = OpenRun(
        run="trial-1-1", roster=roster, start="sha256:" + "0" * 64, engine="inprocess", numerics={},
        trial=Trial(number=1, settings=settings),
    )  # fmt: skip
    with pytest.raises(Exception, match="tune"):
        act(hub, opened, [])


def test_an_accord_without_the_clause_allows_no_search():
    answer = foedus("run", "tune", "--workspace", ready_to_run() / "hub")
    assert (answer.code, answer.data["code"]) == (2, "search.no-clause")


def test_a_ledger_with_other_trials_than_the_seed_leads_to_is_not_searched_on(tmp_path):
    from foedus.search import search

    home, _ = searched()
    known = consortium(open_workspace(home / "hub"))
    other = known.accord.model_copy(update={"training": known.accord.training.model_copy(update={"seed": "another"})})
    with pytest.raises(RunError) as caught:
        search(known, other, lambda *_: pytest.fail("nothing is carried"))
    assert caught.value.code == "search.other-trials"
