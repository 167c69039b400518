"""Watching a stream: references, looks, alerts and their levels, quality, and the report that may leave."""

import stat
from dataclasses import replace

import pytest

from foedus.core.errors import CallerError
from foedus.ledger.consortium import Consortium
from foedus.records.watch import Monitoring, WatchReport
from foedus.serve.store import FILE as TRAFFIC
from foedus.serve.watch.alerts import acknowledge, silence
from foedus.serve.watch.book import FILE, Book
from foedus.serve.watch.show import shown_alerts, shown_looks
from foedus.serve.watch.watcher import judged, report, watch
from scene import Scene
from watched import RELEASE, TERMS, Clock, answers, judge, serve


@pytest.fixture
def clock():
    return Clock()


def alerts(folder):
    return {one.measure: (one.level, one.state) for one in shown_alerts(folder)}


def test_nothing_is_looked_at_before_the_reference_and_a_window_are_whole(tmp_path, clock):
    with pytest.raises(CallerError) as caught:
        watch(tmp_path, TERMS, clock=clock)
    assert caught.value.code == "monitor.no-traffic"
    serve(tmp_path, answers(0, 99))
    assert watch(tmp_path, TERMS, clock=clock).waiting == 1
    serve(tmp_path, answers(99, 50))
    seen = watch(tmp_path, TERMS, clock=clock)
    assert (seen.looks, seen.waiting) == ((), 1)
    serve(tmp_path, answers(149, 1))
    assert len(watch(tmp_path, TERMS, clock=clock).looks) == 1


def test_a_stream_like_the_reference_raises_nothing_and_is_looked_at_once(tmp_path, clock):
    serve(tmp_path, answers(0, 300))
    assert len(watch(tmp_path, TERMS, clock=clock).looks) == 4
    assert not watch(tmp_path, TERMS, clock=clock).looks
    assert alerts(tmp_path) == {}
    assert [one.last for one in shown_looks(tmp_path)] == [300, 250, 200, 150]


def test_a_shift_is_a_notice_then_a_warning_and_ends_when_the_stream_is_as_before(tmp_path, clock):
    serve(tmp_path, answers(0, 100), answers(100, 50, shifted=True))
    seen = watch(tmp_path, TERMS, clock=clock)
    assert {one.level for one in seen.alerts} == {"notice"}
    serve(tmp_path, answers(150, 50, shifted=True))
    watch(tmp_path, TERMS, clock=clock)
    assert alerts(tmp_path)["labels"] == ("warning", "open")
    serve(tmp_path, answers(200, 100))
    watch(tmp_path, TERMS, clock=clock)
    assert {state for _, state in alerts(tmp_path).values()} == {"over"}


def test_each_release_has_its_own_reference(tmp_path, clock):
    serve(tmp_path, answers(0, 150), answers(150, 150, shifted=True, release="intents-2.0"))
    seen = watch(tmp_path, TERMS, clock=clock)
    assert (seen.release, len(seen.looks), seen.alerts) == ("intents-2.0", 1, ())
    assert watch(tmp_path, TERMS, clock=clock, release=RELEASE).alerts == ()


def test_what_is_acknowledged_is_told_again_only_when_it_grows_more_serious(tmp_path, clock):
    serve(tmp_path, answers(0, 100), answers(100, 50, shifted=True))
    watch(tmp_path, TERMS, clock=clock)
    with Book.of(tmp_path) as book:
        (labels,) = (one for one in book.alerts() if one.measure == "labels")
        acknowledge(book, labels.id, by="bank-a", note="a campaign")
    assert alerts(tmp_path)["labels"] == ("notice", "acknowledged")
    serve(tmp_path, answers(150, 50, shifted=True))
    assert "labels" in {one.measure for one in watch(tmp_path, TERMS, clock=clock).alerts}
    assert alerts(tmp_path)["labels"] == ("warning", "open")
    serve(tmp_path, answers(200, 50, shifted=True))
    assert watch(tmp_path, TERMS, clock=clock).alerts == ()
    with Book.of(tmp_path) as book, pytest.raises(CallerError) as caught:
        acknowledge(book, 99, by="bank-a")
    assert caught.value.code == "monitor.no-such-alert"


def test_what_is_over_cannot_be_acknowledged(tmp_path, clock):
    serve(tmp_path, answers(0, 100), answers(100, 50, shifted=True), answers(150, 100))
    watch(tmp_path, TERMS, clock=clock)
    with Book.of(tmp_path) as book:
        number = book.alerts()[0].id
        with pytest.raises(CallerError) as caught:
            acknowledge(book, number, by="bank-a")
    assert caught.value.code == "monitor.alert-over"


def test_a_silenced_measure_is_kept_and_not_told(tmp_path, clock):
    serve(tmp_path, answers(0, 100), answers(100, 50, shifted=True))
    with Book.of(tmp_path) as book:
        silence(book, "all", until="2026-07-01T00:00:00Z", by="bank-a")
        with pytest.raises(CallerError) as caught:
            silence(book, "weather", until="2026-07-01T00:00:00Z", by="bank-a")
    assert caught.value.code == "monitor.no-such-measure"
    assert watch(tmp_path, TERMS, clock=clock).alerts == ()
    assert all(one.silenced_until == "2026-07-01T00:00:00Z" for one in shown_alerts(tmp_path))
    assert "labels" in alerts(tmp_path)


