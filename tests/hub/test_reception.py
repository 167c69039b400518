"""The hub's door: what members send is verified as on paper, and what does not hold is refused and named."""

import json
from datetime import timedelta

import pytest

from foedus import workspace as ws
from foedus.core.errors import CallerError, IdentityError, RunError, VerifyError
from foedus.core.keys import generate
from foedus.core.messages import LANGUAGES, error_text
from foedus.core.parcel import Parcel
from foedus.hub.nodes import node_keys
from foedus.hub.reception import BODY_LIMIT_BYTES, PREFIX, Turnstile
from foedus.records.acts import Leave
from foedus.records.membership import PROTOCOL, NodeKey
from foedus.resident.join import standing, sync
from met import ADDRESS, entered, opened


@pytest.fixture
def met(tmp_path):
    return entered(tmp_path)


def refused(door, code, kind, call, source="10.0.0.5"):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    assert (code, source) in [(what, who) for what, who, _ in door.refused]
    assert all(str(error_text(caught.value, lang=lang)) for lang in LANGUAGES)


def key_of(workspace, **changes):
    fields = {
        "member": workspace.party, "public": f"key of {workspace.party}", "protocol": PROTOCOL, "foedus": "0.1.0",
        "issued_at": "2026-06-01T10:00:00Z",
    }  # fmt: skip
    return NodeKey.model_validate({**fields, **changes})


def test_members_join_sign_and_take_the_ledger_through_the_door(met):
    hub, members, door = met
    state = ws.consortium(hub)
    assert state.accord is not None
    assert {member.name for member in state.members} == {"bank-a", "bank-b"}
    assert ws.consortium(members["bank-a"]).size == state.size
    assert [ws.pending(member) for member in members.values()] == [[], []]
    assert standing(members["bank-a"]) == "to-register"
    assert door.refused == []


def test_the_same_answer_and_the_same_act_again_change_nothing(met):
    hub, members, door = met
    before = ws.consortium(hub).size
    member = members["bank-a"]
    for parcel in ws.outbox(member):
        door.link().act(parcel)
    door.link().joined((member.folder / "members" / "bank-a.joined").read_bytes())
    assert ws.consortium(hub).size == before


def test_a_stranger_gets_no_ledger(met, tmp_path):
    _, members, door = met
    stranger = generate("act")
    refused(door, "hub.no-member", IdentityError, lambda: door.link().ledger("bank-x", 0, stranger))
    refused(door, "envelope.not-signed", VerifyError, lambda: door.link().ledger("bank-a", 0, stranger))
    assert sync(members["bank-a"], door.link()).size


def test_a_member_that_only_joined_gets_the_accord_to_sign(tmp_path):
    from foedus.resident.join import join

    hub, door = opened(tmp_path)
    members = [join(tmp_path / name, ws.invite(hub, name, hub=ADDRESS), door.link()) for name in ("bank-a", "bank-b")]
    assert standing(members[0]) == "waiting"
    ws.propose_accord(hub, clock=door.clock)
    sync(members[0], door.link())
    assert standing(members[0]) == "to-sign"


def test_a_clock_an_hour_off_is_refused(met):
    _, members, door = met
    door.ahead = timedelta(hours=1)
    refused(door, "hub.clock-off", RunError, lambda: sync(members["bank-a"], door.link()))


def test_an_act_that_may_not_stand_is_refused_and_the_ledger_stays(met):
    hub, members, door = met
    before = ws.consortium(hub).size
    act = ws.make_act(members["bank-a"], Leave(reason="tired"), clock=door.clock)
    document = Parcel.from_bytes(act).documents[0]
    forged = type(document)(document.payload_type, document.payload.replace(b"tired", b"TIRED"), document.signatures)
    refused(door, "fold.not-signed", VerifyError, lambda: door.link().act(Parcel((forged,)).to_bytes()))
    assert ws.consortium(hub).size == before


