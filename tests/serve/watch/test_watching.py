"""A server that looks at its own traffic: what its metrics show, what it tells of itself, and that it gives way."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from foedus.records.watch import Monitoring
from foedus.serve import watching
from foedus.serve.given import Options
from foedus.serve.store import Traffic
from foedus.serve.watch.beside import seen
from foedus.serve.watch.show import shown_alerts
from foedus.serve.watching import Watching, pause_seconds
from served import Here, told
from watched import RELEASE, TERMS, Clock, answers, judge, serve

FIGURES = ("foedus_drift_", "foedus_alert_", "foedus_feedback_judged", "foedus_feedback_wrong", "foedus_watch_")


def agreed(here: Here, terms: Monitoring | None) -> None:
    """From now on the accord in force says this of watching."""
    loaded = here.desk.serving()
    accord = loaded.standing.accord.model_copy(update={"monitoring": terms})
    loaded.standing = replace(loaded.standing, accord=accord)


async def metrics(here: Here) -> dict[tuple[str, str, str], float]:
    """What `/metrics` says of watching: by name, measure and detector."""
    page = (await here.client.get("/metrics")).text
    return {
        (one.name, one.labels.get("measure", ""), one.labels.get("detector", "")): one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
        if one.name.startswith(FIGURES) and not one.name.endswith("_created")
    }


def shifted(here: Here, *, judgements: int = 60) -> None:
    """A reference, two windows that are another stream, and users who find each third answer wrong."""
    name = here.desk.serving().release.name
    rows = answers(0, 100, release=name)
    serve(here.folder, rows, answers(100, 100, shifted=True, release=name))
    judge(here.folder, rows[:judgements], lambda i: i % 3 == 0)


def test_drift_alerts_and_feedback_stand_in_the_metrics_after_a_look() -> None:
    async def story(here: Here) -> tuple[dict[Any, float], dict[str, Any]]:
        shifted(here)
        agreed(here, TERMS)
        before = await metrics(here)
        assert not any(name.startswith(("foedus_drift", "foedus_alert")) for name, *_ in before)
        await Watching(here.desk, here.folder).look()
        assert {one.measure: one.level for one in shown_alerts(here.folder)}["labels"] == "warning"
        return await metrics(here), (await here.client.get("/health")).json()

    found, health = told(story)
    assert found["foedus_drift_score", "labels", "psi"] > 0.25
    assert found["foedus_drift_p_value", "labels", "psi"] <= 0.01
    assert found["foedus_alert_level", "labels", ""] == 2
    assert found["foedus_alert_level", "quality", ""] == 0
    assert found["foedus_feedback_judged_answers", "", ""] == 60
    assert found["foedus_feedback_wrong_ratio", "", ""] == pytest.approx(1 / 3, abs=0.01)
    assert found["foedus_watch_waiting_answers", "", ""] == 50
    assert found["foedus_watch_failures_total", "", ""] == 0
    assert found["foedus_watch_last_success_timestamp_seconds", "", ""] > 0
    assert health["watched"] == {"every_seconds": 0, "looked_at": health["watched"]["looked_at"], "trouble": None}
    assert health["watched"]["looked_at"]


def test_no_figure_over_too_few_answers_leaves() -> None:
    async def story(here: Here) -> dict[Any, float]:
        shifted(here, judgements=5)
        agreed(here, TERMS.model_copy(update={"smallest_cell": 60}))
        await Watching(here.desk, here.folder).look()
        return await metrics(here)

    found = told(story)
    assert not any(name in ("foedus_drift_score", "foedus_drift_p_value", "foedus_feedback_wrong_ratio")
                   for name, *_ in found)  # fmt: skip
    assert found["foedus_alert_level", "labels", ""] == 2, "a level is no figure over answers"


def test_a_look_that_fails_is_told_and_the_next_one_goes_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(here: Here) -> None:
        looking = Watching(here.desk, here.folder)
        with monkeypatch.context() as patch:
            patch.setattr(watching, "_LONGEST_SECONDS", 0.001)
            await looking.look()
        assert (await here.client.get("/health")).json()["watched"]["trouble"]
        assert (await metrics(here))["foedus_watch_failures_total", "", ""] == 1
        (here.folder / "serving" / "alerts.yaml").write_text("alerts: foedus/v9\n")
        await looking.look()
        assert (await here.client.get("/health")).json()["watched"]["trouble"] == "monitor.bad-settings"
        (here.folder / "serving" / "alerts.yaml").unlink()
        await looking.look()
        assert (await here.client.get("/health")).json()["watched"]["trouble"] is None
        assert (await here.client.post("/v1/predict", json={"text": "where is my card"})).status_code == 200

    told(story)


def test_it_looks_in_a_process_of_lowest_priority_that_is_gone_when_the_server_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[tuple[int, int, subprocess.Popen[bytes]]] = []
    lower = os.setpriority

    def noted(which: int, process: int, priority: int) -> None:
        lower(which, process, priority)
        begun.append((process, os.getpriority(which, process), looking[0]._process))

    looking: list[Watching] = []
    monkeypatch.setattr(os, "setpriority", noted)

    async def story(here: Here) -> None:
        here.desk.options = Options(watch_seconds=1)
        looking.append(Watching(here.desk, here.folder))
        looking[0].open()
        for _ in range(600):
            await asyncio.sleep(0.05)
            if begun:
                break
        assert here.desk.watched.every_seconds == 1
        await looking[0].close()

    told(story)
    number, priority, process = begun[0]
    assert (number, priority) == (process.pid, 19)
    assert process.poll() is not None


def test_how_often_is_what_was_chosen_else_what_was_agreed() -> None:
    async def story(here: Here) -> None:
        accord = here.desk.serving().standing.accord
        assert pause_seconds(accord, Options()) == 0, "nothing is agreed"
        with_clause = accord.model_copy(update={"monitoring": Monitoring()})
        assert pause_seconds(with_clause, Options()) == 300
        assert pause_seconds(with_clause, Options(watch_seconds=0)) == 0
        quick = accord.model_copy(update={"monitoring": Monitoring(every_seconds=20)})
        assert pause_seconds(quick, Options()) == 20
        assert pause_seconds(accord, Options(watch_seconds=7)) == 7

    told(story)


def test_after_a_long_pause_a_look_is_bounded_and_the_next_goes_on(tmp_path) -> None:
    serve(tmp_path, answers(0, 100), answers(100, 25 * TERMS.window))
    first = seen(tmp_path, TERMS, RELEASE, clock=Clock())
    assert first["waiting"] == 0
    second = seen(tmp_path, TERMS, RELEASE, clock=Clock())
    assert second["waiting"] == TERMS.window
    with Traffic.of(tmp_path) as traffic:
        assert len(traffic.answers(size=10_000)) == 100 + 25 * TERMS.window


def test_how_often_does_not_change_what_was_signed_before_it_could_be_agreed() -> None:
    assert b"every_seconds" not in Monitoring().to_bytes()
    named = Monitoring(every_seconds=300)
    assert Monitoring.from_bytes(named.to_bytes()) == named != Monitoring()
