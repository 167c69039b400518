"""The store of objects."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.digest import hex_of, sha256, sha256_file, short
from foedus.core.errors import CallerError, VerifyError
from foedus.core.objects import ObjectStore


@pytest.fixture
def store(tmp_path):
    return ObjectStore(tmp_path / "objects")


@given(contents=st.lists(st.binary(max_size=40), max_size=4))
@settings(max_examples=20, deadline=None)
def test_what_is_put_is_got_under_its_digest(tmp_path_factory, contents):
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    names = [store.put(data) for data in contents]
    assert names == [sha256(data) for data in contents]
    assert [store.get(name) for name in names] == contents
    assert list(store) == sorted(set(names))
    assert all(name in store for name in names)


def test_putting_twice_writes_once(store):
    digest = store.put(b"x")
    written = store.path(digest).stat().st_mtime_ns
    assert store.put(b"x") == digest
    assert store.path(digest).stat().st_mtime_ns == written


def test_the_layout_is_two_digits_and_the_rest(store):
    digest = store.put(b"x")
    assert store.path(digest).relative_to(store.root).parts == ("sha256", hex_of(digest)[:2], hex_of(digest)[2:])
    assert sha256_file(store.path(digest)) == digest
    assert short(digest) == hex_of(digest)[:12]


def test_a_changed_object_is_refused_with_both_digests(store):
    digest = store.put(b"agreed")
    store.path(digest).write_bytes(b"agreeD")
    with pytest.raises(VerifyError) as caught:
        store.get(digest)
    assert (caught.value.code, caught.value.fields["expected"]) == ("objects.changed", digest)
    assert caught.value.fields["got"] == sha256(b"agreeD")


def test_an_absent_object_is_missing(store):
    with pytest.raises(CallerError) as caught:
        store.get(sha256(b"never put"))
    assert caught.value.code == "objects.missing"
    assert sha256(b"never put") not in store


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "sha1:" + "a" * 40, "sha256:../../etc/passwd"])
def test_a_text_that_is_no_digest_names_no_path(store, text):
    with pytest.raises(CallerError) as caught:
        store.get(text)
    assert caught.value.code == "objects.bad-digest"


def test_strange_files_in_the_store_are_not_listed(store):
    digest = store.put(b"x")
    (store.path(digest).parent / ".half.tmp").write_bytes(b"")
    assert list(store) == [digest]
