"""The native protocol: answers with what stands behind them, feedback, reviews; and what stands on every answer."""

from __future__ import annotations

import struct

import httpx
import pytest

from foedus.serve.given import Options
from foedus.serve.predict import Question
from foedus.serve.store import Traffic
from practised import LABELS
from served import TEXTS, Here, admitted, told, under

KEPT = {"keep_texts_days": 30}


def test_a_text_is_answered_with_the_release_its_standing_and_the_practice_line() -> None:
    async def story(here: Here) -> None:
        answer = await here.ask("/v1/predict", {"text": TEXTS[0], "probabilities": True})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["release"] == "practice-intents-1.0"
        assert body["standing"] == "in-force"
        assert body["purpose"] == "customer-service"
        assert body["notices"] == ["practice: one process held every key; the signatures show form, not independence"]
        given = body["answer"]
        assert given["label"] in LABELS
        assert sum(given["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert given["probability"] == pytest.approx(max(given["probabilities"].values()))
        assert given["tokens"] > 2
        assert answer.headers["x-foedus-release"] == "practice-intents-1.0"
        assert answer.headers["x-foedus-standing"] == "in-force"
        assert answer.headers["x-foedus-practice"] == "one-process"
        assert {"queue", "infer", "total"} == {
            part.split(";")[0].strip() for part in answer.headers["server-timing"].split(",")
        }

    told(story)


def test_the_practice_line_is_said_in_the_language_of_the_request() -> None:
    async def story(here: Here) -> None:
        answer = await here.ask("/v1/predict", {"text": TEXTS[0]}, headers={"Accept-Language": "zh-CN,zh;q=0.9"})
        assert "同一进程" in answer.json()["notices"][0]

    told(story)


def test_many_texts_are_answered_in_order_as_each_alone() -> None:
    texts = [*TEXTS, *TEXTS[::-1], "exchange " * 30]

    async def story(here: Here) -> None:
        many = (await here.ask("/v1/predict", {"texts": texts})).json()["answers"]
        for text, found in zip(texts, many, strict=True):
            alone = (await here.ask("/v1/predict", {"text": text})).json()["answer"]
            assert (found["label"], found["tokens"]) == (alone["label"], alone["tokens"])
            assert found["probability"] == pytest.approx(alone["probability"], abs=1e-4)

    told(story)


def test_one_empty_text_among_many_is_an_error_in_its_place() -> None:
    async def story(here: Here) -> None:
        many = (await here.ask("/v1/predict", {"texts": [TEXTS[0], "  ", TEXTS[1]]})).json()["answers"]
        assert [one.get("error", {}).get("code") for one in many] == [None, "serve.empty-text", None]
        alone = await here.ask("/v1/predict", {"text": " \n"})
        assert (alone.status_code, alone.json()["error"]["code"]) == (400, "serve.empty-text")

    told(story)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 400, "serve.not-json"),
        (b"", 422, "serve.wrong-field"),
        (b"[1]", 422, "serve.wrong-field"),
        (b'{"text": 3}', 422, "serve.wrong-field"),
        (b'{"txt": "a"}', 422, "serve.wrong-field"),
        (b'{"text": "a", "texts": ["b"]}', 422, "serve.wrong-field"),
        (b'{"texts": []}', 422, "serve.wrong-field"),
        (b'{"text": "a", "purpose": "scoring"}', 403, "serve.purpose-not-covered"),
        (b'{"text": "\\ud800"}', 400, "serve.not-unicode"),
        (b"\xff\xfe", 400, "serve.not-json"),
        (b"[" * 100_000, 400, "serve.not-json"),
        (b'{"text": "' + b"a" * 200_000 + b'"}', 413, "serve.text-too-long"),
        (b'{"text": "' + b"a" * (10 << 20) + b'"}', 413, "serve.body-too-large"),
    ],
)
def test_a_wrong_request_gets_a_clear_error(body: bytes, status: int, code: str) -> None:
    async def story(here: Here) -> None:
        answer = await here.client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code), answer.text[:300]
        assert error["expected"]
        assert error["got"]
        assert error["do"]
        assert len(answer.text) < 5000, "what was sent is not sent back"
        zh = await here.client.post("/v1/predict", content=body, headers={"Accept-Language": "zh"})
        assert zh.json()["error"]["expected"] != error["expected"]

    told(story)


def test_a_body_without_a_length_is_cut_off_at_the_limit() -> None:
    async def story(here: Here) -> None:
        async def parts():
            for _ in range(100):
                yield b"x" * 100_000

        answer = await here.client.post("/v1/predict", content=parts())
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "serve.body-too-large")

    told(story)


