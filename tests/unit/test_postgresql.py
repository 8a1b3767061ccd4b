"""PostgreSQL's row of facts, and its drivers', held to what SQLAlchemy and the drivers say."""

from __future__ import annotations

import inspect
import socket
import threading
from types import SimpleNamespace
from typing import Any

import asyncpg
import pg8000
import psycopg
import pytest
from patience import DEADLINE
from psycopg.pq import Conninfo
from sqlalchemy import make_url

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._databases import dialing
from sqlalchemy_rds_iam._databases.postgresql import (
    DRIVERS,
    POSTGRESQL,
    is_refusal,
    is_throttled,
)

HOST = "db.abc.us-east-1.rds.amazonaws.com"
LIBPQ = {option.keyword.decode() for option in Conninfo.get_defaults()}
KNOWN: dict[str, set[str]] = {
    "psycopg": LIBPQ,
    "psycopg2": LIBPQ,
    "asyncpg": set(inspect.signature(asyncpg.connect).parameters),
    "pg8000": set(inspect.signature(pg8000.connect).parameters),
}
EVERY_DRIVER = pytest.mark.parametrize("name", DRIVERS)


def test_drivers() -> None:
    """These are the drivers, by SQLAlchemy's names, and the example is of one of them."""
    assert set(DRIVERS) == set(KNOWN)
    url = make_url(f"{POSTGRESQL.example}://")
    assert url.get_backend_name() == POSTGRESQL.name
    assert url.get_driver_name() in DRIVERS
    assert POSTGRESQL.title == "PostgreSQL"


@EVERY_DRIVER
def test_names_of_arguments(name: str) -> None:
    """User, password and database are called what SQLAlchemy's dialect calls them."""
    url = make_url(f"postgresql+{name}://u@{HOST}:1/d").set(password="p")
    _, cparams = url.get_dialect()().create_connect_args(url)
    driver = DRIVERS[name]
    assert [cparams[key] for key in (driver.user, driver.password, driver.database)] == list("upd")
    assert {"host", "port", driver.user, driver.password, driver.database} == set(cparams)


@EVERY_DRIVER
def test_arguments_that_are_added(ca: str, name: str) -> None:
    """What is added is what the driver knows; TLS is verified, and 5432 is the port by default."""
    driver = DRIVERS[name]
    cparams = {"host": HOST, driver.user: "app"}
    target = driver.target(cparams, IamOptions.take({}, {}), lambda: None)
    assert target.endpoint == (HOST, 5432, "app", "us-east-1")
    assert set(target.arguments) <= KNOWN[name]
    tls = set(target.arguments) & {"sslmode", "sslrootcert", "ssl", "ssl_context"}
    assert tls == {
        "asyncpg": {"ssl"},
        "pg8000": {"ssl_context"},
    }.get(name, {"sslmode", "sslrootcert"})


@EVERY_DRIVER
def test_libpq(name: str) -> None:
    """Those that are made of libpq say so by the module that has it."""
    assert DRIVERS[name].libpq == (name if name.startswith("psycopg") else None)


def test_where_the_ca_file_is_looked_for() -> None:
    """Where libpq looks: its variable, then its file below the home directory."""
    assert POSTGRESQL.ca_places == ("PGSSLROOTCERT", ".postgresql/root.crt")


def test_facts() -> None:
    """Facts of PostgreSQL's own: its name in TLS, and how many bytes of a user's name count."""
    assert POSTGRESQL.alpn == "postgresql"
    assert POSTGRESQL.longest_name == 63


def _failed_connect(**cparams: Any) -> psycopg.Error:
    """What psycopg says of a connect to a port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(host="127.0.0.1", port=port, user="app", **cparams)
    return caught.value


def test_no_password_in_what_psycopg_keeps() -> None:
    """Of a failed connection's settings, which psycopg keeps, all but the passwords stay."""
    error = _failed_connect(password="canary", sslpassword="canary", dbname="app")
    kept: Any = error.pgconn
    assert kept.password == b"canary"
    POSTGRESQL.forget(error)
    assert kept.password == b""
    assert "canary" not in repr([(each.keyword, each.val) for each in kept.info])
    left = {each.keyword: each.val for each in kept.info}
    assert left[b"dbname"] == b"app"
    assert not {b"password", b"sslpassword"} & set(left)


