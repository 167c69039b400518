"""A small real release that is served, in this process without a socket: a desk, its application, a client of it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from foedus.core.clock import now
from foedus.records.serving import Serving
from foedus.serve.app import build
from foedus.serve.desk import Desk
from foedus.serve.given import Options
from foedus.serve.keeper import Keeper
from foedus.serve.meters import Meters
from foedus.serve.predict import Predictor
from foedus.serve.standing import Admitted, Source, admit
from foedus.serve.store import Traffic
from foedus.serve.tokens import FILE as TOKENS
from foedus.serve.tokens import Tokens
from practised import MEMBERS, anchor, bundle, done, published, shared

TEXTS = ("how old must one be", "where is my pin", "what is the rate of exchange")


@cache
def first() -> Path:
    """A practice consortium with one published release; not to be changed."""
    return published()


@cache
def second() -> Path:
    """The same with a second release, which replaces the first."""
    home = shutil.copytree(first(), shared() / "second")
    publish(home, "1.1")
    return home


def publish(home: Path, version: str) -> Path:
    """Release the same run once more."""
    hub = home / "hub"
    draft = done("release", "build", "--run", "run-1", "--version", version, "--workspace", hub)["folder"]
    for member in MEMBERS:
        exported = done("ledger", "export", home / "ledger.parcel", "--workspace", hub)
        assert exported
        done("ledger", "take", home / "ledger.parcel", "--workspace", home / member)
    votes = [
        done("gate", "approve", draft, "--yes", "--workspace", home / member, at=home)["file"] for member in MEMBERS
    ]
    done("gate", "approve", draft, "--collect", *votes, "--workspace", hub, at=home)
    done("release", "build", Path(draft).name, "--workspace", hub)
    return Path(draft)


def revoke(home: Path, folder: Path, reason: str = "a label was wrong") -> None:
    """Every member votes a release back, and the coordinator carries it out."""
    votes = []
    for member in MEMBERS:
        done("ledger", "export", home / "ledger.parcel", "--workspace", home / "hub")
        done("ledger", "take", home / "ledger.parcel", "--workspace", home / member)
        place = home / member
        sent = done("release", "revoke", folder, "--reason", reason, "--yes", "--workspace", place, at=home)
        votes += ["--collect", sent["file"]]
    done("release", "revoke", folder, "--reason", reason, *votes, "--workspace", home / "hub", at=home)


def source(home: Path, folder: Path | None = None) -> Source:
    """A release of a practice home, checked against its hub's ledger."""
    return Source(folder or bundle(home), anchor(home), home / "hub" / "ledger")


@cache
def admitted() -> Admitted:
    """The first release, verified and loaded once."""
    return admit(source(first()), now())


def under(release: Admitted, **clause: Any) -> Admitted:
    """The release as if its accord had this clause on serving."""
    serving = Serving(**clause)
    accord = release.standing.accord.model_copy(update={"serving": serving})
    return replace(release, standing=replace(release.standing, terms=serving, accord=accord))


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment


@dataclass
class Here:
    """A server without a socket."""

    desk: Desk
    client: httpx.AsyncClient
    folder: Path
    clock: Clock

    async def ask(self, path: str, body: Any, **options: Any) -> httpx.Response:
        """POST JSON."""
        return await self.client.post(path, json=body, **options)


@asynccontextmanager
async def open_desk(
    release: Admitted | None = None,
    *,
    options: Options | None = None,
    shadow: Admitted | None = None,
    model: Predictor | None = None,
    folder: Path | None = None,
    host: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> Any:
    """A desk that serves a release, until the block ends. `model`: what answers in its place."""
    release = release or admitted()
    with tempfile.TemporaryDirectory() as temporary:
        place, clock = folder or Path(temporary), Clock()
        desk = Desk(Keeper(Traffic.of(place)), Meters(), options=options, clock=clock)
        loaded, int8 = desk.prepared(release)
        beside = desk.line_of(shadow, shadow.predictor) if shadow else None
        desk.open(desk.line_of(release, model or loaded, int8), beside)
        app = build(desk, Tokens(place / TOKENS))
        transport = httpx.ASGITransport(app=app)
        try:
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers) as client:
                yield Here(desk, client, place, clock)
        finally:
            await desk.close()


def told(story: Callable[[Here], Awaitable[Any]], release: Admitted | None = None, **options: Any) -> Any:
    """What a story at a desk gives."""

    async def whole() -> Any:
        async with open_desk(release, **options) as here:
            return await story(here)

    return asyncio.run(whole())
