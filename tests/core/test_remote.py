"""The store of objects on a URL: the same interface, whatever keeps the bytes."""

import itertools
import sys

import pytest

from foedus.core.digest import hex_of, sha256
from foedus.core.errors import CallerError, RunError, VerifyError
from foedus.core.objects import ObjectStore
from foedus.core.remote import RemoteStore, store_at
from foedus.workspace import create_coordinator, keep_objects_at, open_workspace

NUMBERS = itertools.count()


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    return f"memory://objects-{next(NUMBERS)}/here" if request.param == "memory" else f"file://{tmp_path}/there"


def test_what_is_put_is_got_by_another_store_at_the_same_url(url):
    digests = [store_at(url).put(data) for data in (b"agreed", b"", b"x" * 100_000, memoryview(b"seen"))]
    again = store_at(url)
    assert [again.get(one) for one in digests] == [b"agreed", b"", b"x" * 100_000, b"seen"]
    assert list(again) == sorted(digests)
    assert all(one in again for one in digests)
    loaded = again.load(digests[0])
    loaded[0] = ord("A")
    assert again.get(digests[0]) == b"agreed"


def test_a_store_that_nobody_wrote_to_is_empty(url):
    store = store_at(url)
    assert (list(store), sha256(b"x") in store) == ([], False)
    with pytest.raises(CallerError) as caught:
        store.get(sha256(b"x"))
    assert caught.value.code == "objects.missing"
    with pytest.raises(CallerError) as caught:
        store.get("sha256:../../etc/passwd")
    assert caught.value.code == "objects.bad-digest"


def test_a_folder_as_a_url_is_the_plain_store(tmp_path):
    digest = store_at(f"file://{tmp_path}/there").put(b"agreed")
    assert ObjectStore(tmp_path / "there").get(digest) == b"agreed"


def test_a_torn_object_is_refused_and_mended_by_putting_it_again():
    import fsspec

    url = f"memory://torn-{next(NUMBERS)}"
    store, digest = store_at(url), sha256(b"agreed")
    name = f"{url}/sha256/{hex_of(digest)[:2]}/{hex_of(digest)[2:]}"
    with fsspec.open(name, "wb") as file:
        file.write(b"agr")
    with pytest.raises(VerifyError) as caught:
        store.get(digest)
    assert caught.value.code == "objects.changed"
    assert store.put(b"agreed") == digest
    assert store.get(digest) == b"agreed"


class Away:
    """A file system behind a cut line."""

    def __getattr__(self, name):
        def call(*_, **__):
            raise TimeoutError("nobody answers")

        return call


def test_a_store_that_does_not_answer_is_away_and_its_password_is_not_told():
    store = RemoteStore("sftp://me:secret@far/objects", Away(), "/objects")
    for ask in (
        lambda: store.put(b"x"),
        lambda: store.get(sha256(b"x")),
        lambda: sha256(b"x") in store,
        lambda: list(store),
    ):
        with pytest.raises(RunError) as caught:
            ask()
        assert caught.value.code == "objects.away"
        assert caught.value.fields["url"] == "sftp://far/objects"


@pytest.mark.parametrize("wrong", ["no-such-kind://x", "just-a-path", "s4"])
def test_a_url_of_no_known_kind_is_refused(wrong):
    with pytest.raises(CallerError) as caught:
        store_at(wrong)
    assert caught.value.code == "objects.bad-url"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(CallerError) as caught:
        store_at("s3://bucket/objects")
    assert caught.value.code == "objects.package-missing"
    assert "s3fs" in caught.value.fields["reason"]


def test_a_workspace_keeps_its_objects_where_its_page_says_and_can_come_back(tmp_path):
    workspace = create_coordinator(tmp_path, "hub")
    digest = workspace.objects.put(b"before")
    moved = keep_objects_at(workspace, f"memory://moved-{next(NUMBERS)}")
    assert moved.find(digest) == b"before"
    later = moved.objects.put(b"after")
    assert open_workspace(tmp_path).find(later) == b"after"
    assert later not in ObjectStore(tmp_path / "objects")
    back = keep_objects_at(open_workspace(tmp_path), None)
    assert (back.page.objects, back.find(later)) == (None, b"after")
    assert b"objects" not in (tmp_path / "workspace.json").read_bytes()
