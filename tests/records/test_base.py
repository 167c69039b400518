"""Fields and the one byte form of records."""

from fractions import Fraction
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from foedus.core import canonical
from foedus.core.errors import CallerError
from foedus.core.keys import from_seed
from foedus.records.base import (
    BasisPoints,
    Bool,
    Day,
    Decimal,
    Digest,
    Instant,
    Int,
    ListOf,
    Name,
    Positive,
    PublicKey,
    Record,
    SetOf,
    Text,
    decimal,
    open_record,
)

KEY = from_seed(b"a" * 32)
DIGEST = "sha256:" + "0f" * 32


class Sample(Record):
    kind: ClassVar[str] = "sample"
    name: Name = "bank-a"
    count: Int = 0
    often: Positive = 1
    share: BasisPoints = 5000
    rate: Decimal = "0.05"
    day: Day = "2027-06-30"
    instant: Instant = "2026-11-22T00:50:37Z"
    base: Digest = DIGEST
    key: PublicKey = KEY.public
    sure: Bool = True
    note: Text = "Zürich"
    uses: SetOf[Name] = ("a", "b")
    steps: ListOf[Int] = (2, 1)


class Other(Record):
    kind: ClassVar[str] = "other"


def from_yaml(**fields):
    return Sample.model_validate(fields, context={"yaml": True})


def test_every_default_is_written_out():
    assert set(canonical.decode(Sample().to_bytes())) == set(Sample.model_fields)


def test_a_record_comes_back_from_its_bytes_with_the_same_digest():
    record = Sample(count=7, note="盟约", steps=(3, 3))
    back = Sample.from_bytes(record.to_bytes())
    assert back == record
    assert back.digest == record.digest != Sample().digest


def test_a_record_is_frozen():
    with pytest.raises(ValidationError):
        Sample().count = 1


BAD = [
    ("name", "Bank A"),
    ("name", "-a"),
    ("name", "a" * 64),
    ("name", "a\n"),
    ("count", "7"),
    ("count", 7.0),
    ("count", True),
    ("often", 0),
    ("share", 10_001),
    ("share", -1),
    ("rate", 0.05),
    ("rate", "0.050"),
    ("rate", ".5"),
    ("rate", "1e-3"),
    ("rate", "-0"),
    ("rate", "nan"),
    ("rate", "01"),
    ("day", "2027-6-30"),
    ("day", "2027-02-29"),
    ("day", "20270630"),
    ("instant", "2026-11-22T00:50:37+00:00"),
    ("instant", "2026-11-22 00:50:37Z"),
    ("instant", "2026-13-22T00:50:37Z"),
    ("base", DIGEST.upper()),
    ("base", DIGEST + "\n"),
    ("base", "0f" * 32),
    ("key", KEY.public.upper()),
    ("sure", "true"),
    ("sure", 1),
    ("note", ""),
    ("note", "Zu\u0308rich"),
    ("note", "bell\x07"),
    ("note", "x" * 10_001),
    ("uses", ["b", "a"]),
    ("uses", ["a", "a"]),
    ("uses", "a"),
    ("steps", 1),
    ("unknown", 1),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_field_with_another_type_or_spelling_is_refused_and_named(field, value):
    json = canonical.decode(Sample().to_bytes()) | {field: value}
    with pytest.raises(CallerError) as caught:
        Sample.from_json(json)
    assert caught.value.code in ("records.malformed", "canonical.not-json")
    if caught.value.code == "records.malformed":
        assert caught.value.fields["where"].split(".")[0] in (field, "(whole)")


def test_a_missing_field_with_a_default_is_another_spelling():
    json = canonical.decode(Sample().to_bytes())
    del json["count"]
    with pytest.raises(CallerError) as caught:
        Sample.from_bytes(canonical.encode(json))
    assert (caught.value.code, caught.value.fields["got"]) == ("records.malformed", "another spelling")


def test_yaml_is_read_as_text_and_typed_here():
    record = from_yaml(
        count="17", often="3", share="2500", rate="0.500", sure="false", uses=["b", "a"], note="Zu\u0308rich"
    )
    assert (record.count, record.often, record.share, record.rate) == (17, 3, 2500, "0.5")
    assert (record.sure, record.uses, record.note) == (False, ("a", "b"), "Zürich")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("count", "017"), ("count", "1_000"), ("count", "0x10"), ("count", "1e3"), ("count", "+1"), ("count", " 1"),
        ("sure", "yes"), ("sure", "no"), ("sure", "True"), ("rate", "5%"), ("uses", ["a", "a"]),
    ],
)  # fmt: skip
def test_yamls_other_spellings_are_errors_not_other_values(field, text):
    with pytest.raises(ValidationError):
        from_yaml(**{field: text})


def test_two_texts_that_mean_the_same_give_one_digest():
    assert from_yaml(rate="0.50", uses=["b", "a"]).digest == from_yaml(rate="0.5", uses=["a", "b"]).digest


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        ("0.0500", "0.05"), ("007", "7"), ("-0.0", "0"), (3, "3"), (-3, "-3"), ("10", "10"),
        (0.1, "0.1"), (1e-10, "0"), (-1e-10, "0"), (2 / 3, "0.666666667"), (1e15, "1000000000000000"),
        (Fraction(2, 3), "0.666666667"), (Fraction(-1, 3), "-0.333333333"), (Fraction(5), "5"),
        (Fraction(-1, 10**12), "0"),
    ],
)  # fmt: skip
def test_a_decimal_has_one_spelling(value, spelt):
    assert decimal(value) == spelt


@pytest.mark.parametrize("value", ["", ".", "1.", ".1", "1e3", "+1", "１", "1,5", float("nan"), float("inf"), "--1"])
def test_what_is_no_decimal_is_refused(value):
    with pytest.raises(ValueError, match="expected a decimal"):
        decimal(value)


@pytest.mark.parametrize("value", ["1" * 301, "0." + "1" * 5000, "-" + "9" * 100_000])
def test_a_decimal_that_is_too_long_to_compute_with_is_refused(value):
    with pytest.raises(ValidationError, match="at most 300 characters"):
        TypeAdapter(Decimal).validate_python(value)
    assert float(Fraction(TypeAdapter(Decimal).validate_python("9" * 300))) < float("inf")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**6), max_value=10**6, places=9))
@settings(max_examples=100, deadline=None)
def test_a_decimals_spelling_keeps_its_value_and_does_not_change_again(value):
    spelt = decimal(f"{value:f}")
    assert Fraction(spelt) == Fraction(value)
    assert decimal(spelt) == spelt


@given(st.fractions(min_value=-1000, max_value=1000))
@settings(max_examples=100, deadline=None)
def test_a_fraction_is_rounded_by_less_than_one_in_the_ninth_place(value):
    assert abs(Fraction(decimal(value)) - value) * 10**9 < 1


def test_a_signed_record_opens_as_its_own_kind_only():
    envelope = Sample().sign(KEY)
    assert envelope.signed_by(KEY.public)
    assert open_record(Sample, envelope) == Sample()
    with pytest.raises(CallerError) as caught:
        open_record(Other, envelope)
    assert caught.value.code == "records.wrong-type"
