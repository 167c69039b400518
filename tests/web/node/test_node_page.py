"""A member's own page: who sees it, what it shows, and that it signs only what it showed."""

from itertools import product

import pytest
from starlette.testclient import TestClient

from foedus import workspace as ws
from foedus.core.digest import sha256
from foedus.core.errors import IdentityError, RunError
from foedus.core.messages import LANGUAGES
from foedus.hub.reception import PREFIX
from foedus.resident.link import Link
from foedus.resident.pause import paused_since
from foedus.track.event import Event
from foedus.web.node.app import RULES, SECTIONS
from foedus.workspace.journal import Journal
from noded import ORIGIN, PASSPHRASE, node


@pytest.fixture
def mine(tmp_path):
    return node(tmp_path)


# ── who sees it ──────────────────────────────────────────────────────────────


def test_the_link_of_this_start_opens_the_page_and_nothing_else_does(mine):
    stranger = mine.browser(opened=False)
    assert stranger.get("/", headers={"accept": "text/html"}).headers["location"].startswith("/locked")
    assert stranger.get("/enter?token=" + "0" * 64).status_code == 403
    assert stranger.get("/", headers={"accept": "text/html"}).status_code == 303
    opened = mine.browser()
    assert "The node of bank-a" in opened.get("/").text
    again = mine.browser()
    assert again.get("/").status_code == 200


def test_its_cookie_is_strict_and_no_script_reads_it(mine):
    cookie = mine.browser(opened=False).get(mine.keeper.link).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert mine.keeper.secret not in cookie


def test_guessing_the_secret_is_turned_away(mine):
    browser = mine.browser(opened=False)
    codes = [browser.get(f"/enter?token={number}").status_code for number in range(30)]
    assert set(codes) == {403, 503}


def test_a_foreign_host_or_origin_or_another_pages_link_is_refused(mine):
    browser = mine.browser()
    assert browser.get("/", headers={"host": "evil.example"}).status_code == 421
    mark = mine.field(browser, "csrf", "/")
    for headers in ({"origin": "https://evil.example"}, {}, {"origin": "http://127.0.0.1:8600"}):
        assert browser.post("/pause", data={"csrf": mark}, headers=headers).status_code == 403
    assert paused_since(mine.desk.home) is None
    led = mine.browser(opened=False).get(mine.keeper.link, headers={"sec-fetch-site": "cross-site"})
    assert led.status_code == 403
    assert "set-cookie" not in led.headers


def test_every_route_and_method_wants_a_session_and_every_form_its_mark(mine):
    """The access matrix of the node page: a stranger, a member without the mark, a member with it."""
    routed = {
        (method, route.path)
        for route in mine.app.router.routes
        for method in getattr(route, "methods", None) or {"GET"}
        if method != "HEAD"
    }
    assert routed == set(RULES)
    open_to_all = {path for (_, path), rule in RULES.items() if "stranger" in rule.roles}
    assert open_to_all == {"/static", "/locked", "/enter"}
    member = mine.browser()
    for path, method in product(sorted({path for _, path in RULES}), ("GET", "POST")):
        at = path.replace("{digest}", mine.met.digest) + ("/pages.css" if path == "/static" else "")
        stranger = TestClient(mine.app, base_url=ORIGIN, follow_redirects=False)
        headers = {"origin": ORIGIN, "accept": "text/html"}
        got = stranger.request(method, at, headers=headers).status_code
        allowed = {200, 403} if path in open_to_all and method == "GET" else {303, 401, 403, 405}
        assert got in allowed, (method, path, got)
        if method == "POST":
            assert member.post(at, headers=headers).status_code == 403
    assert mine.voted() == {}
    assert paused_since(mine.desk.home) is None


# ── what it shows ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_is_there_in_both_languages(mine, lang):
    browser = mine.browser()
    for path, _ in SECTIONS:
        shown = browser.get(path, params={"lang": lang})
        assert shown.status_code == 200
        assert f'<html lang="{"zh-CN" if lang == "zh" else "en"}"' in shown.text
        assert "node_page." not in shown.text
    assert mine.looked_at(browser).status_code == 200


