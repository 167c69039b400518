"""A proposal: all that a release consists of is made final, and named by digest.

The order matters: model and card are written, then the model's digest is taken, then gates judge it, then the
proposal names model, accord, verdicts, evidence, credit, cards and every other file. Members vote on the proposal's
digest. Nothing that it names is written afterwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foedus.core.digest import hex_of, sha256, sha256_file
from foedus.core.errors import CallerError
from foedus.core.files import fsync_folder, write_atomic
from foedus.core.keys import PrivateKey
from foedus.gates import ArtefactFacts, inspect, judge
from foedus.records.accord import Accord
from foedus.records.evidence import CreditReport, DataCard, Examination, Salted, Verdict, Verdicts
from foedus.records.release import Proposal
from foedus.records.terms import Artefact
from foedus.release import intoto, modelcard, oms
from foedus.release.bundle import files_of

__all__ = [
    "Draft",
    "inspected",
    "make_files",
    "open_card",
    "proposed_files",
    "published_examination",
    "published_verdicts",
]

_MODEL_LIMIT_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class Draft:
    """A bundle's folder before the vote, its proposal and its verdicts."""

    folder: Path
    proposal: Proposal
    verdicts: Verdicts


def make_files(
    folder: Path,
    *,
    accord: Accord,
    anchor: str,
    name: str,
    version: str,
    run: str,
    state: str,
    model: Path,
    examination: Examination,
    credit: CreditReport | None,
    cards: Mapping[str, bytes],
    objects: Mapping[str, bytes],
    previous: str | None,
    key: PrivateKey,
) -> Draft:
    """Write a draft's files into a new folder, and give its proposal.

    Args:
        folder: where the bundle is made; must not exist.
        accord: the accord in force.
        anchor: the digest of the consortium's first accord.
        name: of the release.
        version: of the release; its folder is NAME-VERSION.foedus.
        run: the run that it comes from.
        state: the digest of the trained names that the model holds.
        model: a folder with the model's files; a `README.md` there is replaced by the model card.
        examination: what was measured of that state, from the members' signed counts.
        credit: of the run, or none when the accord asks for none.
        cards: member → bytes of its salted data card, as registered in the ledger.
        objects: digest → bytes of what the ledger names and the bundle must bring: accords and earlier proposals.
        previous: the digest of the proposal that this release replaces.
        key: the coordinator's act key.

    Raises:
        CallerError: `release.folder-exists`, `release.evidence-of-other-state`.
        VerifyError: `release.link` or another code of `bundle.files_of` for what may not be in a model folder.
    """
    if folder.exists():
        raise CallerError("release.folder-exists", path=str(folder))
    making = folder.with_name(f".{folder.name}.making")  # what stands in `folder` is whole
    shutil.rmtree(making, ignore_errors=True)
    if examination.state != state or examination.run != run:
        raise CallerError("release.evidence-of-other-state", expected=state, got=examination.state)
    # (1) The model is final once its card is written.
    oms.resources(model)
    shutil.copytree(model, making / "model")
    opened = {member: open_card(data) for member, data in cards.items()}
    facts = modelcard.Facts(accord, anchor, name, version, run, examination, opened)
    write_atomic(making / "model" / "README.md", modelcard.render(facts).encode())
    root = oms.root(oms.resources(making / "model"))
    # (2) Gates judge these very files.
    verdicts = Verdicts(
        run=run,
        accord=accord.digest,
        model=root,
        evidence=examination.digest,
        verdicts=published_verdicts(accord, judge(accord, examination, inspected(accord, making / "model"))),
    )
    # (3) What the vote will name.
    _write_documents(making, accord=accord, examination=examination, credit=credit, verdicts=verdicts, cards=cards)
    attestation = intoto.attest(model=root, accord=accord.digest, verdicts=verdicts.verdicts, key=key)
    write_atomic(making / "attest" / "gates.test-result.dsse", attestation.to_bytes())
    for digest, data in objects.items():
        if digest != accord.digest:
            kind = "accord" if _is_accord(data) else "objects"
            write_atomic(making / kind / f"{hex_of(digest)}.json", data)
    proposal = Proposal(
        name=name,
        version=version,
        accord=accord.digest,
        run=run,
        base=accord.base.pin,
        state=state,
        model=root,
        verdicts=verdicts.digest,
        evidence=examination.digest,
        credit=credit.digest if credit else None,
        cards=tuple(sha256(cards[member]) for member in sorted(cards)),
        files=proposed_files(making),
        previous=previous,
        custody=accord.custody,
        use=", ".join(accord.purpose.uses),
    )
    write_atomic(making / "report" / "proposal.json", proposal.to_bytes())
    making.rename(folder)
    fsync_folder(folder.parent)
    return Draft(folder, proposal, verdicts)


