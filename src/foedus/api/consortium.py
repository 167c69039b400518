"""A whole consortium in one process, from Python: for trying, teaching and measuring.

Real organisations each keep their own keys, on their own machines, and use the commands. Here one process holds all of
them, the accord must say so (`custody: one-process`), and so does everything that comes of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

from foedus.api.documents import Accord, head
from foedus.api.reports import Report, report_of_run
from foedus.api.show import Page, Table, View, rounded
from foedus.api.trust import Release
from foedus.core.clock import now
from foedus.core.errors import CallerError
from foedus.core.files import read_text, write_atomic
from foedus.core.messages import say
from foedus.demo import opening, scenario
from foedus.demo.story import Ending, tell
from foedus.ledger.consortium import RunState
from foedus.practice import draft_from_run, found, open_practice, publish, register, run_here
from foedus.records import evidence
from foedus.release import desk
from foedus.track.event import Report as Hear
from foedus.workspace import collect_acts, open_workspace
from foedus.workspace.folder import PAGE

__all__ = ["CreditReport", "Demo", "Outcome", "Practice", "run_demo"]


class Outcome(View):
    """What a run came to: the figures of federated beside alone, with their intervals, and what each round used."""

    def __init__(self, run: str, state: RunState, examination: evidence.Examination) -> None:
        self.run = run
        self.state = state
        self.examination = examination

    def __repr__(self) -> str:
        return f"Outcome(run={self.run!r}, rounds={self.state.round}, state={self.examination.state!r})"

    def page(self) -> Page:
        """Figures and rounds."""
        closed = self.state.close.released_round if self.state.close else 0
        title = say("api.title.outcome", run=self.run, rounds=self.state.round, released=closed)
        return Page(title, (), (self._figures(), self._rounds()), practice=True)

    def _figures(self) -> Table:
        figures = self.examination.figures
        rows = [
            (
                one.member or say("api.all"),
                say(f"api.arm.{one.arm}"),
                one.metric,
                str(one.n),
                rounded(one.estimate),
                f"{rounded(one.low)} – {rounded(one.high)}",
            )
            for one in figures
        ]
        return Table(say("api.heading.figures"), head("member", "arm", "metric", "n", "estimate", "interval"), rows)

    def _rounds(self) -> Table:
        rows = [
            (
                str(close.round),
                rounded(close.validation_loss),
                ", ".join(f"{one.member} {rounded(one.weight)}" for one in close.used),
                ", ".join(f"{one.member} ({one.code})" for one in close.left_out) or "–",
            )
            for close in self.state.closes
        ]
        return Table(say("api.heading.rounds"), head("round", "loss", "used", "left-out"), rows)


class CreditReport(View):
    """What each member's updates were worth: its part of the fall in validation loss."""

    def __init__(self, report: evidence.CreditReport) -> None:
        self.report = report

    @property
    def values(self) -> Mapping[str, float]:
        """Credit by member, in units of validation loss; they sum to the fall, within the stated tolerance."""
        return {one.member: float(Fraction(one.value)) for one in self.report.credits}

    def __repr__(self) -> str:
        return f"CreditReport(run={self.report.run!r}, total={self.report.total}, credits={self.values})"

    def page(self) -> Page:
        """A row a member; value, share, and how much each round brought."""
        report = self.report
        total = sum((Fraction(one.value) for one in report.credits), Fraction(0))
        rows = [
            (
                one.member,
                rounded(one.value, 4),
                f"{float(100 * Fraction(one.value) / total):.0f} %" if total else "–",
                "  ".join(rounded(value, 4) for value in one.by_round),
            )
            for one in report.credits
        ]
        title = say(
            "api.title.credit", run=report.run, start=rounded(report.start_loss), end=rounded(report.released_loss)
        )
        residual = say("api.residual", residual=rounded(report.residual, 4), tolerance=rounded(report.tolerance, 4))
        table = Table(say("api.heading.credit"), head("member", "credit", "share", "by-round"), rows)
        return Page(title, (residual,), (table,), practice=True)


