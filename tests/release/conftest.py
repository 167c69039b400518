import shutil

import pytest

from release.tiny_consortium import Consortium


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A consortium with one published release. Not to be changed: take `bundle`, or build one of your own."""
    world = Consortium(tmp_path_factory.mktemp("world"))
    world.release()
    return world


@pytest.fixture
def bundle(world, tmp_path):
    """A copy of the published bundle, to be tampered with."""
    return shutil.copytree(world.folder(), tmp_path / world.folder().name)