def proposed_files(folder: Path) -> dict[str, str]:
    """What a proposal lists beside the model: reports, cards, the accord and the attestation, by digest."""
    return {name: sha256_file(folder / name) for name in files_of(folder) if _is_proposed(name)}


def _is_proposed(name: str) -> bool:
    """Not what the vote itself brings (signatures, checksums, ledger), nor what its own name already binds
    (HEX.json).
    """
    later = name.startswith(("model.", "ledger/")) or name in ("CHECKSUMS", "report/proposal.json", "attest/witnessed")
    named_by_digest = name.startswith("objects/") or (name.startswith("accord/") and name != "accord/accord.json")
    return not (later or named_by_digest or name.startswith("model/"))


def published_examination(accord: Accord, examination: Examination) -> Examination:
    """The examination as the accord lets it be published: whole, or only what is over all members."""
    if accord.release.figures == "published":
        return examination
    figures = tuple(figure for figure in examination.figures if figure.member is None)
    return examination.model_copy(update={"figures": figures, "counts": {}})


def published_verdicts(accord: Accord, verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Verdicts as the accord lets them be published: whole, or without the figures of single members."""
    if accord.release.figures == "published":
        return verdicts
    hidden = {"n": 0, "estimate": None, "low": None, "high": None}
    return tuple(verdict.model_copy(update=hidden) if verdict.member else verdict for verdict in verdicts)


def open_card(data: bytes) -> DataCard:
    """The data card in a salted object; CallerError `records.malformed` for anything else."""
    return DataCard.from_json(Salted.from_bytes(data).document)


def _write_documents(
    folder: Path,
    *,
    accord: Accord,
    examination: Examination,
    credit: CreditReport | None,
    verdicts: Verdicts,
    cards: Mapping[str, bytes],
) -> None:
    documents = {
        "accord/accord.json": accord.to_bytes(),
        "report/examination.json": published_examination(accord, examination).to_bytes(),
        "report/verdicts.json": verdicts.to_bytes(),
        **{f"cards/{member}.json": data for member, data in cards.items()},
    }
    withheld = accord.release.figures == "withheld"
    if credit:
        documents[_place(credit.digest, "credit", withheld=withheld)] = credit.to_bytes()
    if withheld:
        documents[_place(examination.digest, "examination", withheld=True)] = examination.to_bytes()
    for name, data in documents.items():
        write_atomic(folder / name, data)


def _place(digest: str, name: str, *, withheld: bool) -> str:
    """Where evidence lies: in the report, or among the objects, which voters see and the published bundle leaves
    out.
    """
    return f"objects/{hex_of(digest)}.json" if withheld else f"report/{name}.json"


def inspected(accord: Accord, model: Path) -> ArtefactFacts:
    """What the artefact gate sees of a model folder."""
    clause = next((gate for gate in accord.gates if isinstance(gate, Artefact)), None)
    return inspect(model, max_bytes=clause.max_bytes if clause else _MODEL_LIMIT_BYTES)


def _is_accord(data: bytes) -> bool:
    return data.startswith(b'{"accord":"foedus/v')
