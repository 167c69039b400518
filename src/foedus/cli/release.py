"""`foedus release`: build, list, show, compare, ask and pack releases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.party import beside
from foedus.cli.passphrase import known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.records.accord import Accord
    from foedus.records.release import Proposal
    from foedus.serve.predict import Predictor
    from foedus.workspace import Workspace

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Build, list, show, compare, ask and pack releases.")

Named = Annotated[str, typer.Argument(help="NAME-VERSION in this workspace, or a path.", show_default=False)]


@app.command()
def build(
    name: Annotated[str | None, typer.Argument(help="An existing draft, to publish once its votes are in.")] = None,
    run: Annotated[str | None, typer.Option(help="Make a draft from this run.")] = None,
    version: Annotated[str, typer.Option(help="The draft's version.")] = "1.0.0",
    model: Annotated[
        Path | None, typer.Option(help="A model folder that lies ready; by default it is written from the run's state.")
    ] = None,
) -> None:
    """Make a draft from a run; or publish a draft that its members approved."""
    from foedus.core.errors import CallerError
    from foedus.workspace import open_workspace

    workspace = open_workspace(shell().workspace)
    if run is not None:
        _draft(workspace, run, version, model)
    elif name is not None:
        _publish(workspace, name)
    else:
        raise CallerError("release.nothing-named")


def _draft(workspace: Workspace, run: str, version: str, model: Path | None) -> None:
    from foedus.release.desk import draft_of_run

    here, secret = shell(), known(None)
    if model is not None:
        made = draft_of_run(workspace, run, version=version, model=model, passphrase=secret)
    else:
        from foedus.practice import draft_from_run

        made = draft_from_run(workspace, run, version=version, passphrase=secret)
    here.say("release.cli.drafted", name=made.folder.name, folder=made.folder)
    here.result("release.draft", {"folder": str(made.folder), "proposal": made.proposal.digest})
    members = [f"foedus gate approve {made.folder}{here.at(folder)}" for folder in beside(workspace).values()]
    here.next(f"foedus gate check {made.folder}", *members)


def _publish(workspace: Workspace, name: str) -> None:
    from foedus.release.desk import find_release, publish_release
    from foedus.workspace import consortium

    here = shell()
    folder = find_release(workspace, name)
    proposal = publish_release(workspace, folder, passphrase=known(None))
    here.say("release.cli.published", name=folder.name, folder=folder)
    anchor = consortium(workspace).anchor
    here.result("release.publish", {"folder": str(folder), "proposal": proposal.digest, "anchor": anchor})
    here.next(
        f"foedus verify {folder} --anchor {anchor}",
        f"foedus release show {folder}",
        f"foedus run export-replies {proposal.run} {proposal.run}-replies{here.at()}",
    )


@app.command("list")
def list_() -> None:
    """The drafts and releases in this workspace."""
    from foedus.core.messages import say
    from foedus.release.desk import releases
    from foedus.workspace import open_workspace

    here = shell()
    found = releases(open_workspace(here.workspace))
    if found:
        head = [say(f"release.cli.head-{column}") for column in ("name", "standing", "use", "folder")]
        here.table(
            head,
            [
                [
                    f"{s.proposal.name} {s.proposal.version}",
                    say(f"release.cli.standing-{s.standing}"),
                    s.proposal.use,
                    str(s.folder),
                ]
                for s in found
            ],
        )
    else:
        here.say("release.cli.none")
    rows = [{"folder": str(s.folder), "standing": s.standing, "proposal": s.proposal.digest} for s in found]
    here.result("release.list", {"releases": rows})


@app.command()
def show(name: Named) -> None:
    """A release's model card."""
    from foedus.release.bundle import opened

    here = shell()
    with opened(_find(name)) as folder:
        card = (folder / "model" / "README.md").read_text(encoding="utf-8")
        proposal = _proposal(folder)
    here.line(card.partition("\n---\n")[2].strip())
    here.result("release.show", {"proposal": proposal.model_dump(mode="json"), "card": card})


