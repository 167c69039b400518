"""The rules: what each type of act asks of the state before it, and what it changes. One function a type.

A rule gets the draft of the state, who acted, and the typed body. It raises `Refused` when the act may not stand;
otherwise it changes the draft. Rules know no clock and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from foedus.core.clock import parse
from foedus.core.envelope import unb64
from foedus.core.errors import CallerError
from foedus.core.keys import verify
from foedus.ledger.consortium import Ballot, Card, Consortium, ProposalState, Replacement, RunProposal, RunState, voters
from foedus.records import acts, terms
from foedus.records.accord import Accord, Member
from foedus.records.acts import Lists, possession_message, put_together, rotation_message
from foedus.records.base import Record, decimal
from foedus.records.draw import drawn, eligible, panel
from foedus.records.release import Proposal
from foedus.records.weights import round_shares

__all__ = ["RULES", "Draft", "Refused", "Site", "shares"]


class Refused(Exception):  # noqa: N818 - it never leaves the fold, which turns it into a VerifyError
    """An act may not stand: a code of this room and its fields."""

    def __init__(self, code: str, **fields: object) -> None:
        super().__init__(code)
        self.code, self.fields = code, fields


@dataclass(slots=True)
class Draft:
    """The state while it is folded: `Consortium` with mappings that rules may change. Values inside stay frozen."""

    size: int = 0
    recorded_at: str | None = None
    anchor: str | None = None
    accord: Accord | None = None
    accord_digest: str | None = None
    accords: dict[str, Accord] = field(default_factory=dict)
    signed: dict[str, frozenset[str]] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    key_log: dict[tuple[str, str], tuple[tuple[int, str], ...]] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)
    frozen: dict[str, Any] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    cards: dict[str, Card] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, acts.EnterEvidence] = field(default_factory=dict)
    verdicts: dict[str, acts.EnterVerdicts] = field(default_factory=dict)
    ballots: dict[tuple[str, str], Ballot] = field(default_factory=dict)
    proposals: dict[str, ProposalState] = field(default_factory=dict)
    replacements: dict[str, Replacement] = field(default_factory=dict)
    erased: dict[str, str] = field(default_factory=dict)
    refusals: dict[tuple[str, int, str, str], int] = field(default_factory=dict)
    run_proposals: dict[str, RunProposal] = field(default_factory=dict)

    def view(self) -> Consortium:
        """The draft read as a consortium: it shares the draft's mappings and is for use within one rule."""
        return Consortium(*_FIELDS(self))

    def set_key(self, party: str, purpose: str, public: str) -> None:
        """Put a key in force; one key under two names or purposes is refused."""
        self.require_own(party, purpose, public)
        self.keys[party, purpose] = public
        self.key_log[party, purpose] = (*self.key_log.get((party, purpose), ()), (self.size, public))

    def require_own(self, party: str, purpose: str, public: str) -> None:
        """Refuse a key that anyone ever had under another name or purpose."""
        for (name, other), log in self.key_log.items():
            if (name, other) != (party, purpose) and any(known == public for _, known in log):
                raise Refused("key-twice", party=party, purpose=purpose, other=name, other_purpose=other)


_FIELDS = attrgetter(*(each.name for each in fields(Consortium)))


@dataclass(frozen=True, slots=True)
class Site:
    """Where an act stands: its entry's digest and index, who acted, and the objects at hand."""

    entry: str
    index: int
    actor: str
    recorded_at: str
    objects: Callable[[str], bytes | None]

    def record(self, kind: type[R], digest: str) -> R:
        """The record that an entry names by digest; refused when it is not at hand or another."""
        data = self.objects(digest)
        if data is None:
            raise Refused("object-missing", digest=digest, kind=kind.kind)
        record = kind.from_bytes(data)
        if record.digest != digest:
            raise Refused("object-changed", digest=digest, got=record.digest)
        return record


R = TypeVar("R", bound=Record)
Rule = Callable[[Draft, Site, Any], None]
RULES: dict[str, Rule] = {}


def _rule(kind: type[Record]) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[kind.kind] = function
        return function

    return register