def test_errors_that_users_find_more_often_raise_quality_and_fewer_end_it(tmp_path, clock):
    rows = answers(0, 900)
    serve(tmp_path, rows)
    judge(tmp_path, rows[:300], lambda i: i % 10 == 0)
    watch(tmp_path, TERMS, clock=clock)
    assert "quality" not in alerts(tmp_path)
    judge(tmp_path, rows[300:500], lambda i: i % 2 == 0)
    watch(tmp_path, TERMS, clock=clock)
    assert alerts(tmp_path)["quality"] == ("critical", "open")
    (quality,) = (one for one in shown_alerts(tmp_path) if one.measure == "quality")
    assert quality.detail["detectors"] == ["adwin", "page-hinkley"]
    assert watch(tmp_path, TERMS, clock=clock).alerts == ()  # the same feedback raises nothing twice
    judge(tmp_path, rows[500:900], lambda i: i % 20 == 0)
    watch(tmp_path, TERMS, clock=clock)
    assert alerts(tmp_path)["quality"][1] == "over"


def test_quality_that_falls_while_the_stream_shifts_is_critical(tmp_path, clock):
    rows = [*answers(0, 100), *answers(100, 200, shifted=True)]
    serve(tmp_path, rows)
    watch(tmp_path, TERMS, clock=clock)
    judge(tmp_path, rows, lambda i: i > 100 and i % 2 == 0)
    seen = watch(tmp_path, TERMS, clock=clock)
    assert seen.alerts[-1].level == "critical"
    release, stream = judged(tmp_path)
    assert (release, stream.judged) == (RELEASE, 300)
    assert any(turn.worse for turn in stream.turns)


def test_a_crash_between_looks_loses_none_and_repeats_none(tmp_path, clock, monkeypatch):
    serve(tmp_path, answers(0, 100), answers(100, 100, shifted=True))
    kept = []

    def dies(book, look):
        kept.append(look.first)
        if len(kept) == 2:
            raise KeyboardInterrupt
        Book.__dict__["original"](book, look)

    monkeypatch.setattr(Book, "original", Book.keep_look, raising=False)
    monkeypatch.setattr(Book, "keep_look", dies)
    with pytest.raises(KeyboardInterrupt):
        watch(tmp_path, TERMS, clock=clock)
    monkeypatch.undo()
    assert {level for level, _ in alerts(tmp_path).values()} == {"notice"}
    assert len(watch(tmp_path, TERMS, clock=clock).looks) == 1
    assert alerts(tmp_path)["labels"][0] == "warning"


def test_the_books_are_private(tmp_path, clock):
    serve(tmp_path, answers(0, 160))
    watch(tmp_path, TERMS, clock=clock)
    for name in (FILE, TRAFFIC):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


# ── the report ───────────────────────────────────────────────────────────────


def released(**terms) -> Consortium:
    scene = Scene()
    scene.accord = scene.accord.model_copy(update={"monitoring": replace_terms(**terms)})
    scene.__init__(scene.accord)
    scene.released()
    return scene.fold()


def replace_terms(**terms) -> Monitoring:
    return TERMS.model_copy(update=terms)


def test_a_report_holds_figures_only_and_reads_back(tmp_path, clock):
    rows = answers(0, 200, text="my card is lost")
    serve(tmp_path, rows)
    judge(tmp_path, rows[:40], lambda i: i % 4 == 0)
    watch(tmp_path, TERMS, clock=clock)
    state = released()
    found = report(tmp_path, state, party="bank-a")
    data = found.to_bytes()
    assert WatchReport.from_bytes(data) == found
    assert found.release in state.proposals
    assert b"my card" not in data
    assert (found.quality.judged, found.quality.wrong) == (40, 10)
    assert all(one.statistic is not None for one in found.figures)


def test_what_rests_on_too_few_answers_is_withheld(tmp_path, clock):
    rows = answers(0, 150)
    serve(tmp_path, [replace(one, label="loan" if i == 120 else "card") for i, one in enumerate(rows)])
    judge(tmp_path, rows[:7], lambda i: i == 3)
    watch(tmp_path, TERMS, clock=clock)
    found = report(tmp_path, released(smallest_cell=60), party="bank-a")
    assert all(one.statistic is None and one.p is None for one in found.figures)
    assert found.labels == {"card": None, "loan": None}
    assert (found.quality.judged, found.quality.wrong) == (5, None)


def test_there_is_no_report_before_a_look_or_of_a_release_that_the_ledger_does_not_hold(tmp_path, clock):
    serve(tmp_path, answers(0, 120))
    watch(tmp_path, TERMS, clock=clock)
    with pytest.raises(CallerError) as caught:
        report(tmp_path, released(), party="bank-a")
    assert caught.value.code == "monitor.no-look"
    with pytest.raises(CallerError) as caught:
        report(tmp_path, Scene().in_force().fold(), party="bank-a")
    assert caught.value.code == "monitor.unknown-release"