def test_what_curl_sends_by_default_is_read_as_json() -> None:
    async def story(here: Here) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await here.client.post("/v1/predict", content=b'{"text": "where"}', headers=form)
        assert answer.status_code == 200

    told(story)


def test_an_embedding_is_the_mean_over_the_tokens_of_length_one() -> None:
    import torch

    async def story(here: Here) -> None:
        body = (await here.ask("/v1/predict", {"texts": [TEXTS[0], TEXTS[1] * 4], "embedding": True})).json()
        predictor = admitted().predictor
        model = predictor.model
        for text, one in zip((TEXTS[0], TEXTS[1] * 4), body["answers"], strict=True):
            (alone,) = predictor.answer([Question(text, embed=True)])
            assert alone.embedding is not None
            assert one["embedding"] == pytest.approx(struct.unpack("<32f", alone.embedding), abs=1e-5)
            ids = torch.tensor([model.tokenizer(text, truncation=True, max_length=64)["input_ids"]])
            model.net.set_attn_implementation("sdpa")
            try:
                with torch.no_grad():
                    hidden = model.net.bert(input_ids=ids).last_hidden_state[0].mean(0)
            finally:
                model.net.set_attn_implementation("foedus_packed")
            assert one["embedding"] == pytest.approx((hidden / hidden.norm()).tolist(), abs=1e-4)

    told(story)


def test_answers_less_sure_than_the_accord_says_wait_for_a_human_with_their_text() -> None:
    release = under(admitted(), review_below_bp=10_000, **KEPT)

    async def story(here: Here) -> None:
        given = (await here.ask("/v1/predict", {"text": TEXTS[0]})).json()["answer"]
        assert given["in_review"] is True
        page = (await here.client.get("/v1/reviews", params={"state": "open"})).json()
        assert page["open"] == 1
        (waiting,) = page["reviews"]
        assert (waiting["prediction_id"], waiting["text"], waiting["label"]) == (given["id"], TEXTS[0], given["label"])
        wrong = await here.ask("/v1/reviews", {"prediction_id": given["id"], "label": "no such"})
        assert wrong.json()["error"]["code"] == "serve.unknown-label"
        done = await here.ask("/v1/reviews", {"prediction_id": given["id"], "label": LABELS[0]})
        assert (done.status_code, done.json()["state"], done.json()["reviewed_label"]) == (200, "done", LABELS[0])
        assert (await here.client.get("/v1/reviews", params={"state": "open"})).json()["open"] == 0
        unknown = await here.ask("/v1/reviews", {"prediction_id": "nobody", "label": LABELS[0]})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "serve.not-in-review")

    told(story, release)


def test_without_a_clause_nothing_is_reviewed_and_no_text_is_kept() -> None:
    async def story(here: Here) -> None:
        given = (await here.ask("/v1/predict", {"text": TEXTS[0]})).json()["answer"]
        assert given["in_review"] is False
        here.desk.keeper.flush()
        (kept,) = here.desk.keeper.traffic.answers()
        assert (kept.id, kept.text, kept.embedding) == (given["id"], None, None)
        assert abs(kept.confidence_bp - given["probability"] * 10_000) < 1, "the answer's digits are rounded too"

    told(story)


def test_texts_go_when_their_days_are_over_and_an_option_may_only_shorten_them() -> None:
    from datetime import timedelta

    release = under(admitted(), **KEPT)

    async def story(here: Here) -> None:
        await here.ask("/v1/predict", {"texts": list(TEXTS) * 3})
        here.desk.keeper.flush()
        traffic = here.desk.keeper.traffic
        kept = traffic.answers()
        assert {one.text for one in kept} == set(TEXTS)
        assert sum(one.embedding is not None for one in kept) == 1, "one of eight"
        assert here.desk.keep_days == 5
        here.clock.moment += timedelta(days=4)
        await here.desk._forget()
        assert all(one.text for one in traffic.answers())
        here.clock.moment += timedelta(days=2)
        await here.desk._forget()
        assert not any(one.text or one.embedding for one in traffic.answers())
        raw = b"".join(path.read_bytes() for path in (here.folder / "serving").iterdir())
        assert TEXTS[0].encode() not in raw

    told(story, release, options=Options(keep_days=5))
    told(lambda here: _days(here, 30), release, options=Options(keep_days=300))


async def _days(here: Here, days: int) -> None:
    assert here.desk.keep_days == days


