"""What pages ask of the ledger's index.

Lists come in pages: `page` from 1, `size` from 1 to 500; a page beyond the last is empty. Newest first, unless a query
says otherwise. A filter that is None asks for all. Every method may raise:

    CallerError `index.bad-value`   a value to look for that the database cannot hold
    RunError `index.away`           the database does not answer (or its disk is full); the ledger is unharmed
    RunError `index.catching-up`    where it says what is in force, while the first fold of a long ledger goes on
    CallerError `index.bad-page`    a page or size out of range
"""

from __future__ import annotations

import json
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, select

from foedus.index import tables as t
from foedus.index.database import Database
from foedus.index.fill import Source, fill
from foedus.index.fold import Fold
from foedus.index.mentions import mentions
from foedus.index.parties import accords, keys, members
from foedus.index.results import (
    Act,
    Agreed,
    Asked,
    CardRow,
    Credited,
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
from foedus.index.select import (
    by_offset,
    by_place,
    columns,
    cut,
    is_digest,
    is_undecided,
    proposal_columns,
    proposal_status,
    release_row,
    vote_columns,
)
from foedus.ledger.consortium import Consortium
from foedus.ledger.leaf import Leaf
from foedus.ledger.note import Note, cosigned_at, witness_name

__all__ = ["Index", "RunOrder"]

RunOrder = Literal["at", "run", "rounds", "loss", "federated", "difference", "closed_at"]

_MOST_ENTRIES = 1 << 63  # no column holds a larger number
_AT_ONCE = 1000
"""How many new entries one `refresh` takes in."""


class Index:
    """The index of one ledger. `open_index(url, workspace)` gives it; any thread may use it."""

    def __init__(self, database: Database, source: Source, fold: Fold) -> None:
        self.database = database
        self.source = source
        self.fold = fold

    # ── how it stands with the index itself ──────────────────────────────────

    def refresh(self) -> Progress:
        """Take in new entries, a bounded number at once; cheap when there are none. Raises as the module says, and
        VerifyError `index.root-differs`, `ledger.…`, `fold.…` for a ledger that is not as its head says.
        """
        folded = self.fold.advance(_AT_ONCE)
        progress = fill(self.database, self.source, limit=_AT_ONCE)
        return Progress(min(folded, progress.done), progress.size)

    def consortium(self) -> Consortium:
        """What the ledger says, folded on from where it was; RunError `index.catching-up` while the first fold of a
        long ledger goes on.
        """
        return self.fold.current()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    # ── the whole ────────────────────────────────────────────────────────────

    def overview(self) -> Overview:
        """The consortium on one page."""
        state, accords = self.consortium(), self.accords()
        with self.database.reading() as connection:
            get = connection.execute
            by_outcome = get(select(t.runs.c.outcome, func.count()).group_by(t.runs.c.outcome))
            latest = select(*columns(RunRow, t.runs)).order_by(t.runs.c.at.desc()).limit(1)
            opened, last = get(latest.where(t.runs.c.outcome == "open")).first(), get(latest).first()
            proposals = select(*proposal_columns())
            current = [release_row(*row) for row in get(proposals.where(proposal_status() == "published"))]
            entry = get(select(*columns(Act, t.entries)).order_by(t.entries.c.at.desc()).limit(1)).first()
            published = t.proposals.c.published_at.is_not(None)
            return Overview(
                entries=get(select(t.marks.c.done)).scalar_one(),
                accord=next((one for one in accords if one.digest == state.accord_digest), None),
                members=len(state.members),
                cards=len(state.cards),
                runs={str(outcome): number for outcome, number in by_outcome},
                open_run=RunRow(*opened) if opened else None,
                last_run=RunRow(*last) if last else None,
                rounds=get(select(func.coalesce(func.sum(t.runs.c.rounds), 0))).scalar_one(),
                releases=get(select(func.count()).select_from(t.proposals).where(published)).scalar_one(),
                release=next((one for one in current if one.current), None),
                undecided=self._undecided(connection, state.accord_digest),
                last=Act(*entry) if entry else None,
            )

    def _undecided(self, connection: Connection, in_force: str | None) -> int:
        return connection.execute(
            select(func.count()).select_from(t.ballots).where(is_undecided(in_force))
        ).scalar_one()

    def head(self) -> Head | None:
        """The ledger's signed head and who cosigned it; None before there is a ledger."""
        ledger = self.source.ledger()
        if ledger is None:
            return None
        note, state = Note.from_bytes(ledger.checkpoint()), self.consortium()
        names = {witness_name(ledger.origin, member.name): member.name for member in state.members}
        witnesses = []
        for line in note.lines:
            if (member := names.get(line.name)) and (public := state.key(member, "witness")):
                cosigned_at(note.text, line, line.name, public)
                witnesses.append(member)
        return Head(ledger.origin, ledger.size, ledger.head.root.hex(), tuple(sorted(witnesses)))

    # ── entries ──────────────────────────────────────────────────────────────

    def acts(
        self, *, kind: str | None = None, actor: str | None = None, subject: str | None = None, run: str | None = None,
        page: int = 1, size: int = 50, oldest_first: bool = False,
    ) -> Page[Act]:  # fmt: skip
        """Entries, newest first."""
        cut(page, size)
        if not is_digest(subject):
            return Page((), 0, page, size)
        here, wanted = t.entries.c, columns(Act, t.entries)
        filters = {here.kind: kind, here.actor: actor, here.subject: subject, here.run: run}
        where = [column == value for column, value in filters.items() if value is not None]
        with self.database.reading() as connection:
            if subject is not None or run is not None:
                order = [here.at if oldest_first else here.at.desc()]
                return by_offset(connection, t.entries, wanted, Act, where=where, order=order, page=page, size=size)
            total, place = self._among(connection, kind, actor)
            return by_place(
                connection, wanted, Act, place=place, total=total, where=where, page=page, size=size,
                oldest_first=oldest_first,
            )  # fmt: skip

    def _among(self, connection: Connection, kind: str | None, actor: str | None) -> tuple[int, ColumnElement[int]]:
        """How many entries there are of a kind and an actor, and the column of their places."""
        here = t.entries.c
        if kind is None and actor is None:
            return connection.execute(select(t.marks.c.done)).scalar_one(), here.at
        total = select(func.coalesce(func.sum(t.counts.c.entries), 0))
        total = total.where(t.counts.c.kind == kind) if kind is not None else total
        total = total.where(t.counts.c.actor == actor) if actor is not None else total
        place = here.of_both if kind is not None and actor is not None else here.of_kind if kind else here.of_actor
        return int(connection.execute(total).scalar_one()), place

    def act(self, at: int) -> Act | None:
        """The entry at this place; None where the ledger has none."""
        if not 0 <= at < _MOST_ENTRIES:
            return None
        with self.database.reading() as connection:
            row = connection.execute(select(*columns(Act, t.entries)).where(t.entries.c.at == at)).first()
            return Act(*row) if row else None

    def leaf(self, at: int) -> Leaf | None:
        """The signed entry itself, read from the ledger's files."""
        ledger = self.source.ledger()
        return next(ledger.leaves(at)) if ledger is not None and 0 <= at < ledger.size else None

    def kinds(self) -> dict[str, int]:
        """How many entries there are of each kind."""
        return self._counted(t.counts.c.kind)

    def actors(self) -> dict[str, int]:
        """How many entries each party made."""
        return self._counted(t.counts.c.actor)

    def _counted(self, column: ColumnElement[str]) -> dict[str, int]:
        with self.database.reading() as connection:
            rows = select(column, func.sum(t.counts.c.entries)).group_by(column).order_by(column)
            return {name: int(number) for name, number in connection.execute(rows)}

    def mentions(self, digest: str) -> tuple[Mention, ...]:
        """Where a digest stands in the ledger, oldest first, at most 100."""
        if not is_digest(digest):
            return ()
        with self.database.reading() as connection:
            return mentions(connection, digest)

    def refusals(self, *, run: str | None = None, page: int = 1, size: int = 50) -> Page[RefusalRow]:
        """What the hub turned away."""
        cut(page, size)
        here, wanted = t.refusals.c, columns(RefusalRow, t.refusals)
        with self.database.reading() as connection:
            if run is not None:
                return by_offset(
                    connection, t.refusals, wanted, RefusalRow, where=[here.run == run], order=[here.place.desc()],
                    page=page, size=size,
                )  # fmt: skip
            last = connection.execute(select(func.max(here.place))).scalar()
            total = 0 if last is None else last + 1
            return by_place(connection, wanted, RefusalRow, place=here.place, total=total, page=page, size=size)

    # ── the accord and its parties ───────────────────────────────────────────

    def accords(self) -> tuple[Agreed, ...]:
        """Every accord that was proposed, newest first."""
        state, enacted = self.consortium(), self.fold.enacted
        with self.database.reading() as connection:
            return accords(connection, state, enacted)

    def members(self) -> tuple[MemberRow, ...]:
        """The members of the accord in force (before one is, of the latest proposed), by name."""
        state = self.consortium()
        with self.database.reading() as connection:
            return members(connection, state)

    def keys(self, party: str | None = None) -> tuple[KeyRow, ...]:
        """Public keys that are or were in force, by party, purpose and age."""
        return keys(self.consortium(), self.fold.enacted, party)

    def cards(
        self, *, member: str | None = None, in_force: bool | None = None, page: int = 1, size: int = 50
    ) -> Page[CardRow]:
        """Registered data cards."""
        cut(page, size)
        here, live = t.cards.c, {card.index for card in self.consortium().cards.values()}
        where = [here.member == member] if member is not None else []
        if in_force is not None:
            where.append(here.at.in_(live) if in_force else here.at.not_in(live))
        names = [name for name in CardRow.__slots__ if name != "in_force"]

        def made(*row: Any) -> CardRow:
            values = dict(zip(names, row, strict=True))
            return CardRow(**values | {"parts": tuple(values["parts"].split()), "in_force": values["at"] in live})

        with self.database.reading() as connection:
            return by_offset(
                connection, t.cards, [here[name] for name in names], made, where=where, order=[here.at.desc()],
                page=page, size=size,
            )  # fmt: skip

    # ── runs ─────────────────────────────────────────────────────────────────

    def runs(
        self, *, status: str | None = None, trials: bool | None = None, name: str | None = None,
        order: RunOrder = "at", descending: bool = True, page: int = 1, size: int = 50,
    ) -> Page[RunRow]:  # fmt: skip
        """Runs; `status` is an outcome or `open`, `trials` chooses those of searches or those that are none, `name` is
        a part of theirs.
        """
        cut(page, size)
        here = t.runs.c
        where = [here.outcome == status] if status is not None else []
        if trials is not None:
            where.append(here.trial.is_not(None) if trials else here.trial.is_(None))
        if name:
            where.append(here.run.contains(name, autoescape=True))
        by = here.get(f"{order}_order", here[order])
        first = by.desc().nulls_last() if descending else by.asc().nulls_last()
        with self.database.reading() as connection:
            return by_offset(
                connection, t.runs, columns(RunRow, t.runs), RunRow, where=where, order=[first, here.at.desc()],
                page=page, size=size,
            )  # fmt: skip

    def run(self, name: str) -> RunRow | None:
        """One run; None where there is none of this name."""
        with self.database.reading() as connection:
            row = connection.execute(select(*columns(RunRow, t.runs)).where(t.runs.c.run == name)).first()
            return RunRow(*row) if row else None

    def rounds(self, run: str, *, page: int = 1, size: int = 50) -> Page[Round]:
        """The closed rounds of a run, first round first."""
        cut(page, size)
        here = t.rounds.c
        with self.database.reading() as connection:
            return by_offset(
                connection, t.rounds, columns(Round, t.rounds), Round, where=[here.run == run], order=[here.round],
                page=page, size=size,
            )  # fmt: skip

    def asked(self, run: str, round: int) -> tuple[Asked, ...]:  # noqa: A002 - the domain's word
        """What became of each member in a round, by name."""
        here = t.asked.c
        with self.database.reading() as connection:
            rows = select(*columns(Asked, t.asked)).where(here.run == run, here.round == round)
            return tuple(Asked(*row) for row in connection.execute(rows.order_by(here.member, here.place)))

    def replies(self, member: str, *, run: str | None = None, page: int = 1, size: int = 50) -> Page[Asked]:
        """What became of one member, round by round, newest first."""
        cut(page, size)
        here, wanted = t.asked.c, columns(Asked, t.asked)
        with self.database.reading() as connection:
            if run is not None:
                where, order = [here.run == run, here.member == member], [here.round.desc(), here.place]
                return by_offset(connection, t.asked, wanted, Asked, where=where, order=order, page=page, size=size)
            known = connection.execute(select(t.parties.c.asked).where(t.parties.c.name == member)).scalar()
            return by_place(
                connection, wanted, Asked, place=here.of_member, total=known or 0, where=[here.member == member],
                page=page, size=size,
            )  # fmt: skip

    def losses(self, run: str, *, points: int = 500) -> tuple[Point, ...]:
        """The curve of a run, thinned to at most so many points (two or more); the last round is always one."""
        here = t.rounds.c
        with self.database.reading() as connection:
            last = connection.execute(select(t.runs.c.rounds).where(t.runs.c.run == run)).scalar() or 0
            step = max(1, -(-last // max(points - 1, 1)))
            kept = ((here.round - 1) % step == 0) | (here.round == last)
            rows = select(here.round, here.loss, here.used).where(here.run == run, kept).order_by(here.round)
            return tuple(Point(*row) for row in connection.execute(rows))

    def figures(self, run: str) -> tuple[FigureRow, ...]:
        """What was measured of a run's outcome, in the order of the examination; none before it is examined."""
        here = t.figures.c
        names = [here[name] for name in FigureRow.__slots__ if name != "run"]
        rows = select(*names).join(t.runs, t.runs.c.evidence == here.evidence).where(t.runs.c.run == run)
        with self.database.reading() as connection:
            return tuple(FigureRow(run, *row) for row in connection.execute(rows.order_by(here.place)))

    def credit(self, run: str) -> tuple[CreditSum, tuple[CreditRow, ...]] | None:
        """A run's credit report, members by name; None without one."""
        here, sums = t.credit.c, t.credit_sums.c
        with self.database.reading() as connection:
            whole = select(*columns(CreditSum, t.credit_sums)).join(t.runs, t.runs.c.credit == sums.digest)
            total = connection.execute(whole.where(t.runs.c.run == run)).first()
            if total is None:
                return None
            rows = select(here.member, here.value, here.by_round).where(here.digest == CreditSum(*total).digest)
            listed = connection.execute(rows.order_by(here.member))
            return CreditSum(*total), tuple(
                CreditRow(run, member, value, tuple(json.loads(by_round))) for member, value, by_round in listed
            )

    def credits(self, *, page: int = 1, size: int = 50) -> Page[Credited]:
        """The credit reports of runs, newest run first."""
        cut(page, size)
        sums, one = t.credit_sums, t.credit.c
        counted = select(func.count()).where(one.digest == sums.c.digest).correlate(sums).scalar_subquery()

        def made(*row: Any) -> Credited:
            *report, number = row
            return Credited(CreditSum(*report), number)

        with self.database.reading() as connection:
            return by_offset(
                connection, t.runs, [*columns(CreditSum, sums), counted], made,
                where=[t.runs.c.credit == sums.c.digest], order=[t.runs.c.at.desc()], page=page, size=size,
            )  # fmt: skip

    def verdicts(
        self, *, run: str | None = None, outcome: str | None = None, page: int = 1, size: int = 50
    ) -> Page[VerdictRow]:
        """What gates said."""
        cut(page, size)
        here = t.verdicts.c
        where = [column == value for column, value in ((here.run, run), (here.outcome, outcome)) if value is not None]
        with self.database.reading() as connection:
            return by_offset(
                connection, t.verdicts, columns(VerdictRow, t.verdicts), VerdictRow, where=where,
                order=[here.at.desc(), here.place], page=page, size=size,
            )  # fmt: skip

    # ── votes and releases ───────────────────────────────────────────────────

    def proposals(self, *, status: str | None = None, page: int = 1, size: int = 50) -> Page[ReleaseRow]:
        """Proposals whatever became of them, or those of one status."""
        return self._proposals([proposal_status() == status] if status is not None else [], page, size)

    def releases(self, *, page: int = 1, size: int = 50) -> Page[ReleaseRow]:
        """What was published, revoked or not."""
        return self._proposals([t.proposals.c.published_at.is_not(None)], page, size)

    def release(self, proposal: str) -> ReleaseRow | None:
        """One proposal by its digest."""
        if not is_digest(proposal):
            return None
        return next(iter(self._proposals([t.proposals.c.proposal == proposal], 1, 1).items), None)

    def _proposals(self, where: list[ColumnElement[bool]], page: int, size: int) -> Page[ReleaseRow]:
        cut(page, size)
        with self.database.reading() as connection:
            return by_offset(
                connection, t.proposals, proposal_columns(), release_row, where=where,
                order=[t.proposals.c.at.desc()], page=page, size=size,
            )  # fmt: skip

    def votes(
        self, *, is_open: bool | None = None, matter: str | None = None, page: int = 1, size: int = 50
    ) -> Page[VoteRow]:
        """What is or was voted on; open are those that can still end."""
        cut(page, size)
        here = t.ballots.c
        where = [here.matter == matter] if matter is not None else []
        if is_open is not None:
            undecided = is_undecided(self.consortium().accord_digest)
            where.append(undecided if is_open else ~undecided)
        with self.database.reading() as connection:
            return by_offset(
                connection, t.ballots, vote_columns(), VoteRow, where=where, order=[here.at.desc()], page=page,
                size=size,
            )  # fmt: skip

    def cast(self, subject: str, matter: str | None = None) -> tuple[Vote, ...]:
        """The votes on a subject, in the order in which they were cast."""
        if not is_digest(subject):
            return ()
        here = t.votes.c
        rows = select(*columns(Vote, t.votes)).where(here.subject == subject).order_by(here.at)
        if matter is not None:
            rows = rows.where(here.matter == matter)
        with self.database.reading() as connection:
            return tuple(Vote(*row) for row in connection.execute(rows))