def _in_force(draft: Draft) -> tuple[Accord, str]:
    if draft.accord is None or draft.accord_digest is None:
        raise Refused("not-in-force")
    return draft.accord, draft.accord_digest


# ── accord ───────────────────────────────────────────────────────────────────


@_rule(acts.ProposeAccord)
def _propose_accord(draft: Draft, site: Site, act: acts.ProposeAccord) -> None:
    if act.accord in draft.accords:
        raise Refused("proposed-twice", digest=act.accord)
    accord = site.record(Accord, act.accord)
    if accord.simulated:
        raise Refused("simulated", digest=act.accord)
    if draft.anchor is None:
        if accord.prev is not None or site.actor != accord.coordinator.name:
            raise Refused("bad-genesis", coordinator=accord.coordinator.name, version=accord.version)
        draft.anchor = act.accord
        for (party, purpose), public in _keys_of(accord).items():
            draft.set_key(party, purpose, public)
    else:
        _amends(draft, accord)
    draft.accords[act.accord] = accord
    draft.signed[act.accord] = frozenset()


def _amends(draft: Draft, accord: Accord) -> None:
    old, digest = _in_force(draft)
    if accord.prev != digest or accord.version != old.version + 1:
        raise Refused("not-the-next-accord", expected=digest, got=str(accord.prev), version=old.version + 1)
    if (accord.name, accord.coordinator.name) != (old.name, old.coordinator.name):
        raise Refused("other-consortium", expected=f"{old.name}, {old.coordinator.name}", got=accord.name)
    parties = {party for party, _ in draft.keys}
    for (party, purpose), public in _keys_of(accord).items():
        if party in parties and draft.keys[party, purpose] != public:
            raise Refused("keys-differ", party=party, purpose=purpose)
        draft.require_own(party, purpose, public)


def _keys_of(accord: Accord) -> dict[tuple[str, str], str]:
    hub = accord.coordinator
    keys = {(hub.name, "act"): hub.keys.act, (hub.name, "log"): hub.keys.log}
    for member in accord.members:
        keys |= {(member.name, purpose): key for purpose, key in member.keys.model_dump().items()}
    return keys


def act_key(draft: Draft, actor: str, accord: str) -> str | None:
    """The key that must have signed an entry: the actor's in force, else the one in the accord that it acts on."""
    if (key := draft.keys.get((actor, "act"))) is not None:
        return key
    proposed = draft.accords.get(accord)
    member = proposed.member(actor) if proposed else None
    return member.keys.act if member else None


@_rule(acts.SignAccord)
def _sign_accord(draft: Draft, site: Site, act: acts.SignAccord) -> None:
    accord = draft.accords.get(act.accord)
    if accord is None:
        raise Refused("unknown-subject", digest=act.accord, what="accord")
    if act.accord != draft.accord_digest and accord.prev != draft.accord_digest:
        raise Refused("accord-overtaken", digest=act.accord)
    member = accord.member(site.actor) or (draft.accord.member(site.actor) if draft.accord else None)
    if member is None:
        raise Refused("not-entitled", type=act.kind, who="a member of the accord")
    if site.actor in draft.signed[act.accord]:
        raise Refused("signed-twice", digest=act.accord)
    message = possession_message(act.accord, site.actor)
    for purpose, public, proof in (
        ("witness", member.keys.witness, act.witness_proof),
        ("release", member.keys.release, act.release_proof),
    ):
        if not verify(draft.keys.get((site.actor, purpose), public), unb64(proof), message):
            raise Refused("bad-proof", party=site.actor, purpose=purpose)
    draft.signed[act.accord] |= {site.actor}
    if act.accord != draft.accord_digest and _ratified(draft, act.accord, accord):
        _enact(draft, act.accord, accord)


def _ratified(draft: Draft, digest: str, accord: Accord) -> bool:
    view = draft.view()
    if view.tally(digest).outcome != "approved":
        return False
    return accord.prev is None or not view.unsigned(digest)


