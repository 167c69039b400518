"""Files: whole or not at all; one writer."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from foedus.core.errors import CallerError, RunError
from foedus.core.files import fsync_folder, lock, read_bytes, read_text, write_atomic


def test_a_written_file_has_its_bytes_and_mode_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"one", mode=0o600)
    write_atomic(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from foedus.core.errors import RunError; from foedus.core.files import write_atomic;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(Path(sys.argv[1]), b'x' * 5000)\n"
        "except RunError as error: print(error.code, error.fields['reason'])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.stdout == "files.cannot-write File too large\n", done.stderr
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_path_through_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as caught:
        write_atomic(tmp_path / "file" / "below", b"x")
    assert caught.value.code == "files.cannot-write"


def test_a_folder_and_a_path_without_a_name_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", Path()):
        with pytest.raises(RunError) as caught:
            write_atomic(path, b"x")
        assert caught.value.code == "files.cannot-write"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("moment", range(1, 30, 4))
def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file(tmp_path, moment):
    path = tmp_path / "file"
    contents = {b"a" * 200_000, b"b" * 200_000}
    write_atomic(path, b"a" * 200_000)
    code = (
        "import sys; from pathlib import Path; from foedus.core.files import write_atomic; print('ready', flush=True)\n"
        "while True:\n"
        "    for letter in (b'b', b'a'): write_atomic(Path(sys.argv[1]), letter * 200_000)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        time.sleep(moment / 1000)
        writer.kill()
    assert path.read_bytes() in contents


def test_what_is_wrong_with_a_file_is_named(tmp_path):
    def code_of(path, **limits):
        with pytest.raises(CallerError) as caught:
            read_text(path, **limits)
        assert str(path) in str(caught.value)
        return caught.value.code

    assert code_of(tmp_path / "none") == "files.missing"
    assert code_of(tmp_path) == "files.unreadable"
    (tmp_path / "latin").write_bytes("Zürich".encode("latin-1"))
    assert code_of(tmp_path / "latin") == "files.not-utf8"
    (tmp_path / "big").write_bytes(b"x" * 11)
    assert code_of(tmp_path / "big", limit_bytes=10) == "files.too-large"
    assert read_bytes(tmp_path / "big", limit_bytes=11) == b"x" * 11


def test_a_lock_keeps_a_second_process_out_until_the_first_ends(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from foedus.core.files import lock\n"
        "with lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError) as caught, lock(path):
            pass
        assert caught.value.code == "files.locked"
        holder.kill()
    with lock(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_can_be_waited_for_and_is_freed_by_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path / "lock"):
        raise ZeroDivisionError
    with lock(tmp_path / "lock", wait=True):
        pass


def test_locking_twice_in_one_process_is_refused_too(tmp_path):
    with lock(tmp_path / "lock"), pytest.raises(RunError), lock(tmp_path / "lock"):
        pass


def test_no_descriptor_stays_open(tmp_path):
    def opened():
        return len(list(Path("/proc/self/fd").iterdir()))

    if sys.platform != "linux":
        pytest.skip("descriptors are counted in /proc")
    before = opened()
    for _ in range(20):
        write_atomic(tmp_path / "file", b"x")
        fsync_folder(tmp_path)
        with lock(tmp_path / "lock"):
            pass
    assert opened() == before


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom"])
def test_what_never_ends_is_too_large(path):
    with pytest.raises(CallerError) as caught:
        read_bytes(Path(path), limit_bytes=3 << 20)
    assert caught.value.code == "files.too-large"
    assert 3 << 20 < caught.value.fields["size_bytes"] <= 5 << 20


def test_a_pipe_is_read_to_its_end():
    with subprocess.Popen(["head", "-c", "3000000", "/dev/zero"], stdout=subprocess.PIPE) as writer:
        assert read_bytes(Path(f"/dev/fd/{writer.stdout.fileno()}")) == bytes(3_000_000)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_path_that_no_file_can_have_is_told(tmp_path, name):
    with pytest.raises(CallerError) as caught:
        read_bytes(tmp_path / name)
    assert caught.value.code == "files.unreadable"


def test_a_lock_in_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as caught, lock(tmp_path / "file" / ".lock"):
        pytest.fail("held")
    assert caught.value.code == "files.cannot-write"
