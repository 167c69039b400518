"""`foedus data`: look at one's own data before anyone trains on it. Nothing here leaves the machine by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.party import caught_up, coordinators
from foedus.cli.passphrase import known
from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.data import Parts
    from foedus.records.accord import Accord
    from foedus.workspace import Workspace

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Check and describe this member's data, on this machine.")

File = Annotated[Path, typer.Argument(help="The data.yaml that says how the data is to be read.", show_default=False)]
Task = Annotated[
    Path | None,
    typer.Option("--task", metavar="ACCORD", help="The accord (a draft will do); default: the one in force here."),
]


@app.command()
def check(file: File, *, task: Task = None) -> None:
    """Read all data as training would, and say what came of it or what stands in the way."""
    here = shell()
    parts, _ = _open(file, task)
    here.say("data.check.good", source=str(file))
    sizes = {part: len(getattr(parts, part)) for part in ("train", "validation", "test")}
    here.say("data.check.sizes", **sizes)
    for what in ("skipped_empty", "ignored", "repaired"):
        if count := getattr(parts, what):
            here.say(f"data.check.{what.replace('_', '-')}", count=count)
    left_out = {"skipped_empty": parts.skipped_empty, "ignored": parts.ignored, "repaired": parts.repaired}
    here.result("data.check", {"name": parts.mapping.name, "parts": sizes, **left_out})
    here.next(f"foedus data card {file}" + (f" --task {task}" if task else here.at()))


@app.command()
def card(
    file: File,
    *,
    task: Task = None,
    register: Annotated[
        bool, typer.Option("--register", help="Sign the card into the ledger: writes NAME.card.act to send.")
    ] = False,
) -> None:
    """Print the data card: what the consortium would know of this data, and nothing more."""
    here = shell()
    parts, workspace = _open(file, task)
    _show(parts)
    written = _register(parts, workspace) if register else None
    if written:
        here.line()
        here.say("data.card.registered", file=written)
    elif workspace is None:
        here.line()
        here.say("data.card.for-show")
    data = {"card": parts.card.model_dump(mode="json"), "registered": written}
    here.result("data.card", data)
    if written and workspace is not None:
        here.next(f"foedus accord sign --collect {written}{coordinators(workspace)}")
    elif workspace is not None and task is None:
        here.next(f"foedus data card {file} --register{here.at()}")


@app.command()
def feedback(
    file: File,
    *,
    consent: Annotated[
        str | None, typer.Option("--consent", help="On what basis users' words may be learned from.")
    ] = None,
    traffic: Annotated[
        Path | None, typer.Option("--traffic", metavar="FOLDER", help="The workspace that serves; default: this one.")
    ] = None,
) -> None:
    """Take the answers that users corrected, and let be learned from, into this member's training data."""
    from foedus.serve.feedback.learn import learn_from
    from foedus.workspace import open_workspace

    here = shell()
    workspace = open_workspace(here.workspace)
    took = learn_from(traffic or workspace.folder, file, consent=consent)
    here.say("data.feedback.took", new=took.new, total=took.total, file=took.file)
    here.result(
        "data.feedback", {"new": took.new, "total": took.total, "file": str(took.file), "consent": took.consent}
    )
    here.next(f"foedus data card {file} --register{here.at()}")


def _open(file: Path, task: Path | None) -> tuple[Parts, Workspace | None]:
    """The member's data, under the key of its workspace; without a workspace under a key for this call only."""
    from foedus.core.errors import CallerError
    from foedus.core.rng import SecretRng
    from foedus.data import open_parts
    from foedus.data.key import KEY_FILE, data_key

    if not file.exists():
        raise CallerError("files.missing", path=str(file))
    folder = shell().workspace
    workspace = caught_up() if (folder / "workspace.json").is_file() else None
    accord = _accord(task, workspace)
    parts = open_parts(
        file,
        task=accord.task,
        member=workspace.party if workspace else "unregistered",
        secret_key=data_key(folder / KEY_FILE) if workspace else SecretRng().bytes(32),
        smallest_cell=accord.data.smallest_cell,
    )
    return parts, workspace


def _accord(task: Path | None, workspace: Workspace | None) -> Accord:
    from foedus.accord import open_accord
    from foedus.core.errors import CallerError
    from foedus.workspace import consortium

    if task is not None:
        return open_accord(task).accord
    accord = consortium(workspace).accord if workspace else None
    if accord is None:
        raise CallerError("data.no-accord")
    return accord


def _show(parts: Parts) -> None:
    from foedus.core.messages import say

    here, card = shell(), parts.card
    withheld = say("data.card.withheld")
    here.say("data.card.title", name=card.name, member=card.member)
    for field in ("source", "licence", "consent", "collected", "description"):
        if value := getattr(card, field):
            here.say(f"data.card.{field}", value=value)
    here.line()
    head = [say(f"data.card.{key}") for key in ("part", "examples", "median", "p95")]
    rows = [
        (say(f"data.card.{name}"), one.examples, one.tokens_median, one.tokens_p95) for name, one in card.parts.items()
    ]
    here.table(head, [[str(cell) for cell in row] for row in rows])
    here.line()
    labels = list(next(iter(card.parts.values())).labels)
    cells = [[part.labels[label] for part in card.parts.values()] for label in labels]
    here.table(
        [say("data.card.label"), *(say(f"data.card.{name}") for name in card.parts)],
        [[label, *(withheld if n is None else str(n) for n in row)] for label, row in zip(labels, cells, strict=True)],
    )
    here.line()
    if card.feedback:
        count = withheld if card.feedback.examples is None else card.feedback.examples
        here.say("data.card.feedback", count=count, consent=card.feedback.consent)
    here.say("data.card.duplicates", count=card.duplicates, across=card.across_parts)
    here.say("data.card.rounding", smallest_cell=card.smallest_cell)


def _register(parts: Parts, workspace: Workspace | None) -> str:
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic
    from foedus.data.card import check_consents, register_act, salted
    from foedus.data.key import KEY_FILE, data_key
    from foedus.workspace import consortium, handed_on, make_act

    if workspace is None:
        raise CallerError("data.no-workspace")
    if accord := consortium(workspace).accord:
        check_consents(parts.card, accord.data.consents)
    stored = salted(parts.card, key=data_key(workspace.folder / KEY_FILE))
    act = register_act(parts.card, stored)
    make_act(workspace, act, [stored.to_bytes()], passphrase=known(None))
    path = Path(f"{workspace.party}.card.act")
    write_atomic(path, handed_on(workspace))
    return str(path)