def test_other_errors_are_left_alone() -> None:
    """What has nothing of that kind, or a connection that goes on, is not touched."""

    class Connection:
        password = b"kept"

    error = Exception("refused")
    POSTGRESQL.forget(error)
    error.pgconn = Connection()  # type: ignore[attr-defined]
    POSTGRESQL.forget(error)
    assert error.pgconn.password == b"kept"  # type: ignore[attr-defined]


THROTTLED = (
    "The IAM authentication failed because of too many competing requests.",
    "Rate of connection to proxy exceeded 100.",
)


class _CodedError(Exception):
    def __init__(self, text: str, **codes: str) -> None:
        super().__init__(text)
        self.__dict__.update(codes)


@pytest.mark.parametrize("text", THROTTLED)
@pytest.mark.parametrize("wrapped", [False, True])
def test_throttled_is_not_refused(text: str, wrapped: bool) -> None:
    """What RDS Proxy throttles is that and no refusal, whatever its code, and however deep."""
    error: Exception = _CodedError(text, sqlstate="28000")
    if wrapped:
        error, cause = _CodedError("PAM authentication failed"), error
        error.__cause__ = cause
        assert is_refusal(error)  # what is said first counts
    else:
        assert not is_refusal(error)
    assert is_throttled(error)
    assert not is_throttled(_CodedError("too many connections"))


@pytest.mark.parametrize("attribute", ["sqlstate", "pgcode"])
def test_codes(attribute: str) -> None:
    """The SQLSTATE counts, wherever a driver has it; with another one the text does not."""
    assert is_refusal(_CodedError("no", **{attribute: "28P01"}))
    assert is_refusal(_CodedError("no", **{attribute: "28000"}))
    assert not is_refusal(_CodedError("authentication failed", **{attribute: "57P03"}))
    assert not is_refusal(_CodedError("no", **{attribute: "28001"}))
    wrapped = RuntimeError("(psycopg) it failed")
    wrapped.__cause__ = _CodedError("no", **{attribute: "28000"})
    assert is_refusal(wrapped)


def test_codes_of_pg8000() -> None:
    """pg8000 has a dictionary; one without the code is told by its words."""
    assert is_refusal(Exception({"C": "28P01", "M": "no"}))
    assert not is_refusal(Exception({"C": "57P03", "M": "authentication failed"}))
    assert is_refusal(Exception({"M": "authentication failed"}))
    assert not is_refusal(Exception("C28000"))
    assert not is_refusal(Exception("28000", {"C": "28000"}))
    assert is_refusal(Exception({"C": "28000"}, "while connecting"))


def test_dialling() -> None:
    """What keeps to no limit by argument, always or below greenlets, has its own way to connect."""
    ways = {name: driver.dial for name, driver in DRIVERS.items() if driver.dial}
    assert ways == {"pg8000": dialing.pg8000, "psycopg2": dialing.psycopg2}


class OperationalError(Exception):
    """psycopg2's error."""


def test_psycopg2_below_greenlets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a wait callback waits in the place of libpq, the limit is kept here; else by libpq."""
    never, place = threading.Event(), {"host": "db", "port": 5432}

    def made(callback: object) -> Any:
        extensions = SimpleNamespace(get_wait_callback=lambda: callback)
        dbapi = SimpleNamespace(extensions=extensions, OperationalError=OperationalError)
        connect = lambda **_: never.wait(DEADLINE)  # noqa: E731
        return SimpleNamespace(connect=connect, loaded_dbapi=dbapi)

    alone = made(None)
    assert dialing.psycopg2(alone, 30) is alone.connect
    green = made(never)
    with pytest.raises(OperationalError, match=r"no connection to db:5432 within 0\.01 s"):
        dialing.psycopg2(green, 0.01)(**place)
    with pytest.raises(OperationalError, match=r"within 0\.02 s"):
        dialing.psycopg2(green, DEADLINE)(**place, connect_timeout="0.02")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "0.03")
    with pytest.raises(OperationalError, match=r"within 0\.03 s"):
        dialing.psycopg2(green, DEADLINE)(**place)
    for none in (0, "0"):  # no limit, as libpq has it
        never.clear()
        threading.Timer(0.1, never.set).start()
        assert dialing.psycopg2(green, 0.01)(**place, connect_timeout=none) is True
