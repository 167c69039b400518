"""What a member votes on, fetched from its hub: a draft by its proposal's digest, in parts; cut off, it goes on.

    candidates/HEX.foedus      one folder a proposal, in the member's workspace

Nothing that the hub says is believed: each file has the digest that was asked for, the proposal in it is the very one
that the member's own copy of the ledger names, and `verify` judges the whole before anything is signed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from foedus.core.digest import hex_of, sha256, sha256_file
from foedus.core.errors import CallerError, FoedusError, RunError, VerifyError
from foedus.core.keys import PrivateKey
from foedus.ledger.consortium import Consortium, ProposalState
from foedus.records.door import Candidate, CandidateFile
from foedus.release.bundle import LIMIT_BYTES, LIMIT_FILES, files_of, require_path
from foedus.resident.link import Link
from foedus.workspace import Workspace, consortium

__all__ = ["Progress", "fetch_candidate", "fetch_evidence", "find_proposal", "open_proposals"]

Progress = Callable[[int, int], None]
"""`progress(done, total)` in bytes."""

_ATTEMPTS = 3
_PATIENCE = 60
T = TypeVar("T")


def open_proposals(state: Consortium) -> list[ProposalState]:
    """The proposals that can still be voted on, the newest first."""
    return sorted((one for one in state.proposals.values() if one.outcome is None), key=lambda one: -one.index)


def find_proposal(state: Consortium, name: str) -> ProposalState:
    """The proposal that a digest or NAME-VERSION means, by the ledger; among several, the one that is open.

    Raises: CallerError: `release.no-such-release`; `join.several-proposals` when the name alone does not decide.
    """
    if name in state.proposals:
        return state.proposals[name]
    named = [one for one in state.proposals.values() if f"{one.proposal.name}-{one.proposal.version}" == name]
    still = [one for one in named if one.outcome is None] or named
    if not still:
        raise CallerError("release.no-such-release", name=name)
    if len(still) > 1:
        raise CallerError("join.several-proposals", name=name, digests=", ".join(one.digest for one in still))
    return still[0]


def fetch_candidate(
    workspace: Workspace,
    link: Link,
    proposal: str,
    *,
    act: PrivateKey,
    progress: Progress = lambda *_: None,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """The folder of the draft that a proposal names, fetched or brought up to date; `act` signs the questions.

    Raises:
        CallerError: `release.no-such-release` for a proposal that this member's ledger does not know.
        RunError: `link.candidate-moves` when it changes faster than it can be fetched.
        VerifyError: `link.other-candidate`, `link.other-file`; `release.odd-path`, `release.too-large`.
    """
    if proposal not in consortium(workspace).proposals:
        raise CallerError("release.no-such-release", name=proposal)
    source = _Source(workspace, link, proposal, act, pause)
    folder = workspace.folder / "candidates" / f"{hex_of(proposal)}.foedus"
    for _ in range(_ATTEMPTS):
        try:
            source.fetch(source.listed(), folder, progress)
        except CallerError as error:
            if error.code != "hub.no-such-file":  # the coordinator closed a waiver meanwhile: its files are newer
                raise
            continue
        if (got := sha256_file(folder / "report" / "proposal.json")) != proposal:
            raise VerifyError("link.other-candidate", expected=proposal, got=got)
        return folder
    raise RunError("link.candidate-moves", hub=link.hub.address)


def fetch_evidence(workspace: Workspace, link: Link, proposal: str | None, *, act: PrivateKey) -> None:
    """Take the evidence of a release into this member's objects, where its ledger names one and the hub gives it.

    Its digest stands in the ledger, so another one is not taken. Without it the figures of that release are not shown.
    """
    release = consortium(workspace).proposals.get(proposal or "")
    if proposal is None or release is None or (wanted := release.proposal.evidence) in workspace.objects:
        return
    data = b""
    with suppress(FoedusError):
        while len(data) < LIMIT_BYTES and (part := link.part(workspace.party, proposal, wanted, len(data), act)):
            data += part
    if sha256(data) == wanted:
        workspace.objects.put(data)


@dataclass(frozen=True, slots=True)
class _Source:
    """A hub that is asked for the files of one proposal."""

    workspace: Workspace
    link: Link
    proposal: str
    act: PrivateKey
    pause: Callable[[float], None]

    def listed(self) -> Candidate:
        """The list, once it is about this proposal and names nothing that could escape, overwrite or fill the disk."""
        listed = self._patient(lambda: self.link.candidate(self.workspace.party, self.proposal, self.act))
        names = [file.path for file in listed.files]
        if listed.proposal != self.proposal or "report/proposal.json" not in names:
            raise VerifyError("link.other-candidate", expected=self.proposal, got=listed.proposal)
        for name in names:
            require_path(name)
        if sum(file.size for file in listed.files) > LIMIT_BYTES or len(names) > LIMIT_FILES:
            raise VerifyError("release.too-large", limit_files=LIMIT_FILES, limit_bytes=LIMIT_BYTES)
        return listed

    def fetch(self, listed: Candidate, folder: Path, progress: Progress) -> None:
        """Let a folder hold what is listed, and nothing else; what is there already stays."""
        _clear(folder, {file.path for file in listed.files})
        done, total = 0, sum(file.size for file in listed.files)
        for file in listed.files:
            target = folder / file.path
            if not (target.is_file() and sha256_file(target) == file.content):
                own = self._in_own_ledger(file)
                found = own or self._file(file, done, lambda at: progress(at, total))
                target.parent.mkdir(parents=True, exist_ok=True)
                if own:
                    shutil.copyfile(own, target)
                else:
                    found.replace(target)
            done += file.size
            progress(done, total)

    def _in_own_ledger(self, file: CandidateFile) -> Path | None:
        """Most of the draft's copy of the ledger is here already."""
        kind, _, name = file.path.partition("/")
        own = self.workspace.ledger / name
        return own if kind == "ledger" and own.is_file() and sha256_file(own) == file.content else None

    def _file(self, file: CandidateFile, before: int, progress: Callable[[int], None]) -> Path:
        """One file, part by part, beside the folder under its digest: what came before a break is kept."""
        waiting = self.workspace.folder / "candidates" / "parts" / hex_of(file.content)
        waiting.parent.mkdir(parents=True, exist_ok=True)
        with waiting.open("ab") as out:
            while (at := out.tell()) < file.size:
                part = self._part(file.content, at)
                if not part or at + len(part) > file.size:
                    break
                out.write(part)
                out.flush()
                progress(before + at + len(part))
        if (got := sha256_file(waiting)) != file.content:
            waiting.unlink()
            raise VerifyError("link.other-file", path=file.path, expected=file.content, got=got)
        return waiting

    def _part(self, digest: str, offset: int) -> bytes:
        return self._patient(lambda: self.link.part(self.workspace.party, self.proposal, digest, offset, self.act))

    def _patient(self, ask: Callable[[], T]) -> T:
        """Ask again, a second later, while the hub wants fewer questions from here."""
        for _ in range(_PATIENCE):
            try:
                return ask()
            except RunError as error:
                if error.code != "hub.too-often":
                    raise
                self.pause(1.0)
        return ask()


def _clear(folder: Path, wanted: set[str]) -> None:
    """Let a folder hold nothing but these files; one that is no bundle's goes altogether."""
    try:
        names = files_of(folder) if folder.is_dir() else {}
    except VerifyError:
        shutil.rmtree(folder)
        return
    for name in names.keys() - wanted:
        (folder / name).unlink()
        for above in (folder / name).relative_to(folder).parents:
            if above != Path() and not any((folder / above).iterdir()):
                (folder / above).rmdir()
