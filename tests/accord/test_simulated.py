"""An accord whose members are simulated: read from one line, checked, never signed."""

from __future__ import annotations

import pytest

from foedus.accord import compile_plan, findings, read_accord
from foedus.core.errors import CallerError, VerifyError
from foedus.core.keys import simulated_key
from foedus.records.accord import Accord
from foedus.workspace import create_coordinator, open_workspace, propose_accord
from scene import Scene

DRAFT = """
accord: foedus/v1
name: scale
custody: one-process
purpose: {summary: Try an engine with many members., uses: [engine-trial]}
valid: {first: "2026-01-01", last: "2027-12-31"}
coordinator: {name: hub}
members: {simulated: 10000, examples: 8}
base:
  source: "package:tiny"
  pin: "sha256:1111111111111111111111111111111111111111111111111111111111111111"
  licence: Apache-2.0
task: {name: text-classification, labels: [no, yes]}
training: {rounds: 4, seed: scale}
aggregation: {participation: {sample: 1000}, min_members: 500}
credit: {name: none}
gates:
- {name: artefact}
- {name: utility, metric: accuracy, minimum: "0.5"}
release: {licence: Apache-2.0}
"""


def simulated(text: str = DRAFT) -> Accord:
    return read_accord(text, source="accord.yaml")


def test_one_line_stands_for_ten_thousand_members_and_the_accord_stays_small():
    accord = simulated()
    assert len(accord.contributors) == 10_000
    assert (accord.contributors[0], accord.contributors[-1]) == ("sim-00001", "sim-10000")
    assert len(accord.to_bytes()) < 5000
    assert Accord.from_bytes(accord.to_bytes()) == accord


def test_a_simulated_members_keys_follow_from_the_seed():
    accord = simulated()
    member = accord.member("sim-00042")
    assert member is not None
    assert member.keys.act == simulated_key("scale", "sim-00042", "act").public
    assert simulated(DRAFT.replace("seed: scale", "seed: other")).member("sim-00042") != member


@pytest.mark.parametrize("name", ["sim-00000", "sim-10001", "sim-1", "sim-000001", "bank-a", "sim-", "sim-²"])
def test_no_other_name_is_a_simulated_member(name):
    assert simulated().member(name) is None


def test_its_plan_works_without_grants_and_nothing_is_said_of_votes_or_keys():
    accord = simulated()
    assert compile_plan(accord).members == accord.contributors
    codes = {one.code for one in findings(accord)}
    assert "accord.simulated" in codes
    assert not codes & {"accord.release-count", "plan.no-grant", "accord.practice"}


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("simulated: 10000", "simulated: many", "accord.not-positive", "line 8"),
        ("simulated: 10000", "simulated: 0", "accord.not-positive", "line 8"),
        ("simulated: 10000", "simulated: 100001", "accord.too-large", "100000"),
        ("examples: 8", "exampels: 8", "accord.misspelt-key", "examples"),
        ("custody: one-process", "custody: separate", "accord.simulated-custody", "one-process"),
    ],
)
def test_a_wrong_clause_is_an_error_that_names_its_line(old, new, code, said):
    with pytest.raises(CallerError) as caught:
        simulated(DRAFT.replace(old, new))
    assert caught.value.code == code
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("credit: {name: none}\n", "", "plan.simulated-credit"),
        ("min_members: 500", "min_members: 500, late: {name: next-round, max_rounds: 2}", "plan.simulated-late"),
        ("examples: 8", "examples: 4", "plan.simulated-examples"),
        ("seed: scale}", "seed: scale, early_stopping: {}}", "plan.simulated-stopping"),
    ],
)
def test_what_needs_members_with_parts_of_their_own_is_refused(old, new, code):
    with pytest.raises(CallerError) as caught:
        compile_plan(simulated(DRAFT.replace(old, new)))
    assert caught.value.code == code


def test_it_cannot_be_signed(tmp_path):
    create_coordinator(tmp_path / "hub", "hub")
    hub = open_workspace(tmp_path / "hub")
    hub.draft.write_text(DRAFT, encoding="utf-8")
    with pytest.raises(CallerError) as caught:
        propose_accord(hub)
    assert caught.value.code == "accord.simulated"
    assert not (hub.ledger / "checkpoint").exists()


def test_a_ledger_that_proposes_it_is_refused():
    scene = Scene(simulated())
    scene.act_keys["hub"] = simulated_key("scale", "hub", "act")
    scene.propose_accord()
    with pytest.raises(VerifyError) as caught:
        scene.fold()
    assert caught.value.code == "fold.simulated"
