"""What is wrong with an address, and what nobody foresaw: told as a page, in the reader's language."""

from __future__ import annotations

import logging

import pytest
from starlette.testclient import TestClient

from foedus.core.errors import RunError
from foedus.web.app import build
from foedus.web.site import Site
from paged import ORIGIN, Page, browser, pages, seen, signed_in


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/audit/abc", 422, "web.bad-address"),
        ("/audit/-1", 404, "web.no-such-entry"),
        ("/audit/9223372036854775808", 404, "web.no-such-entry"),
        (f"/audit/{'9' * 5000}", 422, "web.bad-address"),
        ("/audit/9223372036854775808/proof", 404, "web.no-such-entry"),
        ("/audit/9223372036854775808/entry.json", 404, "web.no-such-entry"),
        ("/runs/run-1/rounds/abc", 422, "web.bad-address"),
        ("/runs/run-1/rounds/9223372036854775808", 404, "web.no-such-round"),
        ("/runs/run-1/rounds/abc.json", 422, "web.bad-address"),
        ("/runs/%00", 404, "web.no-such-run"),
        ("/nothing", 404, "web.no-such-page"),
    ],
)
def test_a_wrong_address_gets_a_page_in_the_readers_language(path, status, code):
    for language, word in (("en", "Expected"), ("zh", "应为")):
        answer = browser().get(path, params={"lang": language})
        assert (answer.status_code, code in answer.text) == (status, True)
        if not path.endswith(".json"):
            assert answer.headers["content-type"].startswith("text/html")
            assert word in Page(answer.text).words
            assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_stream_is_begun_at_its_start_where_the_place_is_no_number():
    for place in ("9" * 5000, "x", "-1"):
        head = browser().head(f"/runs/run-1/events?from={place}")
        assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert "event: ended" in browser().get(f"/runs/run-1/events?from={place}").text


def test_head_is_as_get_on_every_page():
    one = browser()
    for path in [*pages(), "/runs.json", "/audit.csv", "/nothing", "/audit/abc"]:
        assert one.head(path).status_code == one.get(path).status_code, path


def test_head_is_for_those_for_whom_the_page_is():
    site = seen()
    assert signed_in(site, "hub").head("/serving/answers").status_code == 200
    assert signed_in(site, "bank-a").head("/serving/answers").status_code == 403
    stranger = TestClient(signed_in(site, "hub").app, base_url=ORIGIN, follow_redirects=False)
    assert stranger.head("/audit").status_code == stranger.get("/audit").status_code == 401


def test_a_method_that_a_page_does_not_take_is_told_in_the_readers_language():
    answer = browser().put("/audit", params={"lang": "zh"})
    assert answer.status_code == 405
    assert "应为" in Page(answer.text).words
    assert "web.wrong-method" in answer.text


class Failing:
    """An index that knows what is in force, and fails at whatever else it is asked."""

    def __init__(self, error):
        self.error = error

    def consortium(self):
        return seen().index.consortium()

    def __getattr__(self, name):
        raise self.error


def failing(error):
    """A browser before pages over such an index."""
    return TestClient(build(Site(seen().workspace, Failing(error), seen().clock)), base_url=ORIGIN)


def test_a_fault_that_nobody_foresaw_is_a_page_with_a_number_that_the_log_has(caplog):
    for language, word in (("en", "Expected"), ("zh", "应为")):
        caplog.clear()
        answer = failing(ZeroDivisionError("a secret of the machine")).get("/runs", params={"lang": language})
        assert answer.status_code == 500
        assert word in Page(answer.text).words
        assert "web.bug" in answer.text
        assert "secret" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        (told,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert told.args[0] in answer.text
        assert "a secret of the machine" in str(told.exc_info[1])


def test_where_not_even_a_page_can_be_made_the_fault_is_told_plainly(caplog):
    broken = Failing(ValueError("odd"))
    broken.consortium = lambda: 1 / 0
    answer = TestClient(build(Site(seen().workspace, broken, seen().clock)), base_url=ORIGIN).get("/runs")
    assert (answer.status_code, answer.text) == (500, "500 web.bug\n")
    assert len(caplog.records) == 2


def test_readers_are_not_told_where_the_database_is():
    error = RunError("index.away", database="postgresql://foedus@/x?host=/srv/db", reason='socket "/srv/db" is gone')
    for path in ("/audit", "/runs.json"):
        answer = failing(error).get(path)
        assert answer.status_code == 503
        assert "web.index-away" in answer.text
        assert "/srv/db" not in answer.text
