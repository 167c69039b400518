"""Every page over a consortium that practised: it answers in both languages, is whole, and runs no script of a text."""

import json
import re
import shutil

import pytest

from foedus.core.digest import short
from foedus.web.table import PAGES
from paged import ORIGIN, Page, browser, names, pages, seen, signed_in, site_over

LANGUAGES = ("en", "zh")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_answers_in_its_language_and_is_whole(lang):
    tag = {"en": "en", "zh": "zh-CN"}[lang]
    for path in pages():
        answer = browser().get(path, params={"lang": lang})
        assert answer.status_code == 200, path
        found = Page(answer.text)
        assert found.all("html")[0]["lang"] == tag, path
        assert len([one for one in found.elements if one[0] == "h1"]) == 1, path
        ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), path
        assert not re.search(r"[�]|\bundefined\b|web\.[a-z]+\.", found.text), path


def test_there_is_an_address_for_every_page_of_the_table():
    """So that the tests over `pages()` leave none out."""

    def shape(path):
        return "^" + re.sub(r"\{[a-z]+\}", "[^/]+", path) + "$"

    beside = {"/runs/compare", "/runs/{name}/events", "/audit/export", "/audit/{at}/entry.json", "/audit/{at}/proof"}
    unseen = {
        one.path for one in PAGES
        if one.method == "GET" and not any(re.match(shape(one.path), path) for path in pages())
    }  # fmt: skip
    assert unseen <= beside


def test_no_page_holds_a_script_or_a_style_of_its_own():
    for path in pages():
        answer = browser().get(path)
        found = Page(answer.text)
        assert all("src" in one for one in found.all("script")), path
        assert not found.all("style"), path
        for _, attributes in found.elements:
            assert "style" not in attributes, path
            assert not [name for name in attributes if name.startswith("on")], path
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy


def test_no_page_names_another_machine():
    for path in pages():
        for _, attributes in Page(browser().get(path).text).elements:
            for name in ("src", "href", "action"):
                assert not (attributes.get(name) or "").startswith(("http:", "https:", "//")), (path, attributes)


def test_every_link_within_the_pages_leads_somewhere():
    one = browser()
    asked = set()
    for path in pages():
        for attributes in Page(one.get(path).text).all("a"):
            target = (attributes.get("href") or "").partition("#")[0]
            if target and not target.startswith(("/static", "/door")) and "lang=" not in target:
                asked.add(target)
    shapes = {}
    for target in sorted(asked):
        shapes.setdefault(re.sub(r"[0-9a-f]{64}|[0-9]+", "N", target), []).append(target)
    wrong = [target for found in shapes.values() for target in found[:40] if one.get(target).status_code != 200]
    assert wrong == []


def test_every_form_brings_the_csrf_field_when_it_changes_something():
    for path in pages():
        text = browser().get(path).text
        for form in re.findall(r"<form.*?</form>", text, re.DOTALL):
            assert ('method="post"' not in form) or ('name="csrf"' in form), path


def test_charts_have_a_title_a_description_and_their_numbers():
    for path in ("/runs/run-1", "/credit/run-1", f"/cards/{names().card}"):
        text = browser().get(path).text
        drawings = re.findall(r'<figure class="chart".*?</figure>', text, re.DOTALL)
        assert drawings, path
        for drawing in drawings:
            assert re.search(r"<title id=[^>]+>[^<]+</title><desc id=[^>]+>[^<]+</desc>", drawing), path
            assert "<table>" in drawing, path


def test_the_overview_says_where_the_loop_stands_and_which_release_is_current():
    text = Page(browser().get("/").text).text
    for words in ("Accord", "in force", "3 members", "3 of 3 registered", "all members", "practice-intents 1.0"):
        assert words in text or words == "all members"
    release = seen().index.releases().items[0]
    assert short(release.model) in text
    assert "not served here" in text
    assert "no part of a run" in text


def test_the_accord_stands_in_plain_words_beside_its_terms():
    text = Page(browser().get("/accord").text).text
    assert "Understand what customers ask." in text
    assert "min_members: 2" in text
    accord = seen().state().accord
    assert accord is not None
    for member in accord.members:
        assert member.name in text
        assert member.keys.act[-4:] in text


def test_the_terms_leave_no_clause_of_the_accord_out():
    from foedus.records.accord import Accord
    from foedus.web.pages.accord import TERMS

    assert {field for fields in TERMS.values() for field in fields} == set(Accord.model_fields)


def test_a_run_shows_rounds_members_figures_verdicts_and_credit():
    text = Page(browser().get("/runs/run-1").text).text
    for words in (
        "2 / 2",
        "bank-a",
        "Done",
        "federated − alone",
        "utility",
        "no harm",
        "files",
        "run export-replies",
    ):
        assert words in text, words


