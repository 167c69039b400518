"""What a set of answers amounts to for a look: lengths, labels, confidences, and projections of embeddings.

Of an embedding only 32 random projections are kept (W. Johnson and J. Lindenstrauss, 1984: distances stay about the
same), drawn from the release's name: enough to see whether texts are about something else, too little to read them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foedus.serve.store import Answer

__all__ = ["DIMENSIONS", "Sample", "sample_of"]

DIMENSIONS = 32


@dataclass(frozen=True, slots=True)
class Sample:
    """`lengths` in tokens and `confidences` 0 to 1, both (answers,); `labels` counted; `inputs` (texts with an
    embedding, 32), or none.
    """

    lengths: NDArray[np.float64]
    confidences: NDArray[np.float64]
    labels: Counter[str]
    inputs: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lengths)


def sample_of(answers: Sequence[Answer]) -> Sample:
    """The sample of some answers of one release."""
    vectors = [np.frombuffer(one.embedding, dtype="<f4") for one in answers if one.embedding]
    inputs = np.zeros((0, DIMENSIONS), dtype=np.float32)
    if vectors:
        inputs = (np.stack(vectors) @ _projection(answers[0].release, len(vectors[0]))).astype(np.float32)
    return Sample(
        np.array([one.tokens for one in answers], dtype=np.float64),
        np.array([one.confidence_bp for one in answers], dtype=np.float64) / 10_000,
        Counter(one.label for one in answers),
        inputs,
    )


def _projection(release: str, dimensions: int) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(f"foedus watch v1\n{release}".encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).normal(size=(dimensions, DIMENSIONS))
    scaled: NDArray[np.float64] = drawn / np.sqrt(DIMENSIONS)
    return scaled
