"""Every test that asks for `url` runs on both databases."""

import pytest

import postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """None for the workspace's own SQLite, else the URL of an empty PostgreSQL database."""
    return None if request.param == "sqlite" else postgres.server().database()
