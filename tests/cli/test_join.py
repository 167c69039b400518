"""`foedus join` and `foedus member invite` where there is a hub: what is missing is said, with the right exit code."""

import socket

import pytest

from foedus import workspace as ws
from foedus.core.clock import now
from foedus.records.membership import HubAddress, HubPage
from foedus.wire import process
from foedus.wire.tls import authority
from met import opened
from practised import foedus


@pytest.fixture
def invited(tmp_path):
    """An invitation of a coordinator whose hub is not up."""
    hub, _ = opened(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        tls = authority(hub.folder / "hub" / "tls", ["127.0.0.1"], clock=now)
        address = HubAddress(address=f"127.0.0.1:{port}", certificate=tls.ca.read_text())
        hub.keep_hub(HubPage(host="127.0.0.1", port=port, names=(), address=address))
        answer = foedus("member", "invite", "bank-a", "--workspace", hub.folder, at=tmp_path)
        assert answer.code == 0, answer.err
        assert answer.data["hub"] == address.address
        yield tmp_path


def test_where_there_is_a_hub_an_invitation_says_how_to_reach_it_and_paper_stays_possible(invited):
    assert ws.read_invitation((invited / "bank-a.invitation").read_bytes()).hub is not None
    told = foedus("member", "invite", "bank-b", "--workspace", invited / "hub", at=invited, as_json=False)
    assert told.out.rstrip().endswith("foedus join --invite bank-b.invitation --data data.yaml --workspace bank-b")
    answer = foedus("member", "invite", "bank-b", "--paper", "--workspace", invited / "hub", at=invited)
    assert answer.data["hub"] is None
    answer = foedus("join", "--invite", "bank-b.invitation", "--workspace", "b", at=invited)
    assert (answer.code, answer.data["code"]) == (2, "join.no-hub")


def test_a_hub_that_is_not_up_is_a_connection_error_and_nothing_is_made(invited):
    for extra in ((), ("--check",)):
        answer = foedus("join", "--invite", "bank-a.invitation", "--workspace", "a", *extra, at=invited)
        assert (answer.code, answer.data["code"]) == (3, "link.unreachable")
        assert not (invited / "a").exists()


def test_without_flower_joining_names_the_command_that_adds_it(invited, monkeypatch):
    monkeypatch.setattr(process, "find_spec", lambda _: None)
    answer = foedus("join", "--invite", "bank-a.invitation", "--workspace", "a", at=invited)
    assert (answer.code, answer.data["code"]) == (2, "wire.engine-missing")
    assert "foedus[flower]" in answer.err
    assert not (invited / "a").exists()


def test_only_a_coordinators_workspace_has_a_hub(invited):
    ws.join(invited / "a", (invited / "bank-a.invitation").read_bytes())
    answer = foedus("up", "--workspace", "a", at=invited)
    assert (answer.code, answer.data["code"]) == (2, "workspace.wrong-role")
