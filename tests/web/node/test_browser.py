"""A member votes by keyboard alone in a real browser; axe finds nothing on any page of the node."""

import pytest

from browsed import chromium, findings, text, told, wait, walk_to
from foedus.web.door.places import places
from foedus.web.node.app import SECTIONS, build
from foedus.web.node.keeper import Keeper
from foedus.web.port import bound, listen
from noded import PASSPHRASE, node

pytestmark = pytest.mark.slow


@pytest.fixture(params=[True, False], ids=["good", "bad"])
def served(request, tmp_path):
    """A node's page on a port, with a draft that clears its gates, or not."""
    made = node(tmp_path, good=request.param)
    socket = bound("127.0.0.1", 0)
    made.keeper = Keeper("bank-a", places("127.0.0.1", socket.getsockname()[1], name="foedus-node"))
    listening = listen(build(made.desk, made.keeper), socket)
    yield made, request.param
    listening.close()


def press(element, *keys):
    element.send_keys(*keys)


def shown(driver, words):
    wait(driver, lambda one: words in text(one))


def test_a_member_votes_by_keyboard_alone(served):
    from selenium.webdriver.common.keys import Keys

    mine, good = served
    choice = "approve" if good else "object"
    with chromium() as driver:
        driver.get(mine.keeper.link)
        assert "token" not in driver.current_url
        press(walk_to(driver, lambda one: one.text == "bank-intents 1.0.0"), Keys.ENTER)
        shown(driver, "Fetch it and verify it here")
        press(walk_to(driver, lambda one: one.text == "Fetch it and verify it here"), Keys.ENTER)
        shown(driver, "Sign the objection")
        main = text(driver)
        assert main.index("Verified on this machine") < main.index("Gates, failures first") < main.index("Object")
        assert ("Sign the approval" in main) == good
        assert findings(driver) == []
        press(walk_to(driver, lambda one: one.get_attribute("id") == f"{choice}-reason"), "read and checked")
        press(walk_to(driver, lambda one: one.get_attribute("id") == f"{choice}-passphrase"), PASSPHRASE)
        press(walk_to(driver, lambda one: one.get_attribute("id") == f"{choice}-read"), Keys.SPACE)
        press(walk_to(driver, lambda one: one.tag_name == "button"), Keys.ENTER)
        shown(driver, "you approved" if good else "you objected")
        assert mine.voted() == {"bank-a": choice}
        assert told(driver) == []


def test_axe_finds_nothing_on_any_page_in_either_language_or_theme(served):
    mine, _ = served
    origin = mine.keeper.places.origin
    with chromium() as driver:
        driver.get(f"{origin}/locked")
        assert findings(driver) == []
        driver.get(mine.keeper.link)
        walked = 0
        for theme in ("light", "dark"):
            for lang in ("en", "zh"):
                for path in (*(path for path, _ in SECTIONS), f"/votes/{mine.met.digest}", "/votes/none"):
                    driver.get(f"{origin}{path}?lang={lang}&theme={theme}&live=0")
                    assert (path, findings(driver)) == (path, [])
                    walked += 1
        assert walked == 28
        assert all("/votes/none" in message for message in told(driver))
