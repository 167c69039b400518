"""`foedus run propose · proposals · vote`: a next run that starts from a release, proposed on evidence and voted on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from foedus.cli.party import caught_up, coordinators
from foedus.cli.passphrase import known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.ledger.consortium import Consortium

__all__ = ["proposals", "propose", "vote"]


def propose(
    *,
    evidence: Annotated[list[Path], typer.Option("--evidence", help="A report of `monitor report` (repeat it).")],
    why: Annotated[str, typer.Option("--why", help="Why; everyone can read it.")],
    metric: Annotated[str, typer.Option("--metric", help="What should get better, such as accuracy.")],
    now: Annotated[str, typer.Option("--now", help="The metric as it is, such as 0.71.")],
    expected: Annotated[str, typer.Option("--expected", help="What it should be after the run.")],
    basis: Annotated[str, typer.Option("--basis", help="What the expectation rests on.")] = "judgement",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The file to write (member).")] = None,
) -> None:
    """Propose a run that starts from a release: why, on which evidence, and what it should bring."""
    from foedus.core.errors import CallerError
    from foedus.core.files import read_bytes, write_atomic
    from foedus.records.watch import ExpectedGain, WatchReport
    from foedus.workspace import consortium
    from foedus.workspace.proposing import propose_run

    here = shell()
    workspace = caught_up()
    files = [read_bytes(path) for path in evidence]
    releases = {WatchReport.from_bytes(data).release for data in files}
    if len(releases) != 1:
        raise CallerError("run.evidence-apart", got=", ".join(sorted(releases)))
    release, state = releases.pop(), consortium(workspace)
    known_metrics = state.accord.task.metrics if state.accord else ()
    if metric not in known_metrics:
        raise CallerError("run.unknown-metric", got=metric[:100], known=", ".join(known_metrics) or "–")
    why, basis = _text("--why", why, most=2000), _text("--basis", basis, most=1000)
    gain = ExpectedGain(metric=metric, now=_decimal(now), expected=_decimal(expected), basis=basis)
    name = _release(state, release)
    here.say("run.propose.shows", party=workspace.party, release=name, why=why)
    here.say("run.propose.gain", metric=metric, now=now, expected=expected, basis=basis)
    here.say("run.propose.evidence", files=", ".join(map(str, evidence)))
    if not here.confirm("run.propose.ask"):
        raise CallerError("run.needs-confirmation")
    entry, parcel = propose_run(workspace, release=release, why=why, evidence=files, gain=gain, passphrase=known(None))
    here.say("run.propose.done", entry=entry)
    written = None
    if not workspace.is_coordinator:
        written = out or Path(f"{workspace.party}.run.act")
        write_atomic(written, parcel)
        here.say("run.propose.file", file=written)
    here.result("run.propose", {"proposal": entry, "release": release, "file": str(written) if written else None})
    if written:
        here.next(f"foedus accord sign --collect {written}{coordinators(workspace)}")
    else:
        here.next(f"foedus run proposals{here.at()}")


def proposals() -> None:
    """The runs that were proposed, and how the vote on each stands."""
    from foedus.core.digest import short
    from foedus.core.messages import say
    from foedus.serve.watch.show import proposed_runs
    from foedus.workspace import consortium, open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    found = proposed_runs(consortium(workspace))
    nobody = say("run.propose.nobody")
    for one in found:
        standing = say(f"run.propose.standing-{one.standing}")
        here.say("run.propose.line", entry=short(one.entry), standing=standing, release=one.release, by=one.by,
                 why=one.why)  # fmt: skip
        here.say("run.propose.votes", approved=len(one.tally.approved), needed=one.tally.needed,
                 objected=", ".join(one.tally.objected) or nobody,
                 missing=", ".join(one.tally.missing) or nobody)  # fmt: skip
        if one.run:
            here.say("run.propose.run", run=one.run)
    if not found:
        here.say("run.propose.none")
    here.result(
        "run.proposals",
        {
            "proposals": [
                {"proposal": one.entry, "by": one.by, "release": one.release, "why": one.why,
                 "evidence": list(one.evidence), "gain": one.gain.model_dump(mode="json"), "standing": one.standing,
                 "votes": dict(one.votes), "needed": one.tally.needed, "run": one.run}
                for one in found
            ]
        },
    )  # fmt: skip
    if not workspace.is_coordinator and any(one.standing == "open" for one in found):
        here.next(f"foedus run vote last{here.at()}")
    elif workspace.is_coordinator and any(one.standing == "approved" for one in found):
        here.next(f"foedus run start --proposal last{here.at()}")


def vote(
    proposal: Annotated[str, typer.Argument(help="The proposal, or the beginning of it, or `last`.")],
    *,
    against: Annotated[bool, typer.Option("--object", help="Vote against it.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; everyone can read it.")] = "",
    collect: Annotated[list[Path] | None, typer.Option("--collect", help="Coordinator: a member's vote.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The file to write.")] = None,
) -> None:
    """Vote on a proposed run (member); enter the votes and close the vote (coordinator, --collect)."""
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic
    from foedus.core.messages import say
    from foedus.workspace import consortium
    from foedus.workspace.proposing import find_proposal, vote_on_run

    here = shell()
    workspace = caught_up()
    state = consortium(workspace)
    entry = find_proposal(state, proposal)
    reason = _text("--reason", reason, least=0, most=2000)
    if workspace.is_coordinator:
        _collect(entry, collect or [])
        return
    choice: Literal["approve", "object"] = "object" if against else "approve"
    found = state.run_proposals[entry]
    here.say("run.propose.vote-shows", member=workspace.party, choice=say(f"run.propose.choice-{choice}"), by=found.by,
             release=_release(state, found.act.release), why=found.act.why)  # fmt: skip
    gain = found.act.gain
    here.say("run.propose.gain", metric=gain.metric, now=gain.now, expected=gain.expected, basis=gain.basis)
    if not here.confirm("run.propose.vote-ask"):
        raise CallerError("run.needs-confirmation")
    data = vote_on_run(workspace, entry, choice=choice, reason=reason, passphrase=known(None))
    file = out or Path(f"{workspace.party}.run.vote")
    write_atomic(file, data)
    here.say("run.propose.vote-file", member=workspace.party, file=file)
    here.result("run.vote", {"member": workspace.party, "choice": choice, "proposal": entry, "file": str(file)})
    here.next(f"foedus run vote {entry[7:19]} --collect {file}{coordinators(workspace)}")


def _collect(entry: str, votes: list[Path]) -> None:
    from foedus.cli.gate import tell_count
    from foedus.core.files import read_bytes
    from foedus.workspace import open_workspace
    from foedus.workspace.proposing import collect_run_votes

    here = shell()
    parcels = [read_bytes(vote) for vote in votes]
    tally = collect_run_votes(open_workspace(here.workspace), entry, parcels, passphrase=known(None))
    data: dict[str, Any] = {"proposal": entry, **tell_count(tally)}
    here.result("run.vote-collect", data)
    if tally.outcome == "approved":
        here.next(f"foedus run start --proposal {entry[7:19]}{here.at()}")


def _release(state: Consortium, digest: str) -> str:
    """NAME-VERSION of a release in the ledger; its digest where the ledger does not hold it."""
    found = state.proposals.get(digest)
    return f"{found.proposal.name}-{found.proposal.version}" if found else digest


def _text(option: str, text: str, *, least: int = 1, most: int) -> str:
    """What somebody says, as records take it; CallerError `run.bad-text`, and `cli.usage` for control characters."""
    from unicodedata import normalize

    from foedus.core.errors import CallerError

    text = normalize("NFC", text.strip())
    if not least <= len(text) <= most:
        raise CallerError("run.bad-text", option=option, least=least, most=most, got=len(text))
    if any(ord(one) < 32 and one not in "\t\n" for one in text):
        raise CallerError("cli.usage", message=f"{option}: {text[:40]!r}", command="foedus run")
    return text


def _decimal(text: str) -> str:
    """A figure in its one spelling; CallerError `cli.usage` for anything else."""
    from pydantic import TypeAdapter, ValidationError

    from foedus.core.errors import CallerError
    from foedus.records.base import Decimal, decimal

    try:
        return str(TypeAdapter(Decimal).validate_python(decimal(text)))
    except ValidationError as error:
        said = f"expected a shorter decimal, got {len(text)} characters"
        raise CallerError("cli.usage", message=said, command="foedus run propose") from error
    except ValueError as error:
        raise CallerError("cli.usage", message=str(error), command="foedus run propose") from error