@app.command()
def diff(old: Named, new: Named) -> None:
    """What changed from one release to another: documents by digest, figures by value."""
    from foedus.core.messages import say
    from foedus.release.bundle import opened

    here = shell()
    with opened(_find(old)) as first, opened(_find(new)) as second:
        before, after = _facts(first), _facts(second)
    changed = [
        {"what": key, "old": before.get(key), "new": after.get(key)}
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    if changed:
        head = [say(f"release.cli.head-{column}") for column in ("what", "old", "new")]
        here.table(head, [[str(row["what"]), row["old"] or "", row["new"] or ""] for row in changed])
    else:
        here.say("release.cli.same")
    here.result("release.diff", {"changes": changed})


@app.command()
def predict(
    name: Named,
    file: Annotated[Path | None, typer.Argument(help="Texts to ask about: CSV, TSV or JSON Lines, also .gz.")] = None,
    *,
    text: Annotated[list[str] | None, typer.Option(help="A text to ask the model about; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The file to write; by default the terminal.")] = None,
    column: Annotated[str, typer.Option(help="The column of FILE that holds the texts.")] = "text",
    use: Annotated[str | None, typer.Option(help="What for: one of the accord's uses.")] = None,
) -> None:
    """Ask a release about texts, or about every row of a file."""
    from foedus.core.errors import CallerError
    from foedus.release.bundle import opened

    here, path = shell(), _find(name)
    out = None if out == Path("-") else out
    if (file is None) == (not text) or (file is not None and out is None and here.as_json):
        raise CallerError("release.nothing-asked")
    _require_sound(path)
    with opened(path) as folder:
        accord = _accord(folder)
        if use is not None and use not in accord.purpose.uses:
            raise CallerError("release.use-not-covered", use=use, uses=", ".join(accord.purpose.uses))
        from foedus.serve.predict import load_predictor

        predictor = load_predictor(folder / "model", accord)
    if file is not None:
        _predict_file(predictor, file, out, column)
        return
    asked = list(text or [])
    answers = predictor.predict(asked)
    for one, answer in zip(asked, answers, strict=True):
        here.line(one)
        for line in _told(answer):
            here.line(f"  {line}")
    here.result("release.predict", {"answers": answers})


def _predict_file(predictor: Predictor, file: Path, out: Path | None, column: str) -> None:
    """Answer every row of a file, and say how many."""
    import sys

    from foedus.core.messages import say
    from foedus.serve.files import lines_in, predict_file

    here, lines = shell(), lines_in(file)
    with here.progress(say("serve.cli.file-progress")) as bar:
        told = predict_file(
            predictor,
            file,
            out or sys.stdout,
            column=column,
            advance=lambda rows: bar.advance(rows, max(rows, lines)),
        )
    if out is None:
        here.note(say("serve.cli.file-told", rows=told.rows, refused=told.refused))
    else:
        here.say("serve.cli.file-done", rows=told.rows, refused=told.refused, file=out)
    here.result("release.predict", {"rows": told.rows, "refused": told.refused, "file": str(out)})


def _told(answer: Mapping[str, Any]) -> list[str]:
    """An answer in lines: the three most probable labels, or the entities as they come."""
    if "probabilities" in answer:
        ranked = sorted(answer["probabilities"].items(), key=lambda one: -one[1])
        return [f"{value:.3f}  {label}" for label, value in ranked[:3]]
    return [f"{key}: {value}" for key, value in answer.items()]


def _require_sound(path: Path) -> None:
    """Say how the release verifies; end here when it is refused, revoked or stale."""
    from foedus.cli.verify import known_file
    from foedus.core.clock import now
    from foedus.release.revoke import newer_ledger
    from foedus.release.verify import remembered_anchor, verify_bundle
    from foedus.workspace import open_workspace

    here, known = shell(), known_file()
    at_desk = (here.workspace / "workspace.json").is_file()
    workspace = open_workspace(here.workspace) if at_desk else None
    anchor = workspace.page.anchor if workspace else None
    ledger = newer_ledger(workspace, path) if workspace else None
    anchor = anchor or remembered_anchor(path, known)
    seen = verify_bundle(path, anchor=anchor, at=now(), ledger=ledger, known_heads=known.path)
    if seen.practice:
        here.note(_practice())
    here.note(seen.headline)
    for failure in seen.failures:
        if failure.error:
            raise failure.error
    if seen.code == "stale":
        raise typer.Exit(seen.exit_code)


def _practice() -> str:
    from foedus.core.messages import say

    return say("release.practice")


def _find(name: str) -> Path:
    from foedus.core.errors import CallerError
    from foedus.release.desk import find_release
    from foedus.workspace import open_workspace

    if Path(name).exists():
        return Path(name)
    here = shell()
    if not (here.workspace / "workspace.json").is_file():
        raise CallerError("release.no-such-release", name=name)
    return find_release(open_workspace(here.workspace), name)


def _proposal(folder: Path) -> Proposal:
    from foedus.records.release import Proposal

    return Proposal.from_bytes((folder / "report/proposal.json").read_bytes())


def _accord(folder: Path) -> Accord:
    from foedus.records.accord import Accord

    return Accord.from_bytes((folder / "accord/accord.json").read_bytes())


def _facts(folder: Path) -> dict[str, str]:
    from foedus.records.evidence import Examination

    proposal = _proposal(folder)
    facts = {
        key: str(value)
        for key, value in proposal.model_dump(mode="json").items()
        if key not in ("files", "cards", "v") and value is not None
    }
    examination = Examination.from_bytes((folder / "report/examination.json").read_bytes())
    for figure in examination.figures:
        key = f"{figure.metric} {figure.arm} {figure.member or '*'}"
        facts[key] = f"{figure.estimate} ({figure.low} – {figure.high}, n={figure.n})"
    return facts
