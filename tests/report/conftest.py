import shutil

import pytest

from foedus import report
from release.tiny_consortium import LATER, Consortium


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A consortium with one published release. Not to be changed."""
    world = Consortium(tmp_path_factory.mktemp("reported"))
    world.release()
    return world


@pytest.fixture(scope="session")
def released(world):
    return report.look(world.folder(), anchor=world.accord.digest, at=LATER)


@pytest.fixture
def bundle(world, tmp_path):
    """A copy of the published bundle, to be tampered with."""
    return shutil.copytree(world.folder(), tmp_path / world.folder().name)
