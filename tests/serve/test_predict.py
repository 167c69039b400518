"""What a process keeps of the texts that it answered: nothing that is compiled for their lengths."""

from __future__ import annotations

import ctypes

import pytest
import torch

from foedus.serve.predict import Question
from served import admitted


def _onednn_built(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What oneDNN told of what it built since it was asked to tell."""
    ctypes.CDLL(None).fflush(None)  # it writes through C's own buffer
    return [
        line for line in capfd.readouterr().out.splitlines() if line.startswith("onednn_verbose") and "exec" in line
    ]


def test_texts_of_many_lengths_leave_nothing_compiled_for_each_behind(capfd: pytest.CaptureFixture[str]) -> None:
    verbose = torch.backends.mkldnn
    predictor = admitted().predictor
    with verbose.verbose(verbose.VERBOSE_ON):
        for words in range(1, 12):
            predictor.answer([Question("card " * words), Question("rate " * (words + 3), words % 2 == 0)])
        assert _onednn_built(capfd) == []
        with torch.inference_mode():  # what it would tell: otherwise the line above could not fail
            torch.nn.functional.gelu(torch.randn(1, 37, 64))
        assert _onednn_built(capfd)


def test_what_else_the_process_computes_has_its_kernels_back() -> None:
    before = torch.backends.mkldnn.enabled
    admitted().predictor.answer([Question("where is my pin")])
    assert torch.backends.mkldnn.enabled == before
