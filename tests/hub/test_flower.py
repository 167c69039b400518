"""A hub and four members as real processes on loopback, over Flower with TLS: the same states as in one process, and
what is killed, silent, forged or strange costs one member one round at most.
"""

import json
import socket
import ssl
from http.client import HTTPSConnection

import pytest

from foedus.core.errors import IdentityError
from foedus.wire.supernode import SuperNode
from foedus.wire.tls import node_key
from foedus.workspace import consortium, open_workspace
from hubbed import accord_text, agreed, called, wait_until
from practised import agreed as sign_on_paper
from practised import done, registered, write_rows

pytestmark = pytest.mark.slow

MEMBERS = ("bank-a", "bank-b", "bank-c", "bank-d")
PARTS = {"train": 3, "validation": 1, "test": 1}
FEW = (
    ("deadline_seconds: 600", "deadline_seconds: 90"),
    (r"  - {name: no-harm.*\n", ""),  # three test examples a member decide nothing
    (
        "gates:",
        "tune:\n  trials: 2\n  rounds: 1\n  space:\n"
        "    - {path: training.craft.head_learning_rate, low: 0.00001, high: 0.1, log: true}\ngates:",
    ),
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The same consortium in one process; gives the rounds of a run of this name."""
    home = tmp_path_factory.mktemp("one")
    done("new", home, "--practice", len(MEMBERS), "--names", ",".join(MEMBERS))
    write_rows(home, MEMBERS, parts=PARTS)
    (home / "hub" / "accord.yaml").write_text(accord_text(MEMBERS, custody="one-process", changes=FEW))
    sign_on_paper(home, MEMBERS)
    registered(home, MEMBERS)
    return home


def states_in_one_process(home, name):
    done("run", "start", "--name", name, "--workspace", home / "hub")
    return states(consortium(open_workspace(home / "hub")), name)


def states(state, name):
    """The state after each round, who was used, and the state that goes on."""
    run = state.runs[name]
    rounds = [(close.state, [(one.member, one.weight) for one in close.used]) for close in run.closes]
    return rounds, run.close.state


@pytest.fixture(scope="module")
def field(tmp_path_factory, reference):
    """Hub and members, ready."""
    keys = {member: reference / member / "keys" / "data.key" for member in MEMBERS}
    here = agreed(tmp_path_factory.mktemp("f"), MEMBERS, parts=PARTS, changes=FEW, data_keys=keys)
    yield here
    here.close()


def test_a_run_reaches_the_state_of_one_process_while_strangers_and_forgers_are_refused_and_named(
    field, reference, tmp_path
):
    address = open_workspace(field.hub).hub.address
    host, _, port = address.address.rpartition(":")
    trusting = ssl.create_default_context(cadata=address.certificate)
    field.pause("bank-d")  # the round stays open while others try their luck
    run = field.run("--name", "run-1")
    field.at_work("run-1", "bank-d")

    stranger = HTTPSConnection(host, int(port), context=trusting, timeout=20)
    stranger.request("POST", "/v1/control/start-run", b"a run of mine")
    assert stranger.getresponse().status in (403, 404)

    forged = tmp_path / "forged.key"
    node_key(forged)
    ca = tmp_path / "ca.pem"
    ca.write_text(address.certificate)
    with pytest.raises(IdentityError) as caught:
        SuperNode.start(tmp_path / "n", hub=address.address, ca=ca, node_key=forged, socket=tmp_path / "s")
    assert caught.value.code == "wire.key-not-registered"

    large = HTTPSConnection(host, int(port), context=trusting, timeout=20)
    large.putrequest("POST", "/foedus/v1/acts")
    large.putheader("content-length", str(1 << 40))
    large.endheaders()
    assert large.getresponse().status == 413

    with pytest.raises(ssl.SSLError), socket.create_connection((host, int(port)), timeout=20) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname=host)

    field.go_on("bank-d")
    field.ended(run)
    assert states(field.state(), "run-1") == states_in_one_process(reference, "run-1")
    assert field.state().runs["run-1"].opened.engine == "flower"
    named = {code for run, _, code, _ in field.state().refusals if run == "run-1"}
    assert {"wire.control-refused", "wire.node-refused", "wire.too-large"} <= named


def test_a_search_over_flower_tries_what_a_search_in_one_process_tries(field, reference):
    tried = done("run", "tune", "--workers", "0", "--workspace", reference / "hub")
    told = called("--json", "run", "tune", "--engine", "flower", "--workspace", field.hub)
    assert json.loads(told.partition("\n")[0]) == tried
    here, there = field.state(), consortium(open_workspace(reference / "hub"))
    trials = [name for name in there.runs if name.startswith("trial-")]
    assert len(trials) == 2
    assert [states(here, name) for name in trials] == [states(there, name) for name in trials]
    assert {here.runs[name].opened.engine for name in trials} == {"flower"}


def test_members_fetch_a_draft_from_the_hub_over_tls_vote_on_it_and_the_release_verifies(field):
    if not field.state().evidence:
        field.ended(field.run("--name", "run-1"))
    called("release", "build", "--run", "run-1", "--version", "1.0", "--workspace", field.hub)
    (draft,) = (field.hub / "releases").iterdir()
    address = open_workspace(field.hub).hub.address.address
    vote = ("gate", "approve", draft.stem, "--yes", "--hub", address, "--workspace")
    for member in MEMBERS[:3]:
        called(*vote, field.home(member))
        assert len(list((field.home(member) / "candidates").glob("*.foedus"))) == 1  # fetched, not handed over
    (digest,) = field.state().proposals
    tally = field.state().tally(digest)
    assert (tally.approved, tally.outcome) == (MEMBERS[:3], "approved")
    called("release", "build", draft.name, "--workspace", field.hub)
    assert "not revoked as of checkpoint" in called("verify", draft, "--anchor", field.state().anchor)


@pytest.mark.field
def test_a_member_killed_in_a_round_is_left_out_with_a_reason_and_used_when_it_is_back(field):
    field.pause("bank-d")
    run = field.run("--name", "run-2")
    field.at_work("run-2", "bank-d")
    field.kill("bank-d")
    wait_until(lambda: field.told("run-2", "bank-d", "late", "gone"), what="bank-d missed", alive=field.alive("hub"))
    field.log("bank-d").write_text("")
    field.join("bank-d")
    field.ended(run)
    first, second = field.state().runs["run-2"].closes
    assert [one.member for one in first.used] == ["bank-a", "bank-b", "bank-c"]
    assert [(one.member, one.code.startswith("engine.")) for one in first.left_out] == [("bank-d", True)]
    assert [one.member for one in second.used] == list(MEMBERS)


@pytest.mark.field
def test_a_hub_killed_in_a_round_carries_on_by_itself_to_the_same_state(field, reference):
    field.ready("bank-d")
    field.pause("bank-d")
    run = field.run("--name", "run-3")
    field.at_work("run-3", "bank-d")
    field.kill("hub")
    run.wait()
    assert "hub.not-up" in field.log("run").read_text()
    field.go_on("bank-d")
    field.up()  # nothing is said but that: address, run and round are known
    wait_until(
        lambda: any(one.run == "run-3" for one in field.state().evidence.values()), what="run-3 to end",
        alive=field.alive("hub", *MEMBERS),
    )  # fmt: skip
    assert states(field.state(), "run-3") == states_in_one_process(reference, "run-3")


@pytest.mark.field
def test_too_few_members_end_a_run_with_a_clear_error_at_the_deadline_and_it_can_be_resumed(field):
    for member in MEMBERS[1:]:
        field.kill(member)
    text = field.ended(field.run("--name", "run-4"), code=1)
    assert "run.too-few-members" in text
    assert "bank-b: engine." in text
    assert field.state().runs["run-4"].close is None
    for member in MEMBERS[1:]:
        field.log(member).write_text("")
        field.join(member)
    field.ready(*MEMBERS[1:])
    field.ended(field.run("--name", "run-4"))
    assert field.state().runs["run-4"].close.outcome == "done"
