"""What voters fetch of a draft: the list of its files, and their bytes in parts. Not what other voters brought."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.digest import sha256_file
from foedus.core.errors import CallerError
from foedus.records.door import PART_BYTES, Candidate, CandidateFile
from foedus.release.bundle import files_of
from foedus.release.desk import draft_folder
from foedus.workspace import Workspace

__all__ = ["Candidates"]

_REMEMBERED = 100_000


@dataclass(slots=True)
class Candidates:
    """The drafts of a coordinator's workspace. A file is hashed once as long as it stays as it is."""

    _known: dict[tuple[str, int, int], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def listed(self, workspace: Workspace, proposal: str) -> Candidate:
        """The files of the draft of a proposal.

        Raises:
            CallerError: `release.no-such-release` where there is no such draft.
            VerifyError: `release.…` for a folder that holds what no bundle may.
        """
        folder = draft_folder(workspace, proposal)
        names = {name: size for name, size in files_of(folder).items() if not _brought_by_voters(name)}
        files = tuple(
            CandidateFile(path=name, size=size, content=self._digest(folder / name)) for name, size in names.items()
        )
        return Candidate(proposal=proposal, files=files)

    def part(self, workspace: Workspace, proposal: str, digest: str, offset: int) -> bytes:
        """Bytes of a file of a draft, from `offset` on, at most 4 MiB; CallerError `hub.no-such-file`."""
        listed = self.listed(workspace, proposal)
        found = next((file for file in listed.files if file.content == digest), None)
        if found is None:
            raise CallerError("hub.no-such-file", got=digest)
        with (draft_folder(workspace, proposal) / found.path).open("rb") as file:
            file.seek(offset)
            return file.read(PART_BYTES)

    def _digest(self, path: Path) -> str:
        status = path.stat()
        seen = str(path), status.st_size, status.st_mtime_ns
        with self._lock:
            known = self._known.get(seen)
        if known is None:
            known = sha256_file(path)
            with self._lock:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[seen] = known
        return known


def _brought_by_voters(name: str) -> bool:
    return name.startswith("model.") or name in ("attest/witnessed", "CHECKSUMS")