def _enact(draft: Draft, digest: str, accord: Accord) -> None:
    keys = _keys_of(accord)
    for place in [place for place in draft.keys if place not in keys]:
        del draft.keys[place]
    for (party, purpose), public in keys.items():
        if (party, purpose) not in draft.keys:
            draft.set_key(party, purpose, public)
    draft.accord, draft.accord_digest = accord, digest
    if accord.prev is not None:
        draft.left -= {member.name for member in accord.members}
    draft.cards = {name: card for name, card in draft.cards.items() if accord.member(name)}


@_rule(acts.Leave)
def _leave(draft: Draft, site: Site, act: acts.Leave) -> None:  # noqa: ARG001 - the reason is for people
    draft.left |= {site.actor}


# ── keys ─────────────────────────────────────────────────────────────────────


@_rule(acts.RotateKey)
def _rotate(draft: Draft, site: Site, act: acts.RotateKey) -> None:
    if act.purpose == "log":
        raise Refused("log-key-stays")
    if draft.keys.get((site.actor, act.purpose)) != act.old:
        raise Refused("not-the-key-in-force", party=site.actor, purpose=act.purpose)
    _proven(draft, site.actor, act.purpose, act.old, act.new, act.proof)
    draft.set_key(site.actor, act.purpose, act.new)


@_rule(acts.ReplaceKey)
def _replace(draft: Draft, site: Site, act: acts.ReplaceKey) -> None:
    old = draft.keys.get((act.member, act.purpose))
    if old is None or act.member == site.actor:
        raise Refused("not-entitled", type=act.kind, who="another party, for a key that is in force")
    _proven(draft, act.member, act.purpose, old, act.new, act.proof)
    draft.replacements[site.entry] = Replacement(act, site.actor, old)


def _proven(draft: Draft, party: str, purpose: str, old: str, new: str, proof: str) -> None:
    _, digest = _in_force(draft)
    same_kind = new.partition(":")[0] == old.partition(":")[0]
    if not same_kind or not verify(new, unb64(proof), rotation_message(digest, party, purpose, old, new)):
        raise Refused("bad-proof", party=party, purpose=purpose)
    if any(known == new for _, known in draft.key_log.get((party, purpose), ())):
        raise Refused("key-twice", party=party, purpose=purpose, other=party, other_purpose=purpose)
    draft.require_own(party, purpose, new)


# ── data ─────────────────────────────────────────────────────────────────────


@_rule(acts.RegisterCard)
def _register(draft: Draft, site: Site, act: acts.RegisterCard) -> None:
    accord, _ = _in_force(draft)
    member = accord.member(site.actor)
    assert member is not None  # noqa: S101 - `entitled` let only members through
    _meets_terms(accord, member, act)
    draft.cards[site.actor] = Card(act, site.entry, site.index)


def _meets_terms(accord: Accord, member: Member, act: acts.RegisterCard) -> None:
    data = accord.data
    for clause, allowed, got in (
        ("data.licences", data.licences, act.licence),
        ("data.consents", data.consents, act.consent),
    ):
        if allowed and got not in allowed:
            raise Refused("against-clause", clause=clause, expected=", ".join(allowed), got=got)
    if member.roles == ("consumer",):
        raise Refused("against-clause", clause="members.roles", expected="a contributor or an auditor", got="consumer")
    if "contributor" not in member.roles:
        if set(act.parts) != {"test"} or act.examples:
            raise Refused("auditor-trains", member=member.name, parts=", ".join(sorted(act.parts)))
    elif "train" not in act.parts or act.examples < max(1, data.min_examples):
        expected = f"a train part of at least {max(1, data.min_examples)} examples"
        raise Refused("against-clause", clause="data.min_examples", expected=expected, got=str(act.examples))


# ── runs ─────────────────────────────────────────────────────────────────────


@_rule(acts.ProposeRun)
def _propose_run(draft: Draft, site: Site, act: acts.ProposeRun) -> None:
    _released_state(draft, act.release)
    draft.run_proposals[site.entry] = RunProposal(act, site.actor, site.index)


def _released_state(draft: Draft, release: str) -> str:
    """The digest of the state of a release that is in use."""
    state = draft.proposals.get(release)
    if state is None or state.published is None or state.revoked is not None:
        raise Refused("not-in-use", digest=release)
    return state.proposal.state


