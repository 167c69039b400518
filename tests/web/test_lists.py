"""Lists: twins, pages, order, search; charts: thinning."""

import csv
import io
import json

import pytest
from starlette.requests import Request

from foedus.core.errors import CallerError
from foedus.web.charts import MOST_POINTS, Bar, Series, bars, lines, thinned
from foedus.web.lists import Column, answer, listed, sorted_by
from foedus.web.table import PAGES
from paged import browser, names

LISTS = ("/accord/versions", "/members", "/members/bank-a/rounds", "/cards", "/runs", "/runs/run-1/rounds",
         "/runs/run-1/rounds/1", "/credit", "/credit/run-1", "/gates", "/releases", "/audit")  # fmt: skip


def asked(path="/things", query=""):
    return Request({"type": "http", "path": path, "query_string": query.encode(), "headers": [], "method": "GET"})


COLUMNS = (Column("name", sorts="name"), Column("number", "count", sorts="number"), Column("note"))
ROWS = [{"name": f"n{i:03}", "number": i % 7, "note": None} for i in range(120)]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_twins_with_the_rows_that_it_shows(path):
    one = browser()
    data = json.loads(one.get(f"{path}.json").text)
    table = list(csv.reader(io.StringIO(one.get(f"{path}.csv").text)))
    assert data["foedus"] == 1
    assert data["total"] >= len(data["rows"]) > 0
    assert len(table) == len(data["rows"]) + 1
    assert list(data["rows"][0]) == table[0]
    assert f'href="{path}.json"' in one.get(path).text
    assert f'href="{path}.csv"' in one.get(path).text


def test_every_page_with_twins_is_among_these_lists():
    import re

    listed_here = {one.path for one in PAGES if one.twins and one.section not in ("serving", "monitoring")}
    shapes = {re.sub(r"\{[a-z]+\}", "[^/]+", path) for path in listed_here}
    assert all(any(re.fullmatch(shape, path) for path in LISTS) for shape in shapes)


def test_pages_of_the_ledger_cover_it_without_gap_or_repeat():
    one = browser()
    first = json.loads(one.get("/audit.json?size=7").text)
    got = []
    for number in range(1, first["pages"] + 1):
        got += [row["at"] for row in json.loads(one.get(f"/audit.json?size=7&page={number}").text)["rows"]]
    assert got == list(range(first["total"]))[::-1]


def test_a_filter_of_the_ledger_shows_only_what_it_names():
    rows = json.loads(browser().get("/audit.json?kind=vote.cast&actor=bank-b").text)["rows"]
    assert [(row["kind"], row["actor"]) for row in rows] == [("vote.cast", "bank-b")]
    assert json.loads(browser().get("/audit.json?subject=nothing").text)["rows"] == []
    about = json.loads(browser().get(f"/audit.json?subject={names().proposal}").text)["rows"]
    assert {row["kind"] for row in about} >= {"release.propose", "vote.cast", "release.publish"}


def test_rows_are_sorted_searched_and_cut():
    table = listed(asked(query="sort=-number&size=10&page=2"), "things", COLUMNS, ROWS, sort="name")
    assert [row["number"] for row in table.rows] == [6] * 7 + [5] * 3
    assert (table.total, table.pages, table.first, table.last) == (120, 12, 11, 20)
    found = listed(asked(query="q=N01"), "things", COLUMNS, ROWS, sort="name")
    assert [row["name"] for row in found.rows] == [f"n01{i}" for i in range(10)]


def test_a_page_beyond_the_last_is_empty_and_an_odd_number_is_refused():
    beyond = listed(asked(query="page=99"), "things", COLUMNS, ROWS)
    assert (list(beyond.rows), beyond.total) == ([], 120)
    for query in ("page=0", "page=-1", "page=1.5", "size=501", "page=²", "page="):
        with pytest.raises(CallerError, match=r"web\.bad-number"):
            listed(asked(query=query), "things", COLUMNS, ROWS)
    with pytest.raises(CallerError, match=r"web\.bad-sort"):
        sorted_by(asked(query="sort=secret"), ["name"], "name")


def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_do_not():
    rows = [{"name": "=1+1", "number": -3, "note": "-0.25"}, {"name": "@sum", "number": 4, "note": "+x"}]
    text = answer(asked("/things.csv"), "", listed(asked("/things.csv"), "things", COLUMNS, rows)).body.decode()
    assert text.splitlines() == ["name,number,note", "'=1+1,-3,-0.25", "'@sum,4,'+x"]


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_peaks():
    points = [(float(i), 1.0 + (i % 10) / 10) for i in range(5000)]
    points[1234], points[4321] = (1234.0, 9.0), (4321.0, -9.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert (1234.0, 9.0) in kept
    assert (4321.0, -9.0) in kept
    assert list(kept) == sorted(kept)
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]


def test_texts_in_a_drawing_are_escaped():
    bad = '<script>alert("x")</script>'
    drawn = bars("b", title=bad, description=bad, head=("a", "b", "c"), rows=[Bar(bad, -0.5, -0.7, 0.2, text=bad)])
    curve = lines(
        "l", title=bad, description=bad, x_name=bad, y_name=bad,
        series=[Series(bad, [(0, 1), (1, 2)]), Series("b", [(1, 1)])],
    )  # fmt: skip
    for one in (drawn, curve):
        assert "<script" not in one.svg
        assert "&lt;script" in one.svg


def test_a_chart_of_nothing_or_of_one_value_is_still_a_drawing():
    assert "<svg" in bars("b", title="t", description="d", head=("a", "b", "c"), rows=[Bar("x", None)]).svg
    flat = lines("l", title="t", description="d", x_name="x", y_name="y", series=[Series("s", [(1, 0.0)])])
    assert flat.rows == [("1", "0.0000")]
    assert "nan" not in flat.svg


NOT_NUMBERS = ("-1e9999999", "1e-9999999", "-" + "9" * 100_000, "1/3", "-1_000", "- 1", "+", "1.", ".5", "nan", "-inf")


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_a_text_of_somebody_else_that_looks_like_a_number_is_sorted_and_written_as_a_text(text):
    rows = [{"name": text, "number": 1, "note": text}, {"name": "5", "number": 2, "note": None}]
    table = listed(asked("/things.csv", "sort=name"), "things", COLUMNS, rows)
    assert [row["name"] for row in table.rows] == ["5", text]
    written = next(row for row in csv.DictReader(io.StringIO(answer(asked("/things.csv"), "", table).body.decode()))
                   if row["number"] == "1")  # fmt: skip
    assert written["note"] == (f"'{text}" if text[0] in "+-" else text)


def test_numbers_as_records_and_python_write_them_are_sorted_by_their_value():
    names = ["-2", "-0.5", "1e-05", "0.25", "3", "12", "text"]
    rows = [{"name": name, "number": 0, "note": None} for name in sorted(names)]
    assert [row["name"] for row in listed(asked(query="sort=name"), "things", COLUMNS, rows).rows] == names


@pytest.mark.parametrize("path", ["/runs?page={}", "/runs.json?size={}", "/audit.csv?page={}", "/members?size={}"])
def test_a_number_of_very_many_digits_is_refused(path):
    answer = browser().get(path.format("9" * 5000), headers={"accept-language": "zh"})
    assert answer.status_code == 400
    assert "整数" in answer.text
