"""`foedus verify PATH`: everything, offline, as an auditor would. The only verifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.shell import shell

if TYPE_CHECKING:
    from datetime import datetime

    from foedus.core.checks import Check
    from foedus.release.known import Known
    from foedus.release.verify import Verification

__all__ = ["anchor_of", "known_file", "replay_lines", "show", "verify"]


def verify(
    path: Annotated[Path, typer.Argument(help="A release bundle (folder or zip), a ledger, an accord or a journal.")],
    anchor: Annotated[str | None, typer.Option(help="Digest of the first accord, or a file with it.")] = None,
    *,
    first_use: Annotated[
        bool, typer.Option("--first-use", help="Believe the bundle's own anchor from now on.")
    ] = False,
    since: Annotated[Path | None, typer.Option(help="A checkpoint of this ledger that you kept.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge freshness at this time (2026-11-22T00:50:37Z).")] = None,
    ledger: Annotated[Path | None, typer.Option(help="A newer copy of the ledger's folder.")] = None,
    allow_stale: Annotated[bool, typer.Option("--allow-stale", help="Accept an old checkpoint.")] = False,
    replay: Annotated[Path | None, typer.Option(help="Recompute the run from these replies.")] = None,
) -> None:
    """Check a release, a ledger, an accord or a journal, line by line. Exit code 6 when refused or not decided."""
    from foedus.core.clock import now, parse
    from foedus.core.errors import CallerError
    from foedus.core.files import read_bytes
    from foedus.release.bundle import is_bundle
    from foedus.release.verify import remembered_anchor, verify_bundle, with_checks

    try:
        moment = parse(at) if at else now()
    except ValueError as error:
        raise CallerError("verify.bad-time", got=at) from error
    known = known_file()
    held = anchor_of(anchor) if anchor else None
    kept = read_bytes(since, limit_bytes=1 << 16) if since else None
    if not is_bundle(path):
        for_bundles = {"--first-use": first_use, "--ledger": ledger, "--allow-stale": allow_stale, "--replay": replay}
        _refuse([name for name, given in for_bundles.items() if given], "bundle", path)
        seen = _other(path, held, moment, kept, known)
    else:
        held = held or remembered_anchor(path, known)
        options = {"since": kept, "ledger": ledger, "allow_stale": allow_stale, "known_heads": known.path}
        seen = verify_bundle(path, anchor=held, at=moment, **options)  # type: ignore[arg-type]  # as named there
        if first_use and seen.code == "unanchored" and seen.consortium and seen.consortium.anchor:
            origin = seen.consortium.accord.origin if seen.consortium.accord else ""
            known.take_up(origin, seen.consortium.anchor)
            shell().say("verify.first-use", anchor=seen.consortium.anchor, origin=origin)
            held = seen.consortium.anchor
            seen = verify_bundle(path, anchor=held, at=moment, **options)  # type: ignore[arg-type]  # as above
        if replay and not seen.failures:
            seen = with_checks(seen, replay_lines(path, replay))
    show(seen)
    if seen.exit_code:
        raise typer.Exit(seen.exit_code)


def show(seen: Verification) -> None:
    """Print a verification: the practice line, the sentence for everybody, then a line a check."""
    from foedus.core.messages import say

    here = shell()
    if seen.practice:
        here.say("release.practice")
    here.line(seen.headline)
    here.line()
    marks = {name: say(f"verify.mark.{name}") for name in ("ok", "fail", "warn", "recorded", "claimed", "not-measured")}
    here.table(
        ["", ""], [[marks[check.outcome], check.text] for check in seen.checks if check.name != "release.practice"]
    )
    for check in seen.failures:
        if check.why:
            here.line()
            here.line(str(check.why))
    checks = [
        {
            "name": check.name,
            "outcome": check.outcome,
            "fields": {key: str(value) for key, value in check.fields.items()},
            "code": check.error.code if check.error else None,
        }
        for check in seen.checks
    ]
    here.result(
        "verify",
        {
            "what": seen.what,
            "outcome": seen.outcome,
            "code": seen.code,
            "headline": seen.headline,
            "practice": seen.practice,
            "anchor": seen.consortium.anchor if seen.consortium else None,
            "proposal": seen.proposal.digest if seen.proposal else None,
            "checks": checks,
        },
    )


def _other(path: Path, anchor: str | None, at: datetime, since: bytes | None, known: Known) -> Verification:
    from foedus.core.errors import CallerError
    from foedus.release.verify import verify_accord, verify_journal, verify_ledger

    if not path.exists():
        raise CallerError("files.missing", path=str(path))
    if path.is_dir():
        folder = path if (path / "checkpoint").is_file() else path / "ledger"
        if not (folder / "checkpoint").is_file():
            raise CallerError("verify.unknown-kind", path=str(path))
        return verify_ledger(folder, anchor=anchor, at=at, since=since, known_heads=known.path)
    _refuse(["--since"] if since else [], "ledger", path)
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b'{"accord":"foedus/'):
        return verify_accord(path, anchor=anchor, at=at)
    if start.startswith(b'{"ask":'):
        return verify_journal(path)
    raise CallerError("verify.unknown-kind", path=str(path))


def _refuse(given: list[str], of: str, path: Path) -> None:
    """CallerError `verify.not-for-this` for options that only another kind of thing has."""
    from foedus.core.errors import CallerError
    from foedus.core.messages import say

    if given:
        raise CallerError("verify.not-for-this", options=", ".join(given), of=say(f"verify.of-{of}"), path=str(path))


def anchor_of(text: str) -> str:
    """The digest that a text is, or that a file holds; of an accord's signed form, its own digest."""
    from foedus.core.digest import DIGEST, sha256
    from foedus.core.errors import CallerError
    from foedus.core.files import read_bytes

    if DIGEST.fullmatch(text):
        return text
    if Path(text).is_file():
        data = read_bytes(Path(text), limit_bytes=1 << 24)
        if data.startswith(b'{"accord":"foedus/'):
            return sha256(data)
        if DIGEST.fullmatch(found := data.decode("utf-8", "replace").strip()):
            return found
    raise CallerError("verify.bad-anchor", got=text[:100])


def known_file() -> Known:
    """What this reader remembers: the file that FOEDUS_KNOWN names, else one in the user's data folder."""
    import os

    from foedus.release.known import Known

    if found := os.environ.get("FOEDUS_KNOWN"):
        return Known(Path(found))
    data = os.environ.get("XDG_DATA_HOME")
    return Known((Path(data) if data else Path.home() / ".local" / "share") / "foedus" / "known.json")


def replay_lines(path: Path, replies: Path) -> list[Check]:
    """The lines of a replay of a release's run; CallerError `verify.replay-needs-training`."""
    from foedus.core.errors import CallerError
    from foedus.release.bundle import opened

    try:
        from foedus.replay import replay_check
    except ModuleNotFoundError as error:
        raise CallerError("verify.replay-needs-training", missing=error.name or "torch") from error
    with opened(path) as folder:
        return list(replay_check(folder, replies))