class Practice:
    """A consortium below one folder, every party's workspace in a folder of its own, all played by this process.

    With `accord` a new one: keys are made for each party that the draft names, and everybody signs it. Without, the
    one that is there, as `Practice`, `foedus demo` or `foedus new --practice` made it.

    >>> practice = foedus.Practice("my-consortium")
    >>> practice.members
    ['bank-a', 'bank-b', 'bank-c']
    >>> practice.outcome()
    Outcome(run='run-1', rounds=2, state='sha256:...')
    >>> sorted(practice.credit().values)
    ['bank-a', 'bank-b', 'bank-c']

    Raises:
        CallerError: `api.nothing-here`; `practice.real-accord` for an accord of real parties; `accord.…` and
            `workspace.accord-has-problems` for one that cannot work; `workspace.exists`.
    """

    def __init__(self, folder: str | Path, *, accord: str | Path | None = None, passphrase: str | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._passphrase = passphrase
        if accord is None:
            self._practice = open_practice(_hub_of(self.folder), passphrase=passphrase)
        else:
            self._practice = found(self.folder, read_text(Path(accord)), source=str(accord), passphrase=passphrase)

    def __repr__(self) -> str:
        return f"Practice({str(self.folder)!r})"

    @property
    def accord(self) -> Accord:
        """The accord in force; RunError `run.no-accord` before."""
        return Accord.shown(self._practice.accord)

    @property
    def anchor(self) -> str:
        """The digest of the first accord: what a verifier starts from."""
        return self._practice.state().anchor or self.accord.digest

    @property
    def members(self) -> list[str]:
        """Everybody but the coordinator."""
        return sorted(self._practice.members)

    @property
    def contributors(self) -> list[str]:
        """The members that train."""
        return [member.name for member in self.accord.members if "contributor" in member.roles]

    def give(
        self,
        member: str,
        data: str | Path,
        *,
        source: str,
        licence: str,
        consent: str,
        columns: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        """Give a member its data: write its `data.yaml`, make the card on its side and register it.

        Args:
            member: whose data it is.
            data: a CSV, TSV, JSON Lines, Parquet or CoNLL file, or a `datasets` folder; it stays where it is.
            source: where the data comes from.
            licence: under which licence the member has it.
            consent: on which basis it was collected.
            columns: which column holds what; `text` and `label` are called so by default.
            more: any other clause of `data.yaml` (`labels`, `split`, `tags` …).

        Raises:
            CallerError: `api.no-such-member`, `data.…`.
        """
        if member not in self._practice.members:
            raise CallerError("api.no-such-member", got=member, known=", ".join(self.members))
        workspace = self._practice.members[member]
        page = {
            "data": "foedus/v1",
            "name": "data",
            "path": str(Path(data).resolve()),
            "columns": dict(columns or {"text": "text", "label": "label"}),
            "source": source,
            "licence": licence,
            "consent": consent,
            **more,
        }
        write_atomic(workspace.folder / "data.yaml", json.dumps(page, ensure_ascii=False, indent=1).encode() + b"\n")
        self._practice.share_ledger()
        parcel = register(workspace, self.accord, passphrase=self._passphrase)
        collect_acts(self._practice.hub, [parcel], passphrase=self._passphrase)

    def run(
        self,
        name: str | None = None,
        *,
        workers: int | None = None,
        report: Hear = lambda _: None,
    ) -> Outcome:
        """Carry a run to its end: the one of this name, the one that is open, or a new one. Killed, it goes on.

        `workers` processes answer for the members (one a core by default; 0: this process). `report` gets each event.
        Raises as `foedus.practice.run_here`.
        """
        done = run_here(self._practice, name=name, workers=workers, report=report)
        return self.outcome(done.run)

    def outcome(self, run: str | None = None) -> Outcome:
        """What a finished run came to; the newest by default. CallerError `api.no-run` when there is none."""
        name, entered = self._evidence(run)
        examination = evidence.Examination.from_bytes(self._practice.hub.objects.get(entered))
        return Outcome(name, self._practice.state().runs[name], examination)

    def credit(self, run: str | None = None) -> CreditReport:
        """The credit of a finished run; the newest by default. CallerError `api.no-run`, `api.no-credit`."""
        name, entered = self._evidence(run)
        named = next(one.credit for one in self._practice.state().evidence.values() if one.evidence == entered)
        if named is None:
            raise CallerError("api.no-credit", run=name)
        return CreditReport(evidence.CreditReport.from_bytes(self._practice.hub.objects.get(named)))

    def report(self, run: str | None = None) -> Report:
        """The report of a finished run, the newest by default: what was agreed, each round, figures, credit.

        Raises: CallerError `api.no-run`.
        """
        return report_of_run(self._practice.hub, self._evidence(run)[0])

    def release(self, version: str, *, run: str | None = None, name: str | None = None) -> Release:
        """Gates, the vote of every member, publication. A member that finds a gate not met does not approve.

        Raises:
            CallerError: `api.no-run`, `release.folder-exists`.
            VerifyError: what the first failed check of the draft says; the draft is left for looking at.
        """
        practice, secret = self._practice, self._passphrase
        chosen, _ = self._evidence(run)
        made = draft_from_run(practice.hub, chosen, version=version, name=name, passphrase=secret)
        ballots = [
            desk.approve_draft(practice.members[member], made.folder, at=now(), passphrase=secret)[0]
            for member in self.members
        ]
        desk.collect_ballots(practice.hub, made.folder, ballots, passphrase=secret)
        publish(practice, made.folder)
        return Release(made.folder, anchor=self.anchor, workspace=practice.hub.folder)

    def _evidence(self, run: str | None) -> tuple[str, str]:
        """A run that was examined, and the digest of what was measured."""
        state = self._practice.state()
        entered = [one for one in state.evidence.values() if run in (None, one.run)]
        if not entered:
            raise CallerError("api.no-run", run=run or "–", known=", ".join(state.runs) or "–")
        return entered[-1].run, entered[-1].evidence


class Demo(View):
    """A demo that was carried to its end: its consortium, its release, and the three results side by side."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        self.practice = Practice(ending.folder)
        self.release = Release(ending.bundle, anchor=ending.anchor, workspace=_hub_of(ending.folder))

    def __repr__(self) -> str:
        return f"Demo({str(self.ending.folder)!r})"

    def page(self) -> Page:
        """Federated, best alone, pooled."""
        ending = self.ending
        member, best = ending.best_alone
        rows = [
            (say("api.arm.federated"), rounded(ending.federated)),
            (say("api.best-alone", member=member), f"{best:.3f}"),
            (say("api.pooled"), f"{ending.pooled:.3f}"),
        ]
        title = say("api.title.demo", folder=ending.folder)
        table = Table(say("api.heading.figures"), (say("api.column.arm"), ending.metric), rows)
        return Page(title, (say("api.outside"),), (table,), practice=True)


def run_demo(
    name: str,
    folder: str | Path,
    *,
    workers: int | None = None,
    line: Callable[[str], None] = lambda _: None,
) -> Demo:
    """The whole life of a model on packaged data, in a new folder. `line=print` tells it while it goes on.

    Raises:
        CallerError: `demo.unknown`, `demo.folder-exists`, `demo.data-missing`, `demo.package-missing`.
    """
    told = scenario(name)
    for text in opening(told, Path(folder)):
        line(text)
    return Demo(tell(told, Path(folder), line=line, workers=workers))


def _hub_of(folder: Path) -> Path:
    """The coordinator's workspace: this folder, or the one right below it."""
    for place in (folder, *sorted(path.parent for path in folder.glob(f"*/{PAGE}"))):
        if (place / PAGE).is_file() and open_workspace(place).is_coordinator:
            return place
    raise CallerError("api.nothing-here", folder=str(folder))
