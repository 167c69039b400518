"""What the hub's page asks over the control socket: figures, and answers under the same rules as all others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from boxed import ADDRESS, answering
from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.serve.box import APP, Box
from foedus.serve.control import ask
from foedus.serve.store import Traffic
from practised import published
from served import TEXTS, admitted, told, under


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return shutil.copytree(published(), tmp_path / "home") / "hub"


def try_it(hub: Path, text: str, *, party: str = "bank-a", purpose: str = "") -> dict:
    return ask(hub, "answer", party=party, text=text, purpose=purpose)


def test_a_text_gets_the_answer_that_the_port_gives_and_is_counted(hub: Path) -> None:
    with answering(hub):
        before = ask(hub, "figures")
        assert (before["requests"], before["p95_ms"], before["address"], before["token"]) == (0, None, ADDRESS, False)
        said = try_it(hub, TEXTS[1])
        figures = ask(hub, "figures")
    assert said["label"] == dict_of(TEXTS[1])["label"]
    assert float(said["probability"]) == pytest.approx(dict_of(TEXTS[1])["probability"], abs=1e-4)
    assert said["purpose"] == "customer-service"
    assert [float(value) for _, value in said["probabilities"]] == sorted(
        (float(value) for _, value in said["probabilities"]), reverse=True
    )
    assert (figures["requests"], figures["errors"], figures["measured"], figures["waiting"]) == (1, 0, 1, 0)
    assert 0 < float(figures["p50_ms"]) <= float(figures["p95_ms"])


def dict_of(text: str) -> dict:
    async def story(here):
        return (await here.ask("/v1/predict", {"text": text})).json()["answer"]

    return told(story)


def test_what_is_typed_is_kept_as_long_as_the_accord_says_and_under_the_pages_name(hub: Path) -> None:
    for days, kept in ((0, None), (7, TEXTS[0])):
        with answering(hub, release=under(admitted(), keep_texts_days=days)):
            assert ask(hub, "figures")["keep_days"] == days
            name = try_it(hub, TEXTS[0])["id"]
        with Traffic.of(hub) as traffic:
            answer = traffic.answer(name)
        assert answer is not None
        assert (answer.app, answer.text) == (APP, kept)


def test_every_rule_of_the_port_holds_for_the_page(hub: Path) -> None:
    def refused(code: str, text: str = TEXTS[0], **fields: str) -> None:
        with pytest.raises(FoedusError) as caught:
            try_it(hub, text, **fields)
        assert caught.value.code == code

    with answering(hub):
        refused("serve.purpose-not-covered", purpose="advertise")
        refused("serve.empty-text", "  ")
        refused("serve.text-too-long", "a" * 4001)
        assert ask(hub, "figures")["errors"] == 3


def test_each_party_has_its_own_minute() -> None:
    async def story(here):
        box = Box(here.desk, ADDRESS, lambda: False, steady=lambda: 0.0)
        for _ in range(60):
            await box.answer("bank-b", TEXTS[0], None)
        with pytest.raises(RunError) as caught:
            await box.answer("bank-b", TEXTS[0], None)
        assert caught.value.code == "serve.too-fast"
        return await box.answer("bank-a", TEXTS[0], None)

    assert told(story)["label"]


def test_requests_over_the_port_are_in_the_figures_and_looks_at_health_are_not() -> None:
    async def story(here):
        for _ in range(3):
            await here.ask("/v1/predict", {"text": TEXTS[0]})
        await here.ask("/v1/predict", {"text": ""})
        for _ in range(5):
            await here.client.get("/health")
        return Box(here.desk, ADDRESS, lambda: True).figures()

    figures = told(story)
    assert (figures["requests"], figures["errors"], figures["token"]) == (4, 1, True)


def test_an_unknown_request_is_refused(hub: Path) -> None:
    with answering(hub), pytest.raises(CallerError):
        ask(hub, "answer", text="a")
