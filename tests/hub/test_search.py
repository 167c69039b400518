"""A search over the hub: the trials of one process, each a run that the hub carries, taken up again where it ended."""

import pytest

from apart import at_work, found
from foedus.hub import control
from foedus.workspace import consortium, open_workspace
from practised import agreed, done, drawn_up, foedus, registered, small_base

TUNE = (
    (
        "gates:",
        """tune:
  trials: 3
  rounds: 1
  space:
    - {path: training.craft.head_learning_rate, low: 0.00001, high: 0.1, log: true}
gates:""",
    ),
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The same search in one process."""
    home = tmp_path_factory.mktemp("one")
    drawn_up(home, small_base(), TUNE)
    agreed(home)
    registered(home)
    return home, done("run", "tune", "--workers", "0", "--workspace", home / "hub")


def states(folder):
    runs = consortium(open_workspace(folder)).runs
    return {name: [close.state for close in run.closes] for name, run in runs.items()}


def test_a_search_by_the_hub_tries_what_one_process_tries_and_goes_on_when_the_hub_is_up_again(reference, tmp_path):
    home, tried = reference
    found(tmp_path, home, changes=TUNE)
    with at_work(tmp_path) as apart:
        told = []

        def stop_in_the_second(event):
            told.append(event)
            if event.kind == "opened" and [one.kind for one in told].count("opened") == 2:
                (apart.hub.folder / "runs" / "trial-1-2" / "stop").write_bytes(b"")

        hub = apart.up(report=stop_in_the_second)
        try:
            first = foedus("run", "tune", "--engine", "flower", "--workspace", apart.hub.folder)
            assert (first.code, first.data["code"]) == (1, "run.stopped")
            assert not control.ask(apart.hub.folder, "searching")["running"]
        finally:
            hub.close()
        (apart.hub.folder / "hub" / "search").write_bytes(b"")  # as a hub leaves it that is killed in a search
        hub = apart.up()
        try:
            assert hub.searching
            assert (
                foedus("run", "start", "--engine", "flower", "--workspace", apart.hub.folder).data["code"] == "hub.busy"
            )
            again = done("run", "tune", "--engine", "flower", "--workspace", apart.hub.folder)
        finally:
            hub.close()
        assert again == tried
        assert states(apart.hub.folder) == states(home / "hub")
        assert {run.opened.engine for run in apart.state().runs.values()} == {"flower"}
        assert not (apart.hub.folder / "hub" / "search").exists()


def test_no_search_is_begun_by_a_hub_that_is_not_up(reference):
    home, _ = reference
    answer = foedus("run", "tune", "--engine", "flower", "--workspace", home / "hub")
    assert (answer.code, answer.data["code"]) == (1, "hub.not-up")
