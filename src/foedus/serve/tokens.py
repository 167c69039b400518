"""Who may ask: bearer tokens, each with a name, scopes, purposes, a rate and a last day.

`serving/tokens.json` in the workspace, readable by its owner only, holds their SHA-256, never the tokens. A token has
256 random bits, so a plain hash of it tells nothing. The file is read again when it changes: a token that is revoked
is refused from the next request on. Tokens are asked for as soon as the file holds one, revoked or not: revoking the
last one does not open the door.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ValidationError

from foedus.core.clock import Clock, now, spell
from foedus.core.digest import sha256
from foedus.core.errors import CallerError, IdentityError
from foedus.core.files import lock, read_bytes, write_atomic
from foedus.records.base import Day, Digest, Instant, ListOf, Name, Positive, Record, SetOf

__all__ = ["FILE", "SCOPES", "Rate", "Scope", "Token", "Tokens", "make_token", "revoke_token"]

FILE = "serving/tokens.json"
Scope = Literal["embed", "feedback", "metrics", "predict", "review"]
SCOPES: tuple[Scope, ...] = ("embed", "feedback", "metrics", "predict", "review")
_PREFIX = "foedus_"


class Token(Record):
    """What is kept of a token. `purposes`: of the accord's uses, those it may ask for; empty: every one.
    `per_minute`: how many texts; none: as many as there is room for.
    """

    name: Name
    secret_digest: Digest
    scopes: SetOf[Scope]
    purposes: SetOf[Name] = ()
    per_minute: Positive | None = None
    last: Day | None = None
    made_at: Instant
    revoked_at: Instant | None = None


class _Page(Record):
    kind: ClassVar[str] = "serving-tokens"
    tokens: ListOf[Token] = ()


@dataclass(slots=True)
class Tokens:
    """The tokens of a workspace, as the file has them now."""

    path: Path
    _seen: tuple[int, int, int] | None = None
    _held: dict[str, Token] = field(default_factory=dict)

    @property
    def asked_for(self) -> bool:
        """Whether a token must be shown."""
        return bool(self._now())

    def all(self) -> list[Token]:
        """Every token, by name."""
        return sorted(self._now().values(), key=lambda token: token.name)

    def holder(self, secret: str, *, today: str) -> Token:
        """The token whose secret this is; IdentityError `serve.token-refused` for any other, revoked or run out."""
        token = self._now().get(sha256(secret.encode("utf-8", "replace")))
        if token is None or token.revoked_at is not None or (token.last is not None and token.last < today):
            raise IdentityError("serve.token-refused")
        return token

    def _now(self) -> dict[str, Token]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._held = None, {}
            return self._held
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._held = {token.secret_digest: token for token in _read(self.path).tokens}
            self._seen = seen
        return self._held


def make_token(
    workspace: Path,
    name: str,
    *,
    scopes: Sequence[str] = ("predict",),
    purposes: Sequence[str] = (),
    per_minute: int | None = None,
    last: str | None = None,
    clock: Clock = now,
) -> str:
    """A new token's secret, which is kept nowhere.

    Raises:
        CallerError: `serve.token-known` for a name that is taken; `serve.bad-token` for a wrong setting.
    """
    secret = _PREFIX + secrets.token_urlsafe(32)
    path = workspace / FILE
    with lock(path.with_name(".tokens.lock"), wait=True):
        page = _read(path) if path.exists() else _Page()
        if name in [token.name for token in page.tokens]:
            raise CallerError("serve.token-known", name=name)
        try:
            token = Token.model_validate(
                {
                    "name": name,
                    "secret_digest": sha256(secret.encode()),
                    "scopes": tuple(sorted(set(scopes))),
                    "purposes": tuple(sorted(set(purposes))),
                    "per_minute": per_minute,
                    "last": last,
                    "made_at": spell(clock()),
                }
            )
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise CallerError("serve.bad-token", reason=reason[:300]) from error
        write_atomic(path, _Page(tokens=(*page.tokens, token)).to_bytes(), mode=0o600)
    return secret


def revoke_token(workspace: Path, name: str, *, clock: Clock = now) -> None:
    """Refuse a token from now on; CallerError `serve.no-such-token`. Its name is not free again."""
    path = workspace / FILE
    with lock(path.with_name(".tokens.lock"), wait=True):
        page = _read(path) if path.exists() else _Page()
        if name not in [token.name for token in page.tokens]:
            known = ", ".join(token.name for token in page.tokens) or "–"
            raise CallerError("serve.no-such-token", name=name, known=known)
        tokens = [
            token.model_copy(update={"revoked_at": token.revoked_at or spell(clock())}) if token.name == name else token
            for token in page.tokens
        ]
        write_atomic(path, _Page(tokens=tuple(tokens)).to_bytes(), mode=0o600)


def _read(path: Path) -> _Page:
    return _Page.from_bytes(read_bytes(path, limit_bytes=1 << 24))


@dataclass(slots=True)
class Rate:
    """How fast each token may ask: a bucket of a minute's texts that fills evenly. Times are of any steady clock."""

    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait_seconds(self, name: str, per_minute: int, count: int, *, at: float) -> float:
        """0 and `count` texts are taken; or nothing is, and it is worth coming again after so many seconds.

        Many texts at once may empty the bucket beyond its bottom: who asks for more than a minute's worth waits longer.
        """
        left, since = self._left.get(name, (float(per_minute), at))
        left = min(float(per_minute), left + (at - since) * per_minute / 60)
        wanted = min(count, per_minute)
        if left < wanted:
            self._left[name] = (left, at)
            return (wanted - left) * 60 / per_minute
        self._left[name] = (left - count, at)
        return 0.0
