"""Accords and releases for a reader: read, explain, verify, and ask a model that was verified. The base installation
is enough for all but the asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from foedus.accord import open_accord
from foedus.api.documents import Accord, Card, Verdicts
from foedus.api.extra import needs
from foedus.api.reports import Report, events_of, looked_at
from foedus.api.show import Page, Table, View
from foedus.core.checks import Check
from foedus.core.clock import now
from foedus.core.digest import DIGEST
from foedus.core.errors import CallerError, VerifyError
from foedus.core.files import read_bytes
from foedus.core.messages import say
from foedus.records import evidence
from foedus.records.base import Record
from foedus.release import verify as room
from foedus.release.bundle import opened
from foedus.release.propose import open_card
from foedus.report.audit import audit
from foedus.report.certificate import certificate
from foedus.report.released import Released
from foedus.report.statement import statement

if TYPE_CHECKING:
    from foedus.serve.predict import Predictor

__all__ = ["Release", "Verification", "read_accord", "verify"]

R = TypeVar("R", bound=Record)


def read_accord(path: str | Path) -> Accord:
    """The accord in a file: its signed form when the name ends in `.accord` or `.json`, else a draft in YAML.

    A draft's parties may not have joined yet. Their keys are then stand-ins, new each time and held by nobody: such an
    accord is good for looking at (`foedus.explain`) and can never be signed.

    >>> foedus.read_accord("accord.yaml").name
    'bank-intents'

    Raises:
        CallerError: `files.…`, `yaml.…`, `accord.…` with the line, what was expected and what stands there.
    """
    return Accord.shown(open_accord(Path(path)).accord)


class Verification(View):
    """What `verify` found. True only when verified: refused is false, and so is what could not be decided.

    >>> bool(foedus.verify("my-consortium/hub/releases/bank-intents-1.0.foedus"))  # without an anchor: undecided
    False
    """

    def __init__(self, seen: room.Verification) -> None:
        self.seen = seen

    @property
    def outcome(self) -> str:
        """`verified`, `refused` or `undecided`."""
        return self.seen.outcome

    @property
    def code(self) -> str:
        """`verified`, `unanchored`, `stale`, or the code of the first failure. It never changes its meaning."""
        return self.seen.code

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check in order."""
        return self.seen.checks

    def __bool__(self) -> bool:
        return self.seen.outcome == "verified"

    def __repr__(self) -> str:
        return f"Verification(outcome={self.outcome!r}, code={self.code!r}, checks={len(self.checks)})"

    def page(self) -> Page:
        """The sentence for everybody, a line a check, and why what failed did."""
        lines = [check for check in self.checks if check.name != "release.practice"]
        rows = [(say(f"verify.mark.{check.outcome}"), check.text) for check in lines]
        why = [f"{one.expected} / {one.got} / {one.do}" for check in self.seen.failures if (one := check.why)]
        table = Table(say("api.heading.checks"), (say("api.column.outcome"), say("api.column.check")), rows)
        return Page(self.seen.headline, why, (table,), self.seen.practice)


def verify(
    path: str | Path,
    *,
    anchor: str | None = None,
    at: datetime | None = None,
    allow_stale: bool = False,
    replay: str | Path | None = None,
) -> Verification:
    """Check a release (folder or zip) offline, as an auditor would.

    Args:
        path: the release.
        anchor: the digest of the consortium's first accord, from its own publication; without it nothing is decided.
        at: the time at which it must be fresh; now by default.
        allow_stale: accept an older ledger than the accord's `release.fresh_days`.
        replay: a folder of replies (`foedus run export-replies`) to recompute the release from; needs training.

    Raises:
        CallerError: `files.missing`, `release.no-bundle`, `verify.bad-anchor`. What does not hold is a failed check.
    """
    if anchor is not None and not DIGEST.fullmatch(anchor):
        raise CallerError("verify.bad-anchor", got=anchor[:100])
    seen = room.verify_bundle(Path(path), anchor=anchor, at=at or now(), allow_stale=allow_stale)
    if replay is not None:
        with needs("replay"):
            from foedus.replay import replay_check
        with opened(Path(path)) as folder:
            seen = room.with_checks(seen, replay_check(folder, Path(replay)))
    return Verification(seen)


