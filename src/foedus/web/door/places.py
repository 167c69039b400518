"""Where pages are reached: the addresses that a browser may name, and whether its way here is protected.

A page on 127.0.0.1 can be asked by every other page that the same browser shows. What tells them apart are the headers
`Host` (another name that points here, DNS rebinding) and `Origin` (another page's form): both must be ours.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from foedus.core.errors import CallerError

__all__ = ["Places", "is_loopback", "origin_of", "places"]

_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Places:
    """The origins under which pages answer, the one to tell people first; `cookie` names the session's."""

    origins: tuple[str, ...]
    secure: bool
    cookie: str

    @property
    def origin(self) -> str:
        """The one that people are told."""
        return self.origins[0]

    def here(self, host: str) -> str | None:
        """The origin of a request with this `Host`; None for a foreign one."""
        return next((origin for origin in self.origins if urlsplit(origin).netloc == host.lower()), None)


def places(host: str, port: int, *, url: str | None = None, tls: bool = False, name: str = "foedus") -> Places:
    """Where pages that listen on `host` and `port` are reached.

    `url`: the address that a reverse proxy gives them; `tls`: they have a certificate of their own. Cookies know no
    ports, so without TLS their name holds the port.

    Raises:
        CallerError: `door.no-tls` for another address than this machine's own without TLS and without a proxy that
            speaks it; `door.bad-url`.
    """
    given = origin_of(url) if url else None
    if not is_loopback(host) and not tls and not (given or "").startswith("https:"):
        raise CallerError("door.no-tls", host=host)
    scheme = "https" if tls else "http"
    shown = f"[{host}]" if ":" in host else host
    names = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(host) or given else []
    own = [f"{scheme}://{one}:{port}" for one in dict.fromkeys([shown, *names]) if one not in ("0.0.0.0", "[::]")]  # noqa: S104 - not bound here
    origins = tuple(dict.fromkeys([*([given] if given else []), *own]))
    if not origins:
        raise CallerError("door.bad-url", got=host)
    secure = origins[0].startswith("https:")
    return Places(origins, secure, f"__Host-{name}" if secure else f"{name}-{port}")


def origin_of(url: str) -> str:
    """The origin of a web address, spelt as browsers do; CallerError `door.bad-url`."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise CallerError("door.bad-url", got=url[:200]) from error
    host = f"[{host}]" if ":" in host else host
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or parts.username or parts.password:
        raise CallerError("door.bad-url", got=url[:200])
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
