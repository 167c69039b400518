import os
import stat
import zipfile

import pytest

from foedus.core.errors import CallerError, VerifyError
from foedus.release import bundle
from foedus.release.bundle import checksums, compare_checksums, files_of, opened, pack, write_checksums


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "x-1.foedus"
    for name in ("model/config.json", "model/model.safetensors", "report/proposal.json", "ledger/tile/0/000.p/3"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (root / "model.ada.sig").write_bytes(b"signature")
    write_checksums(root)
    return root


def refused(act, *arguments, **keywords):
    with pytest.raises(VerifyError) as caught:
        act(*arguments, **keywords)
    return caught.value.code, caught.value.fields.get("path")


def open_(path):
    with opened(path) as found:
        return sorted(files_of(found))


def test_checksums_list_every_file_but_themselves_and_the_ledger(folder):
    names = [line.split("  ")[1] for line in checksums(folder).decode().splitlines()]
    assert names == ["model.ada.sig", "model/config.json", "model/model.safetensors", "report/proposal.json"]
    assert compare_checksums(folder) == checksums(folder)


def test_a_changed_missing_or_added_file_is_named(folder):
    (folder / "model/config.json").write_bytes(b"other")
    assert refused(compare_checksums, folder) == ("release.file-changed", "model/config.json")
    (folder / "model/config.json").unlink()
    assert refused(compare_checksums, folder) == ("release.file-missing", "model/config.json")
    write_checksums(folder)
    (folder / "model/new.json").write_bytes(b"{}")
    assert refused(compare_checksums, folder) == ("release.file-unlisted", "model/new.json")
    (folder / "CHECKSUMS").write_bytes(checksums(folder).replace(b"\n", b"\r\n"))
    assert refused(compare_checksums, folder)[0] in ("release.checksums-malformed", "release.file-changed")
    (folder / "CHECKSUMS").unlink()
    assert refused(compare_checksums, folder)[0] == "release.checksums-missing"


@pytest.mark.parametrize("name", ["extra.txt", "model/.hidden", "report/other.json", "verify.py", "cards/UPPER.json"])
def test_a_file_that_the_layout_does_not_name_is_refused(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    assert refused(open_, folder) == ("release.odd-path", repr(name))


def test_links_devices_and_empty_folders_are_refused(folder):
    (folder / "model/link.json").symlink_to("config.json")
    assert refused(open_, folder) == ("release.link", "model/link.json")
    (folder / "model/link.json").unlink()
    (folder / "cards").symlink_to(folder / "model")
    assert refused(open_, folder) == ("release.link", "cards")
    (folder / "cards").unlink()
    os.mkfifo(folder / "model/pipe.json")
    assert refused(open_, folder) == ("release.not-a-file", "model/pipe.json")
    (folder / "model/pipe.json").unlink()
    (folder / "cards").mkdir()
    assert refused(open_, folder) == ("release.empty-folder", "cards")


def test_two_names_that_differ_in_case_only_are_refused(folder):
    (folder / "model/CONFIG.json").write_bytes(b"{}")
    assert refused(open_, folder)[0] == "release.twice"


def test_a_zip_is_the_same_bundle_and_the_same_bytes_each_time(folder, tmp_path):
    one, two = tmp_path / "one.foedus", tmp_path / "two.foedus"
    pack(folder, one)
    os.utime(folder / "CHECKSUMS", (1, 1))
    pack(folder, two)
    assert one.read_bytes() == two.read_bytes()
    assert open_(one) == open_(folder)


def write_zip(path, entries, *, compression=zipfile.ZIP_STORED, link=False):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system = compression, 3
            info.external_attr = ((stat.S_IFLNK if link else stat.S_IFREG) | 0o644) << 16
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/evil", "model/../../evil", "model\\config.json", "C:evil", "model/"],
)
def test_a_path_in_a_zip_that_leads_out_or_is_odd_is_refused_before_anything_is_written(tmp_path, name):
    data = b"" if name.endswith("/") else b"x"
    path = write_zip(tmp_path / "x.zip", [("model/config.json", b"{}"), (name, data)])
    assert refused(open_, path)[0] == "release.odd-path"
    assert not (tmp_path / "evil.json").exists()


def test_links_and_double_names_in_a_zip_are_refused(tmp_path):
    path = write_zip(tmp_path / "l.zip", [("model/config.json", b"/etc/passwd")], link=True)
    assert refused(open_, path)[0] == "release.link"
    with pytest.warns(UserWarning, match="Duplicate"):
        path = write_zip(tmp_path / "d.zip", [("model/config.json", b"1"), ("model/config.json", b"2")])
    assert refused(open_, path)[0] == "release.twice"


def test_a_zip_bomb_is_refused(tmp_path):
    path = write_zip(tmp_path / "b.zip", [("model/zeros.txt", bytes(50 << 20))], compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    assert refused(open_, path) == ("release.zip-compressed", "model/zeros.txt")


def test_entries_that_share_bytes_are_refused(tmp_path, folder):
    """The central directory may point twice at one local entry; sizes then add up to more than the file."""
    path = write_zip(tmp_path / "o.zip", [("model/a.txt", b"A" * 5000), ("model/b.txt", b"B")])
    data = bytearray(path.read_bytes())
    at = data.rindex(b"model/b.txt") - 46
    first = data.index(b"PK\x01\x02")
    data[at + 16 : at + 28] = data[first + 16 : first + 28]
    path.write_bytes(data)
    assert refused(open_, path)[0] in ("release.too-large", "release.zip-malformed")


def test_any_changed_byte_of_a_zip_is_refused_or_changes_a_file(folder, tmp_path):
    path = tmp_path / "x.foedus"
    pack(folder, path)
    good = path.read_bytes()
    for place in range(0, len(good), 11):
        changed = bytearray(good)
        changed[place] ^= 0x41
        path.write_bytes(changed)
        with pytest.raises((VerifyError, CallerError)):
            open_(path)
    path.write_bytes(good + b"\x00")
    with pytest.raises((VerifyError, CallerError)):
        open_(path)
    path.write_bytes(b"#!/bin/sh\n" + good)
    assert refused(open_, path)[0] == "release.zip-not-canonical"


def test_too_many_bytes_are_refused(folder, monkeypatch):
    monkeypatch.setattr(bundle, "LIMIT_BYTES", 10)
    assert refused(open_, folder)[0] == "release.too-large"


def test_what_is_no_bundle_is_the_callers_mistake(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    for name, code in (("x.txt", "release.no-bundle"), ("none", "files.missing")):
        with pytest.raises(CallerError) as caught:
            open_(tmp_path / name)
        assert caught.value.code == code