def test_what_was_asked_answered_and_refused_stands_there_with_the_clause(mine):
    journal = Journal(mine.desk.home.folder / "node" / "journal.jsonl")
    became = (("answered", ""), ("refused", "aggregation.participation"), ("failed", "answer.smallest-cell {}"))
    for number, (event, detail) in enumerate(became, start=1):
        ask = sha256(str(number).encode())
        place = f"r1/{number}/1/1"
        if event != "refused":
            journal.add(at="2026-06-01T10:00:00Z", event="reserved", ask=ask, place=place)
        journal.add(at="2026-06-01T10:00:05Z", event=event, ask=ask, place=place, detail=detail)
    journal.add(at="2026-06-01T10:01:00Z", event="reserved", ask=sha256(b"now"), place="r1/4/1/1")
    browser = mine.browser()
    shown = browser.get("/").text
    assert "r1, round 4: being worked on" in shown
    assert "aggregation.participation" in shown
    whole = browser.get("/journal").text
    assert whole.count("<tr>") == 1 + 4
    assert "answer.smallest-cell" in whole
    tally = mine.desk.tally(mine.desk.journal())
    assert (tally.answered, tally.refused, tally.failed, tally.reserved) == (1, 1, 1, 1)


def test_a_long_journal_comes_in_pages(mine):
    journal = Journal(mine.desk.home.folder / "node" / "journal.jsonl")
    for number in range(60):
        journal.add(at="2026-06-01T10:00:00Z", event="refused", ask=sha256(b"%d" % number), place=f"r1/{number}/1/1")
    browser = mine.browser()
    assert browser.get("/journal").text.count("<tr>") == 51
    assert browser.get("/journal?page=2").text.count("<tr>") == 11
    for odd in ("0", "-1", "x", "9" * 30, "²"):
        assert browser.get("/journal", params={"page": odd}).status_code == 200


def test_a_journal_that_was_altered_is_said_to_be(mine):
    journal = Journal(mine.desk.home.folder / "node" / "journal.jsonl")
    for number in range(2):
        journal.add(at="2026-06-01T10:00:00Z", event="refused", ask=sha256(b"%d" % number), place="r1/1/1/1")
    journal.path.write_bytes(journal.path.read_bytes().replace(b"r1/1/1/1", b"r1/9/1/1", 1))
    shown = mine.browser().get("/journal")
    assert shown.status_code == 409
    assert "journal.changed" in shown.text


def test_the_card_and_the_accord_are_those_of_this_member(mine):
    browser = mine.browser()
    card = browser.get("/card").text
    assert "withheld" in card
    assert "500" in card
    accord = mine.desk.state().accord
    assert accord.purpose.summary in browser.get("/accord").text


def test_what_did_not_work_is_told_where_the_member_looks(mine):
    mine.desk.hear(Event("trouble", {"error": RunError("join.paused")}))
    mine.desk.hear(Event("serving", {"hub": "x"}))
    assert "join.paused" in mine.browser().get("/").text


# ── hold the node ────────────────────────────────────────────────────────────


def test_held_the_node_answers_nothing_also_after_a_restart_until_it_goes_on(mine):
    from foedus.resident.serve import Resident

    browser = mine.browser()
    assert mine.post(browser, "/pause").status_code == 303
    assert "answers nothing since" in browser.get("/").text
    home = ws.open_workspace(mine.desk.home.folder)

    def away(*_):
        raise IdentityError("link.unreachable", hub="hub", reason="away")

    line = Link(mine.desk.link.hub, mine.met.door.clock, away)
    started_again = Resident(home, line, PASSPHRASE, mine.met.door.clock, lambda _: None)
    with pytest.raises(RunError, match=r"join\.paused"):
        started_again.handle(b"an ask")
    assert mine.post(browser, "/go-on").status_code == 303
    assert paused_since(home) is None
    with pytest.raises(IdentityError, match=r"link\.unreachable"):  # it begins to answer: the ledger comes first
        started_again.handle(b"an ask")


# ── votes ────────────────────────────────────────────────────────────────────


def test_a_vote_is_shown_signed_with_the_passphrase_and_sent(mine):
    browser = mine.browser()
    shown = mine.looked_at(browser).text
    assert "every check holds" in shown
    assert mine.met.digest in shown
    assert shown.index("Verified on this machine") < shown.index("Gates, failures first") < shown.index("What changes")
    assert shown.index("What changes") < shown.index("Sign the approval")
    assert mine.vote(browser, "approve").status_code == 303
    assert mine.voted() == {"bank-a": "approve"}
    assert (mine.met.draft.folder / "model.bank-a.sig").is_file()
    assert "you approved" in browser.get(f"/votes/{mine.met.digest}").text
    assert "Nothing waits for a vote" in browser.get("/").text


