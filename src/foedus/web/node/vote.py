"""A draft on a member's desk: fetched in the background, verified here, shown, and signed only as it was shown.

What a form signs is bound to what its page showed: proposal, ledger head, and this member's vote until then. A form of
an older page (another tab that voted meanwhile, a draft that the coordinator brought up to date) signs nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foedus.core.canonical import encode
from foedus.core.digest import sha256
from foedus.core.errors import FoedusError, IdentityError, RunError
from foedus.core.files import read_bytes
from foedus.ledger.consortium import ProposalState
from foedus.release.desk import approve_draft
from foedus.release.own_figures import with_own_figures
from foedus.release.paper import Paper, paper_of
from foedus.resident.candidate import fetch_candidate, fetch_evidence, find_proposal
from foedus.web.node.desk import Desk
from foedus.workspace import outbox, private_key

__all__ = ["Looked", "Votes"]

Choice = Literal["approve", "object"]


@dataclass(slots=True)
class Looked:
    """A draft that is being fetched and verified, or was: `paper` in the end, or `error`. Sizes in bytes."""

    done: int = 0
    total: int = 0
    folder: Path | None = None
    paper: Paper | None = None
    error: FoedusError | None = None

    @property
    def ready(self) -> bool:
        """Whether there is something to show."""
        return self.paper is not None or self.error is not None


@dataclass(slots=True)
class Votes:
    """The drafts that were looked at since this process began. Memory: one entry a proposal of the ledger."""

    desk: Desk
    _looked: dict[str, Looked] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def proposal(self, digest: str) -> ProposalState:
        """A proposal of this member's ledger; CallerError `release.no-such-release`."""
        return find_proposal(self.desk.state(), digest)

    def looked(self, digest: str) -> Looked | None:
        """What is known of a draft; None before it was looked at."""
        return self._looked.get(digest)

    def look(self, digest: str) -> None:
        """Begin to fetch and verify a draft, unless that goes on already."""
        with self._lock:
            now = self._looked.get(digest)
            if now is not None and not now.ready:
                return
            looked = self._looked[digest] = Looked()
        threading.Thread(target=self._look, args=(digest, looked), daemon=True, name="draft").start()

    def _look(self, digest: str, looked: Looked) -> None:
        desk = self.desk
        workspace = desk.workspace
        try:
            state = desk.sync()
            public = state.key(workspace.party, "act")
            act = private_key(workspace, "act", public=public, passphrase=desk.passphrase)

            def progress(done: int, total: int) -> None:
                looked.done, looked.total = done, total

            looked.folder = fetch_candidate(workspace, desk.link, digest, act=act, progress=progress)
            fetch_evidence(workspace, desk.link, state.proposals[digest].proposal.previous, act=act)
            looked.paper = paper_of(
                looked.folder, anchor=workspace.page.anchor, at=desk.clock(), find=workspace.find,
                compare=with_own_figures(workspace),
            )  # fmt: skip
        except FoedusError as error:
            looked.error = error
        except Exception as error:  # noqa: BLE001 - a bug here must be shown where somebody waits for an answer
            looked.error = RunError("node_page.fault", kind=type(error).__name__, message=str(error)[:300])

    def mark(self, digest: str) -> str:
        """What a form carries of what its page showed; empty before there is something to show."""
        looked = self._looked.get(digest)
        if looked is None or looked.paper is None:
            return ""
        seen = looked.paper.seen
        head = seen.consortium.size if seen.consortium else 0
        mine = len(outbox(self.desk.home))
        return sha256(encode([digest, seen.code, head, mine, self.proposal(digest).votes.get(self.desk.home.party)]))

    def cast(self, digest: str, choice: Choice, *, reason: str, passphrase: str | None, mark: str) -> bool:
        """Sign a vote on a draft as it was shown, and send it; whether it stands in the ledger already.

        Raises:
            IdentityError: `node_page.changed` when the page showed something else; as `load_private` for a passphrase
                that is missing or wrong.
            VerifyError: what the draft's first failed check says, for an approval; as the fold.
        """
        with self._lock:
            looked = self._looked.get(digest)
            if looked is None or looked.folder is None or not mark or mark != self.mark(digest):
                raise IdentityError("node_page.changed")
            workspace = self.desk.workspace
            approve_draft(
                workspace, looked.folder, choice=choice, reason=reason, passphrase=passphrase or None,
                clock=self.desk.clock,
            )  # fmt: skip
        try:
            state = self.desk.sync()
        except IdentityError as error:
            if error.code != "link.unreachable":
                raise
            return False
        return state.proposals[digest].votes.get(workspace.party) == choice

    def is_locked(self) -> bool:
        """Whether a passphrase protects the keys here."""
        return any(
            b"ENCRYPTED" in read_bytes(path, limit_bytes=1 << 16)
            for path in (self.desk.home.folder / "keys").glob("*.pem")
        )
