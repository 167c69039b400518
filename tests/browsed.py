"""A real browser without a screen, and what axe finds on a page."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
AXE = Path(__file__).parent / "web" / "vendor" / "axe.min.js"
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip


@contextmanager
def chromium(*, size=(1280, 1000)):
    """A browser that asks nobody but the pages under test; the test is skipped where there is none."""
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip("no Chromium here")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        for word in (*QUIET, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
            options.add_argument(word)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


def findings(driver):
    """What axe finds on the page that is shown: rule, and where."""
    driver.execute_script(AXE.read_text())
    found = driver.execute_async_script("const done = arguments[0]; axe.run().then(r => done(r.violations));")
    return [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def told(driver):
    """What the browser complained of: refused scripts and styles, missing files."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def text(driver, selector="main"):
    """What is shown in the first element of this selector."""
    return driver.find_element("css selector", selector).text


def wait(driver, reached, seconds=60):
    """Until `reached(driver)` is true; gives what it gave.

    A click does not wait for the page it brings: until then an element may be missing, or be of the page before.
    """
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    passing = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(driver, seconds, ignored_exceptions=passing).until(reached)


def walk_to(driver, reached, *, most=80):
    """Press Tab until the focus is on an element for which `reached` is true; gives it."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.keys import Keys

    for _ in range(most):
        with suppress(StaleElementReferenceException):  # what has come since took the place of what had the focus
            driver.switch_to.active_element.send_keys(Keys.TAB)
            if reached(focused := driver.switch_to.active_element):
                return focused
    raise AssertionError(f"not reached by {most} times Tab: {driver.page_source[:2000]}")
