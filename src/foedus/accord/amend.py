"""The next version of an accord. It names the one before by digest, so that every accord leads back to the anchor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from foedus.accord.read import SIZE_LIMIT_BYTES, read_draft
from foedus.core.errors import CallerError
from foedus.core.files import read_text
from foedus.records.accord import Accord, MemberKeys

__all__ = ["amended", "amended_from"]


def amended(old: Accord, text: str, *, source: str, joined: Mapping[str, MemberKeys] | None = None) -> Accord:
    """The version after `old` that a draft in YAML describes. It is in force once the amendment's quorum has signed it.

    Version and `prev` follow from `old`, whatever the draft says. Keys that the draft leaves out are those of `old`;
    `joined` holds the keys of new members.

    Raises:
        CallerError: what `read_accord` raises; `accord.amend-name` for another name (the ledger carries it),
            `accord.amend-custody` when custody changes (signatures made before would change their meaning),
            `accord.amend-nothing` when no clause differs.
    """
    held = {**(joined or {}), **{member.name: member.keys for member in old.members}}
    draft = read_draft(
        text,
        source=source,
        joined=held,
        coordinator_keys=old.coordinator.keys,
        fixed={"version": str(old.version + 1), "prev": old.digest},
    )
    if draft.missing:
        raise CallerError("accord.keys-missing", source=source, parties=", ".join(draft.missing))
    new = draft.accord
    if new.name != old.name:
        raise CallerError("accord.amend-name", expected=old.name, got=new.name)
    if new.custody != old.custody:
        raise CallerError("accord.amend-custody", expected=old.custody, got=new.custody)
    if new.model_copy(update={"version": old.version, "prev": old.prev}) == old:
        raise CallerError("accord.amend-nothing", source=source, version=old.version)
    return new


def amended_from(old: Accord, path: Path, *, joined: Mapping[str, MemberKeys] | None = None) -> Accord:
    """The version after `old` that the draft in a file describes; raises what `amended` and `read_text` raise."""
    return amended(old, read_text(path, limit_bytes=SIZE_LIMIT_BYTES), source=str(path), joined=joined)
