"""The door in a real browser: the link signs in, a script cannot read the cookie, axe finds nothing."""

import pytest

from browsed import chromium, findings, told, wait
from doored import opened_pages
from foedus import workspace as ws
from foedus.index import open_index
from foedus.web.app import Site, build
from foedus.web.door import Door, places
from foedus.web.port import bound, listen

pytestmark = pytest.mark.slow


@pytest.fixture
def door(tmp_path):
    """Pages on a port, and their door."""
    made = opened_pages(tmp_path)
    socket = bound("127.0.0.1", 0)
    state = lambda: ws.consortium(made.hub)  # noqa: E731
    found = Door.open(made.hub, places("127.0.0.1", socket.getsockname()[1]), state, clock=made.clock)
    index = open_index(None, made.hub)
    index.refresh()
    listening = listen(build(Site(made.hub, index, made.clock), found), socket)
    yield found
    listening.close()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_link_signs_in_and_out_and_axe_finds_nothing(door, lang):
    origin = door.places.origin
    with chromium() as driver:
        driver.get(f"{origin}/door?lang={lang}")
        assert f"foedus login {origin}" in driver.page_source
        assert findings(driver) == []
        driver.get(door.first_link())
        assert "token" not in driver.current_url
        driver.get(f"{origin}/door")
        assert "hub" in driver.find_element("class name", "lead").text
        assert driver.execute_script("return document.cookie") == ""
        assert findings(driver) == []
        assert told(driver) == []
        driver.find_element("css selector", "main form button").click()
        signed_out = f"foedus login {origin}"
        wait(driver, lambda one: signed_out in one.page_source)
