"""A member's machine at work: its parts, its card, and the node that answers from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foedus.accord import compile_plan
from foedus.core.clock import Clock, now
from foedus.core.errors import CallerError
from foedus.data.card import check_consents, register_act, salted
from foedus.data.key import KEY_FILE, data_key
from foedus.data.parts import Parts, open_parts
from foedus.node import Node
from foedus.records import terms
from foedus.records.accord import Accord
from foedus.workspace import Workspace, consortium, make_act, private_key, prune_answers

if TYPE_CHECKING:
    from foedus.federate.answer import Shelf
    from foedus.train.model import Model

__all__ = ["DATA_FILE", "check_commitments", "node_of", "parts_of", "register", "shelf_of"]

DATA_FILE = "data.yaml"
"""A member's mapping in its workspace; it may be a link to where the member keeps it."""


def parts_of(workspace: Workspace, accord: Accord) -> Parts:
    """A member's parts as its `data.yaml` says, split and salted under its own key. Raises as `open_parts`."""
    return open_parts(
        (workspace.folder / DATA_FILE).resolve(),
        task=accord.task,
        member=workspace.party,
        secret_key=data_key(workspace.folder / KEY_FILE),
        smallest_cell=accord.data.smallest_cell,
    )


def register(workspace: Workspace, accord: Accord, *, passphrase: str | None = None, clock: Clock = now) -> bytes:
    """A member's `data.register` act as a parcel for the coordinator. The salted card travels with it."""
    parts = parts_of(workspace, accord)
    check_consents(parts.card, accord.data.consents)
    stored = salted(parts.card, key=data_key(workspace.folder / KEY_FILE))
    workspace.objects.put(stored.to_bytes())
    return make_act(
        workspace, register_act(parts.card, stored), [stored.to_bytes()], passphrase=passphrase, clock=clock
    )


def check_commitments(workspace: Workspace, parts: Parts, *, run: str | None = None) -> None:
    """Require that these are the rows that the member committed to: for the run, or else with its present card.

    Raises: CallerError: `practice.other-data`.
    """
    known, member = consortium(workspace), workspace.party
    cards = {name: card.act for name, card in known.cards.items()}
    cards |= known.runs[run].cards if run is not None and run in known.runs else {}
    for part, commitment in cards[member].parts.items() if member in cards else ():
        if parts.card.commitments.get(part) != commitment:
            raise CallerError("practice.other-data", member=member, part=part)


def shelf_of(workspace: Workspace, accord: Accord, *, base: Path, model: Model, run: str | None = None) -> Shelf:
    """A member's shelf: its parts are read here, in the process that answers, and are those that it committed to.

    `model` is the one that all members share; a member with a rank of its own gets another over the same base.

    Raises: CallerError: `practice.other-data`; as `open_parts`.
    """
    from foedus.federate.answer import Shelf
    from foedus.train.model import build

    plan = compile_plan(accord)
    parts = parts_of(workspace, accord)
    check_commitments(workspace, parts, run=run)
    if isinstance(plan.method, terms.Lora):
        for own in plan.method.member_ranks:
            if own.member == workspace.party and own.rank != plan.method.rank:
                model = build(base, plan.task, plan.method, dropout=plan.craft.dropout, rank=own.rank)
    given: dict[str, tuple[Any, ...]] = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return Shelf(workspace.party, given, model, plan)


def node_of(
    workspace: Workspace,
    accord: Accord,
    make_shelf: Callable[[], Shelf],
    *,
    passphrase: str | None = None,
    clock: Clock = now,
) -> Node:
    """A member's node. What it signed, and who may ask, it knows from its own copy of the ledger. Replies whose term is
    over are deleted first.
    """
    prune_answers(workspace, at=clock())
    known = consortium(workspace)

    def started(run: str) -> str | None:
        here = consortium(workspace).runs.get(run)
        return here.opened.start if here else None

    return Node(
        member=workspace.party,
        accord=accord,
        signed=workspace.party in known.signed.get(accord.digest, ()),
        asker=known.keys[accord.coordinator.name, "act"],
        act=private_key(workspace, "act", passphrase=passphrase),
        folder=workspace.folder / "node",
        make_shelf=make_shelf,
        clock=clock,
        started=started,
    )
