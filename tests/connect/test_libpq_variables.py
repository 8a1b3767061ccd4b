"""Variables of PostgreSQL's clients in the environment: none keeps a token from its server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import psycopg
import psycopg2
import pytest
from sqlalchemy.pool import NullPool
from worlds import POSTGRESQL, WORLDS, on

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._databases import libpq_variables
from sqlalchemy_rds_iam._databases.postgresql import DRIVERS
from sqlalchemy_rds_iam.testing import RdsEmulator

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
NO_SERVER = "127.0.0.9"
LIBPQ = [name for name in WORLDS if "psycopg" in name]

IN_THE_WAY = [
    ("PGHOSTADDR", NO_SERVER),
    ("PGREQUIREAUTH", "scram-sha-256"),
    ("PGREQUIREAUTH", "!password"),
    ("PGREQUIREAUTH", ""),
    ("PGCHANNELBINDING", "require"),
    ("PGSSLCERTMODE", "require"),
    ("PGSSLMINPROTOCOLVERSION", "TLSv1"),
    ("PGSSLMINPROTOCOLVERSION", ""),
    ("PGSSLMAXPROTOCOLVERSION", "TLSv1.1"),
]
HARMLESS = [
    ("PGREQUIREPEER", "postgres"),
    ("PGSSLMODE", "disable"),
    ("PGGSSENCMODE", "require"),
    ("PGREQUIRESSL", "0"),
    ("PGPASSWORD", "of another"),
    ("PGPASSFILE", "/nonexistent"),
    ("PGHOST", NO_SERVER),
    ("PGPORT", "1"),
    ("PGUSER", "another"),
    ("PGSSLROOTCERT", "system"),
    ("PGSSLROOTCERT", "/nonexistent"),
    ("PGSSLMINPROTOCOLVERSION", "TLSv1.3"),
    ("PGSSLNEGOTIATION", "direct"),
    ("PGTARGETSESSIONATTRS", "read-write"),
    ("PGTARGETSESSIONATTRS", ""),
]


@pytest.mark.parametrize(("name", "value"), [*IN_THE_WAY, *HARMLESS])
@on(*POSTGRESQL)
def test_no_variable_is_in_the_way(
    connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """With every driver."""
    monkeypatch.setenv(name, value)
    database = connect(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    assert database.scalar("select 1") == 1


@pytest.mark.parametrize(("name", "value"), IN_THE_WAY)
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_what_is_overruled_is_said(
    driver: str,
    name: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ca: str,
) -> None:
    """In the log; and the driver is told no more than it needs."""
    __import__(driver)
    caplog.set_level(logging.INFO, "sqlalchemy_rds_iam")
    where = {"host": HOST, "user": "app"}
    plain = DRIVERS[driver].target(where, IamOptions(), lambda: None).arguments
    monkeypatch.setenv(name, value)
    told = DRIVERS[driver].target(where, IamOptions(), lambda: None).arguments
    variable = libpq_variables.IN_THE_WAY[name]
    assert told == plain | {variable.keyword: variable.harmless}
    assert f"{name} of the environment is in the way" in caplog.text


@pytest.mark.parametrize("version", [0, 12_00_22, 15_00_04])
def test_an_older_libpq(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not told what it does not know, and does not know the variable either."""
    for name, value in IN_THE_WAY:
        monkeypatch.setenv(name, value)
    told = libpq_variables.overruled({}, IamOptions(), version)
    assert "require_auth" not in told
    assert ("channel_binding" in told) == (version > 13_00_00)
    assert told["hostaddr"] == ""


def test_passwords_may_be_sent_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What forbids clear passwords is no hindrance to rds_secret, and stays."""
    config = SecretOptions.take({"rds_secret_id": "x"}, {})
    monkeypatch.setenv("PGREQUIREAUTH", "scram-sha-256")
    monkeypatch.setenv("PGCHANNELBINDING", "require")
    monkeypatch.setenv("PGHOSTADDR", NO_SERVER)
    assert libpq_variables.overruled({}, config, 18_00_00) == {"hostaddr": ""}
    named = {"require_auth": "scram-sha-256", "channel_binding": "require"}
    assert libpq_variables.overruled(named, config, 18_00_00) == {"hostaddr": ""}
    monkeypatch.setenv("PGREQUIREAUTH", "")
    assert "require_auth" in libpq_variables.overruled({}, config, 18_00_00)


@pytest.mark.parametrize("world", LIBPQ, indirect=True)
def test_the_url_says_where_to(
    rds: RdsEmulator, world: tuple[str, bool], databases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dialled by name, the server is the one of the URL, and PGHOSTADDR has no say."""
    monkeypatch.setenv("PGHOSTADDR", NO_SERVER)
    url = rds.url(world[0], rds_iam_region="us-east-1").set(host="localhost")
    url = url.difference_update_query(["rds_iam_host", "rds_iam_port"])
    # Its token is for localhost, so the emulator is reached and refuses it.
    error = databases(url, is_async=world[1]).raises(Exception)
    assert "PAM authentication failed" in str(error)
    assert rds.decisions != []


