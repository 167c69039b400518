"""Parcels: documents and objects that travel together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.digest import sha256
from foedus.core.envelope import seal
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.core.keys import from_seed
from foedus.core.parcel import Parcel

LETTER = seal(b"agreed", "text/plain", [from_seed(b"a" * 32)])


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_what_is_packed_is_unpacked(objects, letters):
    parcel = Parcel.of([LETTER] * letters, objects)
    back = Parcel.from_bytes(parcel.to_bytes())
    assert back.documents == parcel.documents
    assert dict(back.objects) == {sha256(data): data for data in objects}


@given(st.permutations([b"one", b"two", b"three", b""]))
@settings(max_examples=24, deadline=None)
def test_the_order_in_which_objects_are_given_does_not_matter(objects):
    assert Parcel.of([LETTER], objects).to_bytes() == Parcel.of([LETTER], sorted(objects)).to_bytes()


def test_a_changed_object_is_named():
    data = Parcel.of([], [b"weights"]).to_bytes()
    with pytest.raises(VerifyError) as caught:
        Parcel.from_bytes(data[:-1] + b"S")
    assert caught.value.code == "parcel.object-changed"


@pytest.mark.parametrize("cut", [0, 5, 16, 17, 30])
def test_a_parcel_that_was_cut_short_is_refused(cut):
    with pytest.raises(CallerError) as caught:
        Parcel.from_bytes(Parcel.of([LETTER], [b"weights"]).to_bytes()[:cut])
    assert caught.value.code == "parcel.malformed"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"x",
        lambda data: b"\n" + data,
        lambda data: data.replace(b"v1", b"v2", 1),
        lambda data: data.replace(b'"size":7', b'"size":-7'),
        lambda data: data.replace(b'"objects":[', b'"objects":[7,'),
        lambda data: data.replace(b'{"documents"', b'{"aside":1,"documents"'),
        lambda data: data.replace(b'"size":7}', b'"aside":1,"size":7}'),
    ],
)
def test_another_shape_is_no_parcel(change):
    with pytest.raises(FoedusError) as caught:
        Parcel.from_bytes(change(Parcel.of([LETTER], [b"weights"]).to_bytes()))
    assert caught.value.code in ("parcel.malformed", "canonical.not-canonical")


def test_an_object_that_is_listed_twice_is_refused():
    one = b'{"digest":"' + sha256(b"").encode() + b'","size":0}'
    data = b"foedus parcel v1\n" + b'{"documents":[],"objects":[' + one + b"," + one + b"]}\n"
    with pytest.raises(CallerError) as caught:
        Parcel.from_bytes(data)
    assert caught.value.code == "parcel.malformed"


def test_an_empty_file_is_told_as_such():
    with pytest.raises(CallerError) as caught:
        Parcel.from_bytes(b"")
    assert caught.value.fields["got"].startswith("0 bytes")
