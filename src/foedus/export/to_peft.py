"""A PEFT adapter: the release's own files, where it holds one. Factors are never guessed from folded weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from foedus.core.errors import CallerError
from foedus.export.source import Source, apart, load, logits_of, probes

__all__ = ["make"]


def make(source: Source, folder: Path) -> float:
    """Write the adapter; the difference of its logits once loaded from there. CallerError `export.no-adapter`."""
    if not source.is_adapter:
        raise CallerError("export.no-adapter", release=source.name)
    shutil.copytree(source.model, folder, dirs_exist_ok=True)
    ours, theirs = load(source.model, source.accord), load(folder, source.accord)
    batches = probes(ours, source.accord)
    return apart(batches, [logits_of(ours, one) for one in batches], [logits_of(theirs, one) for one in batches])
