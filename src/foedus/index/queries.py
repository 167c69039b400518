"""What pages ask of the ledger's index.

Lists come in pages: `page` from 1, `size` from 1 to 500; a page beyond the last is empty. Newest first, unless a query
says otherwise. A filter that is None asks for all. Every method may raise:

    RunError `index.away`           the database does not answer (or its disk is full); the ledger is unharmed
    CallerError `index.bad-page`    a page or size out of range, an unknown order
"""

from __future__ import annotations

from typing import Literal, Protocol

from foedus.index.results import (
    Act,
    Agreed,
    Asked,
    CardRow,
    CreditRow,
    CreditSum,
    FigureRow,
    Head,
    KeyRow,
    MemberRow,
    Mention,
    Overview,
    Page,
    Point,
    Progress,
    RefusalRow,
    ReleaseRow,
    Round,
    RunRow,
    VerdictRow,
    Vote,
    VoteRow,
)
from foedus.ledger.consortium import Consortium
from foedus.ledger.leaf import Leaf

__all__ = ["Index"]

RunOrder = Literal["at", "run", "rounds", "loss", "federated", "difference", "closed_at"]


class Index(Protocol):
    """The index of one ledger. `open_index(url, workspace)` gives it; any thread may use it."""

    # ── how it stands with the index itself ──────────────────────────────────

    def refresh(self) -> Progress:
        """Take in new entries, a bounded number at once; cheap when there are none. Raises as the module says, and
        VerifyError `index.…`, `ledger.…` for a ledger that is not as its head says.
        """

    def consortium(self) -> Consortium:
        """What the ledger says, folded on from where it was; RunError `index.catching-up` while the first fold of a
        long ledger goes on.
        """

    # ── the whole ────────────────────────────────────────────────────────────

    def overview(self) -> Overview:
        """The consortium on one page."""

    def head(self) -> Head | None:
        """The ledger's signed head and who cosigned it; None before there is a ledger."""

    # ── entries ──────────────────────────────────────────────────────────────

    def acts(
        self, *, kind: str | None = None, actor: str | None = None, subject: str | None = None, run: str | None = None,
        page: int = 1, size: int = 50, oldest_first: bool = False,
    ) -> Page[Act]:  # fmt: skip
        """Entries, newest first."""

    def act(self, at: int) -> Act | None:
        """The entry at this place; None where the ledger has none."""

    def leaf(self, at: int) -> Leaf | None:
        """The signed entry itself, read from the ledger's files."""

    def kinds(self) -> dict[str, int]:
        """How many entries there are of each kind."""

    def actors(self) -> dict[str, int]:
        """How many entries each party made."""

    def mentions(self, digest: str) -> tuple[Mention, ...]:
        """Where a digest stands in the ledger, oldest first, at most 100."""

    def refusals(self, *, run: str | None = None, page: int = 1, size: int = 50) -> Page[RefusalRow]:
        """What the hub turned away."""

    # ── the accord and its parties ───────────────────────────────────────────

    def accords(self) -> tuple[Agreed, ...]:
        """Every accord that was proposed, newest first."""

    def members(self) -> tuple[MemberRow, ...]:
        """The members of the accord in force (before one is, of the latest proposed), by name."""

    def keys(self, party: str | None = None) -> tuple[KeyRow, ...]:
        """Public keys that are or were in force, by party, purpose and age."""

    def cards(self, *, member: str | None = None, in_force: bool | None = None, page: int = 1, size: int = 50,
              ) -> Page[CardRow]:  # fmt: skip
        """Registered data cards."""

    # ── runs ─────────────────────────────────────────────────────────────────

    def runs(
        self, *, status: str | None = None, trials: bool | None = None, order: RunOrder = "at",
        descending: bool = True, page: int = 1, size: int = 50,
    ) -> Page[RunRow]:  # fmt: skip
        """Runs; `status` is an outcome or `open`, `trials` chooses those of searches or those that are none."""

    def run(self, name: str) -> RunRow | None:
        """One run; None where there is none of this name."""

    def rounds(self, run: str, *, page: int = 1, size: int = 50) -> Page[Round]:
        """The closed rounds of a run, first round first."""

    def asked(self, run: str, round: int) -> tuple[Asked, ...]:  # noqa: A002 - the domain's word
        """What became of each member in a round, by name."""

    def replies(self, member: str, *, run: str | None = None, page: int = 1, size: int = 50) -> Page[Asked]:
        """What became of one member, round by round, newest first."""

    def losses(self, run: str, *, points: int = 500) -> tuple[Point, ...]:
        """The curve of a run, thinned to at most so many points; the last round is always one of them."""

    def figures(self, run: str) -> tuple[FigureRow, ...]:
        """What was measured of a run's outcome, in the order of the examination; none before it is examined."""

    def credit(self, run: str) -> tuple[CreditSum, tuple[CreditRow, ...]] | None:
        """A run's credit report, members by name; None without one."""

    def verdicts(self, *, run: str | None = None, outcome: str | None = None, page: int = 1, size: int = 50,
                 ) -> Page[VerdictRow]:  # fmt: skip
        """What gates said."""

    # ── votes and releases ───────────────────────────────────────────────────

    def proposals(self, *, status: str | None = None, page: int = 1, size: int = 50) -> Page[ReleaseRow]:
        """Proposals whatever became of them, or those of one status."""

    def releases(self, *, page: int = 1, size: int = 50) -> Page[ReleaseRow]:
        """What was published, revoked or not."""

    def release(self, proposal: str) -> ReleaseRow | None:
        """One proposal by its digest."""

    def votes(self, *, is_open: bool | None = None, matter: str | None = None, page: int = 1, size: int = 50,
              ) -> Page[VoteRow]:  # fmt: skip
        """What is or was voted on."""

    def cast(self, subject: str, matter: str | None = None) -> tuple[Vote, ...]:
        """The votes on a subject, in the order in which they were cast."""
