"""The process of `foedus serve`, from the first look at a release to the last answer.

    bind → verify and load → answer … → (stop) not ready → answer what came → write down what was answered → end

A first SIGTERM or Ctrl-C begins the end: `/readyz` says no at once, new requests are still answered for `drain_seconds`
(so that whoever balances load can turn elsewhere), then no connection is taken and those at work are answered. A second
one ends it without waiting. There is one process, and threads that end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from foedus.core.clock import Clock, now
from foedus.core.errors import CallerError, RunError
from foedus.serve import control
from foedus.serve.apart import apart
from foedus.serve.app import build
from foedus.serve.box import Box
from foedus.serve.desk import Desk
from foedus.serve.given import Loaded, Options
from foedus.serve.keeper import Keeper
from foedus.serve.meters import Meters
from foedus.serve.standing import Admitted, Source, admit
from foedus.serve.store import Traffic
from foedus.serve.tokens import FILE as TOKENS
from foedus.serve.tokens import Tokens
from foedus.serve.watching import Watching

__all__ = ["DEFAULT_PORT", "Settings", "serve"]

DEFAULT_PORT = 8601
_GRACE_SECONDS = 30
_CONNECTIONS = 2048


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a server listens, and how it ends: for `drain_seconds` it still answers, but says that it is not ready."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    drain_seconds: float = 0.0
    options: Options = field(default_factory=Options)


def serve(
    workspace: Path,
    source: Source,
    *,
    settings: Settings,
    shadow: Source | None = None,
    up: Callable[[str, Loaded], None] = lambda _address, _loaded: None,
    clock: Clock = now,
) -> None:
    """Serve a release until the process is told to stop. `up` hears the address once requests are answered.

    Raises:
        CallerError: `serve.open-door` for another host than this machine's own without a token; as `admit`.
        RunError: `serve.port-taken`, `serve.already-up`, `serve.cannot-keep`.
        VerifyError: as `admit`.
    """
    tokens = Tokens(workspace / TOKENS)
    if not tokens.asked_for and not _is_loopback(settings.host):
        raise CallerError("serve.open-door", host=settings.host)
    with _bound(settings.host, settings.port) as bound:
        release = apart(partial(admit, source, clock()))
        other = apart(partial(admit, shadow, clock())) if shadow else None
        with asyncio.Runner(loop_factory=_quick_loop()) as runner:
            runner.run(_serving(workspace, bound, tokens, settings, release, other, up, clock))


async def _serving(
    workspace: Path,
    bound: socket.socket,
    tokens: Tokens,
    settings: Settings,
    release: Admitted,
    shadow: Admitted | None,
    up: Callable[[str, Loaded], None],
    clock: Clock,
) -> None:
    desk = Desk(Keeper(Traffic.of(workspace)), Meters(), options=settings.options, clock=clock)
    watching = Watching(desk, workspace)
    listening = None
    try:
        first = desk.line_of(release, *apart(partial(desk.prepared, release)))
        desk.open(first, desk.line_of(shadow, shadow.predictor) if shadow else None)
        watching.open()
        far = not _is_loopback(settings.host)
        box = Box(desk, _address(bound, settings.host), lambda: far or tokens.asked_for)
        listening = control.listen(workspace, _handler(desk, box, asyncio.get_running_loop()))
        app = build(desk, tokens, local=frozenset({settings.host.lower()}), closed=far)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS, limit_concurrency=_CONNECTIONS,
        )  # fmt: skip
        server = _Server(config)
        with _signals(desk, server, settings.drain_seconds):
            up(_address(bound, settings.host), desk.serving())
            await server.serve(sockets=[bound])
    finally:
        if listening is not None:
            await asyncio.to_thread(listening.close)
        await watching.close()
        await desk.close()


class _Server(uvicorn.Server):
    """uvicorn without its own handling of signals: ours drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def leave(self) -> None:
        """Take no more connections, answer those at work, and end."""
        self.should_exit = True


@contextlib.contextmanager
def _signals(desk: Desk, server: _Server, drain_seconds: float) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if desk.closing:
            server.force_exit = server.should_exit = True
            return
        desk.closing = True
        loop.call_later(drain_seconds, server.leave)

    wishes = (signal.SIGTERM, signal.SIGINT)
    for wish in wishes:
        loop.add_signal_handler(wish, stop)
    try:
        yield
    finally:
        for wish in wishes:
            loop.remove_signal_handler(wish)


def _handler(desk: Desk, box: Box, loop: asyncio.AbstractEventLoop) -> control.Handle:
    """What the control socket's thread does: it asks the event loop, and waits."""

    async def handle(request: Mapping[str, Any]) -> Mapping[str, Any]:
        match request:
            case {"ask": "standing"}:
                release = desk.serving().release
                return {
                    "release": release.name,
                    "proposal": release.digest,
                    "previous": release.proposal.previous,
                    "path": str(release.source.path),
                }
            case {"ask": "swap", "path": str(path)}:
                before = desk.serving().release
                after = await desk.swap(Source(Path(path), before.anchor, before.source.ledger, before.source.known))
                return {"before": before.name, "release": after.release.name, "proposal": after.release.digest}
            case {"ask": "figures"}:
                return box.figures()
            case {"ask": "answer", "party": str(party), "text": str(text), "purpose": str(purpose)}:
                return await box.answer(party, text, purpose)
        raise CallerError("serve.no-such-path", got=str(request)[:100])

    return lambda request: asyncio.run_coroutine_threadsafe(handle(request), loop).result()


# ── where it listens ─────────────────────────────────────────────────────────


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has its address and does not listen yet.

    Raises:
        CallerError: `serve.bad-host`.
        RunError: `serve.port-taken`.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address[0], port, *address[2:]))  # the look-up would cut 70000 down to a port
        except BaseException:
            bound.close()
            raise
        return bound
    except socket.gaierror as error:
        raise CallerError("serve.bad-host", host=host, reason=error.strerror or str(error)) from error
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise RunError("serve.port-taken", host=host, port=port, reason=error.strerror or "") from error
        raise CallerError("serve.bad-host", host=host, reason=error.strerror or str(error)) from error
    except OverflowError as error:
        raise CallerError("serve.bad-host", host=f"{host}:{port}", reason="0-65535") from error


def _quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where that is installed: a request then costs less on its way. None for Python's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _address(bound: socket.socket, host: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{bound.getsockname()[1]}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
