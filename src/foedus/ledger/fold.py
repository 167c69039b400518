"""The state of a consortium is a pure fold of its ledger: no clock, no files, and the same answer for everyone.

    resolve(leaves, objects=…, anchor=…) -> Consortium

Every entry is checked in this order; the first that may not stand raises a VerifyError that names its index and actor:

    (1) its time is not before that of the entry before it
    (2) its actor is known and not frozen, and the one signature is by the actor's act key in force
    (3) its number follows the actor's last one and `prev` names that entry
    (4) its type is known, its body is valid, and it is made under the right accord
    (5) the actor may do such acts, and the rule of the type holds (rules.py)

Acts on an accord (`accord.propose`, `accord.sign`) are made under the accord that they name, all others under the
accord in force. Two different entries that one actor signed under one number are no error of the ledger but proof of
equivocation: the first stands, the second is kept and changes nothing else, and the actor is frozen until a vote
replaces its act key.

The fold trusts that a `Leaf` was read by `parse_leaf`: that `entry` is the canonical reading of the envelope's payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from foedus.core.clock import INSTANT
from foedus.core.digest import sha256
from foedus.core.envelope import pae
from foedus.core.errors import VerifyError
from foedus.core.keys import key_id, verify
from foedus.ledger.consortium import (
    Ballot,
    Card,
    Consortium,
    Equivocation,
    Matter,
    ProposalState,
    Replacement,
    RunState,
    Tally,
)
from foedus.ledger.leaf import Leaf
from foedus.ledger.rules import RULES, Draft, Refused, Site, act_key, entitled, guarded, shares, typed
from foedus.records.acts import Entry, ProposeAccord, SignAccord

__all__ = [
    "Ballot",
    "Card",
    "Consortium",
    "Equivocation",
    "Matter",
    "ProposalState",
    "Replacement",
    "RunState",
    "Tally",
    "resolve",
    "shares",
]


def resolve(
    leaves: Iterable[Leaf],
    *,
    objects: Callable[[str], bytes | None],
    anchor: str | None,
    since: Consortium | None = None,
) -> Consortium:
    """The state after these entries.

    `objects` gives the bytes of accords and proposals by digest, None where they are not at hand; nothing else is read.
    With `anchor`, the first accord must have that digest. With `since`, the entries go on from that state.

    Raises:
        VerifyError: `fold.…` with `index` and `actor`, at the first entry that may not stand.
    """
    draft = _draft(since)
    for leaf in leaves:
        try:
            _step(draft, leaf, objects)
            if anchor is not None and draft.anchor != anchor:
                raise Refused("other-anchor", expected=anchor, got=str(draft.anchor))
        except Refused as refused:
            raise VerifyError(
                f"fold.{refused.code}", index=leaf.index, actor=leaf.entry.actor, **refused.fields
            ) from refused
    return draft.view()


def _draft(since: Consortium | None) -> Draft:
    if since is None:
        return Draft()
    draft = Draft()
    for name in Draft.__slots__:
        value = getattr(since, name)
        setattr(draft, name, dict(value) if isinstance(value, dict) else value)
    draft.chains = {actor: list(chain) for actor, chain in draft.chains.items()}
    return draft


def _step(draft: Draft, leaf: Leaf, objects: Callable[[str], bytes | None]) -> None:
    entry, actor = leaf.entry, leaf.entry.actor
    if leaf.index != draft.size:
        raise Refused("wrong-index", expected=draft.size)
    # (1) time
    if not INSTANT.fullmatch(leaf.recorded_at) or leaf.recorded_at < (draft.recorded_at or ""):
        raise Refused("time-went-back", expected=str(draft.recorded_at), got=leaf.recorded_at)
    # (2) who. The first entry of all is signed by the coordinator that its accord names.
    genesis = draft.anchor is None
    if genesis and entry.type != ProposeAccord.kind:
        raise Refused("bad-start", type=entry.type)
    if actor in draft.frozen:
        raise Refused("frozen", number=draft.frozen[actor].number)
    act = typed(entry.type, entry.body)
    site = Site(sha256(leaf.envelope.payload), leaf.index, actor, leaf.recorded_at, objects)
    if genesis:
        guarded(RULES[entry.type], draft, site, act)
    _signed(leaf, act_key(draft, actor, entry.accord))
    # (3) the actor's chain
    if _equivocates(draft, entry, site):
        _advance(draft, leaf)
        return
    # (4) under which accord
    own = act.accord if isinstance(act, ProposeAccord | SignAccord) else draft.accord_digest
    if own is None:
        raise Refused("not-in-force")
    if entry.accord != own:
        raise Refused("other-accord", expected=own, got=entry.accord)
    # (5) may it, and does the rule hold
    if (who := entitled(draft, entry.type, actor, act)) is not None:
        raise Refused("not-entitled", type=entry.type, who=who)
    if not genesis:
        guarded(RULES[entry.type], draft, site, act)
    draft.chains.setdefault(actor, []).append(site.entry)
    _advance(draft, leaf)


def _advance(draft: Draft, leaf: Leaf) -> None:
    draft.size, draft.recorded_at = leaf.index + 1, leaf.recorded_at


def _signed(leaf: Leaf, key: str | None) -> None:
    envelope = leaf.envelope
    if envelope.payload_type != Entry.payload_type() or len(envelope.signatures) != 1:
        raise Refused("bad-envelope", type=envelope.payload_type, signatures=len(envelope.signatures))
    if key is None:
        raise Refused("stranger-acts")
    (signature,) = envelope.signatures
    if signature.keyid != key_id(key) or not verify(key, signature.sig, pae(envelope.payload_type, envelope.payload)):
        raise Refused("not-signed", keyid=key_id(key)[:16])


def _equivocates(draft: Draft, entry: Entry, site: Site) -> bool:
    """Whether this entry proves that its actor signed two entries under one number; then the actor is frozen here."""
    chain = draft.chains.get(entry.actor, ())
    if entry.number <= len(chain):
        first = chain[entry.number - 1]
        if first == site.entry:
            raise Refused("replayed", number=entry.number)
        draft.frozen[entry.actor] = Equivocation(entry.number, first, site.entry, site.index)
        return True
    last = chain[-1] if chain else None
    if entry.number != len(chain) + 1 or entry.prev != last:
        raise Refused("broken-chain", expected_number=len(chain) + 1, number=entry.number, prev=str(last))
    return False