def test_feedback_is_kept_beside_its_answer() -> None:
    async def story(here: Here) -> None:
        given = (await here.ask("/v1/predict", {"text": TEXTS[0]})).json()["answer"]
        said = {"prediction_id": given["id"], "verdict": "wrong", "correct": LABELS[1], "comment": "错了"}
        said |= {"consent": True}
        assert (await here.ask("/v1/feedback", said)).status_code == 200
        (kept,) = here.desk.keeper.traffic.feedback()
        assert (kept.answer, kept.verdict, kept.correct, kept.comment, kept.consent) == (
            given["id"], "wrong", LABELS[1], "错了", True,
        )  # fmt: skip
        cases = [
            ({"prediction_id": "nobody", "verdict": "right"}, 404, "serve.no-such-answer"),
            ({**said, "correct": "no label"}, 400, "serve.unknown-label"),
            ({**said, "verdict": "maybe"}, 422, "serve.wrong-field"),
            ({**said, "verdict": "right"}, 422, "serve.wrong-field"),
            ({**said, "comment": "x" * 3000}, 422, "serve.wrong-field"),
        ]
        for body, status, code in cases:
            answer = await here.ask("/v1/feedback", body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        metrics = (await here.client.get("/metrics")).text
        assert 'foedus_feedback_total{verdict="wrong"} 1.0' in metrics

    told(story)


def test_a_request_keeps_its_id_and_an_odd_one_gets_another() -> None:
    async def story(here: Here) -> None:
        kept = await here.ask("/v1/predict", {"text": "a"}, headers={"X-Request-Id": "abc-1.2_3"})
        assert kept.headers["x-request-id"] == "abc-1.2_3"
        for odd in ("a b", "x" * 65, "<script>", ""):
            given = await here.ask("/v1/predict", {"text": "a"}, headers={"X-Request-Id": odd})
            assert given.headers["x-request-id"] != odd
            assert len(given.headers["x-request-id"]) == 16

    told(story)


def test_metrics_are_readable_by_prometheus_and_count_what_happened() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    async def story(here: Here) -> None:
        await here.ask("/v1/predict", {"texts": list(TEXTS)})
        await here.ask("/v1/predict", {"text": ""})
        page = await here.client.get("/metrics")
        assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = {
            (sample.name, sample.labels.get("code")): sample.value
            for family in text_string_to_metric_families(page.text)
            for sample in family.samples
        }
        assert found["foedus_requests_total", "200"] == 1
        assert found["foedus_requests_total", "400"] == 1
        assert found["foedus_queue_seconds_count", None] == 3
        assert found["foedus_batch_size_sum", None] == 3
        assert found["foedus_infer_seconds_count", None] >= 1
        assert found["foedus_queue_depth", None] == 0

    told(story)


def test_a_fault_of_the_model_is_told_without_its_inside_and_harms_no_other_text(caplog) -> None:
    class Broken:
        max_tokens, width = 64, 32
        model = admitted().predictor.model

        def answer(self, questions):
            if any("bad" in question.text for question in questions):
                raise ZeroDivisionError("secret inside")
            return admitted().predictor.answer(questions)

    async def story(here: Here) -> None:
        body = (await here.ask("/v1/predict", {"texts": ["a", "bad", "b"]})).json()["answers"]
        assert [one.get("error", {}).get("code") for one in body] == [None, "serve.failed", None]
        alone = await here.ask("/v1/predict", {"text": "bad"})
        assert (alone.status_code, alone.json()["error"]["code"]) == (500, "serve.failed")
        assert "secret inside" not in alone.text
        assert "secret inside" in caplog.text

    told(story, model=Broken())  # type: ignore[arg-type]  # all of a predictor that a desk uses


def test_when_nothing_can_be_kept_answers_are_given_and_health_says_so(monkeypatch) -> None:
    from foedus.core.errors import RunError

    def full(self, answers):
        raise RunError("serve.cannot-keep", path="-", reason="disk full")

    monkeypatch.setattr(Traffic, "add", full)

    async def story(here: Here) -> None:
        assert (await here.ask("/v1/predict", {"text": TEXTS[0]})).status_code == 200
        here.desk.keeper.flush()
        health = (await here.client.get("/health")).json()
        assert health["kept"] == {"days": 0, "lost": 1, "trouble": "serve.cannot-keep"}
        said = await here.ask("/v1/feedback", {"prediction_id": "x", "verdict": "right"})
        assert (said.status_code, said.json()["error"]["code"]) == (503, "serve.not-kept")

    told(story)


def test_unknown_paths_and_methods_are_refused_in_the_usual_form() -> None:
    async def story(here: Here) -> None:
        gone: httpx.Response = await here.client.get("/v1/nothing")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "serve.no-such-path")
        wrong = await here.client.get("/v1/predict")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "serve.method-not-allowed")
        assert wrong.headers["allow"] == "POST"

    told(story)