def test_what_is_no_parcel_or_no_path_or_too_large_is_refused(met):
    _, _, door = met
    refused(door, "parcel.malformed", CallerError, lambda: door.link().act(b"GET me a shell"))
    refused(door, "records.wrong-type", CallerError, lambda: door.link().joined(_empty_inquiry()))
    reception = door.reception()
    for method, what, body, status, code in (
        ("GET", "../../etc/passwd", b"", 400, "hub.no-such-path"),
        ("DELETE", "ledger", b"", 400, "hub.no-such-path"),
        ("POST", "acts", b"x" * (BODY_LIMIT_BYTES + 1), 413, "hub.too-large"),
    ):
        said = reception.answer(method, PREFIX + what, body, "10.0.0.7")
        assert (said.status, json.loads(said.body)["code"]) == (status, code)
        assert (code, "10.0.0.7") in [(what, who) for what, who, _ in door.refused]


def _empty_inquiry():
    from foedus.records.membership import Inquiry

    inquiry = Inquiry(member="bank-a", have=0, at="2026-06-01T10:00:00Z")
    return Parcel.of([inquiry.sign(generate("act"))]).to_bytes()


def test_one_source_too_often_is_turned_away_and_others_are_let_in(met):
    door = met[-1]
    door.turnstile = Turnstile(burst=3, a_second=1.0)
    for _ in range(3):
        door.link().greeting()
    refused(door, "hub.too-often", RunError, lambda: door.link().greeting())
    door.link("10.0.0.6").greeting()
    door.seconds = 1.5
    door.link().greeting()


def test_the_turnstile_remembers_a_bounded_number_of_sources():
    turnstile = Turnstile(burst=1, a_second=0.0, sources=10)
    assert all(turnstile.admits(f"10.0.{n}.1", 0.0) for n in range(200))
    assert not turnstile.admits("10.0.199.1", 0.0)
    assert len(turnstile._left) == 10


def test_a_node_key_counts_when_the_member_signed_it(met):
    hub, members, door = met
    member = members["bank-a"]
    act = ws.private_key(member, "act")
    door.link().node_key(key_of(member), act)
    door.link().node_key(key_of(member), act)
    assert [key.public for key in node_keys(hub)] == ["key of bank-a"]
    assert {key.public for key in door.registered} == {"key of bank-a"}
    newer = key_of(member, public="a new one", issued_at="2026-06-01T11:00:00Z")
    door.link().node_key(newer, act)
    assert [key.public for key in node_keys(hub)] == ["a new one"]
    refused(door, "hub.older-node-key", CallerError, lambda: door.link().node_key(key_of(member), act))


def test_a_node_key_by_another_key_of_another_member_or_of_another_protocol_is_refused(met):
    _, members, door = met
    member, other = members["bank-a"], members["bank-b"]
    act, others = ws.private_key(member, "act"), ws.private_key(other, "act")
    send = door.link().node_key
    refused(door, "envelope.not-signed", VerifyError, lambda: send(key_of(member), others))
    refused(door, "hub.other-protocol", CallerError, lambda: send(key_of(member, protocol=2), act))
    refused(door, "hub.no-member", IdentityError, lambda: send(key_of(member, member="bank-x"), act))
    send(key_of(member), act)
    taken = key_of(other, public="key of bank-a")
    refused(door, "hub.node-key-known", IdentityError, lambda: send(taken, others))
    assert [key.member for key in door.registered] == ["bank-a"]


def test_a_fault_in_the_hub_is_an_answer_and_is_seen(met):
    _, members, door = met
    member = members["bank-a"]
    reception = door.reception()
    reception.register = lambda _: 1 / 0
    body = Parcel.of([key_of(member).sign(ws.private_key(member, "act"))]).to_bytes()
    said = reception.answer("POST", PREFIX + "node-key", body, "10.0.0.5")
    assert (said.status, json.loads(said.body)["code"]) == (500, "hub.fault")
    assert [(code, "ZeroDivisionError" in detail) for code, _, detail in door.refused] == [("hub.fault", True)]
