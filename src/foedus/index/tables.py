"""The tables of the index. All begin with `foedus_`: nothing else in a database is touched.

What is long can be paged at any depth without counting: entries, what became of members in rounds, and refusals carry
their places (from 0) among those of their kind, their actor, or both.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy import Index as _Index
from sqlalchemy.types import TypeDecorator

__all__ = [
    "SCHEMA",
    "asked",
    "ballots",
    "cards",
    "counts",
    "credit",
    "credit_sums",
    "entries",
    "figures",
    "marks",
    "parties",
    "proposals",
    "rank",
    "refusals",
    "rounds",
    "runs",
    "tables",
    "verdicts",
    "votes",
]

SCHEMA = 1
"""Raised when a table or what stands in it changes: an index of another number is made anew."""

tables = MetaData()


class _Digest(TypeDecorator[str]):
    """`sha256:…` as its 32 bytes."""

    impl = LargeBinary(32)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - as declared
        return bytes.fromhex(value.removeprefix("sha256:")) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - as declared
        return f"sha256:{bytes(value).hex()}" if value is not None else None


def _table(name: str, *columns: Any) -> Table:
    return Table(f"foedus_{name}", tables, *columns)


def _col(name: str, kind: Any, *, primary: bool = False, null: bool = False) -> Column[Any]:
    return Column(name, kind, primary_key=primary, nullable=null, autoincrement=False)


marks = _table(
    "mark",
    _col("one", Integer, primary=True),
    _col("schema", Integer),
    _col("origin", Text, null=True),
    _col("done", BigInteger),
    _col("peaks", LargeBinary),
)
"""One row: of which ledger this is the index, how many entries it has taken in, and the peaks of their Merkle tree."""

entries = _table(
    "entries",
    _col("at", BigInteger, primary=True),
    _col("kind", String(40)),
    _col("actor", String(63)),
    _col("number", BigInteger),
    _col("subject", _Digest, null=True),
    _col("run", String(63), null=True),
    _col("round", Integer, null=True),
    _col("note", Text),
    _col("recorded_at", String(20)),
    _col("entry", _Digest),
    _col("accord", _Digest),
    _col("void", Boolean),
    _col("of_kind", BigInteger),
    _col("of_actor", BigInteger),
    _col("of_both", BigInteger),
)
_Index("foedus_entries_kind", entries.c.kind, entries.c.of_kind)
_Index("foedus_entries_actor", entries.c.actor, entries.c.of_actor)
_Index("foedus_entries_both", entries.c.kind, entries.c.actor, entries.c.of_both)
_Index("foedus_entries_subject", entries.c.subject, entries.c.at)
_Index("foedus_entries_run", entries.c.run, entries.c.at)
_Index("foedus_entries_entry", entries.c.entry)

counts = _table(
    "counts",
    _col("kind", String(40), primary=True),
    _col("actor", String(63), primary=True),
    _col("entries", BigInteger),
)

parties = _table(
    "parties",
    _col("name", String(63), primary=True),
    _col("number", BigInteger),
    _col("last_at", String(20)),
    _col("used", BigInteger),
    _col("left_out", BigInteger),
    _col("asked", BigInteger),
    _col("credit", String(60), null=True),
)
"""Of everyone who acted or was asked: its last number, the rounds that it entered and was left out of, its credit."""

runs = _table(
    "runs",
    _col("run", String(63), primary=True),
    _col("at", BigInteger),
    _col("opened_at", String(20)),
    _col("closed_at", String(20), null=True),
    _col("outcome", String(20)),
    _col("accord", _Digest),
    _col("engine", String(20)),
    _col("trial", Integer, null=True),
    _col("members", Integer),
    _col("rounds", Integer),
    _col("planned", Integer),
    _col("released_round", Integer, null=True),
    _col("start", _Digest),
    _col("state", _Digest, null=True),
    _col("loss", String(40), null=True),
    _col("evidence", _Digest, null=True),
    _col("credit", _Digest, null=True),
    _col("verdicts", _Digest, null=True),
    _col("model", _Digest, null=True),
    _col("metric", String(63), null=True),
    _col("federated", String(40), null=True),
    _col("alone", String(40), null=True),
    _col("difference", String(40), null=True),
    _col("passed", Integer),
    _col("failed", Integer),
    _col("inconclusive", Integer),
    _col("loss_order", Float, null=True),
    _col("federated_order", Float, null=True),
    _col("difference_order", Float, null=True),
)
"""The columns `…_order` are for sorting alone: what is shown are the decimals."""
_Index("foedus_runs_at", runs.c.at)
_Index("foedus_runs_outcome", runs.c.outcome, runs.c.at)

rounds = _table(
    "rounds",
    _col("run", String(63), primary=True),
    _col("round", Integer, primary=True),
    _col("at", BigInteger),
    _col("recorded_at", String(20)),
    _col("state", _Digest),
    _col("snapshot", _Digest),
    _col("loss", String(40), null=True),
    _col("used", Integer),
    _col("left_out", Integer),
    _col("late", Integer),
)
_Index("foedus_rounds_state", rounds.c.state)
_Index("foedus_rounds_snapshot", rounds.c.snapshot)

asked = _table(
    "asked",
    _col("run", String(63), primary=True),
    _col("round", Integer, primary=True),
    _col("place", Integer, primary=True),
    _col("member", String(63)),
    _col("part", String(10)),
    _col("reply", _Digest, null=True),
    _col("weight", String(40), null=True),
    _col("late", Integer),
    _col("code", Text),
    _col("at", BigInteger),
    _col("of_member", BigInteger),
)
_Index("foedus_asked_member", asked.c.member, asked.c.of_member)
_Index("foedus_asked_reply", asked.c.reply)

figures = _table(
    "figures",
    _col("evidence", _Digest, primary=True),
    _col("place", Integer, primary=True),
    _col("arm", String(20)),
    _col("member", String(63), null=True),
    _col("metric", String(63)),
    _col("n", BigInteger),
    _col("estimate", String(40)),
    _col("low", String(40)),
    _col("high", String(40)),
)

credit_sums = _table(
    "credit_sums",
    _col("digest", _Digest, primary=True),
    _col("run", String(63)),
    _col("method", String(63)),
    _col("start_loss", String(40)),
    _col("released_loss", String(40)),
    _col("total", String(40)),
    _col("residual", String(40)),
    _col("tolerance", String(40)),
    _col("note", Text),
)

credit = _table(
    "credit",
    _col("digest", _Digest, primary=True),
    _col("member", String(63), primary=True),
    _col("value", String(40)),
    _col("by_round", Text),
)

verdicts = _table(
    "verdicts",
    _col("at", BigInteger, primary=True),
    _col("place", Integer, primary=True),
    _col("run", String(63)),
    _col("verdicts", _Digest),
    _col("gate", String(63)),
    _col("outcome", String(20)),
    _col("member", String(63), null=True),
    _col("metric", String(63), null=True),
    _col("n", BigInteger),
    _col("estimate", String(40), null=True),
    _col("low", String(40), null=True),
    _col("high", String(40), null=True),
    _col("threshold", Text),
    _col("reason", Text),
)
_Index("foedus_verdicts_run", verdicts.c.run)

cards = _table(
    "cards",
    _col("at", BigInteger, primary=True),
    _col("card", _Digest),
    _col("member", String(63)),
    _col("name", String(63)),
    _col("licence", Text),
    _col("consent", Text),
    _col("examples", BigInteger),
    _col("parts", Text),
    _col("recorded_at", String(20)),
    _col("latest", Boolean),
)
_Index("foedus_cards_member", cards.c.member, cards.c.at)

proposals = _table(
    "proposals",
    _col("proposal", _Digest, primary=True),
    *(_col(name, String(63)) for name in ("name", "version", "run")),
    *(_col(name, _Digest) for name in ("accord", "model", "state", "base", "evidence", "verdicts")),
    _col("credit", _Digest, null=True),
    _col("previous", _Digest, null=True),
    _col("at", BigInteger),
    _col("proposed_at", String(20)),
    _col("outcome", String(20), null=True),
    _col("decided_at", String(20), null=True),
    _col("published_at", String(20), null=True),
    _col("revoked_at", String(20), null=True),
    _col("reason", Text),
    _col("checksums", _Digest, null=True),
)

ballots = _table(
    "ballots",
    _col("matter", String(10), primary=True),
    _col("subject", _Digest, primary=True),
    _col("at", BigInteger),
    _col("opened_at", String(20)),
    _col("accord", _Digest),
    _col("outcome", String(20), null=True),
    _col("closed_at", String(20), null=True),
)

votes = _table(
    "votes",
    _col("at", BigInteger, primary=True),
    _col("matter", String(10)),
    _col("subject", _Digest),
    _col("member", String(63)),
    _col("choice", String(10)),
    _col("reason", Text),
    _col("cast_at", String(20)),
    _col("counts", Boolean),
)
_Index("foedus_votes_subject", votes.c.subject, votes.c.at)

refusals = _table(
    "refusals",
    _col("place", BigInteger, primary=True),
    _col("run", String(63), null=True),
    _col("round", Integer),
    _col("code", String(100)),
    _col("source", String(100)),
    _col("count", BigInteger),
    _col("at", BigInteger),
    _col("recorded_at", String(20)),
)
_Index("foedus_refusals_run", refusals.c.run, refusals.c.place)


def rank(value: str | None) -> float | None:
    """A decimal as what it is sorted by."""
    return float(value) if value is not None else None
