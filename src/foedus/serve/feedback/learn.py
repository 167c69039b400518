"""From corrections to training data: a file beside the member's own, named in its `data.yaml`.

Only what a user corrected *and* let be learned from is taken, with the text that the store still keeps. The file stays
on this machine like all training data; the consortium learns a rounded count and the basis, from the card.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from foedus.core.errors import CallerError
from foedus.core.files import read_text, write_atomic
from foedus.data.mapping import DataMapping, read_mapping
from foedus.serve.store import Traffic

__all__ = ["FILE", "Learned", "learn_from"]

FILE = "feedback.jsonl"


@dataclass(frozen=True, slots=True)
class Learned:
    """The file, how many corrections it holds, how many of them are new, and the basis."""

    file: Path
    new: int
    total: int
    consent: str


def learn_from(workspace: Path, mapping_path: Path, *, consent: str | None = None) -> Learned:
    """Take the corrections of a serving workspace's traffic into the data that a `data.yaml` describes.

    What an earlier call took stays, also when the store has forgotten its text; a later correction of the same answer
    takes its place; a later word that the answer was right, or without consent, takes it out. `consent` is needed the
    first time.

    Raises:
        CallerError: `data.no-consent`, `data.no-corrections`; as `read_mapping`.
    """
    mapping = read_mapping(mapping_path)
    basis = mapping.feedback.consent if mapping.feedback else consent
    if not basis:
        raise CallerError("data.no-consent")
    file = mapping_path.resolve().parent / (mapping.feedback.path if mapping.feedback else FILE)
    with Traffic.of(workspace) as traffic:
        corrections = traffic.corrections()
        path = traffic.path
        kept = {name: row for name, row in _rows(file).items() if _still_agreed(traffic, name)}
    before = len(kept)
    kept |= {
        answer.id: {"answer": answer.id, "label": said.correct or "", "text": answer.text or ""}
        for answer, said in corrections
    }
    if not kept and not file.exists():
        raise CallerError("data.no-corrections", path=str(path))
    write_atomic(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept.values()).encode())
    if mapping.feedback is None:
        _name_in(mapping_path, mapping, file.name, basis)
    return Learned(file, len(kept) - before, len(kept), basis)


def _rows(file: Path) -> dict[str, dict[str, str]]:
    """What an earlier call took, by answer."""
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in read_text(file).split("\n") if line]
    return {row["answer"]: row for row in rows}


def _still_agreed(traffic: Traffic, answer: str) -> bool:
    """Whether the last word of users on an answer still calls it wrong, and lets it be learned from."""
    said = traffic.feedback(answer=answer, size=1)
    return not said or (said[0].consent and said[0].verdict == "wrong")


def _name_in(mapping_path: Path, mapping: DataMapping, name: str, consent: str) -> None:
    """Add the file to the `data.yaml`; what stands there is left as it is."""
    text = read_text(mapping_path)
    added = f"feedback:\n  path: {name}\n  consent: {json.dumps(consent, ensure_ascii=False)}\n"
    write_atomic(mapping_path.resolve(), (text.rstrip("\n") + "\n" + added).encode())
    try:
        same = read_mapping(mapping_path).model_copy(update={"feedback": None}) == mapping
    except CallerError:
        same = False
    if not same:  # the mapping is written in some other way, as one line of braces perhaps
        write_atomic(mapping_path.resolve(), text.encode())
        raise CallerError("data.name-feedback", path=str(mapping_path), lines=added)
