"""Every test that asks for `url` runs on both databases; what was opened is closed after each test."""

import pytest

import postgres
from foedus.index import database, opening


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """None for the workspace's own SQLite, else the URL of an empty PostgreSQL database."""
    return None if request.param == "sqlite" else postgres.server().database()


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    made = []

    def opened(*arguments, **options):
        made.append(database.open_database(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(opening, "open_database", opened)
    yield
    for one in made:
        one.close()
