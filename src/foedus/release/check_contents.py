"""Steps (6) to (8) of `verify`: the proposal's accord and run, the files that it lists, the data cards."""

from __future__ import annotations

from pathlib import Path

from foedus.core.digest import hex_of, sha256, sha256_file
from foedus.core.errors import VerifyError
from foedus.core.files import read_bytes
from foedus.ledger.consortium import Consortium, RunState
from foedus.records.accord import Accord
from foedus.records.evidence import DataCard
from foedus.records.release import Proposal
from foedus.release.bundle import files_of
from foedus.release.propose import open_card, proposed_files
from foedus.release.report import require_same

__all__ = ["require_accord", "require_cards", "require_files", "require_run"]


def require_accord(proposal: Proposal, accord: Accord, consortium: Consortium) -> None:
    """The accord was in force, and says of custody and base what the proposal says; VerifyError `release.…`."""
    digest = consortium.accord_digest
    while digest and digest != accord.digest:
        digest = consortium.accords[digest].prev
    if digest is None:
        raise VerifyError("release.accord-not-in-force", digest=accord.digest)
    require_same("release.other-custody", accord.custody, proposal.custody)
    require_same("release.other-base", accord.base.pin, proposal.base)


def require_run(proposal: Proposal, consortium: Consortium) -> RunState:
    """The run of a proposal: closed, not failed, and at the proposed state; VerifyError `release.…`."""
    run = consortium.runs.get(proposal.run)
    if run is None or run.close is None or run.close.outcome == "failed":
        raise VerifyError("release.run-not-closed", run=proposal.run)
    require_same("release.other-accord", proposal.accord, run.accord)
    require_same("release.other-state", run.close.state, proposal.state)
    require_same("release.other-state", run.state_after(run.close.released_round), proposal.state)
    return run


def require_files(folder: Path, proposal: Proposal) -> None:
    """The files are the proposed ones, and those named by digest have it; VerifyError `release.file-…`."""
    found = proposed_files(folder)
    for name in sorted(found.keys() | proposal.files.keys()):
        if name not in found:
            raise VerifyError("release.file-missing", path=name)
        if name not in proposal.files:
            raise VerifyError("release.file-unlisted", path=name)
        if found[name] != proposal.files[name]:
            raise VerifyError("release.file-changed", path=name, expected=proposal.files[name], got=found[name])
    for name in files_of(folder):
        kind, _, rest = name.partition("/")
        by_digest = kind == "objects" or (kind == "accord" and rest != "accord.json")
        if by_digest and (got := hex_of(sha256_file(folder / name))) != rest.removesuffix(".json"):
            raise VerifyError("release.file-changed", path=name, expected=rest.removesuffix(".json"), got=got)


def require_cards(
    folder: Path, proposal: Proposal, run: RunState | None, consortium: Consortium
) -> dict[str, DataCard]:
    """Every card is named by the proposal and registered for the run; every member of the roster has one."""
    cards: dict[str, DataCard] = {}
    digests = []
    for path in sorted((folder / "cards").glob("*.json")):
        member, data = path.stem, read_bytes(path, limit_bytes=1 << 24)
        digests.append(sha256(data))
        card = open_card(data)
        held = consortium.cards.get(member)
        registered = run.cards.get(member) if run else None
        if registered is None and held and held.act.card == sha256(data):
            registered = held.act  # an auditor's: it is on no roster
        if registered is None or registered.card != sha256(data):
            raise VerifyError("release.card-not-registered", member=member)
        said = (card.member, card.name, card.licence, card.consent, card.commitments)
        require_same(
            "release.card-differs",
            (member, registered.name, registered.licence, registered.consent, registered.parts),
            said,
        )
        if (train := card.parts.get("train")) and train.examples != registered.examples:
            raise VerifyError("release.card-differs", expected=registered.examples, got=train.examples)
        cards[member] = card
    require_same("release.other-cards", list(proposal.cards), digests)
    for member in run.opened.roster if run else ():
        if member not in cards:
            raise VerifyError("release.card-missing", member=member)
    return cards
