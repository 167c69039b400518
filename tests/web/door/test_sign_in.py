"""Who signs in, and how: a key opens the pages, once a challenge; an act is no login and a login no act."""

import json
import stat
from datetime import timedelta

import pytest

from doored import ORIGIN, opened_pages
from foedus import workspace as ws
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, FoedusError, IdentityError, VerifyError
from foedus.core.keys import generate
from foedus.core.messages import LANGUAGES, error_text
from foedus.core.parcel import Parcel
from foedus.records.acts import Entry, Leave
from foedus.records.base import open_record
from foedus.records.door import Challenge, Login
from foedus.web.door.login import answer, sign_in


@pytest.fixture
def pages(tmp_path):
    return opened_pages(tmp_path)


def signed(pages, party="bank-a", *, key=None, changes=None):
    """The login for a fresh challenge, as its party signs it, with changes."""
    challenge = pages.door.challenge(party, ORIGIN)
    login = Login.model_validate({**challenge.model_dump(), **(changes or {})})
    return login.sign(key or ws.private_key(pages.members["bank-a"], "act"))


def refused(pages, envelope, code, kind=IdentityError):
    data = envelope.to_bytes() if isinstance(envelope, Envelope) else envelope
    with pytest.raises(kind) as caught:
        pages.door.admit(data)
    assert caught.value.code == code
    assert all(str(error_text(caught.value, lang=lang)) for lang in LANGUAGES)
    answered = pages.browser().post("/door/login", content=data)
    assert answered.status_code in (400, 403)
    assert answered.json()["code"] in (code, "door.challenge-used")


def test_a_member_signs_in_with_its_key_and_the_link_opens_once(pages):
    link = pages.link("bank-a")
    assert link.startswith(f"{ORIGIN}/door/enter?token=")
    browser = pages.browser()
    entered = browser.get(link)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "bank-a" in browser.get("/door").text
    again = pages.browser().get(link)
    assert again.status_code == 403
    assert "door.link-used" in again.text
    assert "set-cookie" not in again.headers


def test_a_second_tab_with_the_same_link_stays_signed_in(pages):
    link, browser = pages.link("bank-a"), pages.browser()
    browser.get(link)
    before = dict(browser.cookies)
    assert browser.get(link).status_code == 303
    assert dict(browser.cookies) == before


def test_the_coordinator_signs_in_with_its_key_as_well(pages):
    assert "hub: coordinator" in pages.signed_in("hub").get("/door").text


def test_the_first_link_of_the_coordinator_is_offered_until_it_came_in(pages):
    link = pages.door.first_link()
    browser = pages.browser()
    assert pages.door.first_link() != link
    assert browser.get(link).status_code == 303
    assert "hub" in browser.get("/door").text
    assert pages.door.first_link() is None


def test_an_act_offered_as_a_login_is_refused_even_under_the_logins_name(pages):
    act = Parcel.from_bytes(ws.make_act(pages.members["bank-a"], Leave(reason="x"), clock=pages.clock)).documents[0]
    refused(pages, act, "records.wrong-type", CallerError)
    dressed = Envelope(Login.payload_type(), act.payload, act.signatures)
    refused(pages, dressed, "records.malformed", CallerError)


def test_a_login_is_no_act_and_its_signature_is_none(pages):
    login = signed(pages)
    with pytest.raises(CallerError, match=r"records\.wrong-type"):
        open_record(Entry, login)
    dressed = Envelope(Entry.payload_type(), login.payload, login.signatures)
    with pytest.raises(CallerError, match=r"records\.malformed"):
        open_record(Entry, dressed)
    assert not dressed.signed_by(ws.private_key(pages.members["bank-a"], "act").public)
    with pytest.raises(FoedusError):
        ws.collect_acts(pages.hub, [Parcel.of([login]).to_bytes()])


def test_a_challenge_answered_twice_is_refused(pages):
    login = signed(pages)
    assert pages.door.admit(login.to_bytes())
    refused(pages, login, "door.challenge-used")


def test_a_challenge_answered_late_is_refused(pages):
    login = signed(pages)
    pages.meeting.at += timedelta(seconds=121)
    refused(pages, login, "door.challenge-ended")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"origin": "https://evil.example"}, "door.other-place"),
        ({"consortium": "others"}, "door.other-place"),
        ({"nonce": "ab" * 48}, "door.challenge-not-ours"),
        ({"expires": "2099-01-01T00:00:00Z"}, "door.challenge-not-ours"),
        ({"party": "bank-b"}, "door.challenge-not-ours"),
    ],
)
def test_a_login_for_another_place_time_party_or_challenge_is_refused(pages, changes, code):
    refused(pages, signed(pages, changes=changes), code)


def test_another_key_or_an_unknown_party_is_not_admitted(pages):
    refused(pages, signed(pages, key=generate("act")), "door.not-admitted")
    refused(pages, signed(pages, "bank-b"), "door.not-admitted")
    refused(pages, signed(pages, "bank-x"), "door.not-admitted")


def test_a_stranger_learns_from_a_challenge_no_name(pages):
    known, unknown = (pages.browser().get("/door/challenge", params={"party": p}) for p in ("bank-a", "nobody"))
    assert (known.status_code, set(known.json())) == (unknown.status_code, set(unknown.json()))
    assert pages.browser().get("/door/challenge", params={"party": "No Name!"}).status_code == 400


def test_a_member_that_has_left_is_shut_out_at_once(pages):
    browser = pages.signed_in("bank-a")
    ws.collect_acts(pages.hub, [ws.make_act(pages.members["bank-a"], Leave(reason="x"), clock=pages.clock)])
    assert "foedus login" in browser.get("/door").text
    refused(pages, signed(pages), "door.not-admitted")


