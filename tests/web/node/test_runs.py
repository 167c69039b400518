"""Proposed runs on a member's own page: shown with what they rest on, signed as shown, with the passphrase."""

import pytest

from foedus import workspace as ws
from foedus.core.messages import LANGUAGES
from foedus.records.watch import ExpectedGain, Quality, WatchFigure, WatchReport
from foedus.release.desk import approve_draft, publish_release
from foedus.workspace.proposing import propose_run
from noded import PASSPHRASE, node

GAIN = ExpectedGain(metric="accuracy", now="0.7", expected="0.8", basis="the first release")


def report(release):
    figures = (
        WatchFigure(
            measure="labels", detector="psi", reference=500, recent=200, statistic="0.31", p="0.001", moved=True
        ),
    )
    return WatchReport(
        release=release, party="bank-b", first="2026-05-01T10:00:00Z", last="2026-05-31T10:00:00Z", smallest_cell=20,
        looks=12, level="warning", figures=figures, labels={"card": 120}, quality=Quality(judged=40, wrong=9),
    )  # fmt: skip


def proposed(tmp_path, *, evidence=None):
    """The node of bank-a, after the draft was published and the hub proposed a run from it; gives its entry too."""
    mine = node(tmp_path)
    met = mine.met
    for party in met.members:
        secret = PASSPHRASE if party == "bank-a" else None
        parcel, _ = approve_draft(met.members[party], met.draft.folder, passphrase=secret, clock=met.door.clock)
        met.link().ballot(parcel)
        mine.desk.sync()
        ws.take_ledger(met.members["bank-b"], ws.export_ledger(met.hub))
    publish_release(met.hub, met.draft.folder, clock=met.door.clock)
    data = (evidence or report(met.digest)).to_bytes()
    entry, _ = propose_run(
        met.hub, release=met.digest, why="labels <moved>", evidence=[data], gain=GAIN, clock=met.door.clock
    )
    mine.desk.sync()
    return mine, entry


@pytest.fixture
def mine(tmp_path):
    return proposed(tmp_path)


def vote(mine, browser, entry, choice, *, passphrase=PASSPHRASE, **fields):
    page = f"/votes/run/{entry}"
    fields = {"mark": mine.field(browser, "mark", page), "read": "yes", "reason": "seen", **fields}
    return mine.post(browser, page, choice=choice, passphrase=passphrase, **fields)


def votes(mine, entry):
    ballot = mine.met.state().ballots.get(("run", entry))
    return ballot.votes if ballot else {}


def test_a_proposed_run_is_shown_with_its_report_and_waits_for_the_member(mine):
    mine, entry = mine
    browser = mine.browser()
    link = f'href="/votes/run/{entry}"'
    assert link in browser.get("/").text
    assert link in browser.get("/votes").text
    for lang in LANGUAGES:
        shown = browser.get(f"/votes/run/{entry}", params={"lang": lang}).text
        assert "labels &lt;moved&gt;" in shown
        assert "0.310" in shown
        assert "bank-b" in shown
        assert "node_page." not in shown
    shown = browser.get(f"/votes/run/{entry}?lang=en").text
    assert "nothing is lacking" in shown
    assert shown.index("Verified on this machine") < shown.index("act key: approve a run from bank-intents 1.0.0")
    assert browser.get("/votes/run/sha256:" + "0" * 64).status_code == 404


def test_a_vote_on_a_run_is_signed_here_and_stands_in_the_hubs_ledger(mine):
    mine, entry = mine
    browser = mine.browser()
    assert vote(mine, browser, entry, "approve", passphrase="wrong").status_code == 403  # noqa: S106 - a wrong one
    assert vote(mine, browser, entry, "approve", read="").status_code == 400
    assert vote(mine, browser, entry, "object", reason=" ").status_code == 400
    assert votes(mine, entry) == {}
    assert vote(mine, browser, entry, "approve").status_code == 303
    assert votes(mine, entry) == {"bank-a": "approve"}
    shown = browser.get(f"/votes/run/{entry}?lang=en").text
    assert "you approved" in shown
    assert f'href="/votes/run/{entry}"' not in browser.get("/").text


def test_what_an_older_page_showed_signs_nothing(mine):
    mine, entry = mine
    browser = mine.browser()
    old = mine.field(browser, "mark", f"/votes/run/{entry}")
    assert vote(mine, browser, entry, "object").status_code == 303
    assert vote(mine, browser, entry, "approve", mark=old).status_code == 403
    assert vote(mine, browser, entry, "approve", mark="").status_code == 403
    assert votes(mine, entry) == {"bank-a": "object"}
    assert vote(mine, browser, entry, "approve").status_code == 303, "a vote may be changed until it is closed"


def test_a_report_that_is_of_another_release_or_not_here_is_said_first(tmp_path):
    mine, entry = proposed(tmp_path, evidence=report("sha256:" + "9" * 64))
    browser = mine.browser()
    shown = browser.get(f"/votes/run/{entry}?lang=en").text
    assert "is about another release" in shown
    (digest,) = mine.desk.state().run_proposals[entry].act.evidence
    mine.desk.home.objects.path(digest).unlink()
    shown = browser.get(f"/votes/run/{entry}?lang=en").text
    assert "is not on this machine" in shown
    assert shown.index("is not on this machine") < shown.index("Sign the approval")
    # the ledger moves: then it is fetched, with the reports
    ws.act(mine.met.hub, refusal(), clock=mine.met.door.clock)
    assert mine.post(browser, f"/votes/run/{entry}/look").status_code == 303
    assert "is not on this machine" not in browser.get(f"/votes/run/{entry}?lang=en").text


def refusal():
    from foedus.records.acts import Refuse

    return Refuse(code="wire.garbage", source="10.0.0.9", count=1, run=None, round=0)


@pytest.mark.slow
def test_a_member_votes_on_a_run_by_keyboard_alone_and_axe_finds_nothing(mine):
    from selenium.webdriver.common.keys import Keys

    from browsed import chromium, findings, text, told, wait, walk_to
    from foedus.web.door.places import places
    from foedus.web.node.app import build
    from foedus.web.node.keeper import Keeper
    from foedus.web.port import bound, listen

    mine, entry = mine
    socket = bound("127.0.0.1", 0)
    mine.keeper = Keeper("bank-a", places("127.0.0.1", socket.getsockname()[1], name="foedus-node"))
    listening = listen(build(mine.desk, mine.keeper), socket)
    try:
        with chromium() as driver:
            driver.get(mine.keeper.link)
            for lang in LANGUAGES:
                for path in ("/votes", f"/votes/run/{entry}"):
                    driver.get(f"{mine.keeper.places.origin}{path}?lang={lang}")
                    assert findings(driver) + told(driver) == [], (path, lang)
            driver.get(f"{mine.keeper.places.origin}/votes/run/{entry}?lang=en")
            walk_to(driver, lambda one: one.get_attribute("id") == "approve-passphrase").send_keys(PASSPHRASE)
            walk_to(driver, lambda one: one.get_attribute("id") == "approve-read").send_keys(Keys.SPACE)
            walk_to(driver, lambda one: one.tag_name == "button").send_keys(Keys.ENTER)
            wait(driver, lambda one: "you approved" in text(one))
            assert votes(mine, entry) == {"bank-a": "approve"}
    finally:
        listening.close()
