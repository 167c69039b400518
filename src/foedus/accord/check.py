"""All that can be said of an accord before anyone signs it: problems, warnings, and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from foedus.accord.finding import Finding, note, problem, warning
from foedus.accord.plan import plan_findings
from foedus.core.errors import CallerError
from foedus.core.keys import public_key
from foedus.records import terms
from foedus.records.accord import Accord, needed

__all__ = ["findings", "findings_on"]

_LEVELS = ("problem", "warning", "note")
_KEY_KINDS = {"act": "ed25519", "witness": "ed25519", "log": "ed25519", "release": "p256"}

_RECOVERY_SECONDS = 60
"""What a step over many machines may need beyond its work, where hub or SuperLink is killed in it and started again:
twice what was measured with ten processes on two cores (docs/guides/many-machines.md).
"""


def findings(accord: Accord) -> list[Finding]:
    """Every problem, then every warning, then every note. An accord with a problem must not be signed."""
    found = [*plan_findings(accord), *_meaning(accord)]
    if not accord.simulated:  # such an accord is never signed, and nothing is voted under it
        found += [*_keys(accord), *_votes(accord), *_ledger(accord)]
    return sorted(found, key=lambda one: _LEVELS.index(one.level))


def findings_on(accord: Accord, day: date) -> list[Finding]:
    """What only the calendar tells: on this day the accord, or a grant under it, has ended."""
    today, found = day.isoformat(), list[Finding]()
    if accord.valid.last < today:
        found.append(problem("accord.ended", last=accord.valid.last, today=today))
    over = [grant for grant in accord.data.grants if grant.until < today]
    found += [warning("accord.grant-over", member=grant.member, until=grant.until) for grant in over]
    return found


def _keys(accord: Accord) -> Iterator[Finding]:
    parties = [(accord.coordinator.name, accord.coordinator.keys.model_dump())]
    parties += [(member.name, member.keys.model_dump()) for member in accord.members]
    for party, keys in parties:
        for purpose, key in keys.items():
            if not _is_key(key, _KEY_KINDS[purpose]):
                yield problem("accord.bad-key", party=party, purpose=purpose, wanted=_KEY_KINDS[purpose], got=key[:24])


def _is_key(text: str, kind: str) -> bool:
    try:
        public_key(text)
    except CallerError:
        return False
    return text.startswith(f"{kind}:")


def _votes(accord: Accord) -> Iterator[Finding]:
    count = len(accord.members)
    names = {member.name for member in accord.members}
    for clause, veto in (("amendment.veto", accord.amendment.veto), ("release.veto", accord.release.veto)):
        if strangers := sorted(set(veto) - names):
            yield problem("accord.veto-of-stranger", clause=clause, names=", ".join(strangers))
    # A lost key is replaced by a vote of the other members, counted among them alone.
    if count == 1:
        yield problem("accord.lost-key-locks", member=accord.members[0].name)
    elif needed(accord.amendment.quorum, count - 1) == 1:
        yield warning("accord.one-replaces-key", quorum=accord.amendment.quorum, others=count - 1)
    for clause, quorum in (("amendment.quorum", accord.amendment.quorum), ("release.quorum", accord.release.quorum)):
        if count > 1 and needed(quorum, count) == 1:
            yield warning("accord.one-decides", clause=clause, quorum=quorum, count=count)
    for matter, quorum in (
        ("ratification", accord.ratification),
        ("amendment", accord.amendment.quorum),
        ("release", accord.release.quorum),
    ):
        wanted = needed(quorum, count)
        yield note(f"accord.{matter}-count", needed=wanted, count=count, absent=count - wanted + 1)
    for matter, veto in (("amendment", accord.amendment.veto), ("release", accord.release.veto)):
        if veto:
            yield note(f"accord.{matter}-veto", names=", ".join(veto))
    yield note("accord.coordinator-keys", coordinator=accord.coordinator.name)


def _ledger(accord: Accord) -> Iterator[Finding]:
    count, faults = len(accord.members), accord.ledger.faults
    if faults < 0:
        yield problem("plan.below-zero", clause="ledger.faults", got=faults)
    elif count < 3 * faults + 1:
        yield problem("accord.too-many-faults", faults=faults, count=count, needed=3 * faults + 1)
    else:
        yield note("accord.witnesses", needed=accord.ledger.witnesses_needed(count), count=count)


def _meaning(accord: Accord) -> Iterator[Finding]:
    if len(accord.contributors) == 1:
        yield warning("accord.one-contributor")
    if len(accord.contributors) == 2:
        yield warning("accord.two-contributors")
    if not any(isinstance(gate, terms.NoHarm) for gate in accord.gates):
        yield warning("accord.no-harm-not-tested")
    if accord.simulated:
        yield note("accord.simulated", count=accord.simulated.count)
    elif accord.custody == "one-process":
        yield note("accord.practice")
    elif accord.aggregation.deadline_seconds < _RECOVERY_SECONDS:
        deadline = accord.aggregation.deadline_seconds
        yield warning("accord.short-deadline", deadline=deadline, recovery=_RECOVERY_SECONDS)
    if isinstance(accord.credit, terms.NoCredit):
        yield note("accord.no-credit")
    yield note("accord.updates-in-clear", coordinator=accord.coordinator.name)