def test_a_new_key_ends_the_sessions_that_the_old_one_opened(pages):
    member = pages.members["bank-a"]
    browser, other = pages.signed_in("bank-a"), pages.signed_in("bank-b")
    ws.collect_acts(pages.hub, [ws.rotate_key(member, "act", clock=pages.clock)])
    assert "foedus login" in browser.get("/door").text
    assert "bank-b" in other.get("/door").text


def test_a_session_ends_unused_old_or_by_its_owner(pages):
    browser = pages.signed_in("bank-a")
    for _ in range(11):
        pages.meeting.at += timedelta(minutes=59)
        assert "bank-a" in browser.get("/door").text
    pages.meeting.at += timedelta(hours=1, minutes=12)
    assert "foedus login" in browser.get("/door").text
    browser = pages.signed_in("bank-a")
    pages.meeting.at += timedelta(minutes=62)
    assert "foedus login" in browser.get("/door").text
    browser = pages.signed_in("bank-a")
    assert pages.post(browser, "/door/end", csrf=pages.csrf(browser)).status_code == 303
    assert "foedus login" in browser.get("/door").text


def test_one_ends_ones_own_other_session_and_nobody_elses(pages):
    one, two, other = pages.signed_in("bank-a"), pages.signed_in("bank-a"), pages.signed_in("bank-b")
    theirs = pages.door.sessions.of("bank-b")[0].name
    mine = {session.name for session in pages.door.sessions.of("bank-a")}
    this = pages.door.sessions.session(one.cookies["foedus-8600"]).name
    pages.post(one, "/door/end", csrf=pages.csrf(one), session=theirs)
    assert "bank-b" in other.get("/door").text
    pages.post(one, "/door/end", csrf=pages.csrf(one), session=(mine - {this}).pop())
    assert "bank-a" in one.get("/door").text
    assert "foedus login" in two.get("/door").text


def test_only_hashes_are_kept_in_a_file_that_its_owner_reads(pages):
    link = pages.link("bank-a")
    browser = pages.browser()
    path = pages.door.sessions.path
    assert link.rpartition("=")[2].encode() not in path.read_bytes()
    browser.get(link)
    assert browser.cookies["foedus-8600"].encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_too_many_attempts_from_one_address_are_turned_away_for_a_while(pages):
    codes = [pages.browser().get("/door/challenge", params={"party": "bank-a"}).status_code for _ in range(30)]
    assert codes[0] == 200
    assert codes[-1] == 429
    assert pages.browser().get("/door/enter?token=x").status_code == 429
    assert pages.browser().get("/door").status_code == 200


# ── the other side ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("field", ["origin", "consortium", "party"])
def test_a_machine_signs_no_challenge_that_names_another(pages, field):
    member = pages.members["bank-a"]
    true = pages.door.challenge("bank-a", ORIGIN)
    other = {"origin": "https://evil.example", "consortium": "others", "party": "bank-b"}
    false = Challenge.model_validate({**true.model_dump(), field: other[field]})
    with pytest.raises(VerifyError, match=r"door\.challenge-differs"):
        answer(false, origin=ORIGIN, workspace=member, clock=pages.clock)
    sent = []

    def ask(method, path, body):
        sent.append((method, body))
        return 200, false.to_bytes()

    with pytest.raises(VerifyError):
        sign_in(member, ORIGIN, ask=ask, clock=pages.clock)
    assert [method for method, _ in sent] == ["GET"]


def test_a_machine_signs_no_challenge_that_lasts(pages):
    true = pages.door.challenge("bank-a", ORIGIN)
    lasting = Challenge.model_validate({**true.model_dump(), "expires": "2099-01-01T00:00:00Z"})
    with pytest.raises(VerifyError, match=r"door\.challenge-differs"):
        answer(lasting, origin=ORIGIN, workspace=pages.members["bank-a"], clock=pages.clock)


def test_pages_that_pass_a_challenge_on_get_a_login_of_no_use(pages):
    """The member signs in at evil.example, which asks the true hub and hands its challenge on."""
    evil = "https://evil.example"

    def ask(method, path, body):
        if method == "GET":
            true = pages.door.challenge("bank-a", ORIGIN)
            return 200, Challenge.model_validate({**true.model_dump(), "origin": evil}).to_bytes()
        refused(pages, Envelope.from_bytes(body), "door.other-place")
        return 403, b"{}"

    with pytest.raises(FoedusError):
        sign_in(pages.members["bank-a"], evil, ask=ask, clock=pages.clock)


def test_no_login_goes_in_clear_to_another_machine(pages):
    with pytest.raises(CallerError, match=r"door\.no-tls"):
        sign_in(pages.members["bank-a"], "http://hub.example.org", ask=lambda *_: (200, b""), clock=pages.clock)


def test_what_is_no_challenge_is_said(pages):
    told = {"POST": (200, json.dumps({"token": "../../evil?x="}).encode())}

    def ask(method, path, body):
        return told[method] if method in told else (200, pages.door.challenge("bank-a", ORIGIN).to_bytes())

    with pytest.raises(IdentityError, match=r"door\.no-challenge"):
        sign_in(pages.members["bank-a"], ORIGIN, ask=ask, clock=pages.clock)
    told["GET"] = (200, b"<html>")
    with pytest.raises(FoedusError):
        sign_in(pages.members["bank-a"], ORIGIN, ask=ask, clock=pages.clock)