def _carries_out(draft: Draft, act: acts.OpenRun, proposal: str) -> None:
    """A run of a proposal: it was approved, no run carried it out before, and it starts from the release's state."""
    found, ballot = draft.run_proposals.get(proposal), draft.ballots.get(("run", proposal))
    if found is None or ballot is None or ballot.outcome != "approved" or act.trial is not None:
        raise Refused("not-approved", digest=proposal, matter="run")
    before = draft.runs[found.run] if found.run else None
    if before is not None and (before.close is None or before.close.outcome != "failed"):
        raise Refused("run-twice", run=before.opened.run)
    if act.start != (state := _released_state(draft, found.act.release)):
        raise Refused("other-start", run=act.run, expected=state, got=act.start)
    draft.run_proposals[proposal] = replace(found, run=act.run)


@_rule(acts.OpenRun)
def _open_run(draft: Draft, site: Site, act: acts.OpenRun) -> None:
    accord, digest = _in_force(draft)
    if act.run in draft.runs:
        raise Refused("run-twice", run=act.run)
    day = str(parse(site.recorded_at).date())
    if not accord.valid.first <= day <= accord.valid.last:
        raise Refused("against-clause", clause="valid", expected=f"{accord.valid.first} – {accord.valid.last}", got=day)
    if list(act.roster) != sorted(set(act.roster)) or len(act.roster) < accord.aggregation.min_members:
        raise Refused("bad-roster", run=act.run, got=", ".join(act.roster), min_members=accord.aggregation.min_members)
    free = {member.name: member for member in draft.view().members if "contributor" in member.roles}
    for name in act.roster:
        if name not in free or name in draft.frozen or name not in draft.cards:
            raise Refused("not-on-roster", run=act.run, member=name)
        _meets_terms(accord, free[name], draft.cards[name].act)
    if act.trial is not None and (accord.tune is None or not accord.tune.permits(act.trial)):
        raise Refused("against-clause", clause="tune", expected="–", got=str(act.trial.number))
    if act.proposal is not None:
        _carries_out(draft, act, act.proposal)
    cards = {name: draft.cards[name].act for name in act.roster}
    draft.runs[act.run] = RunState(act, digest, site.index, cards)


def shares(rule: terms.Combine, cards: dict[str, int]) -> dict[str, str]:
    """The weights that a round must state, as decimals, from the registered counts of training examples."""
    return dict(_shares(rule, terms.Drop(), tuple(cards.items()), ()))


@lru_cache(maxsize=64)
def _shares(
    rule: terms.Combine, lateness: terms.Late, cards: tuple[tuple[str, int], ...], late: tuple[tuple[str, int], ...]
) -> Mapping[str, str]:
    """`shares`, computed once where the same members close round after round; of replies that came `late` too."""
    exact = round_shares(rule, dict(cards), late=dict(late), lateness=lateness)
    return {name: decimal(share) for name, share in exact.items()}


def _open(draft: Draft, name: str) -> RunState:
    run = draft.runs.get(name)
    if run is None or run.close is not None:
        raise Refused("run-not-open", run=name)
    return run


@_rule(acts.CloseRound)
def _close_round(draft: Draft, _site: Site, act: acts.CloseRound) -> None:
    run = _open(draft, act.run)
    accord = draft.accords[run.accord]
    if run.accord != draft.accord_digest:
        raise Refused("accord-overtaken", digest=run.accord)
    if act.round != run.round + 1 or act.round > accord.training.rounds:
        raise Refused("wrong-round", run=act.run, expected=run.round + 1, got=act.round, rounds=accord.training.rounds)
    _as_drawn(accord, run, act)
    used = [item.member for item in act.used]
    if len(used) < accord.aggregation.min_members:
        raise Refused("too-few", run=act.run, round=act.round, needed=accord.aggregation.min_members, got=len(used))
    _require_panel(accord, run, act.run, (item.member for item in act.measured))
    replies = {item.reply: item.member for item in act.used}
    again = len(replies) < len(used) or not draft.replies.keys().isdisjoint(replies)
    if again:
        raise Refused("reply-again", run=act.run, round=act.round)
    _late_as_agreed(accord, run, act)
    expected = _shares(
        accord.aggregation.combine,
        accord.aggregation.late,
        tuple((name, run.cards[name].examples) for name in used),
        tuple((item.member, item.staleness) for item in act.used if item.staleness),
    )
    for item in act.used:
        if item.weight != expected[item.member]:
            raise Refused("wrong-weight", member=item.member, round=act.round, expected=expected[item.member],
                          got=item.weight)  # fmt: skip
    draft.replies |= replies
    draft.runs[act.run] = replace(run, closes=(*run.closes, act))


