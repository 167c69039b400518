"""How long a text a base model takes, by the config.json beside its weights, against the accord's `task.max_tokens`.

A model with learned positions fails in training on the first text that is longer. What config.json says is taken as
the limit of any model, also of one whose positions could be stretched: nobody measured it beyond.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from foedus.accord.finding import Finding, problem
from foedus.core.errors import CallerError
from foedus.core.files import read_bytes
from foedus.records.accord import Accord

__all__ = ["reach", "reach_findings", "require_reach"]

_NAMES = ("max_position_embeddings", "n_positions")
_AFTER_PADDING = frozenset({
    "camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "markuplm", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip
"""Model types whose first position is the one after the padding token's id: so many of their positions are unused."""


def reach(base: Path) -> int | None:
    """The most tokens of a text that the base model in this folder takes; None where its config.json gives no limit."""
    try:
        config = json.loads(read_bytes(base / "config.json", limit_bytes=1 << 24))
    except (CallerError, ValueError, RecursionError):
        return None
    if not isinstance(config, dict):
        return None
    found = next((config[name] for name in _NAMES if type(config.get(name)) is int), 0)
    if config.get("model_type") in _AFTER_PADDING:
        padding = config.get("pad_token_id", 1)
        found -= (padding if type(padding) is int else 1) + 1
    return found if found > 0 else None


def require_reach(accord: Accord, base: Path) -> None:
    """Raises CallerError `accord.beyond-reach` where texts are longer than the base model in this folder takes."""
    for finding in _compared(accord, base):
        raise finding.error


def reach_findings(accord: Accord) -> list[Finding]:
    """What `require_reach` would raise, for a base model that is a folder or an installed package here."""
    kind, _, name = accord.base.source.partition(":")
    folders: list[Path] = []
    if kind == "folder":
        with suppress(RuntimeError):  # no such user, whose home would be meant
            folders = [Path(name).expanduser()]
    elif kind == "package" and re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        spec = find_spec(name.replace("-", "_"))
        places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
        folders = sorted(path.parent for place in places for path in place.rglob("config.json"))
    return [one for folder in folders[:1] if len(folders) == 1 for one in _compared(accord, folder)]


def _compared(accord: Accord, base: Path) -> Iterator[Finding]:
    most, wanted = reach(base), accord.task.max_tokens
    if most is not None and wanted > most:
        yield problem("accord.beyond-reach", source=accord.base.source, expected=most, got=wanted)
