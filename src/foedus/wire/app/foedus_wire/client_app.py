"""The member's end."""

from foedus.wire.client_app import app

__all__ = ["app"]