def _asked(accord: Accord, run: RunState, number: int) -> tuple[str, ...]:
    """The members that the draw of a round names."""
    rule, names = accord.aggregation.participation, eligible(accord, run.opened.roster)
    return drawn(rule, names, seed=accord.training.seed, run=run.opened.run, round=number)


def _as_drawn(accord: Accord, run: RunState, act: acts.CloseRound) -> None:
    """Every member that the draw names entered or was left out, once, and nobody else but by a late reply."""
    used, fresh = [item.member for item in act.used], {item.member for item in act.used if not item.staleness}
    out, asked = [one.member for one in act.left_out if one.reply is None], set(_asked(accord, run, act.round))
    sound = used == sorted(set(used)) and len(out) == len(set(out)) and not set(used) & set(out)
    if not sound or not {*used, *out} <= set(run.opened.roster):
        raise Refused("bad-used", run=act.run, round=act.round, used=_few(used), left_out=_few(out))
    if others := (fresh | set(out)) - asked:
        raise Refused("not-drawn", run=act.run, round=act.round, got=_few(others))
    if silent := asked - {*used, *out}:
        raise Refused("not-told", run=act.run, round=act.round, got=_few(silent))


def _late_as_agreed(accord: Accord, run: RunState, act: acts.CloseRound) -> None:
    """A late reply is used or held where the accord lets it be, from a round that asked its member in vain."""
    clause, method = accord.aggregation.late, accord.training.method
    used = [(item.member, act.round - item.staleness) for item in act.used if item.staleness]
    most = clause.max_rounds if isinstance(clause, terms.NextRound) else -1
    pair = 2 if isinstance(method, terms.Lora) and method.combine == "alternate" else 1
    for member, number in (*used, *((one.member, one.round) for one in act.late)):
        late = act.round - number
        if number < 1 or not 0 <= late <= most or ((member, number) in used and late % pair):
            raise Refused("against-clause", clause="aggregation.late", expected=clause.name, got=f"{member}: {late}")
        if member not in _asked(accord, run, number):
            raise Refused("not-drawn", run=act.run, round=number, got=member)
        then = act if number == act.round else run.closes[number - 1]
        if any(item.member == member and not item.staleness for item in then.used):
            raise Refused("reply-again", run=act.run, round=act.round)


def _require_panel(accord: Accord, run: RunState, name: str, measured: Iterable[str]) -> None:
    rule, seed, roster = accord.aggregation.participation, accord.training.seed, run.opened.roster
    if others := set(measured) - set(panel(rule, roster, eligible(accord, roster), seed=seed, run=name)):
        raise Refused("not-on-panel", run=name, got=_few(others))


def _few(names: Iterable[str]) -> str:
    """The first names, and that there are more."""
    listed = sorted(names)
    return ", ".join(listed[:10]) + (f" … ({len(listed)})" if len(listed) > 10 else "")


@_rule(acts.CloseRun)
def _close_run(draft: Draft, site: Site, act: acts.CloseRun) -> None:
    run = _open(draft, act.run)
    training = draft.accords[run.accord].training
    if act.outcome != "failed" and run.accord != draft.accord_digest:
        raise Refused("accord-overtaken", digest=run.accord)
    if act.rounds != run.round or not 0 <= act.released_round <= run.round:
        raise Refused("wrong-round", run=act.run, expected=run.round, got=act.rounds, rounds=training.rounds)
    if act.state != run.state_after(act.released_round):
        raise Refused("wrong-state", run=act.run, expected=run.state_after(act.released_round), got=act.state)
    trial, tune = run.opened.trial, draft.accords[run.accord].tune
    early = training.early_stopping is not None and trial is None
    rounds = (tune.rounds if trial and tune else None) or training.rounds
    finished = {
        "done": act.rounds == rounds and (early or act.released_round == act.rounds),
        "stopped-early": early,
        "pruned": trial is not None,
        "failed": True,
    }
    if not finished[act.outcome]:
        raise Refused("wrong-outcome", run=act.run, got=act.outcome, rounds=training.rounds, closed=act.rounds)
    draft.runs[act.run] = replace(run, close=act, closed_at=site.recorded_at)


