"""A CA file that is looked for counts only if no other user can change it; a named one always."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from ca_support import find_ca

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import ownership, private_files, public_roots

pytest.importorskip("resource", reason="Windows has other rules for files")

INSTANCE = parse_host("db.abc123.us-east-1.rds.amazonaws.com")
PROXY = parse_host("p.proxy-abc123.us-east-1.rds.amazonaws.com")
STRANGER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def file(home: Path) -> Path:
    """The CA file of PostgreSQL's clients, which is looked at first."""
    place = home / ".postgresql" / "root.crt"
    place.parent.mkdir(mode=0o700)
    trustme.CA().cert_pem.write_to_path(str(place))
    place.chmod(0o600)
    return place


@pytest.fixture
def other(tmp_path: Path, home: Path) -> Path:
    """One that is looked at last."""
    place = tmp_path / "machine.pem"
    trustme.CA().cert_pem.write_to_path(str(place))
    return place


def _linked(file: Path, where: Path) -> Path:
    """Put a link in the file's place, and the file elsewhere."""
    where.mkdir(exist_ok=True)
    target = where / "target.pem"
    file.rename(target)
    file.symlink_to(os.path.relpath(target, file.parent))
    return target


def _foreign_link(file: Path) -> None:
    """A stranger's link to a file of ours, where any user may make links."""
    _linked(file, file.parent / "own")
    file.parent.chmod(0o1777)
    os.chown(file, STRANGER, -1, follow_symlinks=False)


EXPOSED: dict[str, Callable[[Path], None]] = {
    "group": lambda file: file.chmod(0o620),
    "others": lambda file: file.chmod(0o602),
    "directory": lambda file: file.parent.chmod(0o770),
    "directory-of-all": lambda file: file.parent.chmod(0o777),
    "home": lambda file: file.parent.parent.chmod(0o777),
    "link-to-one": lambda file: _linked(file, file.parent / "x").chmod(0o666),
    "link-into-one": lambda file: _linked(file, file.parent / "x").parent.chmod(0o777),
    "link-through-one": lambda file: _through(file).chmod(0o777),
}
FOREIGN: dict[str, Callable[[Path], None]] = {
    "file": lambda file: os.chown(file, STRANGER, -1),
    "directory": lambda file: os.chown(file.parent, STRANGER, -1),
    "home": lambda file: os.chown(file.parent.parent, STRANGER, -1),
    "file-in-a-sticky": lambda file: (os.chown(file, STRANGER, -1), file.parent.chmod(0o1777)),
    "link-in-a-sticky": _foreign_link,
    "link-to-one": lambda file: os.chown(_linked(file, file.parent / "x"), STRANGER, -1),
}


def _through(file: Path) -> Path:
    """A link to a link: what is in between is another directory."""
    target = _linked(file, file.parent / "last")
    between = file.parent / "between"
    between.mkdir()
    (between / "link").symlink_to(target)
    file.unlink()
    file.symlink_to(between / "link")
    return between


@pytest.fixture(
    params=[
        *(pytest.param(spoil, id=name) for name, spoil in EXPOSED.items()),
        *(pytest.param(spoil, id=f"of-{name}", marks=as_root) for name, spoil in FOREIGN.items()),
    ]
)
def exposed(request: pytest.FixtureRequest, file: Path) -> Path:
    """The file, which another user could change."""
    request.param(file)
    return file


