"""The names of `import foedus`: few, sorted, loaded when used."""

import importlib.util
import subprocess
import sys

import pytest

import foedus


def test_the_public_names_are_these_and_sorted():
    assert foedus.__all__ == [
        "FoedusError", "Practice", "Release", "explain", "read_accord", "run_demo", "set_language", "verify",
    ]  # fmt: skip
    assert foedus.__all__ == sorted(foedus.__all__)


@pytest.mark.parametrize("name", foedus.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    assert getattr(foedus, name).__doc__
    assert name in dir(foedus)


@pytest.mark.parametrize("name", foedus.__all__)
def test_no_public_name_is_a_rooms_name(name):
    """Importing `foedus.demo` would put the room in the place of a function called so."""
    assert importlib.util.find_spec(f"foedus.{name}") is None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Pratice'"):
        foedus.Pratice  # noqa: B018 - looking is the test


def loaded_after(code):
    names = "[m for m in ('numpy', 'pydantic', 'torch', 'transformers') if m in sys.modules]"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, foedus\n{code}\nprint(*{names})"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_importing_foedus_loads_no_machine_learning_and_no_pydantic():
    assert loaded_after("foedus.__version__, dir(foedus)") == []


def test_reading_and_verifying_load_no_machine_learning():
    assert loaded_after("foedus.verify, foedus.Release, foedus.read_accord, foedus.explain") == ["pydantic"]
