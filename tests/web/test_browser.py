"""The pages in a real Chromium: main paths, live update, scripts off, paper, and what axe finds. Slow."""

import base64
import json
import shutil
from contextlib import contextmanager

import pytest

from browsed import chromium, findings, text, told, wait
from foedus.core.clock import now, spell
from foedus.core.errors import RunError
from foedus.practice import open_practice, run_here
from foedus.track.event import Event
from foedus.track.kept import EVENTS, append_event
from foedus.web.app import build
from foedus.web.port import bound, listen
from paged import names, pages, seen, site_over
from practised import ready_to_run

pytestmark = pytest.mark.slow


@contextmanager
def served(site):
    """The pages on a free port of this machine, without a door; gives their address."""
    listening = listen(build(site), bound("127.0.0.1", 0))
    try:
        yield f"http://127.0.0.1:{listening.port}"
    finally:
        listening.close()


@pytest.fixture(scope="module")
def origin():
    with served(seen()) as address:
        yield address


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_the_console_is_silent_on_every_page(origin, lang, theme):
    wrong = {}
    with chromium() as driver:
        for path in pages():
            driver.get(f"{origin}{path}?lang={lang}&theme={theme}&live=0")
            if found := findings(driver) + told(driver):
                wrong[path] = found
    assert wrong == {}


def test_no_page_asks_another_machine(origin):
    with chromium() as driver:
        for path in pages():
            driver.get(f"{origin}{path}?live=0")
            asked = driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
            assert [one for one in asked if not one.startswith(origin)] == [], path


def test_from_the_overview_to_the_run_and_to_the_verified_release(origin):
    with chromium() as driver:
        driver.get(f"{origin}/?lang=en")
        driver.find_element("css selector", ".loop a[href='/runs/run-1']").click()
        wait(driver, lambda one: "Done: all 2 rounds" in text(one))
        driver.get(f"{origin}/")
        driver.find_element("link text", "practice-intents 1.0").click()
        wait(driver, lambda one: one.find_element("css selector", "#verify button")).click()
        wait(driver, lambda one: "verified" in text(one, "#seen"))
        assert driver.current_url.endswith(f"/releases/{names().proposal}"), "only a part of the page was changed"
        assert told(driver) == []


def test_a_search_swaps_the_list_and_its_address_can_be_kept(origin):
    with chromium() as driver:
        driver.get(f"{origin}/help/errors?lang=en")
        driver.find_element("css selector", "input[type=search]").send_keys("yaml.several-documents")
        wait(driver, lambda one: text(one, "#codes").startswith("1 of "))
        assert "q=yaml.several-documents" in driver.current_url
        driver.refresh()
        assert text(driver, "#codes").startswith("1 of ")


def test_without_scripts_every_page_is_complete(origin):
    with chromium() as driver:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        for path in ("/", "/runs/run-1", f"/releases/{names().proposal}", "/audit"):
            driver.get(f"{origin}{path}?lang=en")
            assert len(text(driver)) > 300, path
        driver.find_element("css selector", "form[action='/audit/verify'] button").click()
        wait(driver, lambda one: "verified" in text(one))


def test_a_page_prints_to_paper_with_its_details_and_without_its_navigation(origin):
    from io import BytesIO

    with chromium() as driver:
        driver.get(f"{origin}/credit/run-1?lang=zh&live=0")
        paper = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
        assert paper.startswith(b"%PDF")
        assert BytesIO(paper).getbuffer().nbytes > 20_000
        assert b"/MediaBox [0 0 594" in paper or b"/MediaBox [0 0 595" in paper, "A4"
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert not driver.find_element("css selector", ".side").is_displayed()
        assert not driver.find_element("css selector", ".switches").is_displayed()


def test_at_four_hundred_per_cent_nothing_is_cut_off(origin):
    with chromium(size=(1280, 1024)) as driver:
        metrics = {"width": 320, "height": 256, "deviceScaleFactor": 4, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for path in pages():
            driver.get(f"{origin}{path}?live=0")
            over = driver.execute_script("const e = document.documentElement; return e.scrollWidth - e.clientWidth")
            assert over == 0, path


def test_a_run_that_goes_on_is_shown_as_it_goes(tmp_path):
    """The ledger has the open run; its events are written as the hub writes them."""
    home = shutil.copytree(ready_to_run(), tmp_path / "home")
    hub = home / "hub"

    def stop(event):
        if event.kind == "opened":
            (hub / "runs" / "run-1" / "stop").write_bytes(b"")

    with pytest.raises(RunError):
        run_here(open_practice(hub), workers=0, report=stop)
    file = hub / "runs" / "run-1" / EVENTS
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(one) + "\n" for one in kept if one["kind"] != "ended"))

    def tell(kind, **fields):
        append_event(file, Event(kind, fields, spell(now())))

    site = site_over(hub)
    with served(site) as address, chromium() as driver:
        driver.get(f"{address}/runs/run-1?lang=en")
        assert "1 of 2 rounds are closed" in text(driver)
        until = spell(now())
        tell("asked", round=2, step="train", until=until, members=["bank-a", "bank-b", "bank-c"], kept=[])
        tell("working", member="bank-a", bytes=1000)
        wait(driver, lambda one: "working" in text(one, "#board"))
        reply = {"round": 2, "step": "train", "bytes": 2000, "seconds": 1.25, "fields": {}}
        tell("answered", member="bank-a", code="", **reply)
        tell("failed", member="bank-b", code="train.diverged", **reply)
        wait(driver, lambda one: "train.diverged" in text(one, "#board"))
        assert "1.2 s" in text(driver, "#board")
        tell("round", round=2, used=["bank-a"], weights={}, late={}, left_out={"bank-b": "train.diverged"},
             loss="0.5", start_loss=None, state="x")  # fmt: skip
        wait(driver, lambda one: one.find_element("css selector", "#curve canvas").is_displayed())
        tell("ended", run="run-1", code="", fields={})
        wait(driver, lambda one: one.find_element("id", "over").is_displayed())
        assert told(driver) == []
        driver.get(f"{address}/runs/run-1?lang=en&live=0")
        assert not driver.find_elements("css selector", "[data-stream]"), "?live=0 holds the page still"
