"""The next version of an accord. It names the one before by digest, so that every accord leads back to the anchor."""

from __future__ import annotations

from collections.abc import Mapping

from foedus.accord.read import read_draft
from foedus.core.errors import CallerError
from foedus.records.accord import Accord, CoordinatorKeys, MemberKeys

__all__ = ["amended"]


def amended(
    old: Accord,
    text: str,
    *,
    source: str,
    joined: Mapping[str, MemberKeys] | None = None,
    coordinator_keys: CoordinatorKeys | None = None,
) -> Accord:
    """The version after `old` that a draft in YAML describes. It is in force once the amendment's quorum has signed it.

    Version and `prev` follow from `old`, whatever the draft says. Keys that the draft leaves out are those given
    (keys that were rotated since, and the keys of new members), else those of `old`.

    Raises:
        CallerError: what `read_accord` raises; `accord.amend-name` and `accord.amend-coordinator` for another name of
            the consortium or of its coordinator (the ledger carries both); `accord.amend-custody` when custody changes
            (signatures made before would change their meaning); `accord.amend-nothing` when no clause differs.
    """
    held = {member.name: member.keys for member in old.members} | dict(joined or {})
    draft = read_draft(
        text,
        source=source,
        joined=held,
        coordinator_keys=coordinator_keys or old.coordinator.keys,
        fixed={"version": str(old.version + 1), "prev": old.digest},
    )
    if draft.missing:
        raise CallerError("accord.keys-missing", source=source, parties=", ".join(draft.missing))
    new = draft.accord
    if new.name != old.name:
        raise CallerError("accord.amend-name", expected=old.name, got=new.name)
    if new.coordinator.name != old.coordinator.name:
        raise CallerError("accord.amend-coordinator", expected=old.coordinator.name, got=new.coordinator.name)
    if new.custody != old.custody:
        raise CallerError("accord.amend-custody", expected=old.custody, got=new.custody)
    if new.model_copy(update={"version": old.version, "prev": old.prev}) == old:
        raise CallerError("accord.amend-nothing", source=source, version=old.version)
    return new
