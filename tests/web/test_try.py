"""The serving page's box: a text is answered on the page, for the roles that may, with and without scripts."""

import shutil
from contextlib import contextmanager

import pytest

from boxed import ADDRESS, answering
from browsed import chromium, findings, text, told, wait, walk_to
from foedus.web.app import build
from foedus.web.door import Door, places
from foedus.web.pages import serving
from foedus.web.port import bound, listen
from paged import ORIGIN, Page, signed_in, site_over
from practised import published
from served import TEXTS

SAME = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Its page waits for the server beside it, however busy the machine: elsewhere it has no box after some seconds."""
    monkeypatch.setattr(serving, "_LOOK_SECONDS", 60.0)
    return site_over(shutil.copytree(published(), tmp_path / "home") / "hub")


def typed(browser, text, **fields):
    csrf = browser.get("/serving").text.partition('name="csrf" value="')[2][:64]
    return browser.post("/serving/try", data={"csrf": csrf, "text": text, **fields}, headers=SAME)


def test_a_text_is_answered_on_the_page_and_the_figures_stand_there(site):
    browser = signed_in(site, "bank-a")
    assert 'action="/serving/try"' not in browser.get("/serving").text, "nothing answers yet"
    with answering(site.workspace.folder):
        answer = typed(browser, TEXTS[1])
        found = Page(answer.text)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert TEXTS[1] in found.text
        assert "practice-intents" in answer.text.partition('id="answered"')[2]
        shown = browser.get("/serving").text
        assert TEXTS[1] not in shown
        assert "95 of 100 within" in shown
        assert ADDRESS in shown
        refused = typed(browser, "<b>x</b>", purpose="advertise")
        assert "advertise" in Page(refused.text).text
        assert "<b>x" not in refused.text
        assert "Bearer" not in shown
    with answering(site.workspace.folder, closed=True):
        assert "Bearer" in browser.get("/serving").text
    assert typed(browser, "nobody answers").status_code == 403, "the page without a server has no form"


def test_who_only_reads_has_no_box_and_no_way_around_it(site):
    with answering(site.workspace.folder):
        stranger = signed_in(site, "bank-a")
        csrf = stranger.get("/serving").text.partition('name="csrf" value="')[2][:64]
        stranger.cookies.clear()
        assert stranger.post("/serving/try", data={"csrf": csrf, "text": "a"}, headers=SAME).status_code == 403
        from foedus.web.pages.serving import TRIERS
        from foedus.web.table import rules

        assert rules()["POST", "/serving/try"].roles == TRIERS
        assert "auditor" not in TRIERS


@contextmanager
def behind_a_door(site):
    """The pages on a real port; gives the link by which bank-a comes in."""
    socket = bound("127.0.0.1", 0)
    port = socket.getsockname()[1]
    door = Door.open(site.workspace, places("127.0.0.1", port), site.state, clock=site.clock)
    listening = listen(build(site, door), socket)
    try:
        token = door.sessions.link("bank-a", site.state().key("bank-a", "act"))
        yield f"http://127.0.0.1:{port}", f"/door/enter?token={token}"
    finally:
        listening.close()


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("scripts", [True, False])
def test_the_box_answers_in_a_real_browser_by_the_keyboard_alone(site, lang, scripts):
    from selenium.webdriver.common.keys import Keys

    with answering(site.workspace.folder), behind_a_door(site) as (origin, link), chromium() as driver:
        driver.get(origin + link)
        if not scripts:
            driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        driver.get(f"{origin}/serving?lang={lang}&live=0")
        box = walk_to(driver, lambda one: one.get_attribute("id") == "text")
        box.send_keys(TEXTS[2])
        walk_to(driver, lambda one: one.tag_name == "button").send_keys(Keys.ENTER)
        wait(driver, lambda one: "practice-intents" in text(one, "#answered"))
        assert driver.find_element("id", "text").get_attribute("value") == TEXTS[2]
        assert driver.current_url.endswith("/serving/try") != scripts
        if scripts:
            assert findings(driver) + told(driver) == []
