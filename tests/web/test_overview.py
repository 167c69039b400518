"""The overview: the strip of steps says what the figures below it say."""

from __future__ import annotations

from starlette.testclient import TestClient

from foedus.index import open_index
from foedus.web.app import Site, build
from indexed import workspace_of
from paged import ORIGIN, Page, browser
from samples import sample_accord
from scene import Scene, card, digest


def overview(tmp_path, scene):
    workspace = workspace_of(tmp_path, scene)
    index = open_index(None, workspace)
    assert index.refresh().is_current
    return Page(TestClient(build(Site(workspace, index)), base_url=ORIGIN).get("/").text).text


def test_an_auditors_card_counts_in_the_strip_as_it_does_below(tmp_path):
    scene = Scene(sample_accord(auditors=("exam",))).in_force().with_cards()
    for cards, said in ((3, "3 of 3 registered"), (4, "4 of 4 registered")):
        if cards == 4:
            scene.act("exam", card("exam", 0, parts={"test": digest("exam test")}))
        text = overview(tmp_path / str(cards), scene)
        assert said in text
        assert f"data cards in force: {cards}" in text


def test_names_and_metrics_of_verdicts_stay_in_one_line_and_a_threshold_is_said_in_words():
    page = Page(browser().get("/runs/run-1?lang=zh").text)
    cells = [one for one in [*page.all("td"), *page.all("th")] if one.get("class") == "name"]
    assert len(cells) > 20
    assert "只含 safetensors 与文本" in page.text
    assert "all values finite" not in page.text
    for shown, coded in (("批次", "batches"), ("紧密排列的行", "packed rows"), ("每个工作进程 1 个", "1 a worker")):
        assert (shown in page.text, coded in page.words) == (True, False)


def test_a_chart_is_as_wide_as_its_card():
    sheet = browser().get("/static/pages.css").text
    assert ".drawing { display: block; width: 100%;" in sheet
    assert "white-space: nowrap" in next(line for line in sheet.splitlines() if "td.name" in line)
