"""The tree of errors."""

import pickle

import pytest

from foedus.core import errors
from foedus.core.checks import failed, ok
from foedus.core.errors import CallerError, FoedusError, IdentityError, LateError, RunError, VerifyError, WorldError
from foedus.core.messages import set_language


@pytest.mark.parametrize(
    ("kind", "exit_code"), [(CallerError, 2), (RunError, 1), (IdentityError, 3), (LateError, 4), (VerifyError, 6)]
)
def test_each_leaf_of_the_tree_has_its_own_exit_code_and_stands_in_one_family(kind, exit_code):
    assert kind.exit_code == exit_code
    assert issubclass(kind, WorldError) != (kind is CallerError)


def test_every_error_is_public_and_stands_in_the_drawing():
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert sorted(kinds) == sorted(errors.__all__)
    assert all(name in errors.__doc__ for name in kinds)


def test_an_error_says_what_was_expected_what_was_got_and_what_to_do():
    text = str(CallerError("files.missing", path="/nowhere"))
    assert text.splitlines()[0] == "[files.missing]"
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == ["expected", "got", "do"]
    assert "/nowhere" in text


def test_an_error_is_read_in_the_language_in_force():
    error = CallerError("files.missing", path="/nowhere")
    set_language("zh")
    try:
        assert "应为" in str(error)
    finally:
        set_language("en")
    assert "expected" in str(error)


def test_an_error_travels_between_processes_whole():
    back = pickle.loads(pickle.dumps(VerifyError("objects.changed", path="p", expected="a", got="b")))  # noqa: S301
    assert (type(back), back.code, back.fields) == (
        VerifyError,
        "objects.changed",
        {"path": "p", "expected": "a", "got": "b"},
    )


def test_a_failed_check_says_why_and_one_that_held_does_not():
    check = failed("any", "objects.missing", digest="sha256:00")
    assert check.outcome == "fail"
    assert check.why.code == "objects.missing"
    assert isinstance(check.error, FoedusError)
    assert ok("any").why is None
