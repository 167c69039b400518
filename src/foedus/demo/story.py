"""The demo, step by step: what a consortium does, in the order in which it does it, with what each step says of itself.

Everything between accord and release goes through the same functions as a real consortium's; what is the demo's own
is the rows, the comparison with pooled data, and the printing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from foedus.accord.explain import explain
from foedus.core.clock import Clock, now
from foedus.core.digest import short
from foedus.core.errors import CallerError, VerifyError
from foedus.core.files import write_atomic
from foedus.core.messages import say
from foedus.core.parcel import Parcel
from foedus.data.key import KEY_FILE
from foedus.demo.compare import alone_answers, alone_on, apart, pooled_on
from foedus.demo.scenarios import Row, Scenario, write_member
from foedus.practice import Practice, draft_from_run, found, publish, register, run_here
from foedus.records.accord import Accord
from foedus.records.evidence import CreditReport, Figure
from foedus.release import desk
from foedus.release.verify import verify_bundle
from foedus.run import Outcome
from foedus.track.event import Event
from foedus.workspace import collect_acts

__all__ = ["Ending", "tell"]

Say = Callable[[str], None]
AUDITOR = "exam"


@dataclass(frozen=True, slots=True)
class Ending:
    """What a demo came to."""

    folder: Path
    bundle: Path
    anchor: str
    outcome: Outcome
    metric: str
    federated: str
    alone: Mapping[str, float]
    pooled: float
    examples_seen: int
    seconds: float
    answers: tuple[tuple[str, str, str, str], ...] = field(default=())

    @property
    def best_alone(self) -> tuple[str, float]:
        """The member whose own model did best on the official test part, and its figure."""
        return max(self.alone.items(), key=lambda item: (item[1], item[0]))


def tell(told: Scenario, folder: Path, *, line: Say, workers: int | None = None, clock: Clock = now) -> Ending:
    """Carry a demo from nothing to a verified release in a new folder, and tell it line by line, after its `opening`.

    Raises:
        CallerError: `demo.folder-exists`, `demo.data-missing`, `demo.package-missing`.
        VerifyError: when a gate or the release's verification refuses.
    """
    began = time.monotonic()
    if folder.exists() and any(folder.iterdir()):
        raise CallerError("demo.folder-exists", path=str(folder))
    rows = told.rows()
    practice, accord = _agree(told, folder, rows, line, clock)
    _cards(practice, accord, rows, line, clock)
    metric = next(gate.metric for gate in accord.gates if gate.name == "utility")
    pooled = apart(lambda: pooled_on(practice, AUDITOR, metric))
    _step(
        line,
        3,
        "training",
        say("demo.training", rounds=accord.training.rounds, method=say(f"demo.method.{accord.training.method.name}")),
    )
    outcome = run_here(practice, name="run-1", workers=workers, report=lambda event: _event(line, event), clock=clock)
    own = apart(lambda: alone_on(practice, AUDITOR, metric, run=outcome.run))
    _credit(line, outcome.credit)
    bundle, anchor = _release(practice, line, clock)

    federated = _figure(outcome, AUDITOR, metric)
    alone = own.result()
    pooled_value, seen = pooled.result()
    answers = _answers(practice, bundle, rows, alone, outcome.run)
    ending = Ending(
        folder, bundle, anchor, outcome, metric, federated.estimate, alone, pooled_value, seen,
        time.monotonic() - began, answers,
    )  # fmt: skip
    _end(line, ending, federated, accord)
    return ending


def _step(line: Say, number: int, name: str, text: str) -> None:
    line(f"[{number}/7] " + say("demo.step", name=say(f"demo.steps.{name}"), text=text))


def _agree(told: Scenario, folder: Path, rows: list[Row], line: Say, clock: Clock) -> tuple[Practice, Accord]:
    """Workspaces, invitations, keys, and the accord signed by everybody."""
    practice = found(folder, told.accord, source=f"{told.name}.yaml", clock=clock)
    for name, workspace in practice.members.items():
        write_member(workspace.folder, name, rows, told)
        key = hashlib.sha256(f"foedus demo {told.name} {name}".encode()).hexdigest()
        # known, so that a demo repeats to the bit
        write_atomic(workspace.folder / KEY_FILE, key.encode() + b"\n", mode=0o600)
    accord = practice.accord
    write_atomic(practice.hub.folder / "accord.txt", explain(accord).encode())
    signed, of = len(practice.state().tally(accord.digest).approved), len(accord.members)
    _step(line, 1, "accord", say("demo.accord", signed=signed, of=of, id=short(accord.digest)))
    return practice, accord


def _cards(practice: Practice, accord: Accord, rows: list[Row], line: Say, clock: Clock) -> None:
    """Each member makes its data card on its own side and registers it."""
    practice.share_ledger()
    for name in practice.members:
        parcel = register(practice.members[name], accord, clock=clock)
        Parcel.from_bytes(parcel)
        collect_acts(practice.hub, [parcel], clock=clock)
    train = sum(row.part == "train" for row in rows)
    cards = practice.state().cards
    _step(
        line,
        2,
        "cards",
        say("demo.cards", count=len(cards), examples=train, licence=sorted({c.act.licence for c in cards.values()})[0]),
    )


def _event(line: Say, event: Event) -> None:
    if event.kind == "round":
        members = "  ".join(f"{member} ✓" for member in event.fields["used"])
        left = "  ".join(f"{m} ✗ {code}" for m, code in event.fields["left_out"].items())
        loss = decimal_text(str(event.fields["loss"]), 3)
        line(
            "      " + say("demo.round", number=event.fields["round"], loss=loss, members=f"{members}  {left}".strip())
        )


def _credit(line: Say, report: CreditReport | None) -> None:
    if report is None:
        return
    total = sum((Fraction(one.value) for one in report.credits), Fraction(0))
    shares = "  ".join(
        f"{one.member} {round(100 * Fraction(one.value) / total) if total else 0} %" for one in report.credits
    )
    fall = decimal_text(report.total, 3)
    _step(line, 4, "credit", say("demo.credit", shares=shares, fall=fall))


def _release(practice: Practice, line: Say, clock: Clock) -> tuple[Path, str]:
    """Gates, votes, publication, and the verification that anyone can repeat."""
    made = draft_from_run(practice.hub, "run-1", version="1.0", clock=clock)
    bundle = made.folder
    outcomes = sorted({(verdict.gate, verdict.outcome) for verdict in made.verdicts.verdicts})
    marks = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
    gates = "  ".join(f"{gate} {marks[outcome]}" for gate, outcome in outcomes)
    passed = sum(outcome == "pass" for _, outcome in outcomes)
    _step(line, 5, "gates", say("demo.gates", passed=passed, of=len(outcomes), gates=gates))
    anchor = practice.state().anchor or ""
    voters = sorted(practice.members)
    voting = [apart(lambda name=name: _vote(practice, name, bundle, clock)) for name in voters]  # type: ignore[misc]  # mypy reads no default of a lambda
    ballots = [one.result() for one in voting]
    desk.collect_ballots(practice.hub, bundle, ballots, clock=clock)
    publish(practice, bundle, clock=clock)
    tally = practice.state().tally(made.proposal.digest, matter="release")
    votes = "  ".join(f"{name} ✓" for name in tally.approved)
    _step(line, 6, "votes", say("demo.votes", approved=len(tally.approved), needed=tally.needed, votes=votes))
    seen = verify_bundle(bundle, anchor=anchor, at=clock())
    if seen.outcome != "verified":
        failed = next(iter(seen.failures), None)
        raise failed.error if failed and failed.error else VerifyError("release.draft-undecided", code=seen.code)
    checks = sum(check.outcome == "ok" for check in seen.checks)
    _step(line, 7, "release", say("demo.release", name=bundle.name, model=short(made.proposal.model), checks=checks))
    line("      " + say("demo.practice"))
    return bundle, anchor


def _vote(practice: Practice, name: str, bundle: Path, clock: Clock) -> bytes:
    """A member verifies the draft with its own copy of the ledger, and signs its vote."""
    return desk.approve_draft(practice.members[name], bundle, at=clock(), clock=clock)[0]


def _figure(outcome: Outcome, member: str, metric: str) -> Figure:
    for figure in outcome.examination.figures:
        if (figure.arm, figure.member, figure.metric) == ("federated", member, metric):
            return figure
    raise CallerError("demo.no-figure", member=member, metric=metric)


def _answers(
    practice: Practice, bundle: Path, rows: list[Row], alone: Mapping[str, float], run: str
) -> tuple[tuple[str, str, str, str], ...]:
    """Three texts of the official test part, with the right label, the released model's answer and one member's own.

    They are its first text and those at a third and two thirds of it.
    """
    from foedus.serve.predict import load_predictor

    official = [row for row in rows if row.member == AUDITOR]
    asked = [official[len(official) * i // 3] for i in range(3)]
    texts = [row.text for row in asked]
    federated = load_predictor(bundle / "model", practice.accord).predict(texts)
    own = alone_answers(practice, sorted(alone)[0], texts, run=run)
    return tuple(
        (row.text, row.label, str(fed["label"]), str(one["label"]))
        for row, fed, one in zip(asked, federated, own, strict=True)
    )


def _end(line: Say, ending: Ending, federated: Figure, accord: Accord) -> None:
    member, value = ending.best_alone
    line("")
    line(
        say(
            "demo.figures",
            metric=say(f"demo.metric.{ending.metric}"),
            federated=decimal_text(federated.estimate, 3),
            low=decimal_text(federated.low, 3),
            high=decimal_text(federated.high, 3),
            member=member,
            alone=f"{value:.3f}",
            pooled=f"{ending.pooled:.3f}",
            n=federated.n,
        )
    )
    line(say("demo.outside", seen=ending.examples_seen))
    line("")
    bank = sorted(ending.alone)[0]
    for text, right, fed, own in ending.answers:
        line(f"  {text}")
        marks = ["✓" if answer == right else "✗" for answer in (fed, own)]
        line(
            "    " + say("demo.answer", federated=fed, mark=marks[0], member=bank, own=own, other=marks[1], right=right)
        )
    line("")
    line(say("demo.total", seconds=round(ending.seconds), version=accord.version))


def decimal_text(value: str, digits: int) -> str:
    """A decimal rounded for people."""
    return f"{float(Fraction(value)):.{digits}f}"