def test_a_gates_page_says_how_to_vote_on_ones_own_machine():
    text = Page(browser().get(f"/gates/{names().proposal}").text).text
    assert "Release practice-intents 1.0?" in text
    assert "3 approve, 2 needed." in text


def test_where_nothing_was_served_the_pages_say_so():
    assert "no server runs here" in Page(browser().get("/serving").text).text
    text = Page(browser().get("/monitoring").text).text
    assert "Nothing was looked at yet." in text
    assert "No run is proposed." in text


def test_what_was_answered_is_shown_without_what_was_asked(tmp_path):
    from foedus.serve.store import Answer, Traffic

    home = tmp_path / "hub"
    shutil.copytree(seen().workspace.folder, home)
    with Traffic.of(home) as traffic:
        traffic.add(
            Answer(
                id=f"{i:032x}", at="2026-11-22T08:00:00Z", release="practice-intents-1.0", app="desk",
                purpose="customer-service", tokens=5, label="age_limit" if i else "change_pin",
                confidence_bp=9000 if i % 2 else 400, text="my secret question", state="answered" if i else "in-review",
            )
            for i in range(40)
        )  # fmt: skip
    site = site_over(home)
    one = signed_in(site, "hub")
    text = one.get("/serving").text
    assert "secret" not in text
    assert "How sure the last 40 answers were" in text
    assert "withheld" in text, "one change_pin is below the smallest cell"
    assert "40 answers" in one.get("/").text
    rows = one.get("/serving/answers.json?size=3").json()
    assert (rows["total"], len(rows["rows"])) == (40, 3)
    assert "secret" not in one.get("/serving/answers.csv").text
    assert signed_in(site, "bank-a").get("/serving/answers").status_code == 403


def test_an_entry_shows_what_was_signed_and_its_proof():
    one = browser()
    text = Page(one.get("/audit/0").text).text
    assert "hub: proposed an accord" in text
    assert "accord.propose" in text
    leaf = one.get("/audit/0/entry.json").content
    kept = seen().index.leaf(0)
    assert kept is not None
    assert leaf == kept.data
    proof = one.get("/audit/0/proof")
    assert proof.headers["content-disposition"] == 'attachment; filename="entry-0.tlog-proof"'
    assert proof.text.splitlines()[0] in Page(one.get("/audit/0").text).text


def test_a_copy_of_the_ledger_can_be_taken_away():
    answer = browser().get("/audit/export")
    assert answer.status_code == 200
    assert len(answer.content) > 1000


def test_verify_now_recomputes_and_says_so_in_words_for_everybody():
    site = seen()
    one = signed_in(site, "bank-a")
    path = f"/releases/{names().proposal}"
    csrf = one.get(path).text.partition('name="csrf" value="')[2][:64]
    answer = one.post(f"{path}/verify", data={"csrf": csrf}, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    text = Page(answer.text).text
    assert "verified" in text
    assert "39 checks" in text or "checks" in text
    ledger = one.post("/audit/verify", data={"csrf": csrf}, headers={"origin": ORIGIN})
    assert "verified" in Page(ledger.text).text


def test_nobody_sees_a_page_of_the_consortium_without_signing_in():
    from starlette.testclient import TestClient

    from foedus.web.app import build
    from foedus.web.door import Door, places

    site = seen()
    door = Door.open(site.workspace, places("127.0.0.1", 8600), site.state)
    accept = {"accept": "text/html"}
    stranger = TestClient(build(site, door), base_url=ORIGIN, follow_redirects=False, headers=accept)
    for path in pages():
        answer = stranger.get(path)
        assert answer.status_code == (200 if path.startswith("/help") else 303), path
    assert stranger.get("/help").status_code == 200


def test_what_is_not_there_is_an_error_page_that_says_what_to_do():
    for path, code in (
        ("/nowhere", "web.no-such-page"), ("/runs/run-9", "web.no-such-run"), ("/members/nobody", "web.no-such-member"),
        ("/cards/00", "web.no-such-card"), ("/releases/00", "web.no-such-release"), ("/gates/00", "web.no-such-vote"),
        ("/audit/999999", "web.no-such-entry"), ("/audit/digest/00", "web.no-such-entry"),
        ("/runs/run-1/rounds/9", "web.no-such-round"), ("/credit/run-9", "web.no-such-run"),
        ("/accord/00", "web.no-such-accord"), ("/help/errors/no.such", "web.no-such-error"),
    ):  # fmt: skip
        answer = browser().get(path)
        assert answer.status_code == 404, path
        assert code in answer.text, path
    refused = browser().get("/runs.json?page=0")
    assert refused.status_code == 400
    assert json.loads(refused.text)["error"]["code"] == "web.bad-number"
    assert browser().get("/runs?sort=colour").status_code == 400
    assert browser().get("/runs?status=odd").status_code == 400
