"""From an invitation to a node that can be asked, and what stands in the way."""

import socket
import ssl
import threading
from datetime import timedelta

import pytest

from foedus import workspace as ws
from foedus.core.clock import now
from foedus.core.errors import CallerError, IdentityError, RunError, VerifyError
from foedus.core.messages import LANGUAGES, error_text
from foedus.records.membership import HubAddress, Invitation
from foedus.resident import check
from foedus.resident.check import checks
from foedus.resident.join import join, keep_data, node_key_of, read_hub, standing, sync
from foedus.resident.link import Link
from foedus.resident.serve import Resident
from foedus.wire.gateway import Gateway, Response
from foedus.wire.tls import authority
from met import ADDRESS, entered, opened


def refused(code, kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    assert all(str(error_text(caught.value, lang=lang)) for lang in LANGUAGES)
    return caught.value


def test_an_invitation_names_the_hub_and_a_paper_one_is_spelt_as_before(tmp_path):
    hub, _ = opened(tmp_path)
    invitation, address = read_hub(ws.invite(hub, "bank-a", hub=ADDRESS))
    assert (invitation.hub, address) == (ADDRESS, ADDRESS)
    paper = ws.invite(hub, "bank-b")
    assert b'"hub":{' not in ws.read_invitation(paper).to_bytes()
    assert refused("join.no-hub", CallerError, lambda: read_hub(paper)).code == "join.no-hub"
    assert ws.invite(hub, "bank-a", hub=ADDRESS) == ws.invite(hub, "bank-a", hub=ADDRESS)
    assert ws.read_invitation(ws.invite(hub, "bank-a")).hub is None


def test_what_a_hub_refuses_leaves_nothing_behind_but_what_was_there_before(tmp_path):
    hub, door = opened(tmp_path)
    invitation = ws.invite(hub, "bank-a", hub=ADDRESS)
    join(tmp_path / "a", invitation, door.link())
    again = "workspace.joined-already"
    refused(again, CallerError, lambda: join(tmp_path / "b", invitation, door.link()))
    assert not (tmp_path / "b").exists()
    (tmp_path / "c" / "keys").mkdir(parents=True)
    (tmp_path / "c" / "keys" / "data.key").write_text("mine")
    (tmp_path / "c" / "data.csv").write_text("mine")
    refused(again, CallerError, lambda: join(tmp_path / "c", invitation, door.link()))
    left = sorted(path.name for path in (tmp_path / "c").rglob("*"))
    assert left == ["data.csv", "data.key", "keys"]
    assert ws.open_workspace(join(tmp_path / "a", invitation, door.link()).folder).party == "bank-a"


def test_an_answer_that_may_have_arrived_is_kept(tmp_path):
    hub, door = opened(tmp_path)
    invitation = ws.invite(hub, "bank-a", hub=ADDRESS)

    def cut_off(*request):
        door.link().send(*request)
        raise IdentityError("link.unreachable", hub=ADDRESS.address, reason="gone")

    link = Link(ADDRESS, door.member_clock, cut_off)
    refused("link.unreachable", IdentityError, lambda: join(tmp_path / "a", invitation, link))
    assert join(tmp_path / "a", invitation, door.link()).party == "bank-a"


def test_an_invitation_with_another_hub_written_into_it_is_refused(tmp_path):
    hub, _ = opened(tmp_path)
    data = ws.invite(hub, "bank-a", hub=ADDRESS)
    envelope = ws.joining.only_document(data)
    other = HubAddress(address="evil.example:8443", certificate=ADDRESS.certificate)
    changed = Invitation.from_bytes(envelope.payload).model_copy(update={"hub": other})
    forged = type(envelope)(envelope.payload_type, changed.to_bytes(), envelope.signatures)
    from foedus.core.parcel import Parcel

    refused("envelope.not-signed", VerifyError, lambda: read_hub(Parcel((forged,)).to_bytes()))


def test_joining_again_changes_nothing_and_goes_on(tmp_path):
    hub, door = opened(tmp_path)
    invitation = ws.invite(hub, "bank-a", hub=ADDRESS)
    first = join(tmp_path / "a", invitation, door.link())
    keys = ws.joined_keys(hub.folder)["bank-a"]
    assert join(tmp_path / "a", invitation, door.link()).page == first.page
    assert ws.joined_keys(hub.folder)["bank-a"] == keys
    assert door.refused == []


def test_the_members_own_mapping_is_linked_and_another_one_does_not_replace_a_file(tmp_path):
    hub, door = opened(tmp_path)
    member = join(tmp_path / "a", ws.invite(hub, "bank-a", hub=ADDRESS), door.link())
    mine, other = tmp_path / "data.yaml", tmp_path / "other.yaml"
    mine.write_text("data: foedus/v1\n")
    other.write_text("data: foedus/v1\n")
    keep_data(member, mine)
    keep_data(member, mine)
    assert (member.folder / "data.yaml").resolve() == mine.resolve()
    keep_data(member, other)
    assert (member.folder / "data.yaml").resolve() == other.resolve()
    (member.folder / "data.yaml").unlink()
    (member.folder / "data.yaml").write_text("kept here\n")
    refused("join.other-data-file", CallerError, lambda: keep_data(member, mine))
    refused("files.missing", CallerError, lambda: keep_data(member, tmp_path / "none.yaml"))


def test_what_a_member_says_of_its_node_stays_the_same_until_something_changes(tmp_path):
    hub, door = opened(tmp_path)
    member = join(tmp_path / "a", ws.invite(hub, "bank-a", hub=ADDRESS), door.link())
    first = node_key_of(member, "pem", version="0.1.0", numerics={}, clock=door.clock)
    door.at += timedelta(hours=1)
    assert node_key_of(member, "pem", version="0.1.0", numerics={}, clock=door.clock) == first
    assert node_key_of(member, "pem", version="0.2.0", numerics={}, clock=door.clock).issued_at > first.issued_at


# ── the line ─────────────────────────────────────────────────────────────────


class _NoSuperLink:
    """Stands behind a gateway to which no node comes."""

    def client_context(self):
        return ssl.create_default_context()


@pytest.fixture
def line(tmp_path):
    """A gateway with a reception behind it, and its address."""
    hub, door = opened(tmp_path)
    reception = door.reception()
    tls = authority(tmp_path / "tls", ["127.0.0.1"], clock=now)

    def route(request):
        said = reception.answer(request.method, request.path, request.body, request.source)
        return Response(said.status, said.body)

    gateway = Gateway.start(
        "127.0.0.1", 0, tls=tls, superlink=_NoSuperLink(), route=route, refused=lambda *what: door.refused.append(what)
    )
    door.at = now()
    yield hub, door, HubAddress(address=gateway.address, certificate=tls.ca.read_text())
    gateway.close()


def test_over_tls_a_member_joins(line, tmp_path):
    hub, _, address = line
    member = join(tmp_path / "a", ws.invite(hub, "bank-a", hub=address), Link.to(address, now))
    assert standing(member) == "waiting"
    assert set(ws.joined_keys(hub.folder)) == {"bank-a"}
    assert sync(member, Link.to(address, now)).size == 0


def test_a_hub_with_a_certificate_of_another_authority_gets_nothing(line, tmp_path):
    address = line[-1]
    other = authority(tmp_path / "other", ["127.0.0.1"], clock=now)
    wrong = HubAddress(address=address.address, certificate=other.ca.read_text())
    refused("link.wrong-certificate", IdentityError, lambda: Link.to(wrong, now).greeting())
    refused("link.wrong-certificate", IdentityError, lambda: Link.to(ADDRESS, now))


def test_a_hub_that_is_not_there_is_named(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        tls = authority(tmp_path / "tls", ["127.0.0.1"], clock=now)
        address = HubAddress(address=f"127.0.0.1:{free.getsockname()[1]}", certificate=tls.ca.read_text())
        error = refused("link.unreachable", IdentityError, lambda: Link.to(address, now).greeting())
    assert error.fields["hub"] == address.address
    assert error.exit_code == 3


# ── versions, clocks, room ───────────────────────────────────────────────────


def resident(member, door):
    return Resident(member, door.link(), None, door.member_clock, lambda _: None)


def test_a_hub_of_another_protocol_is_refused_before_anything_is_sent(tmp_path, monkeypatch):
    hub, door = opened(tmp_path)
    member = join(tmp_path / "a", ws.invite(hub, "bank-a", hub=ADDRESS), door.link())
    monkeypatch.setattr("foedus.hub.reception.PROTOCOL", 7)
    error = refused("link.other-protocol", CallerError, resident(member, door).run)
    assert (error.fields["got"], error.exit_code) == (7, 2)


def test_a_clock_an_hour_off_is_named_before_a_run_needs_it(tmp_path):
    hub, door = opened(tmp_path)
    member = join(tmp_path / "a", ws.invite(hub, "bank-a", hub=ADDRESS), door.link())
    door.ahead = timedelta(hours=1)
    error = refused("join.clock-behind", RunError, resident(member, door).run)
    assert (error.fields["seconds"], error.exit_code) == (3600, 1)
    assert error_text(error, lang="zh").got.endswith("本机时钟比枢纽慢 3600 秒")
    door.ahead = timedelta(hours=-1)
    error = refused("join.clock-ahead", RunError, resident(member, door).run)
    assert error_text(error, lang="en").got.endswith("this machine's clock is 3600 seconds ahead of the hub's")
    assert error_text(error, lang="zh").got.endswith("本机时钟比枢纽快 3600 秒")


def test_without_room_on_the_disk_nothing_starts(tmp_path, monkeypatch):
    hub, door = opened(tmp_path)
    member = join(tmp_path / "a", ws.invite(hub, "bank-a", hub=ADDRESS), door.link())
    refused("join.no-room", RunError, lambda: check.check_disk(tmp_path / "not" / "yet", needed_bytes=1 << 60))
    monkeypatch.setattr(check.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 20}))
    refused("join.no-room", RunError, resident(member, door).run)