@pytest.mark.parametrize("passphrase", ["", "wrong"])
def test_without_the_right_passphrase_nothing_is_signed(mine, passphrase):
    browser = mine.browser()
    mine.looked_at(browser)
    answer = mine.vote(browser, "approve", passphrase=passphrase)
    assert answer.status_code == 403
    assert "keys.passphrase" in answer.text
    assert ws.pending(mine.desk.home) == []
    assert mine.voted() == {}


def test_what_fails_stands_first_and_cannot_be_approved_but_objected_to(tmp_path):
    mine = node(tmp_path, good=False)
    browser = mine.browser()
    shown = mine.looked_at(browser).text
    assert "does not hold" in shown
    assert "Sign the approval" not in shown
    rows = [shown.index(word) for word in ("fail</span>", "pass</span>") if word in shown]
    assert rows == sorted(rows)
    assert mine.vote(browser, "approve").status_code == 409
    assert mine.vote(browser, "object", reason="").status_code == 400
    assert mine.vote(browser, "object", reason="too weak").status_code == 303
    assert mine.voted() == {"bank-a": "object"}


def test_a_hub_that_shows_one_model_and_asks_for_another_gets_no_vote(tmp_path):
    def lying(met):
        true = met.link()
        (met.draft.folder / "model" / "vocab.txt").write_bytes(b"other\n")
        return Link(true.hub, true.clock, true.send)

    mine = node(tmp_path, link=lying)
    browser = mine.browser()
    assert "does not hold" in mine.looked_at(browser).text
    assert mine.vote(browser, "approve").status_code == 409
    assert mine.voted() == {}


def test_two_tabs_sign_once_and_the_older_one_signs_nothing(mine):
    one, two = mine.browser(), mine.browser()
    mine.looked_at(one)
    page = f"/votes/{mine.met.digest}"
    old = mine.field(two, "mark", page)
    assert mine.vote(one, "approve").status_code == 303
    late = mine.vote(two, "object", mark=old)
    assert late.status_code == 403
    assert "node_page.changed" in late.text
    assert mine.voted() == {"bank-a": "approve"}
    assert len(list(mine.desk.home.outbox.glob("*.vote"))) == 1
    assert mine.vote(two, "object").status_code == 303
    assert mine.voted() == {"bank-a": "object"}


def test_a_form_that_was_not_filled_in_or_is_of_no_page_signs_nothing(mine):
    browser = mine.browser()
    assert mine.vote(browser, "approve").status_code == 403
    mine.looked_at(browser)
    for fields in ({"read": ""}, {"choice_": "x"}, {"mark": ""}, {"mark": "sha256:" + "0" * 64}):
        choice = "maybe" if "choice_" in fields else "approve"
        assert mine.vote(browser, choice, **{k: v for k, v in fields.items() if k != "choice_"}).status_code in (
            400,
            403,
        )
    assert mine.voted() == {}
    assert mine.post(browser, f"/votes/{sha256(b'no')}", choice="approve", read="yes").status_code == 404


def test_a_hub_that_is_away_gets_the_vote_when_it_is_back(tmp_path):
    away = []

    def flaky(met):
        true = met.link()

        def send(method, path, body):
            if away:
                raise IdentityError("link.unreachable", hub="hub", reason="away")
            return true.send(method, path, body)

        return Link(true.hub, true.clock, send)

    mine = node(tmp_path, link=flaky)
    browser = mine.browser()
    mine.looked_at(browser)
    away.append(True)
    assert mine.vote(browser, "approve").status_code == 303
    assert mine.voted() == {}
    assert len(ws.pending(mine.desk.home)) == 1
    away.clear()
    mine.desk.sync()
    assert mine.voted() == {"bank-a": "approve"}
    assert (mine.met.draft.folder / "model.bank-a.sig").is_file()


def test_a_draft_that_cannot_be_fetched_is_said_and_can_be_tried_again(tmp_path):
    broken = [True]

    def breaking(met):
        true = met.link()

        def send(method, path, body):
            if broken and path == PREFIX + "candidate":
                return 500, b"{}"
            return true.send(method, path, body)

        return Link(true.hub, true.clock, send)

    mine = node(tmp_path, link=breaking)
    browser = mine.browser()
    shown = mine.looked_at(browser).text
    assert "link.refused" in shown
    assert "Sign the approval" not in shown
    broken.clear()
    assert "Sign the approval" in mine.looked_at(browser).text
