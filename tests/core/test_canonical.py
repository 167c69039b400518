"""One value, one byte string; no other spelling is read."""

import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.canonical import decode, encode
from foedus.core.errors import CallerError

WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_is_decoded_to_the_same_value(value):
    assert decode(encode(value)) == value


@given(VALUES)
@settings(max_examples=400, deadline=None)
def test_the_quick_encoder_writes_what_rfc8785_writes(value):
    assert encode(value) == rfc8785.dumps(value)


@given(st.dictionaries(st.text(st.characters(codec="ascii"), max_size=3), TEXT | WHOLE, max_size=5))
@settings(max_examples=400, deadline=None)
def test_the_quick_encoder_sorts_and_escapes_ascii_as_rfc8785_does(value):
    assert encode(value) == rfc8785.dumps(value)
    assert decode(encode(value)) == value


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_the_spelling_with_spaces_is_refused(value):
    loose = json.dumps(value, indent=1, ensure_ascii=True).encode()
    if loose != encode(value):
        with pytest.raises(CallerError):
            decode(loose)


def test_keys_are_sorted_as_utf_16_units_as_rfc_8785_says():
    # RFC 8785, section 3.2.3: the pair of surrogates sorts before U+FB33.
    assert encode({"\ufb33": 1, "\U0001f600": 2, "\r": 3, "1": 4}) == '{"\\r":3,"1":4,"😀":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("value", [1.0, float("nan"), [0.5], {"a": {"b": 1e3}}, 2**53, b"bytes", {1: 2}, "\ud800"])
def test_floats_and_what_json_lacks_are_no_canonical_json(value):
    with pytest.raises(CallerError) as caught:
        encode(value)
    assert caught.value.code == "canonical.not-json"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "canonical.not-json"),
        (b"{", "canonical.not-json"),
        (b"1.0", "canonical.not-json"),
        (b"NaN", "canonical.not-json"),
        (b"1e3", "canonical.not-json"),
        (b"\xff", "canonical.not-json"),
        (b"[" * 100_000, "canonical.not-json"),
        (b'{"a":1,"a":1}', "canonical.not-canonical"),
        (b'{"b":1,"a":1}', "canonical.not-canonical"),
        (b'{"a": 1}', "canonical.not-canonical"),
        (b'"\\u0061"', "canonical.not-canonical"),
        (b"-0", "canonical.not-canonical"),
        (b"9007199254740992", "canonical.not-json"),
        (b"-9007199254740992", "canonical.not-json"),
        (b'"\\ud800"', "canonical.not-json"),
        (b'{"\\u00e9":1}', "canonical.not-canonical"),
        ('{"\ufb33":1,"😀":2}'.encode(), "canonical.not-canonical"),
        (b"1\n", "canonical.not-canonical"),
        (b"\xef\xbb\xbf1", "canonical.not-json"),
    ],
)
def test_every_other_spelling_is_refused_by_name(data, code):
    with pytest.raises(CallerError) as caught:
        decode(data)
    assert caught.value.code == code