def _finished(draft: Draft, name: str) -> RunState:
    run = draft.runs.get(name)
    if run is None or run.close is None or run.close.outcome == "failed" or run.opened.trial is not None:
        raise Refused("run-not-done", run=name)
    return run


@_rule(acts.EnterEvidence)
def _evidence(draft: Draft, _site: Site, act: acts.EnterEvidence) -> None:
    run = _finished(draft, act.run)
    accord = draft.accords[run.accord]
    if act.evidence in draft.evidence:
        raise Refused("entered-twice", digest=act.evidence)
    if any(entered.run == act.run for entered in draft.evidence.values()):
        raise Refused("evidence-twice", run=act.run)
    if (act.credit is None) != isinstance(accord.credit, terms.NoCredit):
        raise Refused("against-clause", clause="credit", expected=accord.credit.name, got=act.credit or "none")
    if not {item.member for item in act.replies} <= {member.name for member in accord.members}:
        raise Refused("stranger", run=act.run, got=_few(item.member for item in act.replies))
    if not any(isinstance(gate, terms.NoHarm) for gate in accord.gates):
        _require_panel(accord, run, act.run, {item.member for item in act.replies} & set(run.opened.roster))
    draft.evidence[act.evidence] = act


@_rule(acts.EnterVerdicts)
def _verdicts(draft: Draft, _site: Site, act: acts.EnterVerdicts) -> None:
    _finished(draft, act.run)
    if not any(item.run == act.run for item in draft.evidence.values()):
        raise Refused("no-evidence", run=act.run)
    if act.verdicts in draft.verdicts:
        raise Refused("entered-twice", digest=act.verdicts)
    draft.verdicts[act.verdicts] = act


# ── releases ─────────────────────────────────────────────────────────────────


@_rule(acts.Propose)
def _propose(draft: Draft, site: Site, act: acts.Propose) -> None:
    accord, digest = _in_force(draft)
    if act.proposal in draft.proposals:
        raise Refused("proposed-twice", digest=act.proposal)
    proposal = site.record(Proposal, act.proposal)
    run = _finished(draft, proposal.run)
    evidence, verdicts = draft.evidence.get(proposal.evidence), draft.verdicts.get(proposal.verdicts)
    previous = draft.proposals.get(proposal.previous) if proposal.previous else None
    cards = {item.card for item in run.cards.values()}
    registered = {item.act.card for item in draft.cards.values()} | cards
    sound = {
        "accord": proposal.accord == digest == run.accord,
        "state": run.close is not None and proposal.state == run.close.state,
        "base": proposal.base == accord.base.pin,
        "evidence": evidence is not None and evidence.run == proposal.run,
        "credit": evidence is not None and proposal.credit == evidence.credit,
        "verdicts": verdicts is not None and (verdicts.run, verdicts.model) == (proposal.run, proposal.model),
        "cards": cards <= set(proposal.cards) <= registered and len(set(proposal.cards)) == len(proposal.cards),
        "custody": proposal.custody == accord.custody,
        "previous": proposal.previous is None or (previous is not None and previous.published is not None),
    }
    for name, holds in sound.items():
        if not holds:
            raise Refused("bad-proposal", digest=act.proposal, field=name, got=str(getattr(proposal, name)))
    draft.proposals[act.proposal] = ProposalState(proposal, act.proposal, site.index)


