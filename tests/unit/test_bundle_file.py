"""Where the region's part of a CA bundle is kept: whole, and out of other users' reach."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from ca_support import BUNDLE, blocks
from patience import DEADLINE

from sqlalchemy_rds_iam._tls import private_files

resource = pytest.importorskip("resource", reason="Windows has other rules for files")

OWN = trustme.CA().cert_pem.bytes()
CONTENT = b"".join(blocks(BUNDLE)[:3])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, and one for temporary files, of this test's own."""
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "home"


def _file(content: bytes = CONTENT) -> Path:
    found = private_files.private_file(content, "us-east-1")
    assert found is not None
    file = Path(found)
    assert file.read_bytes() == content
    for path, kind, mode in ((file, stat.S_IFREG, 0o600), (file.parent, stat.S_IFDIR, 0o700)):
        mine = path.lstat()
        assert (mine.st_mode, mine.st_uid) == (kind | mode, os.geteuid())
    return file


def _cache(home: Path) -> Path:
    return home / ".cache" / private_files.CACHE


def test_a_private_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is in the user's cache, for the user only, whatever the umask, and nothing else."""
    umask = os.umask(0)
    try:
        file = _file()
    finally:
        os.umask(umask)
    assert file.parent == _cache(home)
    assert list(file.parent.iterdir()) == [file]
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    assert _file().parent == home / "xdg" / private_files.CACHE
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert _file() == file


def test_written_once(home: Path) -> None:
    """As long as it is in order, all who ask share one file; other content is another file."""
    first = _file()
    inode = first.stat().st_ino
    assert _file() == first
    assert first.stat().st_ino == inode
    assert _file(CONTENT + OWN) != first
    assert first.read_bytes() == CONTENT


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)  # to read it is to wait for ever


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(OWN),
        lambda file: file.write_bytes(b""),
        lambda file: file.chmod(0o622),
        _link,
        _pipe,
        pytest.param(
            lambda file: os.chown(file, 12345, -1),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
        ),
    ],
    ids=["removed", "changed", "emptied", "writable", "link", "pipe", "foreign"],
)
def test_a_spoilt_file_is_replaced(home: Path, spoil: Callable[[Path], None]) -> None:
    """A file that is not as we would have left it is not used, and not written through either."""
    file = _file()
    spoil(file)
    victim = file.with_name("elsewhere")
    before = victim.stat() if victim.exists() else None
    assert _file() == file
    assert not before or victim.stat() == before


def _replaced_by_link(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))
    directory.symlink_to(directory.with_name("elsewhere"))


def _replaced_by_file(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))
    directory.touch()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda directory: directory.chmod(0o720),
        lambda directory: directory.chmod(0o702),
        lambda directory: directory.parent.chmod(0o777),
        lambda directory: directory.parent.parent.chmod(0o770),
        _replaced_by_link,
        _replaced_by_file,
        pytest.param(
            lambda directory: os.chown(directory, 12345, -1),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
        ),
        pytest.param(
            lambda directory: os.chown(directory.parent, 12345, -1),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
        ),
    ],
    ids=["group", "others", "above", "home", "link", "file", "foreign", "foreign-above"],
)
def test_a_place_that_others_rule_is_not_used(
    home: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """Where another user could change the file, the next place is taken, at last none at all."""
    first = _file()
    spoil(first.parent)
    second = _file()
    assert second.parent == tmp_path / "tmp" / f"{private_files.CACHE}-{os.geteuid()}"
    second.parent.chmod(0o777)
    assert private_files.private_file(CONTENT, "us-east-1") is None


def test_a_sticky_directory_is_safe(home: Path, tmp_path: Path) -> None:
    """In a directory like /tmp every user may write, but no user may rename another's files."""
    (tmp_path / "tmp").chmod(0o1777)
    home.rmdir()
    assert _file().parent.parent == tmp_path / "tmp"
    (tmp_path / "tmp").chmod(0o777)
    assert private_files.private_file(CONTENT, "us-east-1") is None


@pytest.mark.parametrize("where", ["relative", "nonexistent", "/dev/null"])
def test_without_a_home(
    home: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a home the directory for temporary files serves, and no home is made."""
    monkeypatch.setenv("HOME", where if where == "relative" else str(tmp_path / where))
    monkeypatch.chdir(tmp_path)
    assert _file().parent.parent == tmp_path / "tmp"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "tmp"]


def test_nowhere_to_write(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no directory that may be written, as in a read-only container, there is no file."""
    home.rmdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    assert private_files.private_file(CONTENT, "us-east-1") is None
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(home)])
    assert private_files.private_file(CONTENT, "us-east-1") is None


def test_a_full_disk(home: Path) -> None:
    """What cannot be written whole is not there at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert private_files.private_file(CONTENT, "us-east-1") is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(_cache(home).iterdir()) == []
    assert _file().parent == _cache(home)


def test_a_system_without_owners(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files have no owner that Python could tell, as on Windows, no file is made."""
    monkeypatch.delattr(os, "geteuid")
    assert private_files.private_file(CONTENT, "us-east-1") is None
    assert list(home.iterdir()) == []


def test_many_at_once(home: Path) -> None:
    """A reader finds all of it or nothing, while others write and a cleaner removes."""
    file, wrong = _file(), []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            private_files.private_file(CONTENT, "us-east-1")

    def look() -> None:
        for _ in range(2000):
            try:
                found = file.read_bytes()
            except FileNotFoundError:
                continue
            if found != CONTENT:
                wrong.append(found)
            file.unlink(missing_ok=True)
        done.set()

    threads = [threading.Thread(target=target) for target in (work, work, work, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not wrong
    _file()
    assert list(file.parent.iterdir()) == [file]
