"""An MLflow model: `mlflow.pyfunc.load_model` loads it, with transformers and torch and without Foedus.

The loader is `released_model.py`, copied into the folder. What it answers is compared with what the release answers.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from foedus.core.errors import RunError
from foedus.data.examples import WORD
from foedus.export import released_model
from foedus.export.source import Net, Source, apart, load, logits_of, probes, texts
from foedus.export.to_transformers import write
from foedus.records import terms
from foedus.tasks.ner import frame, marks

__all__ = ["make"]

NEEDS = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_REQUIREMENTS_INFERENCE_RAISE_ERRORS": "false",
}


def make(source: Source, folder: Path) -> float:
    """Write the model's folder; the difference of its logits, as MLflow loads it, from the release's.

    Raises:
        RunError: `export.differs` when an answer is another than the release's.
    """
    whole = folder.with_name(f"{folder.name}-whole")
    try:
        write(source, whole)
        ours = load(source.model, source.accord)
        (whole / "task.json").write_text(json.dumps(_task(source, ours), ensure_ascii=False), encoding="utf-8")
        theirs = _saved(whole, folder)
    finally:
        shutil.rmtree(whole, ignore_errors=True)
    _require_same_answers(source, ours, theirs)
    batches = probes(ours, source.accord)
    [data] = (folder / "data").iterdir()
    loaded = released_model.ReleasedModel(data)  # what MLflow loaded, which shows only its answers
    found = [loaded.logits(one["input_ids"], one["attention_mask"]) for one in batches]
    return apart(batches, [logits_of(ours, one) for one in batches], found)


def _saved(data: Path, folder: Path) -> Any:
    """Write the folder by MLflow, and load it by MLflow."""
    with _settings(QUIET), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its own parts
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        folder.rmdir()  # MLflow makes it
        mlflow.pyfunc.save_model(
            path=str(folder),
            loader_module=released_model.__name__.rpartition(".")[2],
            data_path=str(data),
            code_paths=[str(Path(released_model.__file__))],
            pip_requirements=[f"{name}=={version(name)}" for name in NEEDS],
        )
        return mlflow.pyfunc.load_model(str(folder))


@contextmanager
def _settings(values: dict[str, str]) -> Iterator[None]:
    """These variables of the environment, inside; MLflow reads them when it is imported and when it saves."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _task(source: Source, ours: Net) -> dict[str, Any]:
    """What the loader must know of the task: as the accord says it, and as the tokenizer frames a text."""
    task = source.accord.task
    known = {"name": task.name, "max_tokens": task.max_tokens, "model_class": ours.task.model_class}
    if isinstance(task, terms.TextClassification):
        return known
    before, after = frame(ours.tokenizer)
    dropped = marks(ours.tokenizer) if task.level == "character" else frozenset()
    return {**known, "level": task.level, "words": WORD, "before": before, "after": after, "marks": sorted(dropped)}


def _require_same_answers(source: Source, ours: Net, theirs: Any) -> None:
    asked = texts(source.accord)
    examples = [ours.task.example(text) for text in asked]
    encoded = ours.task.encode(ours.tokenizer, examples)
    batch = ours.task.collate(encoded, ours.tokenizer.pad_token_id)
    rows = zip(logits_of(ours, batch), encoded, examples, theirs.predict(asked), strict=True)
    for logits, one, example, got in rows:
        expected = ours.task.predict(logits, one, example)
        if _plain(expected) != _plain(got):
            raise RunError("export.differs", form="mlflow", difference=str(got)[:100], tolerance=str(expected)[:100])


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without its probabilities, which are compared as logits."""
    return {name: value for name, value in answer.items() if not name.startswith("probabilit")}