class Release(View):
    """A release on disk. Its anchor is what `verify` and `predict` start from; it never comes from the release itself.

    `workspace`: a party's folder, where there is one: reports then rest on its newer ledger and on what it keeps.

    >>> release = foedus.Release("my-consortium/hub/releases/bank-intents-1.0.foedus", anchor=practice.anchor)
    >>> release.verify()
    Verification(outcome='verified', code='verified', checks=...)
    >>> [answer["label"] for answer in release.predict(["my lost card", "borrow loan please"])]
    ['card', 'loan']
    """

    def __init__(self, path: str | Path, *, anchor: str | None = None, workspace: str | Path | None = None) -> None:
        self.path = Path(path).absolute()
        self.anchor = anchor
        self.workspace = Path(workspace).absolute() if workspace else None
        self._predictor: Predictor | None = None

    def __repr__(self) -> str:
        return f"Release({str(self.path)!r}, anchor={self.anchor!r})"

    def verify(self, **options: Any) -> Verification:
        """Check it now; options as of `foedus.verify`."""
        return verify(self.path, **{"anchor": self.anchor, **options})

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """An answer for each text: label and probability, or entities with their places. Verifies before the first.

        Raises:
            CallerError: `serve.empty-text`; `api.extra-missing` in a base installation.
            VerifyError: what the first failed check says; `api.not-verified` for a release without an anchor, or stale.
        """
        if self._predictor is None:
            self._predictor = self._verified()
        return self._predictor.predict(texts)

    def accord(self) -> Accord:
        """The accord that it was made under. Raises as `predict`, but needs no training."""
        self._sound()
        return self._read(Accord, "accord/accord.json")

    def verdicts(self) -> Verdicts:
        """What the gates said of it, with figures and thresholds. Raises as `accord`."""
        practice = self._sound().practice
        return Verdicts(self._read(evidence.Verdicts, "report/verdicts.json"), practice=practice)

    def cards(self) -> dict[str, Card]:
        """The data cards of its members, by name. Raises as `accord`."""
        practice = self._sound().practice
        with opened(self.path) as folder:
            found = sorted((folder / "cards").glob("*.json"))
            return {one.stem: Card(open_card(read_bytes(one)), practice=practice) for one in found}

    def certificate(self) -> Report:
        """Its certificate, one page: approvals, gates, validity. Raises as `accord`."""
        return Report(certificate(self._looked()))

    def statement(self, member: str) -> Report:
        """What a member brought to it: its credit, and how the sum comes out.

        Raises: as `accord`; CallerError `report.no-such-member`, `report.no-credit`, `report.credit-withheld`.
        """
        released = self._looked()
        run = released.proposal.run if released.proposal else ""
        return Report(statement(released, member, events=events_of(self.workspace, run)))

    def audit(self, *, auditor: str = "", replay: str | Path | None = None) -> Report:
        """Its audit report, of a refused release too: findings, controls with evidence, lineage, the verification.

        Args:
            auditor: who answers for the report.
            replay: a folder of replies to recompute the run from; needs training.
        """
        released = self._looked()
        if replay is not None and not released.seen.failures:
            with needs("replay"):
                from foedus.replay import replay_check
            with opened(self.path) as folder:
                lines = list(replay_check(folder, Path(replay)))
            released = replace(released, seen=room.with_checks(released.seen, lines))
        return Report(audit(released, auditor=auditor, rerun=[self._command(replay)]))

    def page(self) -> Page:
        """As its verification: a release shows nothing of itself that was not checked."""
        return self.verify().page()

    def _looked(self) -> Released:
        return looked_at(self.path, anchor=self.anchor, workspace=self.workspace)

    def _command(self, replay: str | Path | None) -> str:
        """With what a third party verifies it again."""
        anchor = f" --anchor {self.anchor}" if self.anchor else ""
        return f"foedus verify {self.path}{anchor}" + (f" --replay {replay}" if replay else "")

    def _verified(self) -> Predictor:
        with needs("Release.predict"):
            from foedus.serve.predict import load_predictor
        seen = self._sound()
        if seen.consortium is None or seen.proposal is None:
            raise VerifyError("api.not-verified", code=seen.code, headline=seen.headline)
        with opened(self.path) as folder:
            return load_predictor(folder / "model", seen.consortium.accords[seen.proposal.accord])

    def _sound(self) -> room.Verification:
        """Its verification, where it verifies."""
        seen = self.verify().seen
        if failed := next(iter(seen.failures), None):
            raise failed.error or VerifyError("api.not-verified", code=seen.code, headline=seen.headline)
        if seen.outcome != "verified":
            raise VerifyError("api.not-verified", code=seen.code, headline=seen.headline)
        return seen

    def _read(self, kind: type[R], name: str) -> R:
        with opened(self.path) as folder:
            return kind.from_bytes(read_bytes(folder / name))
