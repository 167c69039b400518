"""Charts: drawn from the figures, their texts escaped, well formed."""

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.report import charts

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
VALUE = st.decimals(min_value=-1000, max_value=1000, places=4).map(str)


def drawn(svg):
    return ElementTree.fromstring(svg)  # noqa: S314 - our own markup, looked at


@settings(deadline=None, max_examples=30)
@given(TEXT, st.lists(st.tuples(TEXT, VALUE, TEXT), min_size=1, max_size=5))
def test_bars_are_well_formed_whatever_the_texts_and_lie_in_the_picture(title, rows):
    picture = drawn(charts.bars(title, rows))
    assert len(picture.findall("rect")) == len(rows)
    for one in picture.findall("rect"):
        assert float(one.get("width")) >= 0
        assert 0 <= float(one.get("x")) <= charts.WIDTH


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(VALUE, VALUE, VALUE).map(lambda v: sorted(v, key=float)), min_size=1, max_size=5))
def test_dots_lie_within_their_whiskers(rows):
    picture = drawn(charts.dots("t", [("m", *row) for row in rows]))
    whiskers = [one for one in picture.findall("line") if one.get("class") == "whisker"]
    for dot, whisker in zip(picture.findall("circle"), whiskers, strict=True):
        assert float(whisker.get("x1")) - 0.1 <= float(dot.get("cx")) <= float(whisker.get("x2")) + 0.1


def test_a_line_has_its_rounds_and_falls_where_the_loss_falls():
    picture = drawn(charts.line("loss", [(0, "2.0"), (1, "1.0"), (2, "0.5")]))
    heights = [float(one.get("cy")) for one in picture.findall("circle")]
    assert heights == sorted(heights)
    assert [one.text for one in picture.findall("text") if one.get("class") == "tick"] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "chart", [lambda t: charts.bars(t, [(t, "1", t)]), lambda t: charts.line(t, [(0, "1"), (1, "1")])]
)
def test_a_title_is_what_a_screen_reader_says(chart):
    picture = drawn(chart("A & B <c>"))
    assert picture.get("aria-label") == "A & B <c>"
    assert picture.find("title").text == "A & B <c>"
    assert picture.get("role") == "img"
