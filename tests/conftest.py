"""What holds for every test: nothing is read from, or written to, the folders of the user who runs it."""

import os

import pytest

OF_THE_USER = {"XDG_DATA_HOME": "data", "FOEDUS_CACHE": "cache", "FLWR_HOME": "flwr"}
"""What names a folder of the user's, and the folder below the session's own that it names here."""

GIVEN = {"FOEDUS_DATA"}
"""What a tester gives: research data sets, which some tests read."""


@pytest.fixture(autouse=True, scope="session")
def no_home(tmp_path_factory):
    """Folders of the user's lie in a temporary one, and no setting of the shell reaches a test.

    Of the session, not of a function: hypothesis calls a test many times, and children inherit the environment.
    """
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FOEDUS_") and name not in GIVEN]:
            patch.delenv(name)
        for name, folder in OF_THE_USER.items():
            patch.setenv(name, str(home / folder))
        yield home