@pytest.mark.parametrize("world", LIBPQ, indirect=True)
def test_a_service(connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before all variables, so that it might say as much as they."""
    service = tmp_path / "service.conf"
    service.write_text(
        f"[elsewhere]\nhostaddr={NO_SERVER}\nrequire_auth=scram-sha-256\nchannel_binding=require\n"
        "sslmode=disable\nport=1\npassword=x\nssl_min_protocol_version=TLSv1\n"
        "application_name=mine\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    assert connect().scalar("show application_name") == "mine"
    monkeypatch.setenv("PGSERVICE", "unknown")
    notes = connect().raises(Exception).__notes__
    assert "PGSERVICE='unknown' of the environment" in notes[0]


@pytest.mark.parametrize("world", LIBPQ, indirect=True)
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"require_auth": "scram-sha-256"}, "require_auth='scram-sha-256' forbids"),
        ({"require_auth": "md5, scram-sha-256"}, "forbids"),
        ({"require_auth": "!password"}, "forbids"),
        ({"channel_binding": "require"}, "channel_binding='require' cannot be met"),
        ({"ssl_min_protocol_version": "TLSv1.1"}, "allows TLS before 1.2"),
    ],
)
def test_what_cannot_work_is_refused(connect: Any, given: dict[str, str], says: str) -> None:
    """Said in the URL or in connect_args, it is the user's word, and an error of the engine's."""
    with pytest.raises(ConfigError, match=says):
        connect(options=given)
    with pytest.raises(ConfigError, match=says):
        connect(connect_args=given)


@pytest.mark.parametrize("world", LIBPQ, indirect=True)
@pytest.mark.parametrize(
    "given",
    [
        {"require_auth": "password"},
        {"require_auth": "password,scram-sha-256"},
        {"require_auth": "!gss,!sspi"},
        {"require_auth": ""},
        {"channel_binding": "disable"},
        {"ssl_min_protocol_version": "TLSv1.3"},
        {"ssl_min_protocol_version": ""},
    ],
)
def test_what_works_is_left_alone(
    connect: Any, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own word comes before the environment's, and is not overruled with it."""
    monkeypatch.setenv("PGREQUIREAUTH", "scram-sha-256")
    monkeypatch.setenv("PGCHANNELBINDING", "require")
    assert connect(connect_args=given).scalar("select 1") == 1


def _knows_negotiation(driver: str) -> bool:
    libpq = {"psycopg": psycopg.pq.version(), "psycopg2": psycopg2.__libpq_version__}
    return libpq.get(driver, 170000) >= 170000


@pytest.mark.parametrize(
    ("name", "value", "minds"),
    [
        ("PGSSLNEGOTIATION", "", {"psycopg", "psycopg2", "asyncpg"}),
        ("PGLOADBALANCEHOSTS", "", {"psycopg", "psycopg2"}),
        ("PGSERVICE", "", {"psycopg", "psycopg2"}),
        ("PGTZ", "Nowhere", {"psycopg", "psycopg2"}),
        ("PGGSSLIB", "", {"asyncpg"}),
    ],
)
@on(*POSTGRESQL)
def test_what_is_left_alone_is_named(
    connect: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str, minds: set[str]
) -> None:
    """What the user may well want is left alone; the error says where it comes from."""
    monkeypatch.setenv(name, value)
    database = connect()
    if name == "PGSSLNEGOTIATION" and not _knows_negotiation(database.engine.dialect.driver):
        pytest.skip("needs libpq 17")
    if database.engine.dialect.driver not in minds:
        assert database.scalar("select 1") == 1
        return
    (note,) = database.raises(Exception).__notes__
    assert f"{name}={value!r} of the environment" in note


@on(*POSTGRESQL)
def test_a_proxy_takes_no_options(
    connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What RDS Proxy says of them gets a note that names where they are."""
    for apostrophe in ("'", "\N{RIGHT SINGLE QUOTATION MARK}"):
        words = f"Feature not supported: RDS Proxy currently doesn{apostrophe}t support "
        rds.gateway.answer = ("0A000", f"{words}command-line options.")
        (note,) = connect().raises(Exception).__notes__
        assert note.startswith("rds_iam: an RDS Proxy takes no command-line options")
        assert "PGOPTIONS of the environment" in note
        assert "ALTER ROLE" in note


@pytest.mark.parametrize("world", LIBPQ, indirect=True)
def test_options_of_the_url(connect: Any, rds: RdsEmulator) -> None:
    """They are told from those of the environment."""
    rds.gateway.answer = ("0A000", "RDS Proxy currently doesn't support command-line options.")
    (note,) = connect(options={"options": "-csearch_path=x"}).raises(Exception).__notes__
    assert "which options= would send" in note
