"""What each driver makes of a CA bundle as large as Amazon's, and what keeps that in order."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ca_support import BUNDLE, own_ca
from patience import DEADLINE
from tls_support import LIBPQ, asked
from worlds import on

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.testing import RdsEmulator

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
libpq_worlds = on("psycopg", "psycopg-async", "psycopg2")


def _target(driver: str, config: IamOptions | None = None, **cparams: Any) -> Target:
    where = {"host": HOST, DRIVERS[driver].user: "app"} | cparams
    return DRIVERS[driver].target(where, config or IamOptions(), lambda: None)


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A CA bundle like Amazon's where every engine of the test finds it."""
    file = tmp_path / "global-bundle.pem"
    file.write_bytes(BUNDLE)
    monkeypatch.setenv("PGSSLROOTCERT", str(file))
    monkeypatch.setattr(trust, "_RDS_BUNDLES", (str(file),))
    return str(file)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_bundle_is_narrowed_to_the_region(driver: str, bundled: str) -> None:
    """Of Amazon's bundle, every driver is given what concerns the region of the host."""
    found = asked(driver, _target(driver).arguments)
    assert found.ca != bundled
    names = [dict(part for (part,) in each["subject"]) for each in found.trusted]
    assert len(names) == (3 if found.ca else 5)
    assert not [name for name in names if "eu-west-1" in name["commonName"]]
    assert [name for name in names if "us-east-1" in name["commonName"]]


@pytest.mark.parametrize("driver", LIBPQ)
def test_what_is_not_narrowed(driver: str, bundled: str, ca: str) -> None:
    """A file named in libpq's own words, one of the user's own, or for an unknown region."""
    whole = [
        (_target(driver), ca),
        (_target(driver, sslrootcert=bundled), bundled),
        (
            _target(driver, IamOptions(region="us-east-1", ca=bundled), host="db.example.com"),
            bundled,
        ),
        # libpq would not verify at all if this one were missing.
        (_target(driver, IamOptions(tls="require", ca=bundled)), bundled),
    ]
    for target, file in whole:
        assert (target.arguments["sslrootcert"], target.watched) == (file, None)
    assert target.arguments["sslmode"] == "require"


def test_without_a_place_the_bundle_stays_whole(
    bundled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file can be kept from others, libpq reads the whole bundle, as without us."""
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nonexistent"))
    assert _target("psycopg").arguments["sslrootcert"] == bundled


@pytest.mark.parametrize("driver", DRIVERS)
def test_trust_leaves_a_trace(driver: str, bundled: str, caplog: pytest.LogCaptureFixture) -> None:
    """The debug log says which CA file was found, and how much of it is read from where."""
    caplog.set_level("DEBUG", "sqlalchemy_rds_iam")
    own = asked(driver, _target(driver).arguments).ca or bundled
    (line,) = [r.getMessage() for r in caplog.records if bundled in r.getMessage()]
    # A context is made once, and keeps what has expired, which verifies nothing.
    count = 3 if own != bundled else 5
    assert line == (
        f"{count} of the 121 certificates in {bundled} are trusted (region us-east-1), read from "
        f"{own}"
    )


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_broken_certificate(driver: str, bundled: str) -> None:
    """A CA file that cannot be parsed shows before the first connect."""
    for broken in (
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n!\n",
    ):
        Path(bundled).write_bytes(BUNDLE + broken)
        with pytest.raises(ConfigError, match=r"global-bundle\.pem|us-east-1-"):
            _target(driver)


@libpq_worlds
def test_a_narrowed_bundle_verifies(rds: RdsEmulator, narrowing: tuple[Any, Path]) -> None:
    """With the region's part alone a good server is believed, and a bad one is not."""
    database, file = narrowing
    assert len(own_ca(database).read_bytes()) < len(file.read_bytes()) / 8
    assert database.scalar("select 1") == 1
    rds.gateway.certificate = rds.certificates.unrelated()
    assert "certificate" in str(database.raises(Exception))


@pytest.mark.parametrize("driver", LIBPQ)
def test_a_server_that_changes_its_user(rds: RdsEmulator, driver: str) -> None:
    """An engine made as root goes on after a fork and as another user, who has a file of his."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        file = Path(directory, "global-bundle.pem")
        file.write_bytes(BUNDLE + rds.ca_file.read_bytes())
        (temporary := Path(directory, "tmp")).mkdir()
        temporary.chmod(0o1777)
        # The first user's file is there to be seen, but not to be read.
        Path(directory, ".cache", "sqlalchemy-rds-iam").mkdir(parents=True)
        code = (
            "import os, sys\n"
            "from sqlalchemy import create_engine\n"
            "from sqlalchemy.pool import NullPool\n"
            "engine = create_engine(sys.argv[1], poolclass=NullPool)\n"
            "engine.connect().close()\n"
            "if child := os.fork():\n"
            "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "engine.connect().close()\n"
        )
        url = rds.url(f"postgresql+{driver}", rds_iam_ca=str(file))
        done = subprocess.run(
            [sys.executable, "-c", code, url.render_as_string()],
            env=os.environ | {"HOME": directory, "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (made,) = temporary.glob("*/*.pem")
        assert made.stat().st_uid == 65534
