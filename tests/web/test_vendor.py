"""What of other projects lies here is what its list says, with its licence."""

import hashlib
import tomllib
from pathlib import Path

import pytest

import foedus.web

PLACES = (Path(foedus.web.__file__).parent / "static" / "vendor", Path(__file__).parent / "vendor")


@pytest.mark.parametrize("place", PLACES, ids=["pages", "tests"])
def test_every_file_is_listed_with_its_digest_and_its_licence(place):
    listed = tomllib.loads((place / "VENDOR.toml").read_text())["file"]
    assert {one["name"]: one["sha256"] for one in listed} == {
        one["name"]: hashlib.sha256((place / one["name"]).read_bytes()).hexdigest() for one in listed
    }
    licences = {name for one in listed for name in one["licence_file"].split(", ")}
    assert {path.name for path in place.iterdir()} == {one["name"] for one in listed} | licences | {"VENDOR.toml"}
    assert all((place / name).stat().st_size > 200 for name in licences)
