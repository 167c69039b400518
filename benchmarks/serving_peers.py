"""What is measured beside our server: a plain one over the same model folder, one text a request; and the bare call.

python benchmarks/serving_peers.py plain MODEL PORT MAX_TOKENS
python benchmarks/serving_peers.py forward MODEL TEXTS MAX_TOKENS      the bare call, timed; prints JSON
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from pydantic import BaseModel

WARM, TIMED = 50, 1000
LONGEST_SECONDS = 20


class Ask(BaseModel):
    """What is sent: one text."""

    text: str


def plain(model: str, port: int, max_tokens: int) -> None:
    """FastAPI over a transformers pipeline: a function that the server calls in a thread, a text at a time."""
    import uvicorn
    from fastapi import FastAPI
    from transformers import pipeline

    app = FastAPI()
    classify = pipeline("text-classification", model=model, tokenizer=model)

    @app.post("/v1/predict")
    def predict(asked: Ask) -> dict[str, object]:
        found = classify(asked.text, truncation=True, max_length=max_tokens)[0]
        return {"label": found["label"], "probability": found["score"]}

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def forward(model: str, texts: str, max_tokens: int) -> None:
    """The call of the stock model alone, a text at a time, with and without making its tokens."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    net = AutoModelForSequenceClassification.from_pretrained(model).eval()
    rows = Path(texts).read_text(encoding="utf-8").splitlines()
    bare, whole = [], []
    ends = time.monotonic() + LONGEST_SECONDS
    with torch.inference_mode():
        for number in range(WARM + TIMED):
            text = rows[number * 7919 % len(rows)]
            began = time.perf_counter()
            given = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
            ready = time.perf_counter()
            net(**given)
            ended = time.perf_counter()
            if number >= WARM:
                bare.append(ended - ready)
                whole.append(ended - began)
                if time.monotonic() > ends:
                    break
    print(json.dumps({"forward_ms": 1000 * statistics.median(bare), "with_tokens_ms": 1000 * statistics.median(whole)}))


if __name__ == "__main__":
    kind, folder, third, most = sys.argv[1:]
    if kind == "forward":
        forward(folder, third, int(most))
    else:
        plain(folder, int(third), int(most))
