"""Every request before any page sees it: foreign names, foreign pages, forms without their mark, roles."""

import re
from itertools import product

import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from doored import ORIGIN, opened_pages
from foedus.core.errors import CallerError
from foedus.records.door import PART_BYTES
from foedus.web.door import EVERYONE, PARTIES, ROLES, STRANGER, Rule, Visitor, guard, places
from foedus.web.door.guard import FORM_BYTES, csrf_of
from foedus.web.door.routes import RULES
from foedus.web.table import rules


@pytest.fixture
def pages(tmp_path):
    return opened_pages(tmp_path)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:9999", "127.0.0.1:8600.evil.example", ""])
def test_a_foreign_host_is_refused_before_anything_else(pages, host):
    browser = pages.signed_in("bank-a")
    answer = browser.get("/door", headers={"host": host})
    assert answer.status_code == 421
    assert "door.foreign-host" in answer.text
    assert "foedus login" not in answer.text


def test_the_three_names_of_this_machine_are_its_own(pages):
    for origin in pages.door.places.origins:
        host = origin.removeprefix("http://")
        assert pages.browser().get("/door", headers={"host": host}).status_code == 200
    assert len(pages.door.places.origins) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8600"},
        {},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
    ],
)
def test_a_foreign_origin_is_refused_even_with_the_right_mark(pages, headers):
    browser = pages.signed_in("bank-a")
    answer = browser.post("/door/end", data={"csrf": pages.csrf(browser)}, headers=headers)
    assert answer.status_code == 403
    assert "door.foreign-origin" in answer.text
    assert "bank-a" in browser.get("/door").text


def test_a_form_without_its_mark_or_with_anothers_is_refused(pages):
    browser, other = pages.signed_in("bank-a"), pages.signed_in("bank-b")
    for mark in ({}, {"csrf": ""}, {"csrf": pages.csrf(other)}, {"csrf": browser.cookies["foedus-8600"]}):
        answer = pages.post(browser, "/door/end", **mark)
        assert answer.status_code == 403
        assert "door.wrong-form" in answer.text
    assert "bank-a" in browser.get("/door").text
    marked = browser.post("/door/end", headers={"origin": ORIGIN, "x-csrf-token": pages.csrf(browser)})
    assert marked.status_code == 303


def test_a_form_from_before_signing_in_anew_is_refused(pages):
    browser = pages.signed_in("bank-a")
    old = pages.csrf(browser)
    pages.post(browser, "/door/end", csrf=old)
    browser.get(pages.link("bank-a"))
    assert pages.post(browser, "/door/end", csrf=old).status_code == 403


def test_a_form_larger_than_a_form_is_refused(pages):
    browser = pages.signed_in("bank-a")
    answer = pages.post(browser, "/door/end", csrf=pages.csrf(browser), session="x" * FORM_BYTES)
    assert answer.status_code == 403
    assert pages.browser().post("/door/login", content=b"x" * PART_BYTES).status_code == 400


