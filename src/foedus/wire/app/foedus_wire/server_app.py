"""The hub's end."""

from foedus.wire.server_app import app

__all__ = ["app"]
