"""KServe V2, MLflow and OpenAI: each as its own clients speak it, over the same model; and a document that is true."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

import pytest

from foedus.core.errors import CallerError
from foedus.serve.mlflow import texts_of
from practised import LABELS
from served import TEXTS, Here, told


def infer(*texts: Any, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts), **changes}
    return {"id": "one", "inputs": [tensor]}


def test_kserve_answers_as_the_native_protocol_does() -> None:
    async def story(here: Here) -> None:
        native = (await here.ask("/v1/predict", {"texts": list(TEXTS)})).json()["answers"]
        for path in ("/v2/models/practice-intents/infer", "/v2/models/practice-intents/versions/1.0/infer"):
            body = (await here.ask(path, infer(*TEXTS))).json()
            assert (body["model_name"], body["model_version"], body["id"]) == ("practice-intents", "1.0", "one")
            outputs = {one["name"]: one for one in body["outputs"]}
            assert outputs["label"]["data"] == [one["label"] for one in native]
            assert outputs["label"]["shape"] == [3]
            sure = [one["probability"] for one in native]
            assert outputs["probability"]["data"] == pytest.approx(sure, abs=1e-4)
            assert len(set(outputs["prediction_id"]["data"])) == 3

    told(story)


def test_kserve_tells_of_the_server_and_the_model() -> None:
    async def story(here: Here) -> None:
        get = here.client.get
        assert (await get("/v2")).json()["name"] == "foedus"
        assert (await get("/v2/health/live")).json() == {"live": True}
        assert (await get("/v2/health/ready")).json() == {"ready": True}
        about = (await get("/v2/models/practice-intents")).json()
        assert (about["name"], about["versions"]) == ("practice-intents", ["1.0"])
        assert about["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        assert (await get("/v2/models/practice-intents/versions/1.0/ready")).json()["ready"] is True

    told(story)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v2/models/other/infer", infer("a"), 404, "serve.no-such-model"),
        ("/v2/models/practice-intents/versions/9/infer", infer("a"), 404, "serve.no-such-model"),
        ("/v2/models/practice-intents/infer", infer("a", datatype="FP32"), 400, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer(1), 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer(), 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer("a", shape=[2]), 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer("a", shape=[-1, -1]), 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer("a", shape=[1, 1, 1, 1, 1]), 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer("a", shape=[1, 1025]), 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer("a", shape=[9999999999999999999] * 1000), 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", {"inputs": []}, 422, "serve.wrong-field"),
        ("/v2/models/practice-intents/infer", infer(""), 400, "serve.empty-text"),
    ],
)
def test_kserve_refuses_in_the_form_of_its_protocol(path: str, body: Any, status: int, code: str) -> None:
    async def story(here: Here) -> None:
        answer = await here.ask(path, body)
        assert (answer.status_code, answer.json()["code"]) == ((422 if code == "serve.wrong-field" else status), code)
        assert isinstance(answer.json()["error"], str)

    told(story)


def test_a_tensor_of_several_dimensions_is_read_in_its_order() -> None:
    async def story(here: Here) -> None:
        path = "/v2/models/practice-intents/infer"
        flat, deep = [(await here.ask(path, infer(*TEXTS, shape=shape))).json() for shape in ([3], [1, 3, 1])]
        assert flat["outputs"][0] == deep["outputs"][0]

    told(story)


FORMS = [
    {"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}},
    {"dataframe_split": {"columns": ["id", "text"], "data": [[1, text] for text in TEXTS]}},
    {"dataframe_split": {"columns": ["anything"], "data": [[text] for text in TEXTS]}},
    {"dataframe_records": [{"text": text} for text in TEXTS]},
    {"dataframe_records": [{"id": 1, "text": text} for text in TEXTS]},
    {"inputs": list(TEXTS)},
    {"inputs": {"text": list(TEXTS)}},
    {"inputs": [[text] for text in TEXTS]},
    {"instances": list(TEXTS)},
    {"instances": [{"anything": text} for text in TEXTS]},
]


@pytest.mark.parametrize("body", FORMS)
def test_mlflow_reads_a_table_in_any_of_its_forms(body: dict[str, Any]) -> None:
    assert texts_of(body) == list(TEXTS)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": ["a"], "instances": ["a"]},
        {"inputs": []},
        {"inputs": 3},
        {"inputs": [3]},
        {"inputs": [["a", "b"]]},
        {"inputs": {"a": ["x"], "b": ["y"]}},
        {"inputs": {"text": 3}},
        {"dataframe_records": [{"a": "x", "b": "y"}]},
        {"dataframe_split": {"columns": ["a", "b"], "data": [["x", "y"]]}},
        {"dataframe_split": {"columns": ["text"], "data": [["x", "y"]]}},
        {"dataframe_split": {"columns": ["text"], "data": [[None]]}},
        {"dataframe_split": {"data": [["x"]]}},
        {"dataframe_split": [["x"]]},
        {"dataframe_split": {"columns": [], "data": [[]]}},
    ],
)
def test_mlflow_refuses_what_is_no_table_of_texts(body: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match=r"serve\.wrong-field"):
        texts_of(body)


def test_mlflow_scores_and_refuses_in_its_own_form() -> None:
    async def story(here: Here) -> None:
        assert (await here.client.get("/ping")).status_code == 200
        native = (await here.ask("/v1/predict", {"texts": list(TEXTS)})).json()["answers"]
        scored = (await here.ask("/invocations", FORMS[0])).json()["predictions"]
        assert [one["label"] for one in scored] == [one["label"] for one in native]
        wrong = await here.ask("/invocations", {"rows": []})
        assert (wrong.status_code, wrong.json()["error_code"]) == (422, "serve.wrong-field")
        assert wrong.json()["message"]

    told(story)


def test_openai_embeddings_are_the_same_in_both_encodings() -> None:
    async def story(here: Here) -> None:
        asked = {"input": list(TEXTS), "model": "practice-intents-1.0"}
        floats = (await here.ask("/v1/embeddings", asked)).json()
        coded = (await here.ask("/v1/embeddings", {**asked, "encoding_format": "base64"})).json()
        assert [one["index"] for one in floats["data"]] == [0, 1, 2]
        assert floats["usage"]["prompt_tokens"] == floats["usage"]["total_tokens"] > 6
        for one, other in zip(floats["data"], coded["data"], strict=True):
            raw = struct.unpack("<32f", base64.b64decode(other["embedding"]))
            assert one["embedding"] == pytest.approx(raw, abs=1e-5)
            assert sum(value * value for value in raw) == pytest.approx(1, abs=1e-5)

    told(story)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"model": "gpt-4"}, 404, "serve.no-such-model"),
        ({"dimensions": 7}, 422, "serve.wrong-field"),
        ({"input": []}, 422, "serve.wrong-field"),
        ({"input": [1, 2]}, 422, "serve.wrong-field"),
        ({"input": ["a", *range(2000)]}, 422, "serve.wrong-field"),
        ({"input": ["a"] * 1025}, 413, "serve.too-many-texts"),
        ({"input": ""}, 400, "serve.empty-text"),
        ({"encoding_format": "hex"}, 422, "serve.wrong-field"),
    ],
)
def test_openai_refuses_what_the_model_cannot_do(changes: dict[str, Any], status: int, code: str) -> None:
    async def story(here: Here) -> None:
        answer = await here.ask("/v1/embeddings", {"input": "a", "model": "practice-intents", **changes})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["message"]

    told(story)


def test_openai_lists_the_release() -> None:
    async def story(here: Here) -> None:
        (model,) = (await here.client.get("/v1/models")).json()["data"]
        assert (model["id"], model["object"]) == ("practice-intents-1.0", "model")
        assert (await here.client.get("/v1/models/practice-intents-1.0")).json() == model
        assert (await here.client.get("/v1/models/other")).status_code == 404

    told(story)


def test_the_openapi_document_is_valid_and_names_every_route() -> None:
    async def story(here: Here) -> None:
        document = (await here.client.get("/openapi.json")).json()
        shown = json.dumps(document)
        for name in set(re.findall(r'"#/components/schemas/([^"]+)"', shown)):
            assert name in document["components"]["schemas"], name
        assert set(document["paths"]) == {
            "/health", "/healthz", "/readyz", "/metrics", "/ping", "/invocations", "/v1/predict", "/v1/feedback",
            "/v1/reviews", "/v1/models", "/v1/models/{model}", "/v1/embeddings", "/v2", "/v2/health/live",
            "/v2/health/ready", "/v2/models/{model}", "/v2/models/{model}/ready", "/v2/models/{model}/infer",
            "/v2/models/{model}/versions/{version}", "/v2/models/{model}/versions/{version}/ready",
            "/v2/models/{model}/versions/{version}/infer",
        }  # fmt: skip
        assert "HTTPValidationError" not in shown
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"

    told(story)


def test_labels_are_those_of_the_accord() -> None:
    async def story(here: Here) -> None:
        body = (await here.ask("/v1/predict", {"text": "a", "probabilities": True})).json()
        assert set(body["answer"]["probabilities"]) == set(LABELS)

    told(story)
