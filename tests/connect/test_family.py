"""A family of databases that was made up here connects without the listener knowing of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from inside import Inside
from rds_secret_support import secret_url
from sqlalchemy import URL, create_engine, event, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.pool import NullPool

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam import ConfigError, rds_iam_stats
from sqlalchemy_rds_iam._databases import dialing, driver_tls, known
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._databases.token_causes import Cause
from sqlalchemy_rds_iam.testing import RdsEmulator

PACKAGE = Path(sqlalchemy_rds_iam.__file__).parent
SAID = "the doorman shook his head"


class RefusedError(Exception):
    """What the made-up driver says instead of PostgreSQL's words."""


class MadeUpDialect(PGDialect_psycopg2):
    """psycopg2 as the driver of another database, with other names for its arguments."""

    name, driver = "madeup", "otherpg"
    supports_statement_cache = True

    def create_connect_args(self, url: URL) -> Any:
        """As of PostgreSQL, under the names of this driver."""
        cargs, cparams = super().create_connect_args(url)
        return cargs, _renamed(cparams, {"user": "username", "dbname": "db"})

    def connect(self, *cargs: Any, **cparams: Any) -> Any:
        """Connect, and refuse in words of its own."""
        names = {"username": "user", "db": "dbname", "passwd": "password"}
        assert not cparams.keys() & set(names.values())
        try:
            return super().connect(*cargs, **_renamed(cparams, names))
        except psycopg2.OperationalError as error:
            raise (RefusedError(SAID) if "authentication failed" in str(error) else error) from None


def _renamed(arguments: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in arguments.items()}


MADE_UP = POSTGRESQL._replace(
    name="madeup",
    backends=("madeup",),
    title="MadeUp",
    example="madeup+otherpg",
    port=15432,
    longest_name=20,
    is_refusal=lambda error: SAID in str(error),
    is_throttled=lambda _error: False,
    causes=lambda login, _said: [
        Cause("list", f"the doorman has no list with {login.endpoint.user!r} on it")
    ],
)
ROW = Driver(
    MADE_UP,
    driver_tls.libpq,
    dialing.libpq,
    "db",
    user="username",
    password="passwd",
    libpq="psycopg2",
)


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register("madeup.otherpg", __name__, "MadeUpDialect")
    monkeypatch.setitem(known.DRIVERS, "otherpg", ROW)
    monkeypatch.setitem(known._MODULES, "otherpg", "psycopg2")
    monkeypatch.setitem(known.FAMILIES, "madeup", MADE_UP)


def _engine(rds: RdsEmulator, **kwargs: Any) -> Any:
    url = rds.url("postgresql+psycopg2").set(drivername="madeup+otherpg")
    return create_engine(url, poolclass=NullPool, **kwargs)


def test_it_connects(rds: RdsEmulator) -> None:
    """By token, through the same listener, and with counts of its own."""
    engine = _engine(rds)
    with engine.connect() as connection:
        assert connection.scalar(text("select current_user")) == engine.url.username
    assert rds_iam_stats(engine).connects == 1
    assert not Inside(engine).plan.target.arguments.keys() & {"user", "dbname", "password"}


def test_its_refusals(rds: RdsEmulator) -> None:
    """Its own words count for a refusal, and its own cause is in the note."""
    engine = _engine(rds, rds_iam_throttle_retry=False)
    rds.key.principal.db_users = frozenset({"report"})
    try:
        with pytest.raises(RefusedError) as caught:
            engine.connect()
    finally:
        rds.key.principal.db_users = None
    assert rds_iam_stats(engine).refused >= 1
    [note] = caught.value.__notes__
    assert "the doorman has no list with 'app' on it" in note
    assert "madeup+otherpg://app@" in note
    assert "GRANT" not in note


def test_its_later_listeners(rds: RdsEmulator) -> None:
    """A listener that sends the token to another user is refused, whatever that is called."""
    engine = _engine(rds)

    def change(_dialect: Any, _record: Any, _cargs: Any, cparams: Any) -> None:
        assert cparams["passwd"]
        cparams["username"] = "other"

    event.listen(engine, "do_connect", change)
    with pytest.raises(ConfigError, match="changes username from 'app' to 'other'"):
        engine.connect()


def test_its_port_and_names(ca: str) -> None:
    """Its default port is signed, and its limit of names holds."""
    url = URL.create("madeup+otherpg", "app", host="db.abc123.us-east-1.rds.amazonaws.com")
    url = url.update_query_dict({"plugin": "rds_iam"})
    engine = create_engine(url)
    assert Inside(engine).plan.target.endpoint.port == 15432
    with pytest.raises(
        ConfigError, match="MadeUp keeps 20: it would look for 'aaaaaaaaaaaaaaaaaaaa'"
    ):
        create_engine(url.set(username="a" * 21))
    with pytest.raises(ConfigError, match="such as 15432"):
        create_engine(url, connect_args={"port": "http"})
    with pytest.raises(ConfigError, match=r"madeup\+otherpg://USER@host/database"):
        create_engine(url._replace(username=None))


def test_its_secrets(rds: RdsEmulator) -> None:
    """A secret fills in what its driver calls the user and the database."""
    rds.secrets.create("made/up", "keeper", engine="madeup")
    engine = create_engine(secret_url(rds, "made/up", "madeup+otherpg"), poolclass=NullPool)
    with engine.connect() as connection:
        assert connection.scalar(text("select current_user")) == "keeper"


# Where PostgreSQL is the subject, or a URL of one an example.
ALLOWED = {
    "__init__.py",
    "_masking.py",  # variables with passwords
    "_passwords/password.py",  # why it can be called
    "_requirements.py",  # what brings the drivers
    "_connecting/runtime.py",  # an example
    "_routing/settings.py",  # examples
    "_config/parsers.py",  # whose words they are
    "_secretsmanager/rotation.py",  # an error of one of its drivers
    "_tls/ca_bundle.py",  # why bundles are narrowed
    "_tls/public_roots.py",  # whose rule it is
    "_tls/trust.py",  # whose words the levels are
    "_aws/sigv4.py",  # a title
    "_tools/libpq_environment.py",
}
WORDS = re.compile(r"postgres|libpq|5432|psycopg|asyncpg|pg8000|\bPG[A-Z]{3,}", re.IGNORECASE)


def test_no_other_module_knows_a_family() -> None:
    """The names of one family's things are in its own folder, and where it is the subject."""
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    ours = {
        name
        for name in files
        if name.split("/")[0] not in {"_databases", "testing", "doctor", "cli"}
    }
    assert len(ours) > 60
    found = {name for name in ours if WORDS.search(files[name].read_text("utf-8"))}
    assert found <= ALLOWED, found - ALLOWED
    assert found == ALLOWED, f"not needed: {ALLOWED - found}"