def test_two_processes_do_not_serve_one_workspace(tmp_path):
    hub, door = opened(tmp_path)
    member = join(tmp_path / "a", ws.invite(hub, "bank-a", hub=ADDRESS), door.link())
    first = resident(member, door)
    first.poll_seconds = 0.05
    waiting = threading.Event()
    first.report = lambda event: waiting.set() if event.kind == "waiting" else None
    thread = threading.Thread(target=first.run)
    thread.start()
    assert waiting.wait(60)
    refused("join.already-here", RunError, resident(member, door).run)
    first.stop.set()
    thread.join()


def test_who_is_to_register_and_has_no_data_is_told_so(tmp_path):
    _, members, door = entered(tmp_path)
    refused("join.no-data", CallerError, resident(members["bank-a"], door).run)


def test_where_two_members_keys_are_within_reach_no_node_starts(tmp_path):
    _, members, door = entered(tmp_path)
    error = refused("join.keys-readable", IdentityError, resident(members["bank-a"], door)._prepare)
    assert error.fields["readable"] == "bank-a, bank-b"


# ── join --check ─────────────────────────────────────────────────────────────


def test_checking_sends_nothing_and_says_of_each_thing_whether_it_would_work(tmp_path):
    hub, door = opened(tmp_path)
    invitation = ws.invite(hub, "bank-a", hub=ADDRESS)
    mapping = tmp_path / "data.yaml"
    mapping.write_text(
        "data: foedus/v1\nname: questions\npath: rows.csv\nsource: own\nlicence: none\nconsent: contract\n"
        "columns: {text: text, label: label}\n"
    )
    asked = []

    def link(address, clock):
        line = door.link()
        send = line.send
        line.send = lambda method, path, body: asked.append((method, path, body)) or send(method, path, body)
        return line

    found = {one.name: one for one in checks(tmp_path / "a", invitation, mapping, clock=door.clock, link=link)}
    assert {name for name, one in found.items() if one.error} == set(), found
    assert {name for name, one in found.items() if not one.known} == {"base"}
    assert asked == [("GET", "/foedus/v1/greeting", b"")]
    assert not (tmp_path / "a").exists()


def test_checking_names_everything_that_is_wrong_at_once(tmp_path):
    hub, door = opened(tmp_path)
    door.ahead = timedelta(hours=-1)
    invitation = ws.invite(hub, "bank-a", hub=ADDRESS)
    found = {
        one.name: one.error.code
        for one in checks(tmp_path / "a", invitation, None, clock=door.member_clock, link=lambda *_: door.link())
        if one.error
    }
    assert found == {"clock": "join.clock-ahead", "data": "join.no-data"}
    paper = ws.invite(hub, "bank-b")
    assert [one.error.code for one in checks(tmp_path, paper, None, clock=door.clock)] == ["join.no-hub"]


def test_checking_an_absent_hub_goes_on_with_the_rest(tmp_path):
    hub, door = opened(tmp_path)
    invitation = ws.invite(hub, "bank-a", hub=ADDRESS)
    found = {one.name: one for one in checks(tmp_path / "a", invitation, None, clock=door.clock)}
    assert found["hub"].error.code == "link.wrong-certificate"  # the address here carries none that is one
    assert not found["clock"].known
    assert found["disk"].found
