"""The parts of a member's data: train; validation (early stopping, credit); test (figures and gates only)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foedus.core.errors import CallerError
from foedus.core.files import read_bytes
from foedus.data.card import make_card
from foedus.data.commit import commitment, part_salt
from foedus.data.examples import Example, normalised
from foedus.data.load import load_file
from foedus.data.mapping import Columns, DataMapping, PartFiles, Split, read_mapping
from foedus.data.split import PART_NAMES, PartName, in_order, part_of
from foedus.records import terms
from foedus.records.evidence import DataCard

__all__ = ["Parts", "open_parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """The examples of each part in their committed order, and the card that describes them.

    `skipped_empty` and `ignored` count the rows that the mapping left out, `repaired` those whose tags or spans it
    mended.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    card: DataCard
    mapping: DataMapping
    skipped_empty: int = 0
    ignored: int = 0
    repaired: int = 0

    @property
    def commitments(self) -> dict[PartName, str]:
        """The salted Merkle root of each part."""
        return dict(self.card.commitments)


def open_parts(mapping_path: Path, *, task: terms.Task, member: str, secret_key: bytes, smallest_cell: int) -> Parts:
    """Read a member's data as its `data.yaml` says. Same files, key and task: same parts, order and commitments.

    `secret_key` is the member's own (at least 16 bytes); it decides the split and salts the commitments. Paths in the
    mapping are relative to its folder. A `test` file alone gives an auditor's set: no train, no validation.

    Raises:
        CallerError: what `read_mapping` and `load_file` raise; `data.too-few` when a part has fewer examples than the
            smallest cell; `data.feedback-task`; `data.one-label` when all training examples have one label, or no
            entity at all.
    """
    if len(secret_key) < 16:
        raise ValueError("secret_key needs at least 16 bytes")
    mapping = read_mapping(mapping_path)
    files = mapping.parts or PartFiles(train=mapping.path)
    gathered: dict[PartName, list[Example]] = {part: [] for part in PART_NAMES}
    skipped = ignored = repaired = 0
    for part in PART_NAMES:
        if (name := getattr(files, part)) is None:
            continue
        loaded = load_file(mapping_path.parent / name, mapping, task)
        skipped, ignored = skipped + loaded.skipped_empty, ignored + loaded.ignored
        repaired += loaded.repaired
        split = _split_of(mapping, files) if part == "train" else None
        for example, by in loaded.examples:
            gathered[part_of(example, by, split, key=secret_key) if split else part].append(example)

    learned = _from_feedback(mapping_path.parent, mapping, task, gathered) if files.train else []
    gathered["train"] += learned

    expected = PART_NAMES if files.train else ("test",)
    for part in expected:
        if len(gathered[part]) < smallest_cell:
            raise CallerError("data.too-few", part=part, count=len(gathered[part]), smallest_cell=smallest_cell)
    if files.train:
        _refuse_one_label(gathered["train"], task)

    parts = {part: in_order(gathered[part], key=secret_key) for part in PART_NAMES}
    roots = {
        part: commitment(parts[part], salt=part_salt(secret_key, name=mapping.name, part=part)) for part in expected
    }
    card = make_card(
        mapping, parts, task=task, member=member, smallest_cell=smallest_cell, commitments=roots, learned=len(learned)
    )
    return Parts(
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        card=card,
        mapping=mapping,
        skipped_empty=skipped,
        ignored=ignored,
        repaired=repaired,
    )


def _from_feedback(
    folder: Path, mapping: DataMapping, task: terms.Task, gathered: dict[PartName, list[Example]]
) -> list[Example]:
    """What users corrected, without texts on which the model is measured."""
    if mapping.feedback is None:
        return []
    if not isinstance(task, terms.TextClassification):
        raise CallerError("data.feedback-task", task=task.name)
    if (folder / mapping.feedback.path).is_file() and not read_bytes(folder / mapping.feedback.path).strip():
        return []  # all of it was taken back
    plain: dict[str, Any] = {
        "path": mapping.feedback.path,
        "parts": None,
        "format": "jsonl",
        "delimiter": None,
        "encoding": "utf-8",
    }
    plain |= {"columns": Columns(text="text", label="label"), "labels": {}, "ignore": (), "empty": "skip"}
    loaded = load_file(folder / mapping.feedback.path, mapping.model_copy(update={**plain, "split": Split()}), task)
    measured = {normalised(example.text) for part in ("validation", "test") for example in gathered[part]}
    return [example for example, _ in loaded.examples if normalised(example.text) not in measured]


def _split_of(mapping: DataMapping, files: PartFiles) -> Split | None:
    """How the training file is cut: a part with a file of its own takes nothing out of it."""
    shares = mapping.split
    if files.validation and files.test:
        return None
    validation = 0 if files.validation else shares.validation
    test = 0 if files.test else shares.test
    return shares.model_copy(update={"train": 100 - validation - test, "validation": validation, "test": test})


def _refuse_one_label(train: list[Example], task: terms.Task) -> None:
    if isinstance(task, terms.TextClassification):
        labels = {str(example.label) for example in train}
        if len(labels) < 2:
            raise CallerError("data.one-label", got=", ".join(sorted(labels)))
    elif not any(example.spans for example in train):
        raise CallerError("data.no-entities", count=len(train), known=", ".join(task.labels))
