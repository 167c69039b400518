"""`foedus serve`: a verified release that answers, its tokens, and changing what it serves while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from foedus.serve.given import Loaded, Options
    from foedus.serve.standing import Source

__all__ = ["app", "rollback", "source_of"]

app = typer.Typer(no_args_is_help=True, help="Serve a verified release: `foedus serve RELEASE`; its tokens; swap it.")
token = typer.Typer(no_args_is_help=True, help="Who may ask a server: make, list and revoke bearer tokens.")
app.add_typer(token, name="token")

Named = Annotated[str, typer.Argument(help="NAME-VERSION in this workspace, or a path.", show_default=False)]
AnchorOption = Annotated[
    str | None, typer.Option(help="Digest of the first accord; by default the workspace's, or one taken up before.")
]
LedgerOption = Annotated[
    Path | None, typer.Option("--ledger", help="A newer copy of the ledger; by default the workspace's.")
]


@app.command()
def start(
    release: Named,
    *,
    host: Annotated[
        str, typer.Option(help="The address to listen on; another than this machine's needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 lets the system choose.")] = 8601,
    anchor: AnchorOption = None,
    ledger: LedgerOption = None,
    shadow: Annotated[str | None, typer.Option(help="Another release that is asked the same; only compared.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Linear layers in int8: smaller, often faster.")] = False,
    int8_check: Annotated[Path | None, typer.Option(help="A labelled file on which int8 is compared.")] = None,
    items: Annotated[int, typer.Option(help="The largest batch, in texts.", min=1)] = 64,
    tokens: Annotated[int, typer.Option(help="The largest batch, in tokens.", min=1)] = 8192,
    waiting: Annotated[int, typer.Option(help="The longest line, in texts.", min=1)] = 1024,
    seconds: Annotated[float, typer.Option(help="A request's deadline.", min=0.001)] = 30.0,
    keep_days: Annotated[
        int | None, typer.Option(help="Keep texts for fewer days than the accord lets; 0: not at all.", min=0)
    ] = None,
    watch: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="Look at its own traffic so often; by default as agreed; 0: no.", min=0),
    ] = None,
    drain_seconds: Annotated[float, typer.Option(help="How long to answer on when told to stop.", min=0)] = 0.0,
) -> None:
    """Answer questions with a verified release, until stopped."""
    from foedus.serve.batcher import Limits
    from foedus.serve.given import Options
    from foedus.serve.server import Settings, serve

    here = shell()
    chosen = source_of(release, anchor, ledger)
    options = Options(
        limits=Limits(items, tokens, waiting), seconds=seconds, keep_days=keep_days, int8=int8, int8_check=int8_check,
        watch_seconds=watch,
    )  # fmt: skip
    settings = Settings(host, port, drain_seconds, options)
    address = ""

    def up(at: str, loaded: Loaded) -> None:
        nonlocal address
        address = at
        _tell(at, loaded, options)

    other = source_of(shadow, anchor, ledger) if shadow else None
    serve(here.workspace, chosen, settings=settings, shadow=other, up=up)
    here.say("serve.cli.down")
    here.result("serve", {"address": address})


def _tell(address: str, loaded: Loaded, options: Options) -> None:
    """Say what is served, and how to ask it."""
    from foedus.core.messages import say
    from foedus.serve.watching import pause_seconds

    here, release = shell(), loaded.release
    if release.practice:
        here.note(say("release.practice"))
    here.note(say("serve.cli.up", release=release.name, address=address))
    if options.int8 and loaded.int8 is None:
        here.note(say("serve.cli.int8-unmeasured"))
    if loaded.int8 is not None:
        changes = loaded.int8
        counts = (changes.alike, changes.right, changes.right_int8)
        alike, right, small = (f"{100 * count / changes.n:.2f}" for count in counts)
        here.note(say("serve.cli.int8", n=changes.n, agreement=alike, accuracy=right, accuracy_int8=small))
    purposes = ", ".join(loaded.standing.accord.purpose.uses)
    here.note(say("serve.cli.purposes", purposes=purposes))
    if pause := pause_seconds(loaded.standing.accord, options):
        here.note(say("serve.cli.watching", seconds=pause))
    here.note(say("cli.next"))
    here.note(f'  curl -s {address}/v1/predict -d \'{{"text": "…"}}\'')
    here.note(f"  curl -s {address}/health")


@app.command()
def swap(release: Named) -> None:
    """Let the running server answer with another release of the same consortium; no request fails."""
    from foedus.serve.control import ask

    here = shell()
    done = ask(here.workspace, "swap", path=str(_find(release).resolve()))
    here.say("serve.cli.swapped", before=done["before"], release=done["release"])
    here.result("serve.swap", done)


def rollback() -> None:
    """Let the running server answer with the release before the one that it serves; no request fails."""
    from foedus.core.errors import CallerError
    from foedus.release.desk import releases
    from foedus.serve.control import ask
    from foedus.workspace import open_workspace

    here = shell()
    now = ask(here.workspace, "standing")
    found = {one.proposal.digest: one.folder for one in releases(open_workspace(here.workspace))}
    if now["previous"] not in found:
        raise CallerError("serve.nothing-before", release=now["release"], previous=now["previous"] or "–")
    done = ask(here.workspace, "swap", path=str(found[now["previous"]].resolve()))
    here.say("serve.cli.swapped", before=done["before"], release=done["release"])
    here.result("release.rollback", done)


# ── tokens ───────────────────────────────────────────────────────────────────


@token.command("new")
def new_token(
    name: Annotated[str, typer.Argument(help="Whose it is; stands beside every answer that is kept.")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help="predict (the default), embed, feedback, review or metrics; repeat.")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="One of the accord's uses; by default every one.")] = None,
    per_minute: Annotated[int | None, typer.Option(help="At most so many texts a minute.")] = None,
    last: Annotated[str | None, typer.Option(help="The last day on which it is good.")] = None,
) -> None:
    """Make a token. It is shown once; the file keeps its hash."""
    from foedus.serve.tokens import make_token

    here = shell()
    scopes, purposes = tuple(scope or ("predict",)), tuple(purpose or ())
    secret = make_token(
        here.workspace,
        name,
        scopes=scopes,
        purposes=purposes,
        per_minute=per_minute,
        last=last,
    )
    here.note(_once(name))
    here.line(secret)
    here.result("serve.token", {"name": name, "token": secret, "scopes": sorted(scopes)})


def _once(name: str) -> str:
    from foedus.core.messages import say

    return say("serve.cli.token-once", name=name)


@token.command("list")
def list_tokens() -> None:
    """The tokens: names, scopes, purposes, rates, last days. Never the tokens themselves."""
    from foedus.core.messages import say
    from foedus.serve.tokens import FILE, Tokens

    here = shell()
    found = Tokens(here.workspace / FILE).all()
    if found:
        names = ("name", "scopes", "purposes", "rate", "last", "state")
        rows = [
            [
                one.name,
                ", ".join(one.scopes),
                ", ".join(one.purposes) or say("serve.cli.every"),
                str(one.per_minute or "–"),
                one.last or "–",
                say("serve.cli.state-revoked" if one.revoked_at else "serve.cli.state-good"),
            ]
            for one in found
        ]
        here.table([say(f"serve.cli.head-{name}") for name in names], rows)
    else:
        here.say("serve.cli.no-tokens")
    here.result("serve.tokens", {"tokens": [one.model_dump(mode="json", exclude={"secret_digest"}) for one in found]})


@token.command("revoke")
def revoke_one(name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Refuse a token from the next request on."""
    from foedus.serve.tokens import revoke_token

    revoke_token(shell().workspace, name)
    shell().say("serve.cli.token-revoked", name=name)
    shell().result("serve.token-revoked", {"name": name})


# ── which release, and against what ──────────────────────────────────────────


def source_of(name: str, anchor: str | None, ledger: Path | None) -> Source:
    """Where a release lies, and what it is checked against: what was given, else what this workspace knows."""
    from foedus.cli.verify import known_file
    from foedus.core.digest import DIGEST
    from foedus.core.errors import CallerError
    from foedus.serve.standing import Source
    from foedus.workspace import open_workspace

    here = shell()
    if anchor is not None and not DIGEST.fullmatch(anchor):
        raise CallerError("verify.bad-anchor", got=anchor[:100])
    if (here.workspace / "workspace.json").is_file():
        workspace = open_workspace(here.workspace)
        anchor, ledger = anchor or workspace.page.anchor, ledger or workspace.ledger
    return Source(_find(name).absolute(), anchor, ledger.absolute() if ledger else None, known_file().path)


def _find(name: str) -> Path:
    from foedus.core.errors import CallerError
    from foedus.release.desk import find_release
    from foedus.workspace import open_workspace

    here = shell()
    if Path(name).exists():
        return Path(name)
    if not (here.workspace / "workspace.json").is_file():
        raise CallerError("release.no-such-release", name=name)
    return find_release(open_workspace(here.workspace), name)
