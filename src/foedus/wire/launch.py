"""`python -m foedus.wire.launch SERVICE`: Flower's services as the wire runs them, with its guards around them.

- `superlink`: `flower-superlink`; all but its Runtime API answers only requests that carry the hub's secret.
- `serverapp`: takes the ServerApp task of our own Flower run, and no other, and runs the pipe to the hub.
- `supernode`: `flower-supernode` without Flower's executor, which would run whatever app arrives; an executor of our
  own hands each message of our own app to the member's process, and refuses every other app.

Settings come as one line of JSON on standard input, which then stays open: when it closes, the parent is gone.
"""

from __future__ import annotations

import hmac
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

__all__ = ["SECRET_HEADER", "guarded"]

SECRET_HEADER = "foedus-secret"  # noqa: S105 - the header's name
_OPEN_PATHS = (
    "/health",
    "/v1/runtime/",
)  # the Runtime API has Flower's own guard: a secret to take a task, then a token

_RETRY_SECONDS = 5  # the longest pause of a node between two tries to reach the hub

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def main() -> None:
    """Run one service until its parent goes."""
    settings = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    {"superlink": _superlink, "serverapp": _serverapp, "supernode": _supernode}[sys.argv[1]](settings)


def guarded(app: App, secret: str) -> App:
    """An ASGI application that answers 403 to every request without the secret, but for health and the Runtime API."""
    expected = secret.encode()

    async def guard(
        scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan" or str(scope.get("path", "")).startswith(_OPEN_PATHS):
            await app(scope, receive, send)
            return
        given = [value for name, value in scope.get("headers", ()) if name == SECRET_HEADER.encode()]
        if len(given) == 1 and hmac.compare_digest(given[0], expected):
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return guard


def _superlink(settings: dict[str, Any]) -> None:
    import uvicorn
    from flwr.superlink.cli.flower_superlink import flower_superlink

    serve = uvicorn.run
    secret = Path(settings["secret_file"]).read_text()

    def serve_guarded(app: Any, **options: Any) -> None:
        serve(guarded(app, secret), **{**options, "access_log": False, "timeout_keep_alive": 90})

    uvicorn.run = serve_guarded  # Flower has no setting for this; the hub checks at the start that the guard stands
    sys.argv = ["flower-superlink", *settings["arguments"]]
    flower_superlink()


def _serverapp(settings: dict[str, Any]) -> None:
    from foedus.wire.executor import run_server_tasks

    os.environ["FOEDUS_HUB_SOCKET"] = settings["socket"]
    run_server_tasks(settings["address"], Path(settings["ca"]), Path(settings["secret_file"]))


def _supernode(settings: dict[str, Any]) -> None:
    from flwr.supercore.retry import http_retry
    from flwr.supernode import start_client_internal as node
    from flwr.supernode.cli.flower_supernode import flower_supernode

    from foedus.wire.executor import in_turn, run_client_tasks

    os.environ["FOEDUS_NODE_SOCKET"] = settings["socket"]
    received = threading.Semaphore(0)
    node._pull_and_store_message = in_turn(node._pull_and_store_message, received)
    # Flower's own longest pause, 20 s, would be added to each outage of the hub.
    http_retry.MAX_RETRY_DELAY = _RETRY_SECONDS  # type: ignore[attr-defined]
    arguments = (settings["runtime"], Path(settings["secret_file"]), received)
    threading.Thread(target=run_client_tasks, args=arguments, daemon=True).start()
    sys.argv = ["flower-supernode", *settings["arguments"]]
    flower_supernode()


def _leave_with_parent() -> None:
    while os.read(0, 4096):  # not the buffered reader, whose lock a thread may not hold when Python ends
        continue
    os._exit(0)


if __name__ == "__main__":
    main()
