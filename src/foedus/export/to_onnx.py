"""ONNX: one graph with any batch and length, written by torch's exporter and asked by onnxruntime before it is given.

Inputs `input_ids` and `attention_mask` (batch, tokens), int64; output `logits`, float32. The tokenizer's files and
config.json with the labels lie beside it. Weights beyond the 2 GB that one file can hold lie in `model.onnx.data`.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from foedus.export.source import Net, Source, apart, load, logits_of, probes
from foedus.export.to_transformers import write
from foedus.tasks import Batch
from foedus.train.export import TOKENIZER_FILES

__all__ = ["make", "run"]

INPUTS = ("input_ids", "attention_mask")
ONE_FILE_BYTES = 1_900_000_000


def make(source: Source, folder: Path) -> float:
    """Write `model.onnx` and what belongs to it; the difference of its logits, by onnxruntime, from the release's."""
    for needed in ("onnxscript", "onnxruntime"):  # the exporter tells of a package that it lacks only in passing
        import_module(needed)
    whole = folder / "whole"
    write(source, whole)
    net = load(whole, source.accord)
    for name in ("config.json", *TOKENIZER_FILES):
        if (whole / name).is_file():
            shutil.copyfile(whole / name, folder / name)
    shutil.rmtree(whole)
    batches = probes(net, source.accord)
    _write(net, batches[-1], folder / "model.onnx")
    ours = load(source.model, source.accord)
    return apart(batches, [logits_of(ours, one) for one in batches], run(folder / "model.onnx", batches))


def run(path: Path, batches: Sequence[Batch]) -> list[torch.Tensor]:
    """The logits of an ONNX model, computed by onnxruntime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [
        torch.from_numpy(session.run(["logits"], {name: batch[name].numpy() for name in INPUTS})[0])
        for batch in batches
    ]


class _Logits(torch.nn.Module):
    """The model as a function of the two inputs alone."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def _write(net: Net, batch: Batch, path: Path) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in net.net.state_dict().values())
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=net.task.settings.max_tokens)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own, about its own parts
        torch.onnx.export(
            _Logits(net.net).eval(),
            tuple(batch[name] for name in INPUTS),
            str(path),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
            external_data=size > ONE_FILE_BYTES,
            dynamo=True,
            verbose=False,
        )
