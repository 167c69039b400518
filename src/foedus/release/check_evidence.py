"""Steps (9) to (12) of `verify`: evidence, gates judged anew, sums of credit, the documents that repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from foedus.core.checks import Check, ok
from foedus.core.envelope import Envelope
from foedus.core.errors import VerifyError
from foedus.core.files import read_bytes
from foedus.gates import all_clear, cleared, judge, waiver_subject
from foedus.ledger.consortium import Consortium, RunState
from foedus.records.accord import Accord
from foedus.records.evidence import CreditReport, DataCard, Examination, Verdict, Verdicts
from foedus.records.release import Proposal
from foedus.release import intoto, modelcard, oms
from foedus.release.check_figures import check_figures
from foedus.release.propose import inspected, published_examination, published_verdicts
from foedus.release.reading import kept_object, parsed, read
from foedus.release.report import Report, require_same

__all__ = ["check_evidence"]


def check_evidence(
    folder: Path,
    proposal: Proposal,
    accord: Accord,
    consortium: Consortium,
    cards: Mapping[str, DataCard],
    run: RunState | None,
    report: Report,
) -> None:
    """Add the lines on evidence, figures, gates, attestation, credit and model card."""
    found: list[Examination] = []
    with report.step("release.evidence"):
        found.append(_require_evidence(folder, proposal, accord, consortium))
    if not found:
        return
    (examination,) = found
    if run is not None:  # else that has failed already
        with report.step("release.estimates"):
            check_figures(examination, accord, run, consortium.evidence[proposal.evidence], report)
    with report.step("release.gates"):
        verdicts = _require_verdicts(folder, proposal, accord, consortium, examination, report)
        with report.step("release.attestation"):
            _require_attestation(folder, proposal, verdicts, accord, consortium)
    with report.step("release.credit"):
        _require_credit(folder, proposal, accord, report)
    with report.step("release.card"):
        anchor = consortium.anchor or accord.digest
        shown = modelcard.Facts(accord, anchor, proposal.name, proposal.version, proposal.run, examination, cards)
        text = read_bytes(folder / "model" / "README.md", limit_bytes=1 << 24).decode("utf-8", "replace")
        if modelcard.read_header(text) != modelcard.header(shown):
            raise VerifyError("release.card-not-of-this-release")
        if accord.custody == "one-process" and "**" not in text.partition("\n---\n")[2].lstrip()[:2]:
            raise VerifyError("release.card-hides-practice")


def _require_evidence(folder: Path, proposal: Proposal, accord: Accord, consortium: Consortium) -> Examination:
    """The examination that was entered for this run and state, or where figures are withheld, its public part."""
    entered = consortium.evidence.get(proposal.evidence)
    if entered is None or entered.run != proposal.run:
        raise VerifyError("release.evidence-not-entered", digest=proposal.evidence)
    require_same("release.other-credit", entered.credit, proposal.credit)
    public = parsed(folder, "report/examination.json", Examination)
    whole = kept_object(folder, proposal.evidence)
    examination = Examination.from_bytes(whole) if whole else public
    require_same("release.other-state", proposal.state, examination.state)
    if accord.release.figures == "published" or whole:
        require_same("release.other-evidence", proposal.evidence, examination.digest)
        require_same("release.other-evidence", published_examination(accord, examination).digest, public.digest)
    require_same("release.other-evidence", published_examination(accord, public), public)
    return examination


def _require_verdicts(
    folder: Path,
    proposal: Proposal,
    accord: Accord,
    consortium: Consortium,
    examination: Examination,
    report: Report,
) -> tuple[Verdict, ...]:
    """The signed verdicts are those that the gates give anew, and together they let the model through."""
    signed = parsed(folder, "report/verdicts.json", Verdicts)
    require_same("release.other-verdicts", proposal.verdicts, signed.digest)
    entered = consortium.verdicts.get(signed.digest)
    if entered is None or (entered.run, entered.model) != (proposal.run, proposal.model):
        raise VerifyError("release.verdicts-not-entered", digest=signed.digest)
    said = (signed.run, signed.accord, signed.model, signed.evidence)
    require_same("release.other-verdicts", (proposal.run, proposal.accord, proposal.model, proposal.evidence), said)
    partly = accord.release.figures == "withheld" and examination.digest != proposal.evidence
    again = published_verdicts(accord, judge(accord, examination, inspected(accord, folder / "model")))
    for clause in accord.gates:
        ours = [verdict for verdict in again if verdict.gate == clause.name]
        theirs = [verdict for verdict in signed.verdicts if verdict.gate == clause.name]
        if not theirs:
            raise VerifyError("release.gate-left-out", gate=clause.name)
        if partly and any(verdict.member for verdict in ours):
            require_same("release.gate-left-out", [v.member for v in ours], [v.member for v in theirs])
            report.add(Check("release.gate", "recorded", {"gate": clause.name, "outcome": _worst(theirs)}))
            continue
        if ours != theirs:
            raise VerifyError("release.verdict-differs", gate=clause.name, expected=_worst(ours), got=_worst(theirs))
        report.add(ok("release.gate", gate=clause.name, outcome=_worst(theirs)))
    if len(signed.verdicts) != len(again):
        raise VerifyError("release.verdict-of-no-gate", expected=len(again), got=len(signed.verdicts))
    waived = _waived_gates(consortium, signed.digest, accord)
    lines = cleared(accord, signed.verdicts, waived)
    for line in lines:
        if line.outcome == "waived":
            report.add(Check("release.waived", "warn", {"gate": line.gate}))
    if not all_clear(lines):
        gates = ", ".join(f"{line.gate} ({line.outcome})" for line in lines if not line.clear)
        raise VerifyError("release.gates-not-clear", gates=gates)
    report.add(ok("release.gates", count=len(lines)))
    return signed.verdicts


def _waived_gates(consortium: Consortium, verdicts: str, accord: Accord) -> set[str]:
    """The gates of these verdicts that a closed vote waived."""
    return {
        gate.name
        for gate in accord.gates
        if (ballot := consortium.ballots.get(("waive", waiver_subject(verdicts, gate.name))))
        and ballot.outcome == "approved"
    }


def _worst(verdicts: list[Verdict]) -> str:
    outcomes = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in ("fail", "inconclusive", "pass") if outcome in outcomes), "missing")


def _require_attestation(
    folder: Path, proposal: Proposal, verdicts: tuple[Verdict, ...], accord: Accord, consortium: Consortium
) -> None:
    envelope = Envelope.from_bytes(read(folder, "attest/gates.test-result.dsse"))
    statement = intoto.statement(model=proposal.model, accord=proposal.accord, verdicts=verdicts)
    if envelope.payload != statement or envelope.payload_type != oms.IN_TOTO or len(envelope.signatures) != 1:
        raise VerifyError("release.attestation-differs")
    party = accord.coordinator.name
    held = {key for _, key in consortium.key_log.get((party, "act"), ())} | {accord.coordinator.keys.act}
    if not any(envelope.signed_by(key) for key in held):
        raise VerifyError("release.attestation-not-signed", who=party)


def _require_credit(folder: Path, proposal: Proposal, accord: Accord, report: Report) -> None:
    """The sums hold; the values themselves are what the coordinator claims."""
    if proposal.credit is None:
        if accord.credit.name != "none":
            raise VerifyError("release.credit-missing", method=accord.credit.name)
        return
    published = (folder / "report" / "credit.json").is_file()
    data = read(folder, "report/credit.json") if published else kept_object(folder, proposal.credit)
    if data is None:
        if accord.release.figures == "withheld":
            report.add(Check("release.credit-values", "claimed"))
            return
        raise VerifyError("release.file-missing", path="report/credit.json")
    credit = CreditReport.from_bytes(data)
    require_same("release.other-credit", proposal.credit, credit.digest)
    require_same("release.other-credit", proposal.run, credit.run)
    if credit.method != accord.credit.name:
        raise VerifyError("release.other-credit-method", expected=accord.credit.name, got=credit.method)
    unit = Fraction(1, 10**9)
    values = sum((Fraction(one.value) for one in credit.credits), Fraction())
    _require_sum("total", Fraction(credit.start_loss) - Fraction(credit.released_loss), credit.total, 2 * unit)
    _require_sum("residual", Fraction(credit.total) - values, credit.residual, (len(credit.credits) + 1) * unit)
    _require_sum("tolerance", Fraction(), credit.residual, Fraction(credit.tolerance))
    for one in credit.credits:
        by_round = sum(map(Fraction, one.by_round), Fraction())
        _require_sum(one.member, by_round, one.value, (len(one.by_round) + 1) * unit)
    report.add(ok("release.credit"), Check("release.credit-values", "claimed"))


def _require_sum(what: str, expected: Fraction, got: str, slack: Fraction) -> None:
    if abs(expected - Fraction(got)) > slack:
        raise VerifyError("release.credit-does-not-add-up", what=what, expected=f"{float(expected):.9f}", got=got)
