"""`foedus accord`: look at the agreement before anyone signs it, compare two, write the next version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.accord import Change, Draft
    from foedus.records.accord import Accord, CoordinatorKeys, MemberKeys

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Check, explain, show, compare and amend the accord.")

File = Annotated[Path, typer.Argument(help="A draft in YAML, or the signed form (.accord, .json).", show_default=False)]


@app.command()
def check(file: File) -> None:
    """Say what cannot work, what hardly does, and what signing means. Exit code 2 if the accord must not be signed."""
    from foedus.accord import findings, findings_on, reach_findings
    from foedus.core.clock import now

    here, draft = shell(), _read(file)
    today = now().date()
    found = [*reach_findings(draft.accord), *findings_on(draft.accord, today), *findings(draft.accord)]
    problems = sum(one.level == "problem" for one in found)
    if draft.missing:
        here.say("accord.cli.missing", parties=", ".join(draft.missing))
    for one in found:
        here.say(f"accord.cli.{one.level}", text=str(one.text).replace("\n", "\n         "))
    here.line()
    verdict = "bad" if problems else "good-draft" if draft.missing else "good"
    here.say(f"accord.cli.{verdict}", source=str(file), count=problems)
    texts = [{"level": one.level, "code": one.code, "fields": one.fields, "text": str(one.text)} for one in found]
    data = {"accord": _id(draft), "keys_missing": list(draft.missing), "findings": texts, "problems": problems}
    here.result("accord.check", data)
    if problems:
        raise typer.Exit(2)
    own = (here.workspace / "accord.yaml").resolve() == file.resolve()
    sign = [f"foedus accord sign{here.at()}"] if own and not draft.missing else []
    here.next(f"foedus accord explain {file}{here.at()}", *sign)


@app.command()
def explain(file: Annotated[str, typer.Argument(help="A file, or the id of an accord.", show_default=False)]) -> None:
    """Say the whole accord in plain words."""
    from foedus import accord as room
    from foedus.core.messages import language

    here, draft = shell(), _read_named(file)
    text = room.explain(draft.accord)
    here.line(text.rstrip("\n"))
    if draft.missing:
        here.line()
        here.say("accord.cli.missing", parties=", ".join(draft.missing))
    here.result("accord.explain", {"accord": _id(draft), "lang": language(), "text": text})


@app.command()
def show(
    file: Annotated[str, typer.Argument(help="A file, or the id of an accord.", show_default=False)],
    *,
    anchor: Annotated[
        bool, typer.Option("--anchor", help="Print only the id to publish: the consortium's anchor.")
    ] = False,
) -> None:
    """Print the signed form (canonical JSON) and its id; with --anchor the id of the first accord."""
    here, draft = shell(), _read_named(file)
    accord = _complete(draft, file)
    if anchor:
        first = _first(accord)
        here.line(first)
        here.result("accord.anchor", {"anchor": first, "name": accord.name})
        return
    here.line(accord.to_bytes().decode())
    here.line()
    here.say("accord.cli.name", name=accord.name, version=accord.version)
    here.say("accord.cli.id", digest=accord.digest)
    here.result("accord", {"id": accord.digest, "accord": accord.model_dump(mode="json")})


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="A file, or the id of an accord.", show_default=False)],
    new: Annotated[str, typer.Argument(help="A file, or the id of an accord.", show_default=False)],
) -> None:
    """Say which clauses differ."""
    from foedus.accord import difference
    from foedus.core.messages import say

    here = shell()
    before, after = _read_named(old), _read_named(new)
    changes = _without_stand_ins(difference(before.accord, after.accord), before, after)
    if changes:
        head = [say(f"accord.cli.{name}") for name in ("clause", "before", "after")]
        here.table(head, [(one.path, _shown(one.old), _shown(one.new)) for one in changes])
    else:
        here.say("accord.cli.same")
    data = [{"path": one.path, "old": one.old, "new": one.new} for one in changes]
    here.result("accord.diff", {"old": _id(before), "new": _id(after), "changes": data})


@app.command()
def amend(
    file: Annotated[Path, typer.Argument(help="The edited draft in YAML.", show_default=False)],
    *,
    current: Annotated[Path | None, typer.Option(help="The accord to amend; else the one in force here.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; else NAME-vVERSION.accord beside the draft.")
    ] = None,
) -> None:
    """Write the next version of the accord in force, in its signed form, for the members to sign."""
    from foedus.accord import amended, difference
    from foedus.core.errors import CallerError
    from foedus.core.files import read_text, write_atomic

    here = shell()
    joined, _ = _keys()
    held: dict[str, MemberKeys] = {}
    hub: CoordinatorKeys | None = None
    if current is None:
        old, held, hub = _in_force()
    else:
        old = _complete(_read(current), str(current))
    new = amended(old, read_text(file), source=str(file), joined={**joined, **held}, coordinator_keys=hub)
    _refuse_problems(new, str(file))
    path = out or file.with_name(f"{new.name}-v{new.version}.accord")
    if path.exists() and path.read_bytes() != new.to_bytes():
        raise CallerError("files.in-the-way", path=str(path))
    write_atomic(path, new.to_bytes())
    changes = [one for one in difference(old, new) if one.path not in ("version", "prev")]
    here.table(["", "", ""], [(one.path, _shown(one.old), _shown(one.new)) for one in changes])
    here.line()
    here.say("accord.cli.wrote", path=path, version=new.version, prev=old.digest)
    here.say("accord.cli.id", digest=new.digest)
    data = [{"path": one.path, "old": one.old, "new": one.new} for one in changes]
    here.result("accord.amend", {"path": str(path), "id": new.digest, "prev": old.digest, "changes": data})
    sign = [f"foedus accord sign {path}{here.at()}"] if current is None else []
    here.next(f"foedus accord check {path}{here.at()}", f"foedus accord explain {path}{here.at()}", *sign)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a draft, for editors."""
    import json

    from foedus.accord import json_schema

    here, data = shell(), json_schema()
    here.line(json.dumps(data, ensure_ascii=False, indent=2))
    here.result("accord.schema", {"schema": data})


