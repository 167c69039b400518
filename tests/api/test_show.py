"""How results look: escaped, without scripts, in the language in force, the practice line first."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foedus
from foedus.api.consortium import CreditReport, Demo, Outcome
from foedus.api.show import Page, Table, View, rounded
from foedus.api.trust import Verification
from foedus.core.checks import Check, failed
from foedus.records import evidence
from foedus.release import verify as room

HOSTILE = "<script>alert('x')</script>\x1b[31m\n\"&'"


class Shown(View):
    def __init__(self, text):
        self.text = text

    def page(self):
        return Page(self.text, (self.text,), (Table(self.text, (self.text,), [(self.text,)]),))


class Reader(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def tags(view):
    return {tag for tag, _ in Reader(view._repr_html_()).tags}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_text_becomes_markup(text):
    found = Reader(Shown(text)._repr_html_())
    names = [tag for tag, _ in found.tags]
    assert names == ["div", "p", "strong", "p", "table", "caption", "thead", "tr", "th", "tbody", "tr", "td"]
    assert found.tags[0][1]["lang"] == "en"
    assert {name for _, attrs in found.tags for name in attrs} <= {"lang", "style", "scope"}
    assert not any("<" in value or "url" in value for _, attrs in found.tags for value in attrs.values())


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_text_reaches_the_terminal_as_a_command_or_a_line_of_its_own(text):
    lines = str(Shown(text)).split("\n")
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)


def test_a_hostile_text_is_read_as_it_was_written():
    found = Reader(Shown(HOSTILE)._repr_html_())
    assert [text for text in found.text if text.strip()] == [HOSTILE] * 5
    assert "\x1b" not in str(Shown(HOSTILE))


def refused():
    checks = (
        Check("release.practice", "warn"),
        failed("release.model", "release.model-changed", expected="a", got=HOSTILE),
    )
    return Verification(
        room.Verification("release", checks, "refused", "release.model-changed", HOSTILE, practice=True)
    )


def test_a_refusal_is_false_and_shows_the_practice_line_then_the_sentence_then_checks_and_reasons():
    view = refused()
    assert not view
    assert repr(view) == "Verification(outcome='refused', code='release.model-changed', checks=2)"
    lines = str(view).split("\n")
    assert lines[0].startswith("practice:")
    assert lines[1].startswith("<script>")
    assert any(line.strip().startswith("FAIL") for line in lines)
    assert "script" not in tags(view)
    assert "<script" not in view._repr_html_()


def test_what_could_not_be_decided_is_false():
    assert not Verification(room.Verification("release", (), "undecided", "unanchored", "–"))
    assert Verification(room.Verification("release", (), "verified", "verified", "–"))


def credit(values):
    total = str(sum(values.values()))
    parts = tuple(evidence.Credit(member=m, value=str(v), by_round=(str(v),)) for m, v in values.items())
    return CreditReport(
        evidence.CreditReport(
            run="run-1", method="aumann-shapley", start_loss="4", released_loss="1", total=total, residual="0",
            tolerance="0.5", credits=parts,
        )
    )  # fmt: skip


def test_credit_gives_shares_of_what_all_brought():
    text = str(credit({"bank-a": 1, "bank-b": 3}))
    rows = {line.split()[0]: line.split() for line in text.split("\n") if line.strip().startswith("bank")}
    assert rows["bank-a"] == ["bank-a", "1.0000", "25", "%", "1.0000"]
    assert rows["bank-b"] == ["bank-b", "3.0000", "75", "%", "3.0000"]
    assert credit({"bank-a": 1, "bank-b": 3}).values == {"bank-a": 1.0, "bank-b": 3.0}


def test_credit_of_nothing_has_no_shares():
    assert "%" not in str(credit({"bank-a": 0}))


def test_withheld_is_a_dash_and_never_a_number():
    assert (rounded(None), rounded("0.6667"), rounded("1/3", 2)) == ("–", "0.667", "0.33")


def views(names):
    practice, release = names["practice"], names["release"]
    cards = release.cards()
    assert sorted(cards) == ["bank-a", "bank-b", "bank-c"]
    return [
        practice.outcome(), practice.credit(), practice.accord, release, release.verify(), release.accord(),
        release.verdicts(), cards["bank-a"],
    ]  # fmt: skip


def test_every_result_of_a_run_begins_with_the_practice_line_and_has_tables(played):
    for view in views(played[1]):
        assert str(view).startswith("practice: one process held every key")
        assert {"table", "th", "td"} <= tags(view)
        assert "\n" not in repr(view)


def test_the_outcome_shows_every_member_federated_and_alone_with_n_and_interval(played):
    outcome = played[1]["practice"].outcome()
    assert isinstance(outcome, Outcome)
    text = str(outcome)
    for figure in outcome.examination.figures:
        assert f"{rounded(figure.low)} – {rounded(figure.high)}" in text
    assert all(name in text for name in ("bank-a", "bank-b", "bank-c", "all members", "federated", "alone"))


@pytest.mark.usefixtures("chinese")
def test_results_speak_the_language_in_force(played):
    for view in views(played[1]):
        html = view._repr_html_()
        tag, attributes = Reader(html).tags[0]
        assert (tag, attributes["lang"]) == ("div", "zh")
        assert not any(word in html for word in ("member", "outcome", "Figures", "practice:"))
    assert "验证损失" in str(played[1]["practice"].outcome())


def test_the_language_is_chosen_by_name():
    foedus.set_language("zh")
    try:
        assert str(credit({"bank-a": 1})).split("\n")[1].startswith("运行 run-1 的贡献")
    finally:
        foedus.set_language("en")


def test_a_demo_shows_federated_best_alone_and_pooled(played):
    from foedus.demo.story import Ending

    names = played[1]
    ending = Ending(
        Path(played[0] / "my-consortium"), names["release"].path, names["practice"].anchor, None, "accuracy",
        "0.75", {"bank-a": 0.5, "bank-b": 0.625}, 0.875, 100, 1.0,
    )  # fmt: skip
    demo = Demo(ending)
    text = str(demo)
    assert text.startswith("practice:")
    for row in ("federated 0.750", "best alone (bank-b) 0.625", "pooled 0.875"):
        assert any(" ".join(line.split()) == row for line in text.split("\n")), text
    assert demo.practice.anchor == demo.release.anchor


def test_no_colour_is_set_but_a_grey_that_shows_on_light_and_dark(played):
    for view in views(played[1]):
        styles = " ".join(attrs.get("style", "") for _, attrs in Reader(view._repr_html_()).tags)
        assert "background" not in styles
        assert set(re.findall(r"#[0-9a-f]{3,6}|rgba?\([^)]*\)", styles)) == {"rgba(128,128,128,.4)"}
        assert not re.search(r"(?<![a-z-])color:", styles)


def test_an_accord_is_shown_and_is_still_the_record(played):
    from foedus.api.documents import Accord
    from foedus.records import accord as records

    shown = played[1]["practice"].accord
    plain = records.Accord.from_bytes(shown.to_bytes())
    assert (shown, hash(shown), shown.digest) == (plain, hash(plain), plain.digest)
    assert plain == shown
    assert shown != plain.model_copy(update={"version": 2})
    assert isinstance(shown, records.Accord)
    assert repr(shown) == f"Accord(name='bank-intents', version=1, members=3, digest='{plain.digest}')"
    text = str(Accord.shown(plain))
    for word in ("bank-a", "contributor", "customer-service", "lora, 2", "utility, metric accuracy, minimum 0.1"):
        assert word in text, word


def test_verdicts_show_figure_threshold_and_outcome(played):
    verdicts = played[1]["release"].verdicts()
    text = str(verdicts)
    assert verdicts.clear
    for one in verdicts.record.verdicts:
        assert one.threshold in text
        if one.estimate is not None:
            assert f"{rounded(one.low)} – {rounded(one.high)}" in text


def hostile_card():
    labels = {HOSTILE.replace("\x1b", ""): 95, "rare": None}
    part = evidence.PartSummary(examples=100, labels=labels, tokens_median=1, tokens_p95=2)
    return evidence.DataCard(
        member="bank-a", name="questions", source="<img src=x onerror=alert(1)>", licence="CC", consent="given",
        smallest_cell=5, mapping="sha256:" + "e" * 64, parts={"train": part},
        commitments={"train": "sha256:" + "1" * 64}, duplicates=0, across_parts=0,
    )  # fmt: skip


def test_a_card_withholds_small_counts_and_its_texts_stay_texts():
    from foedus.api.documents import Card

    view = Card(hostile_card(), practice=False)
    found = Reader(view._repr_html_())
    assert not {"img", "script"} & {tag for tag, _ in found.tags}
    assert "<img src=x onerror=alert(1)>" in found.text
    row = next(line.split() for line in str(view).split("\n") if line.strip().startswith("rare"))
    assert row == ["rare", "withheld"]
    assert repr(view) == "Card(member='bank-a', name='questions', examples={'train': 100})"


def test_what_does_not_verify_shows_no_document(played, tmp_path):
    release = played[1]["release"]
    stranger = foedus.Release(release.path)
    for ask in (stranger.accord, stranger.verdicts, stranger.cards):
        with pytest.raises(foedus.FoedusError) as error:
            ask()
        assert error.value.code == "api.not-verified"
