"""`foedus member`: who takes part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.party import caught_up, coordinators, hub_of
from foedus.cli.passphrase import PassphraseFile, chosen, known
from foedus.cli.shell import shell

app = typer.Typer(no_args_is_help=True, help="Invite and join; list, show and leave; change a key.")

Output = Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")]


@app.command()
def invite(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The member's name.")],
    output: Output = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="contributor (default), auditor, consumer.")] = None,
    passphrase_file: PassphraseFile = None,
    *,
    paper: Annotated[bool, typer.Option("--paper", help="Name no hub: the answer comes back as a file.")] = False,
) -> None:
    """Write an invitation to send to a new member. Where there is a hub, it says how to reach it."""
    from foedus import workspace as ws
    from foedus.core.files import write_atomic

    here = ws.open_workspace(shell().workspace)
    hub = None if paper else hub_of(here)
    data = ws.invite(here, name, role or ["contributor"], hub=hub, passphrase=known(passphrase_file))
    file = output or Path(f"{name}.invitation")
    write_atomic(file, data)
    shell().say("workspace.member.invited", member=name, file=file)
    shell().result("invitation", {"member": name, "file": str(file), "hub": hub.address if hub else None})
    if hub is not None:
        shell().next(f"foedus join --invite {file} --data data.yaml --workspace {name}")
        return
    collect = f"foedus member collect {name}/{name}.joined{shell().at()}"
    shell().next(f"foedus member join {file} --workspace {name}", collect)


@app.command()
def join(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The invitation.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Answer an invitation: make keys here, and the file that goes back to the coordinator."""
    from foedus.cli.new import _member

    _member(shell().workspace, file, chosen(passphrase_file))


@app.command()
def collect(files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Members' answers.")]) -> None:
    """Take members' answers into the coordinator's workspace."""
    from foedus import workspace as ws
    from foedus.core.files import read_bytes

    here = ws.open_workspace(shell().workspace)
    names = [ws.collect_joined(here, read_bytes(file, limit_bytes=1 << 20)) for file in files]
    for name in names:
        shell().say("workspace.member.collected", member=name)
    shell().result("joined", {"members": names})
    shell().next(f"foedus accord check {here.draft}{shell().at()}", f"foedus accord sign{shell().at()}")


@app.command("list")
def list_() -> None:
    """Who is invited, has joined, has signed, has left."""
    from foedus.core.messages import say

    rows = _rows()
    if not rows:
        shell().say("workspace.member.none")
    else:
        head = [say(f"workspace.member.{word}") for word in ("name", "roles", "status")]
        shell().table(head, [[n, ", ".join(r), say(f"workspace.member.status-{s}")] for n, (r, s) in rows.items()])
    shell().result("members", {"members": [{"name": n, "roles": list(r), "status": s} for n, (r, s) in rows.items()]})


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A party's name.")]) -> None:
    """A party's roles, status and keys in force."""
    from foedus import workspace as ws
    from foedus.core.errors import CallerError
    from foedus.core.messages import say

    here = ws.open_workspace(shell().workspace)
    state, rows = ws.consortium(here), _rows()
    joined = ws.joined_keys(here.folder)
    keys = {purpose: key for (party, purpose), key in state.keys.items() if party == name}
    keys = keys or (joined[name].model_dump() if name in joined else {})
    if name not in rows and not keys:
        raise CallerError("workspace.unknown-party", name=name, known=", ".join(sorted(rows)))
    roles, status = rows.get(name, ((), "signed"))
    if roles:
        shell().line(f"{name}: {', '.join(roles)}, {say(f'workspace.member.status-{status}')}")
    for purpose, key in sorted(keys.items()):
        shell().line(f"  {purpose:8} {key}")
    shell().result("member", {"name": name, "roles": list(roles), "status": status, "keys": keys})


@app.command()
def leave(
    reason: Annotated[str, typer.Option("--reason", help="Why; everyone can read it.")],
    output: Output = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Leave the consortium: no part in what opens from then on."""
    from foedus import workspace as ws
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic
    from foedus.records.acts import Leave

    here = caught_up()
    if not shell().confirm("workspace.member.ask-leave", party=here.party):
        raise CallerError("workspace.declined")
    ws.make_act(here, Leave(reason=reason), passphrase=known(passphrase_file))
    file = output or Path(f"{here.party}-leave.act")
    write_atomic(file, ws.handed_on(here))
    shell().say("workspace.member.left", party=here.party, file=file)
    shell().result("leave", {"party": here.party, "file": str(file)})
    shell().next(f"foedus accord sign --collect {file}{coordinators(here)}")


@app.command("rotate-key")
def rotate_key(
    purpose: Annotated[str, typer.Argument(metavar="PURPOSE", help="act, witness or release.")],
    output: Output = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a new key for a purpose; the old act key signs the change."""
    from foedus import workspace as ws
    from foedus.core.errors import CallerError
    from foedus.core.files import write_atomic

    if purpose not in ("act", "witness", "release"):
        raise CallerError("workspace.bad-option", expected="act | witness | release", got=purpose)
    here = caught_up()
    ws.rotate_key(here, purpose, passphrase=known(passphrase_file))  # type: ignore[arg-type]  # checked above
    file = output or Path(f"{here.party}-{purpose}.act")
    write_atomic(file, ws.handed_on(here))
    shell().say("workspace.member.rotated", party=here.party, purpose=purpose, file=file)
    shell().result("rotate-key", {"party": here.party, "purpose": purpose, "file": str(file)})
    shell().next(f"foedus accord sign --collect {file}{coordinators(here)}")


def _rows() -> dict[str, tuple[tuple[str, ...], str]]:
    """Every party that was invited or is in the accord: its roles, and how far it has come."""
    from foedus import workspace as ws
    from foedus.core.files import read_bytes

    here = ws.open_workspace(shell().workspace)
    state = ws.consortium(here)
    rows: dict[str, tuple[tuple[str, ...], str]] = {}
    for path in sorted(here.members.glob("*.invited")):
        invitation = ws.read_invitation(read_bytes(path))
        answered = path.with_suffix(".joined").exists()
        rows[invitation.member] = (invitation.roles, "joined" if answered else "invited")
    accord = state.accord or next(iter(state.accords.values()), None)
    for member in accord.members if accord else ():
        signed = member.name in state.signed[accord.digest] if accord else False
        status = "left" if member.name in state.left else "signed" if signed else "proposed"
        rows[member.name] = (member.roles, "frozen" if member.name in state.frozen else status)
    return dict(sorted(rows.items()))