def test_a_file_that_others_can_change(
    exposed: Path, other: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is passed over with one warning that names it, the reason, and the way out."""
    for _ in range(2):
        assert find_ca({"rds_iam_ca": None}, INSTANCE) == str(other)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    for part in (f"CA file {exposed} is passed over", f"{other} is used", "with rds_iam_ca"):
        assert part in record.message
    assert "can be written by others (mode 0" in record.message or "the id 12345" in record.message


def test_the_only_file(exposed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no other one, the error has it."""
    with pytest.raises(ConfigError, match="no CA bundle found") as caught:
        find_ca({"rds_secret_ca": None}, INSTANCE)
    assert f"others can change it: {exposed} (" in str(caught.value)
    assert "name it with rds_secret_ca" in str(caught.value)
    assert caplog.records == []


def test_a_named_file(exposed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a file has chosen it, by option or by PGSSLROOTCERT."""
    assert find_ca({"rds_iam_ca": str(exposed)}, INSTANCE) == str(exposed)
    monkeypatch.setenv("PGSSLROOTCERT", str(exposed))
    assert find_ca({}, INSTANCE) == str(exposed)


SAFE: dict[str, Callable[[Path], object]] = {
    "as-it-is": lambda _: None,
    "read-by-all": lambda file: (file.chmod(0o644), file.parent.chmod(0o755)),
    "sticky": lambda file: file.parent.chmod(0o1777),
    "link": lambda file: _linked(file, file.parent / "x"),
    "link-to-a-link": _through,
}


@pytest.mark.parametrize("change", SAFE.values(), ids=SAFE)
def test_a_file_that_only_its_owner_can_change(
    change: Callable[[Path], object], file: Path, other: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Others may read it, and be in a sticky directory with it."""
    change(file)
    assert find_ca({}, INSTANCE) == str(file)
    assert caplog.records == []


def test_read_only_mounts(exposed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No user can write to a read-only mount, as of Kubernetes, whatever the mode or the links."""
    asked = []

    def statvfs(path: str | Path) -> os.statvfs_result:
        asked.append(Path(path))
        found = list(real(path))
        found[8] |= os.ST_RDONLY
        return os.statvfs_result(found)

    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", statvfs)
    assert find_ca({}, INSTANCE) == str(exposed)
    assert asked


@as_root
def test_a_volume_of_kubernetes(tmp_path: Path) -> None:
    """A real read-only mount, where this machine allows to make one."""
    volume, mount = tmp_path / "volume", tmp_path / "mount"
    for each in (volume, mount, volume / "..2026"):
        each.mkdir()
    (volume / "..2026" / "ca.pem").write_text("x")
    (volume / "..data").symlink_to("..2026")
    (volume / "ca.pem").symlink_to("..data/ca.pem")
    for each in (volume, volume / "..2026"):
        each.chmod(0o777)
    assert ownership.exposed(volume / "ca.pem") is not None
    if os.system(f"mount --bind {volume} {mount} 2>/dev/null") != 0:
        pytest.skip("mounting is not allowed here")
    try:
        os.system(f"mount -o remount,ro,bind {mount}")
        assert ownership.exposed(mount / "ca.pem") is None
    finally:
        os.system(f"umount {mount}")


def test_a_circle_of_links(tmp_path: Path) -> None:
    """It leads nowhere, and is said to."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "symbolic links" in str(ownership.exposed(tmp_path / "a"))
    assert "No such file" in str(ownership.exposed(tmp_path / "none"))


def test_a_system_without_owners(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: a file is not passed over for what cannot be known."""
    file.chmod(0o666)
    monkeypatch.delattr(os, "geteuid")
    assert find_ca({}, INSTANCE) == str(file)


def test_public_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of the system are looked for, too; SSL_CERT_FILE names them, and botocore has some."""
    exposed, named = tmp_path / "roots.pem", tmp_path / "named.pem"
    for each in (exposed, named):
        trustme.CA().cert_pem.write_to_path(str(each))
        each.chmod(0o666)
    monkeypatch.setattr(public_roots, "files", lambda: ["", str(exposed)])
    assert find_ca({}, PROXY) == next(public_roots.shipped())
    assert str(exposed) in caplog.text
    monkeypatch.setattr(public_roots, "files", lambda: [str(named), str(exposed)])
    assert find_ca({}, PROXY) == str(named)


def test_what_is_downloaded_is_found(home: Path) -> None:
    """Whatever the umask: the cache that we make is one that counts."""
    umask = os.umask(0)
    try:
        made = private_files.keep(trustme.CA().cert_pem.bytes(), "global-bundle.pem")
    finally:
        os.umask(umask)
    assert find_ca({}, INSTANCE) == str(made)
    assert stat.S_IMODE(made.parent.parent.stat().st_mode) == 0o700
