"""A certificate that is not accepted: the note says whom was trusted and why, and what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from ca_support import BUNDLE, without
from sqlalchemy.pool import NullPool
from worlds import POSTGRESQL, TUNNELLING, WORLDS, on, worlds

from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.testing import RdsEmulator

PROXY = "app-db.proxy-c0ffee123456.us-east-1.rds.amazonaws.com"
TELL = {"asyncpg", "pg8000", "pymysql", "asyncmy"}
"""The drivers that take an SSL context of ours, which tells who issued what it turns down."""

Failed = Callable[..., str]


@pytest.fixture(params=worlds(TUNNELLING))
def world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """The drivers whose name look-up is Python's, or that are told an address beside the name."""
    return WORLDS[request.param]


@pytest.fixture
def failed(
    rds: RdsEmulator,
    world: tuple[str, bool],
    databases: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Failed:
    """Connect to a host by its own name, at which the emulator answers, and return the note."""
    drivername, is_async = world
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if parse_host(str(host)).partition else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def fail(host: str | None = None, **options: str) -> str:
        host = host or rds.endpoint.host
        url = rds.url(drivername, **options).set(host=host)
        url = url.difference_update_query(["rds_iam_host", "rds_iam_port"])
        if "rds_iam_ca" not in options:
            url = url.difference_update_query(["rds_iam_ca"])
        arguments = {"hostaddr": "127.0.0.1"} if "psycopg" in drivername else {}  # libpq
        database = databases(url, is_async=is_async, connect_args=arguments, poolclass=NullPool)
        error = database.raises(Exception)
        assert rds.decisions == []
        note = "\n".join(getattr(error, "__notes__", [])) or repr(error)
        assert f"the server's certificate was not accepted for '{host}'" in note
        told = database.engine.dialect.driver in TELL
        assert ("issued by " in note) == told
        assert ("rds-iam doctor shows who issued" in note) != told
        return note

    return fail


def _pem(path: Path, content: bytes | None = None) -> str:
    path.write_bytes(content or trustme.CA().cert_pem.bytes())
    return str(path)


@on(*POSTGRESQL)
def test_the_word_system(failed: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGSSLROOTCERT=system by mistake: RDS is not certified by public roots."""
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    note = failed()
    assert "RDS has authorities of its own" in note
    assert "take PGSSLROOTCERT back, and use Amazon's bundle" in note
    assert f"checked with  {trust.system_roots()} (PGSSLROOTCERT)" in note
    assert "take rds_iam_ca back" in failed(rds_iam_ca="system")


def test_an_old_bundle(failed: Failed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the region was opened, or of another one."""
    file = _pem(tmp_path / "old.pem", without("us-east-1"))
    monkeypatch.setattr(trust, "_RDS_BUNDLES", (file,))
    note = failed()
    assert "is one of RDS for us-east-1" in note
    assert trust.BUNDLE_URL in note
    assert f"checked with  {file} (a well-known place)" in note


def test_something_between(
    failed: Failed, tmp_path: Path, rds: RdsEmulator, world: tuple[str, bool]
) -> None:
    """The bundle is about the region, so what is shown may not be Amazon's; or it has expired.

    A context keeps what has expired, so that OpenSSL tells. A file does not.
    """
    file = _pem(tmp_path / "bundle.pem", BUNDLE)
    note = failed(rds_iam_ca=file)
    assert "something between may end TLS" in note
    assert f"checked with  {file} (rds_iam_ca)" in note
    assert ("2019 CA' has expired, and is left out" in note) == ("psycopg" in world[0])


@pytest.mark.parametrize("bad", ["other_host", "expired"])
def test_the_right_authority(failed: Failed, rds: RdsEmulator, bad: str) -> None:
    """Another server, or a clock."""
    rds.gateway.certificate = getattr(rds.certificates, bad)()
    note = failed(rds_iam_ca=str(rds.ca_file))
    assert f"checked with  {rds.ca_file} (rds_iam_ca)" in note
    if bad == "other_host":
        assert "what answers is another server" in note


def test_a_bundle_named_for_a_proxy(
    failed: Failed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy is certified by public roots, and what is named is all that counts."""
    file = _pem(tmp_path / "bundle.pem", BUNDLE)
    note = failed(PROXY, rds_iam_ca=file)
    assert "an RDS Proxy is certified by public roots, and rds_iam_ca is all that counts" in note
    assert "leave it out, or say rds_iam_ca=system" in note
    # The one variable for all servers is for those that Amazon's bundle is for.
    monkeypatch.setenv("PGSSLROOTCERT", file)
    assert f"checked with  {trust.system_roots()} (the system's" in failed(PROXY)


def test_a_private_proxy(
    rds: RdsEmulator,
    world: tuple[str, bool],
    databases: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With any driver, a certificate by a public root does not do where a file is named."""
    monkeypatch.setenv("SSL_CERT_FILE", str(rds.ca_file))
    rds.gateway.certificate = rds.certificates.other_host(PROXY)
    file = _pem(tmp_path / "named.pem")
    url = rds.url(world[0], rds_iam_host=PROXY, rds_iam_ca=file)
    error = databases(url, is_async=world[1]).raises(Exception)
    assert "an RDS Proxy is certified by public roots, and rds_iam_ca is all" in error.__notes__[0]
    assert rds.decisions == []
    # By the system's roots it goes as far as to the token, which is for another host.
    for ca in ({"rds_iam_ca": "system"}, {}):
        url = rds.url(world[0], rds_iam_host=PROXY).difference_update_query(["rds_iam_ca"])
        database = databases(url.update_query_dict(ca), is_async=world[1])
        assert database.words.refused in str(database.raises(Exception))


def test_a_secret(log_in: Any, secret: Any, rds: RdsEmulator, tmp_path: Path) -> None:
    """The same for passwords, in the words of that plugin."""
    file = _pem(tmp_path / "bundle.pem", BUNDLE)
    (note,) = log_in(secret, {"rds_secret_ca": file}).raises(Exception).__notes__
    assert note.startswith("rds_secret: ")
    assert f"checked with  {file} (rds_secret_ca)" in note
    assert secret.fields()["password"] not in note


@pytest.mark.parametrize("world", ["asyncpg", "pg8000"], indirect=True)
def test_a_context_of_the_users_own(
    rds: RdsEmulator, world: tuple[str, bool], databases: Any, tmp_path: Path
) -> None:
    """It is not ours, so the note says no more than that."""
    own = ssl.create_default_context(cafile=_pem(tmp_path / "own.pem"))
    argument = {"ssl" if world[1] else "ssl_context": own}
    error = databases(rds.url(world[0]), is_async=world[1], connect_args=argument).raises(Exception)
    assert "SSL context is your own" in error.__notes__[0]
    assert "checked with" not in error.__notes__[0]
