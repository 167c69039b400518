"""LitServe with its own batching, as its documentation shows it: up to 32 texts, waited for at most 4 ms.

    python benchmarks/serving_litserve.py MODEL PORT MAX_TOKENS

A file of its own, since its worker is a process that imports this one again.
"""

from __future__ import annotations

import sys

import litserve as ls
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

BATCH, WAIT_SECONDS = 32, 0.004


class Classify(ls.LitAPI):
    """One text a request in; its label and probability out."""

    def __init__(self, model: str, max_tokens: int) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=WAIT_SECONDS, api_path="/v1/predict")
        self.model, self.max_tokens = model, max_tokens

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model in the worker."""
        self.tokenizer = AutoTokenizer.from_pretrained(self.model)
        self.net = AutoModelForSequenceClassification.from_pretrained(self.model).eval()

    def decode_request(self, request: dict[str, str]) -> str:
        """The text of a request."""
        return request["text"]

    def batch(self, inputs: list[str]) -> dict[str, torch.Tensor]:
        """The tokens of many, padded."""
        most = self.max_tokens
        return dict(self.tokenizer(list(inputs), padding=True, truncation=True, max_length=most, return_tensors="pt"))

    def predict(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Probabilities: (batch, labels)."""
        with torch.inference_mode():
            return torch.softmax(self.net(**batch).logits, dim=-1)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        """A row each."""
        return list(output)

    def encode_response(self, output: torch.Tensor) -> dict[str, object]:
        """The best label."""
        best = int(output.argmax())
        return {"label": self.net.config.id2label[best], "probability": float(output[best])}


if __name__ == "__main__":
    folder, port, most = sys.argv[1:]
    server = ls.LitServer(Classify(folder, int(most)), accelerator="cpu", workers_per_device=1)
    server.run(port=int(port), log_level="warning", generate_client_file=False)
