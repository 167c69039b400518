"""What a body may hold: so many values, told before it is read; and few errors are told of it."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from foedus.core.errors import CallerError
from foedus.serve.bodies import MOST_VALUES, require_modest
from foedus.serve.shapes import EmbeddingsAsk, FeedbackAsk, InferAsk, PredictAsk
from served import Here, told

MANY = {
    "numbers": [1] * (MOST_VALUES + 1),
    "texts": ["a"] * (MOST_VALUES + 1),
    "lists": [[]] * (MOST_VALUES // 2 + 1),
    "objects": [{"text": "a"}] * (MOST_VALUES // 2 + 1),
    "names": {f"{number}": 1 for number in range(MOST_VALUES + 1)},
    "empty texts": [""] * (4 * MOST_VALUES),
}


@pytest.mark.parametrize("name", MANY)
def test_more_values_than_may_be_are_refused_wherever_they_stand(name: str) -> None:
    for body in (MANY[name], {"inputs": MANY[name]}, {"inputs": [{"shape": MANY[name]}]}):
        with pytest.raises(CallerError, match=r"serve\.too-many-values"):
            require_modest(json.dumps(body).encode())


@pytest.mark.parametrize("text", [",[{" * MOST_VALUES, '\\",[{"' * MOST_VALUES, "\\", '"', "文，,本"])
def test_what_stands_in_a_text_is_not_counted(text: str) -> None:
    require_modest(json.dumps({"texts": [text, "a", text]}).encode())
    require_modest(json.dumps({text: text}, ensure_ascii=False).encode())


VALUES: Any = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a,[{"\\]}:\n文'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a,[{"\\'), inner),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_as_many_are_counted_as_there_are(value: Any) -> None:
    """A list of as many copies as may be is let through, and with one value more is not."""

    def size(one: Any) -> int:
        """Commas and brackets: no more than the values, and no fewer than half of them."""
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        return isinstance(one, dict | list) + max(0, len(inner) - 1) + sum(map(size, inner))

    spelt, most = json.dumps(value), 500
    copies = most // (size(value) + 1)
    with patch("foedus.serve.bodies.MOST_VALUES", most):
        require_modest(f"[{','.join([spelt] * copies)}]".encode())
        with pytest.raises(CallerError, match=r"serve\.too-many-values"):
            require_modest(f"[{','.join([spelt] * (copies + 1))}{',1' * (size(value) + 1)}]".encode())


def test_a_body_in_another_encoding_is_no_json() -> None:
    for encoding in ("utf-16", "utf-32", "utf-16-le"):
        with pytest.raises(CallerError, match=r"serve\.not-json"):
            require_modest(json.dumps({"text": "a"}).encode(encoding))


def test_a_server_refuses_such_a_body_and_goes_on() -> None:
    async def story(here: Here) -> None:
        for path in ("/v1/predict", "/v2/models/practice-intents/infer", "/v1/embeddings", "/invocations"):
            answer = await here.ask(path, {"inputs": MANY["lists"]})
            assert (answer.status_code, "serve.too-many-values" in answer.text) == (413, True)
        wide = await here.client.post("/v1/predict", content=json.dumps({"text": "a"}).encode("utf-16"))
        assert (wide.status_code, wide.json()["error"]["code"]) == (400, "serve.not-json")
        assert (await here.ask("/v1/predict", {"text": "a"})).status_code == 200

    told(story)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (PredictAsk, {"text": "a", **{f"k{number}": 1 for number in range(50_000)}}),
        (FeedbackAsk, {"verdict": "right", **{f"k{number}": 1 for number in range(50_000)}}),
        (InferAsk, {"inputs": [{"name": "a", "shape": ["x"] * 50_000, "datatype": "BYTES", "data": ["a"]}]}),
        (EmbeddingsAsk, {"input": [1] * 50_000}),
    ],
)
def test_of_very_many_wrong_things_few_are_told(kind: Any, body: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body)
    assert caught.value.error_count() < 10