def test_a_link_that_another_page_led_to_opens_nothing(pages):
    link, browser = pages.link("bank-a"), pages.browser()
    assert browser.get(link, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.get(link, headers={"sec-fetch-site": "none"}).status_code == 303


def test_after_signing_in_one_is_led_to_a_page_of_ours_alone(pages):
    browser = pages.signed_in("bank-a")
    for wish, to in (("/runs?page=2", "/runs?page=2"), ("//evil.example", "/"), ("https://evil.example/", "/"),
                     ("/\\evil.example", "/"), ("javascript:alert(1)", "/")):  # fmt: skip
        shown = browser.get("/door", params={"next": wish}).text
        assert re.findall(r'class="button" href="([^"]*)"', shown) == [to]


def test_every_answer_carries_the_headers_and_no_script_stands_in_a_page(pages):
    browser = pages.signed_in("bank-a")
    for path in ("/door", "/help", "/no-such-page", "/static/pages.css"):
        answer = browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>|\son[a-z]+=|\sstyle=", answer.text)
    assert "strict-transport-security" not in browser.get("/door").headers


def test_behind_a_proxy_with_tls_cookies_are_secure_and_its_name_is_ours(tmp_path):
    pages = opened_pages(tmp_path, host="0.0.0.0", url="https://hub.example.org")  # noqa: S104 - not bound
    browser = pages.browser("https://hub.example.org")
    entered = browser.get(pages.door.first_link())
    assert entered.headers["set-cookie"].startswith("__Host-foedus=")
    assert "Secure" in entered.headers["set-cookie"]
    assert "hub" in browser.get("/door").text
    assert "strict-transport-security" in entered.headers


ELSEWHERE = ({"host": "0.0.0.0"}, {"host": "192.0.2.7"}, {"host": "::", "url": "http://hub.example"})  # noqa: S104


@pytest.mark.parametrize("at", ELSEWHERE)
def test_pages_that_others_reach_without_tls_are_refused(at):
    with pytest.raises(CallerError, match=r"door\.no-tls"):
        places(port=8600, **at)


# ── every route, every role ──────────────────────────────────────────────────


def visitors():
    for role in ROLES:
        yield STRANGER if role == "stranger" else Visitor(f"the-{role}", frozenset({role}))


class Post:
    """A keeper that takes the cookie for the role itself."""

    sign_in = "/door"
    places = places("127.0.0.1", 8600)

    def visitor(self, token):
        known = {one.name: one for one in visitors()}
        return known.get(token, STRANGER)


def test_every_route_has_a_rule_and_every_rule_a_route(pages):
    table = {**rules(), **RULES}
    routed = {
        (method, route.path)
        for route in pages.app.router.routes
        for method in getattr(route, "methods", None) or {"GET"}
        if method != "HEAD" and not route.path.startswith("/openapi")
    }
    assert routed == set(table)


def test_the_access_matrix_holds_for_every_route_role_and_method(pages):
    """The routes of the pages in their order, each answering with its name: the guard alone decides who hears it."""
    table = {**rules(), **RULES}
    app, bare = FastAPI(openapi_url=None), FastAPI(openapi_url=None)
    for route in pages.app.router.routes:
        methods = sorted((getattr(route, "methods", None) or {"GET"}) - {"HEAD"})
        if (methods[0], route.path) in table:
            for one in (app, bare):
                one.router.add_route(route.path, named(route.path), methods=methods)
    guard(app, Post(), table)
    stranger, unguarded = TestClient(app, base_url=ORIGIN, follow_redirects=False), TestClient(bare, base_url=ORIGIN)
    walked = 0
    for path, method in product(sorted({path for _, path in table}), ("GET", "POST")):
        heard = unguarded.request(method, path)
        rule = table[method, heard.text] if heard.status_code == 200 else None
        for visitor in visitors():
            headers = {"origin": ORIGIN, "x-csrf-token": csrf_of(visitor.name or ""), "accept": "text/html"}
            if visitor.name:
                headers["cookie"] = f"{Post.places.cookie}={visitor.name}"
            answer = stranger.request(method, path, headers=headers)
            signed = rule is not None and rule.signed
            may = rule is not None and (STRANGER if signed else visitor).may(rule.roles)
            may = may and (method == "GET" or signed or visitor.name is not None)
            assert (answer.text == heard.text and answer.status_code == 200) == may, (visitor, method, path)
            if not may and rule is not None:
                led = method == "GET" and visitor == STRANGER
                assert answer.status_code in ((303,) if led else (401, 403))
            walked += 1
    assert walked == len(ROLES) * 2 * len({path for _, path in table})


def named(path):
    """A page that answers with its path."""
    return lambda request: PlainTextResponse(path)


def test_a_route_that_the_table_does_not_name_is_for_nobody():
    app = FastAPI(openapi_url="/openapi.json")
    app.router.add_route("/forgotten", lambda request: PlainTextResponse("shown"))
    guard(app, Post(), {("GET", "/known"): Rule(EVERYONE)})
    for name in (None, "the-coordinator"):
        browser = TestClient(app, base_url=ORIGIN, follow_redirects=False)
        if name:
            browser.cookies.set(Post.places.cookie, name)
        for path in ("/forgotten", "/openapi.json"):
            assert browser.get(path).status_code in (401, 403)


def test_only_the_help_static_files_and_the_door_are_open_to_strangers():
    open_to_all = {path for (_, path), rule in rules().items() if "stranger" in rule.roles}
    assert all(path.startswith(("/help", "/static")) for path in open_to_all), open_to_all
    triers = frozenset({"coordinator", "contributor", "consumer"})
    assert {rule.roles for rule in rules().values()} <= {EVERYONE, PARTIES, frozenset({"coordinator"}), triers}
    assert [path for (_, path), rule in rules().items() if rule.roles == triers] == ["/serving/try"]
