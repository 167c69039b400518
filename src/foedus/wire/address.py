"""Why nothing can listen at an address."""

from __future__ import annotations

import errno
import socket

from foedus.core.errors import CallerError, FoedusError, RunError

__all__ = ["cannot_listen"]


def cannot_listen(host: str, port: int, error: OSError) -> FoedusError:
    """What the system's error says: CallerError `wire.address-not-here` where no network interface of this machine has
    the address, or it is none; RunError `wire.port-taken` else.
    """
    reason = error.strerror or str(error)
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return CallerError("wire.address-not-here", host=host, reason=reason)
    return RunError("wire.port-taken", host=host, port=port, reason=reason)
