"""The other side of the door, on a party's own machine: a challenge is compared, a `Login` built here and signed.

The act key signs nothing that came from the pages: each field of the `Login` is this machine's own, but for the nonce
and the end, whose form is fixed. Pages that pass on another's challenge get a login for themselves, of no use there.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from foedus.core.clock import Clock, now, parse, spell
from foedus.core.errors import CallerError, IdentityError, VerifyError
from foedus.records.door import CHALLENGE_SECONDS, Challenge, Login
from foedus.records.membership import CLOCK_BOUND_SECONDS
from foedus.resident.link import CONNECTION_SECONDS, refusal
from foedus.web.door.places import is_loopback, origin_of
from foedus.workspace import Workspace, consortium, private_key

__all__ = ["Ask", "answer", "ask_pages", "sign_in"]

Ask = Callable[[str, str, bytes], tuple[int, bytes]]
"""`ask(method, path, body)` gives the HTTP status and the body of the answer."""

_ANSWER_BYTES = 1 << 16


def sign_in(
    workspace: Workspace, url: str, *, passphrase: str | None = None, ask: Ask | None = None, clock: Clock = now
) -> str:
    """A link that opens the pages at `url` for this workspace's party, once, in any browser.

    Raises:
        CallerError: `door.bad-url`; `door.no-tls` for plain HTTP to another machine.
        IdentityError: `link.unreachable`; as `answer` and `private_key`; what the pages say.
    """
    origin = origin_of(url)
    parts = urlsplit(origin)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise CallerError("door.no-tls", host=parts.netloc)
    ask = ask or ask_pages(origin)
    state = consortium(workspace)
    key = private_key(workspace, "act", public=state.key(workspace.party, "act"), passphrase=passphrase)
    got = Challenge.from_bytes(_ok(origin, ask("GET", f"/door/challenge?party={quote(workspace.party)}", b"")))
    login = answer(got, origin=origin, workspace=workspace, clock=clock)
    match json.loads(_ok(origin, ask("POST", "/door/login", login.sign(key).to_bytes()))):
        case {"token": str(token)} if token.isalnum() and len(token) <= 200:
            return f"{origin}/door/enter?token={token}"
    raise IdentityError("door.no-challenge", url=origin)


def answer(got: Challenge, *, origin: str, workspace: Workspace, clock: Clock) -> Login:
    """The login for a challenge whose every field is what this party expects; act keys are not needed for it.

    Raises: VerifyError: `door.challenge-differs` names the first field that is another.
    """
    limit = clock() + timedelta(seconds=CHALLENGE_SECONDS + CLOCK_BOUND_SECONDS)
    expected = {"origin": origin, "consortium": workspace.page.consortium, "party": workspace.party}
    for field, wanted in expected.items():
        if (found := getattr(got, field)) != wanted:
            raise VerifyError("door.challenge-differs", field=field, expected=wanted or "–", got=found or "–")
    if parse(got.expires) > limit:
        raise VerifyError("door.challenge-differs", field="expires", expected=spell(limit), got=got.expires)
    return Login.from_json({"v": 1, **expected, "nonce": got.nonce, "expires": got.expires})


def ask_pages(origin: str) -> Ask:
    """Requests to the pages at an origin; redirects are not followed."""
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port

    def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection: HTTPConnection = HTTPSConnection(host, port, timeout=CONNECTION_SECONDS, context=context)
        else:
            connection = HTTPConnection(host, port, timeout=CONNECTION_SECONDS)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
            got = connection.getresponse()
            return got.status, got.read(_ANSWER_BYTES)
        except (OSError, HTTPException) as error:
            raise IdentityError("link.unreachable", hub=origin, reason=str(error) or type(error).__name__) from error
        finally:
            connection.close()

    return ask


def _ok(origin: str, got: tuple[int, bytes]) -> bytes:
    status, data = got
    if status != 200:
        raise refusal(origin, status, data)
    return data
