"""A member's line to its hub: one TLS connection a request, trusting only the authority that the invitation names."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection

from foedus.core.clock import Clock, parse, spell
from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError, VerifyError
from foedus.core.keys import PrivateKey
from foedus.core.parcel import Parcel
from foedus.records.base import open_record
from foedus.records.door import Candidate, Fetch
from foedus.records.membership import PROTOCOL, Greeting, HubAddress, Inquiry, NodeKey

__all__ = ["CONNECTION_SECONDS", "Link", "Send", "over_tls", "refusal"]

CONNECTION_SECONDS = 20.0
"""The one timeout of a connection to the hub."""

_ANSWER_LIMIT_BYTES = 1 << 30
_PREFIX = "/foedus/v1/"
_FAMILIES: dict[int, type[FoedusError]] = {1: RunError, 2: CallerError, 3: IdentityError, 6: VerifyError}

Send = Callable[[str, str, bytes], tuple[int, bytes]]
"""`send(method, path, body)` gives the HTTP status and the body of the answer."""


def over_tls(hub: HubAddress) -> Send:
    """Requests to this hub. `send` raises IdentityError `link.unreachable`, `link.wrong-certificate`."""
    host, _, port = hub.address.rpartition(":")
    try:
        context = ssl.create_default_context(cadata=hub.certificate)
    except ssl.SSLError as error:
        raise IdentityError("link.wrong-certificate", hub=hub.address, reason=str(error)) from error

    def send(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = HTTPSConnection(host.strip("[]"), int(port), timeout=CONNECTION_SECONDS, context=context)
        try:
            connection.request(method, path, body or None)
            answer = connection.getresponse()
            data = answer.read(_ANSWER_LIMIT_BYTES + 1)
        except ssl.SSLCertVerificationError as error:
            raise IdentityError("link.wrong-certificate", hub=hub.address, reason=error.verify_message) from error
        except (OSError, HTTPException) as error:
            raise IdentityError(
                "link.unreachable", hub=hub.address, reason=str(error) or type(error).__name__
            ) from error
        finally:
            connection.close()
        if len(data) > _ANSWER_LIMIT_BYTES:
            raise RunError("link.too-large", hub=hub.address, expected=_ANSWER_LIMIT_BYTES)
        return answer.status, data

    return send


@dataclass(slots=True)
class Link:
    """What a member sends to its hub and gets from it. Every call may raise what `over_tls` and the hub raise."""

    hub: HubAddress
    clock: Clock
    send: Send = field(default=lambda *_: (0, b""))

    @staticmethod
    def to(hub: HubAddress, clock: Clock) -> Link:
        """The line to a hub."""
        return Link(hub, clock, over_tls(hub))

    def greeting(self) -> tuple[Greeting, float]:
        """What the hub says of itself, and how many seconds its clock is ahead of ours.

        Raises: CallerError: `link.other-protocol`.
        """
        before = self.clock()
        (document,) = Parcel.from_bytes(self._ask("GET", "greeting")).documents
        greeting = open_record(Greeting, document)
        if greeting.protocol != PROTOCOL:
            raise CallerError("link.other-protocol", expected=PROTOCOL, got=greeting.protocol, version=greeting.foedus)
        middle = before + (self.clock() - before) / 2
        return greeting, (parse(greeting.at) - middle).total_seconds()

    def joined(self, answer: bytes) -> None:
        """Deliver the answer to an invitation; again changes nothing."""
        self._ask("POST", "joined", answer)

    def act(self, parcel: bytes) -> None:
        """Deliver a signed act; again changes nothing."""
        self._ask("POST", "acts", parcel)

    def ledger(self, member: str, have: int, act: PrivateKey) -> bytes | None:
        """What the hub's ledger holds after the `have` entries known here, or None when that is nothing."""
        inquiry = Inquiry(member=member, have=have, at=spell(self.clock()))
        return self._ask("POST", "ledger", Parcel.of([inquiry.sign(act)]).to_bytes()) or None

    def node_key(self, key: NodeKey, act: PrivateKey) -> None:
        """Say by which transport key this member's node connects."""
        self._ask("POST", "node-key", Parcel.of([key.sign(act)]).to_bytes())

    def candidate(self, member: str, proposal: str, act: PrivateKey) -> Candidate:
        """The files of a proposal's draft, as the hub lists them."""
        fetch = Fetch(member=member, proposal=proposal, at=spell(self.clock()))
        (document,) = Parcel.from_bytes(
            self._ask("POST", "candidate", Parcel.of([fetch.sign(act)]).to_bytes())
        ).documents
        return open_record(Candidate, document)

    def part(self, member: str, proposal: str, file: str, offset: int, act: PrivateKey) -> bytes:
        """Bytes of a file of a draft from `offset` on: at most 4 MiB, none at its end."""
        fetch = Fetch(member=member, proposal=proposal, file=file, offset=offset, at=spell(self.clock()))
        return self._ask("POST", "candidate", Parcel.of([fetch.sign(act)]).to_bytes())

    def ballot(self, parcel: bytes) -> None:
        """Deliver a vote with its signatures; again changes nothing."""
        self._ask("POST", "ballot", parcel)

    def _ask(self, method: str, what: str, body: bytes = b"") -> bytes:
        status, data = self.send(method, _PREFIX + what, body)
        if status == 200:
            return data
        raise refusal(self.hub.address, status, data)


def refusal(hub: str, status: int, data: bytes) -> FoedusError:
    """The error that the hub told of, in our own words where we know it; RunError `link.refused` else."""
    try:
        match json.loads(data):
            case {"code": str(code), "fields": dict(fields), "exit": int(family)}:
                error = _FAMILIES.get(family, RunError)(code, **{str(key): str(value) for key, value in fields.items()})
                str(error)  # a code or a field that our catalogue does not know is told as it is
                return error
    except (ValueError, KeyError, TypeError, IndexError, OSError):
        pass
    return RunError("link.refused", hub=hub, status=status, got=data[:200].decode(errors="replace"))