def _votable(draft: Draft, matter: str, subject: str) -> None:
    """A vote on this matter can be open on this subject."""
    proposal = draft.proposals.get(subject)
    known = {
        "release": proposal is not None and proposal.proposal.accord == draft.accord_digest,
        "revoke": proposal is not None and proposal.published is not None and proposal.revoked is None,
        "key": subject in draft.replacements,
        "run": subject in draft.run_proposals,
        "waive": not any(
            subject in others for others in (draft.proposals, draft.replacements, draft.accords, draft.run_proposals)
        ),
    }
    if not known[matter]:
        raise Refused("unknown-subject", digest=subject, what=matter)


@_rule(acts.Vote)
def _vote(draft: Draft, site: Site, act: acts.Vote) -> None:
    _votable(draft, act.matter, act.subject)
    about = draft.replacements.get(act.subject) if act.matter == "key" else None
    if site.actor not in voters(draft.accord, draft.left, about):
        raise Refused("not-entitled", type=act.kind, who="a member with a vote on this")
    ballot = draft.ballots.get((act.matter, act.subject), Ballot(act.matter, act.subject))
    if ballot.outcome == "rejected" and act.matter == "revoke":
        ballot = Ballot(act.matter, act.subject)
    if ballot.outcome is not None:
        raise Refused("vote-closed", digest=act.subject, outcome=ballot.outcome)
    draft.ballots[act.matter, act.subject] = Ballot(act.matter, act.subject, {**ballot.votes, site.actor: act.choice})
    _show(draft, act.matter, act.subject)


@_rule(acts.CloseVote)
def _close_vote(draft: Draft, _site: Site, act: acts.CloseVote) -> None:
    _votable(draft, act.matter, act.subject)
    ballot = draft.ballots.get((act.matter, act.subject), Ballot(act.matter, act.subject))
    if ballot.outcome is not None:
        raise Refused("vote-closed", digest=act.subject, outcome=ballot.outcome)
    tally = draft.view().tally(act.subject, matter=act.matter)
    if tally.outcome is None:
        raise Refused("vote-undecided", digest=act.subject, needed=tally.needed, approved=len(tally.approved),
                      missing=", ".join(tally.missing))  # fmt: skip
    if tally.outcome != act.outcome:
        raise Refused("wrong-count", digest=act.subject, expected=tally.outcome, got=act.outcome)
    draft.ballots[act.matter, act.subject] = replace(ballot, outcome=act.outcome)
    _show(draft, act.matter, act.subject)
    if act.matter == "key" and act.outcome == "approved":
        _carry_out(draft, draft.replacements[act.subject])


def _show(draft: Draft, matter: str, subject: str) -> None:
    """A proposal shows the votes and outcome of its ballot."""
    if matter == "release":
        ballot, state = draft.ballots[matter, subject], draft.proposals[subject]
        draft.proposals[subject] = replace(state, votes=ballot.votes, outcome=ballot.outcome)


def _carry_out(draft: Draft, replacement: Replacement) -> None:
    act = replacement.act
    if draft.keys.get((act.member, act.purpose)) != replacement.old:
        raise Refused("not-the-key-in-force", party=act.member, purpose=act.purpose)
    draft.set_key(act.member, act.purpose, act.new)
    if act.purpose == "act":
        draft.frozen.pop(act.member, None)


@_rule(acts.Publish)
def _publish(draft: Draft, _site: Site, act: acts.Publish) -> None:
    state = draft.proposals.get(act.proposal)
    if state is None or state.outcome != "approved":
        raise Refused("not-approved", digest=act.proposal, matter="release")
    if state.published is not None:
        raise Refused("published-twice", digest=act.proposal)
    draft.proposals[act.proposal] = replace(state, published=act)


@_rule(acts.Revoke)
def _revoke(draft: Draft, _site: Site, act: acts.Revoke) -> None:
    state = draft.proposals.get(act.proposal)
    ballot = draft.ballots.get(("revoke", act.proposal))
    if state is None or state.revoked is not None or ballot is None or ballot.outcome != "approved":
        raise Refused("not-approved", digest=act.proposal, matter="revoke")
    draft.proposals[act.proposal] = replace(state, revoked=act)


# ── the hub ──────────────────────────────────────────────────────────────────