def _keys() -> tuple[dict[str, MemberKeys], CoordinatorKeys | None]:
    """The keys that the workspace knows: of the members that joined, and of the coordinator."""
    from foedus import workspace

    folder = shell().workspace
    return dict(workspace.joined_keys(folder)), workspace.coordinator_keys(folder)


def _in_force() -> tuple[Accord, dict[str, MemberKeys], CoordinatorKeys]:
    """The accord in force in this workspace, and every party's keys as the ledger has them now."""
    from foedus import workspace
    from foedus.core.errors import CallerError
    from foedus.records.accord import CoordinatorKeys, MemberKeys

    place = workspace.open_workspace(shell().workspace)
    state = workspace.consortium(place)
    if (accord := state.accord) is None:
        raise CallerError("accord.no-accord", folder=str(place.folder))

    def now_held(party: str, keys: MemberKeys | CoordinatorKeys) -> dict[str, str]:
        return {purpose: state.key(party, purpose) or key for purpose, key in keys.model_dump().items()}

    held = {one.name: MemberKeys(**now_held(one.name, one.keys)) for one in accord.members}
    hub = accord.coordinator
    return accord, held, CoordinatorKeys(**now_held(hub.name, hub.keys))


def _read(file: Path) -> Draft:
    from foedus.accord import open_accord

    joined, coordinator = _keys()
    return open_accord(file, joined=joined, coordinator_keys=coordinator)


def _read_named(name: str) -> Draft:
    """An accord by its file, or by its id among the objects of the workspace."""
    from foedus.core.digest import DIGEST

    return _stored(name) if DIGEST.fullmatch(name) else _read(Path(name))


def _stored(digest: str) -> Draft:
    from foedus.accord import Draft, load_accord
    from foedus.core.objects import ObjectStore
    from foedus.workspace.folder import PAGE, open_workspace

    here = shell().workspace
    store = open_workspace(here).objects if (here / PAGE).is_file() else ObjectStore(here / "objects")
    return Draft(load_accord(store.get(digest)), ())


def _complete(draft: Draft, source: str) -> Accord:
    from foedus.core.errors import CallerError

    if draft.missing:
        raise CallerError("accord.keys-missing", source=source, parties=", ".join(draft.missing))
    return draft.accord


def _first(accord: Accord) -> str:
    """The id of the first accord: this one, or the one that the accords before it lead to."""
    while accord.prev is not None:
        accord = _stored(accord.prev).accord
    return accord.digest


def _refuse_problems(accord: Accord, source: str) -> None:
    from foedus.accord import findings
    from foedus.core.errors import CallerError

    problems = [one for one in findings(accord) if one.level == "problem"]
    if problems:
        raise CallerError("accord.has-problems", source=source, count=len(problems), codes=[p.code for p in problems])


def _id(draft: Draft) -> str | None:
    return None if draft.missing else draft.accord.digest


def _without_stand_ins(changes: list[Change], *drafts: Draft) -> list[Change]:
    """Leave out keys that nobody holds yet: they differ at every reading."""
    absent = {name for draft in drafts for name in draft.missing}
    places = {f"members[{name}].keys." for name in absent} | {"coordinator.keys." for draft in drafts if _no_hub(draft)}
    return [one for one in changes if not one.path.startswith(tuple(places))]


def _no_hub(draft: Draft) -> bool:
    return draft.accord.coordinator.name in draft.missing


def _shown(value: object) -> str:
    import json

    from foedus.core.messages import say

    if value is None:
        return say("accord.cli.absent")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