@_rule(acts.Refuse)
def _refuse(draft: Draft, _site: Site, act: acts.Refuse) -> None:
    """Counts of one code and source stand once in a round; outside a run they add up."""
    place = (act.run or "", act.round, act.code, act.source)
    if act.run is None:
        if act.round:
            raise Refused("wrong-round", run="–", expected=0, got=act.round, rounds=0)
    else:
        if act.run not in draft.runs:
            raise Refused("run-not-open", run=act.run)
        if place in draft.refusals:
            raise Refused("refused-twice", what=act.code, source=act.source, run=act.run, round=act.round)
    draft.refusals[place] = draft.refusals.get(place, 0) + act.count


@_rule(acts.Erase)
def _erase(draft: Draft, site: Site, act: acts.Erase) -> None:
    owners = {card.act.card: name for name, card in draft.cards.items()}
    for run in draft.runs.values():
        owners |= {card.card: name for name, card in run.cards.items()}
        owners |= {item.reply: item.member for close in run.closes for item in (*close.used, *close.measured)}
    kept = act.object in draft.view().objects
    assert draft.accord is not None  # noqa: S101 - the fold let only acts under an accord in force through
    if kept or site.actor != owners.get(act.object, draft.accord.coordinator.name):
        raise Refused("not-entitled", type=act.kind, who="the owner of an object that the fold can do without")
    if act.object in draft.erased:
        raise Refused("erased-twice", digest=act.object)
    draft.erased[act.object] = site.actor


def entitled(draft: Draft, kind: str, actor: str, body: Any) -> str | None:
    """None when the actor may do acts of this type in this state; else who may."""
    accord = draft.accord
    if kind in ("accord.propose", "accord.sign"):
        free = kind == "accord.sign" or accord is None or actor == accord.coordinator.name
        return None if free else "the coordinator"
    if accord is None:
        raise Refused("not-in-force")
    signed = draft.signed[draft.accord_digest or ""]
    is_member = actor in signed and actor not in draft.left and accord.member(actor) is not None
    is_coordinator = actor == accord.coordinator.name
    if kind in ("key.rotate", "key.replace", "object.erase"):
        has_left = accord.member(actor) is not None and actor in draft.left and kind != "key.replace"
        return None if is_member or is_coordinator or has_left else "a party of the accord in force"
    if kind == "run.propose":
        may = actor in _proposers(accord) and (is_member or is_coordinator)
        return None if may else ", ".join(_proposers(accord))
    if kind in ("member.leave", "data.register", "vote.cast"):
        return None if is_member else "a member that signed the accord in force and has not left"
    if kind == "vote.close" and is_member and _about_the_coordinator(draft, accord, body):
        return None
    return None if is_coordinator else "the coordinator"


def _proposers(accord: Accord) -> tuple[str, ...]:
    """The parties that may propose a run: those that the accord names, else all."""
    named = accord.monitoring.proposers if accord.monitoring else ()
    return named or (accord.coordinator.name, *(member.name for member in accord.members))


def _about_the_coordinator(draft: Draft, accord: Accord, body: acts.CloseVote) -> bool:
    replacement = draft.replacements.get(body.subject)
    return replacement is not None and replacement.act.member == accord.coordinator.name


def typed(kind: str, body: dict[str, Any]) -> Record:
    """The body of an entry as its record; refused when a field is unknown, missing, of another type or spelling."""
    model = acts.BODIES.get(kind)
    if model is None:
        raise Refused("unknown-act", type=kind, known=", ".join(sorted(acts.BODIES)))
    try:
        act = model.model_validate(body)
    except ValueError as error:
        raise Refused("bad-body", type=kind, reason=_first(error)) from error
    if act.model_dump(mode="json") != body:
        raise Refused("bad-body", type=kind, reason="another spelling, or a default that is not written out")
    return act


def _first(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    return f"{'.'.join(map(str, errors()[0]['loc']))}: {errors()[0]['msg']}" if errors else str(error)


def guarded(rule: Rule, draft: Draft, site: Site, act: Record) -> None:
    """Apply a rule to an act with its lists; what core refuses (an object, base64, a key) is refused here too."""
    try:
        rule(draft, site, put_together(act, lambda digest: site.record(Lists, digest)))
    except CallerError as error:
        raise Refused("malformed", reason=error.code) from error
