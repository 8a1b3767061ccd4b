"""MySQL's row of facts, its drivers' rows, and what counts as a refusal, held to the drivers."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._databases import known, mysql, mysql_versions, postgresql, user_names
from sqlalchemy_rds_iam._databases.arguments import _KNOWN
from sqlalchemy_rds_iam._databases.mysql import DRIVERS, MARIADB, MYSQL
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._passwords.password import IssuedPassword, MaskedStr

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
EVERY_DRIVER = pytest.mark.parametrize("name", DRIVERS)
REFUSED = "Access denied for user 'app'@'10.0.0.1' (using password: {})"


def errors(number: int, text: str, state: str = "28000") -> dict[str, Exception]:
    """An error as each installed driver raises it, by the name of the DBAPI."""
    found: dict[str, Exception] = {}
    pymysql = pytest.importorskip("pymysql")
    found["pymysql"] = pymysql.err.OperationalError(number, text)
    asyncmy = pytest.importorskip("asyncmy.errors")
    found["asyncmy"] = asyncmy.OperationalError(number, text)
    connector = pytest.importorskip("mysql.connector.errors")
    found["mysqlconnector"] = connector.ProgrammingError(text, errno=number, sqlstate=state)
    try:
        import mariadb
        import MySQLdb
    except ImportError:  # they may need a compiler
        return found
    found["mysqldb"] = MySQLdb.OperationalError(number, text)
    of_mariadb = mariadb.OperationalError(text)
    of_mariadb.errno = number
    found["mariadb"] = of_mariadb
    return found


def url_of(name: str, **more: Any) -> URL:
    """A URL with that driver."""
    backend = "mariadb" if name == "mariadbconnector" else "mysql"
    return URL.create(f"{backend}+{name}", "u", host=HOST, port=1, database="d", **more)


def test_families() -> None:
    """Each dialect has its family, and MariaDB is MySQL's but for names and how it is called."""
    assert known.family_of("mysql") is MYSQL
    assert known.family_of("mariadb") is MARIADB
    assert known.family_of("postgresql") is POSTGRESQL
    assert (MYSQL.title, MYSQL.longest_name, MYSQL.port) == ("MySQL", 32, 3306)
    assert (MARIADB.title, MARIADB.longest_name) == ("MariaDB", 128)
    assert MYSQL.alpn is None
    for family in (MYSQL, MARIADB):
        url = make_url(f"{family.example}://")
        assert url.get_backend_name() in family.backends
        assert url.get_driver_name() in DRIVERS
    with pytest.raises(ConfigError, match="'oracle' is not supported: expected postgresql or"):
        known.family_of("oracle")


def test_where_rows_are_found() -> None:
    """The tables of all families have the rows that the modules of the families have."""
    assert dict(known.DRIVERS) == {**postgresql.DRIVERS, **mysql.DRIVERS}
    assert dict(known.FAMILIES) == {**postgresql.FAMILIES, **mysql.FAMILIES}
    assert "oracledb" not in known.DRIVERS
    assert {each.name for each in known.FAMILIES.values()} == known._ENGINES.keys()


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("mysql", "mysql"),
        ("aurora-mysql", "mysql"),
        ("mariadb", "mysql"),
        ("postgres", "postgresql"),
    ],
)
def test_engines_in_secrets(engine: str, name: str) -> None:
    """What a secret of AWS calls a database is of one family."""
    assert known.family_in(engine) == name


def test_other_engines_in_secrets() -> None:
    """What is not known, or not said, is of none."""
    assert known.family_in("oracle-ee") is None
    assert known.family_in(None) is None


@EVERY_DRIVER
def test_names_of_arguments(name: str) -> None:
    """User, password and database are called what SQLAlchemy's dialect calls them."""
    url = url_of(name, password="p")
    try:
        _, cparams = url.get_dialect()().create_connect_args(url)
    except ImportError:
        pytest.skip(f"the driver of {name} is not installed")
    driver = DRIVERS[name]
    assert [cparams[key] for key in (driver.user, driver.password, driver.database)] == list("upd")


@EVERY_DRIVER
def test_arguments_that_are_added(ca: str, name: str) -> None:
    """What is added is what the driver knows, and 3306 is the port by default."""
    driver, options = DRIVERS[name], IamOptions.take({"rds_iam_ca": ca}, {})
    target = driver.target({"host": HOST, driver.user: "app"}, options, lambda: None)
    assert target.endpoint == (HOST, 3306, "app", "us-east-1")
    assert target.arguments["port"] == 3306
    limit = "connection_timeout" if name == "mysqlconnector" else "connect_timeout"
    assert target.arguments[limit] == 30
    try:
        dbapi = url_of(name).get_dialect().import_dbapi()
    except ImportError:
        pytest.skip(f"the driver of {name} is not installed")
    knows, _ = _KNOWN[name](dbapi)
    assert not [argument for argument in target.arguments if not knows(argument)]
    assert not knows("nonsense")


@EVERY_DRIVER
def test_the_users_limit(ca: str, name: str) -> None:
    """What the user says of a limit is left as it is."""
    driver, options = DRIVERS[name], IamOptions.take({"rds_iam_ca": ca}, {})
    cparams = {"host": HOST, driver.user: "app", "connect_timeout": 5}
    target = driver.target(cparams, options, lambda: None)
    assert not {"connect_timeout", "connection_timeout"} & target.arguments.keys()


@pytest.mark.parametrize("text", ["p", "pä€ss", "\U0001f511"])
@EVERY_DRIVER
def test_bytes_of_passwords(ca: str, name: str, text: str) -> None:
    """Every driver sends UTF-8, three of them by way of Latin-1; the text stays masked."""
    driver, options = DRIVERS[name], IamOptions.take({"rds_iam_ca": ca}, {})
    cparams = {"host": HOST, driver.user: "app"}
    target = driver.target(cparams, options, lambda: None)
    added = target.merge(IssuedPassword(MaskedStr(text), 0, 1), cparams).arguments[driver.password]
    assert text not in repr(added)
    encoding = "latin-1" if name in {"pymysql", "asyncmy", "aiomysql"} else "utf-8"
    assert str(added).encode(encoding) == text.encode()


@pytest.mark.parametrize("says", ["YES", "NO"])
@pytest.mark.parametrize("number", [1045, 1698])
def test_a_refusal(number: int, says: str) -> None:
    """The number says it, and not what the text says of a password."""
    for error in errors(number, REFUSED.format(says)).values():
        assert MYSQL.is_refusal(error), repr(error)
        assert not MYSQL.is_throttled(error)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1044, "Access denied for user 'app'@'%' to database 'x'"),
        (1049, "Unknown database 'x'"),
        (1040, "Too many connections"),
        (1040, "Number simultaneous connections exceeded (100)"),
        (1130, "Host '10.0.0.1' is not allowed to connect to this MySQL server"),
        (1524, "Plugin 'AWSAuthenticationPlugin' is not loaded"),
        (2003, "Can't connect to MySQL server on '127.0.0.1' ([Errno 111] Connection refused)"),
        (2026, "SSL is required but the server doesn't support it"),
        (2059, "Authentication plugin 'mysql_clear_password' cannot be loaded: plugin not enabled"),
        (1045, "Plugin mysql_clear_password could not be loaded: /x.so: cannot open shared object"),
        (3159, "This RDS Proxy requires TLS connections."),
    ],
)
def test_no_refusal(number: int, text: str) -> None:
    """Other errors are none, those that begin alike or have the number of one included."""
    for error in errors(number, text, "HY000").values():
        assert not MYSQL.is_refusal(error), repr(error)
        assert not MYSQL.is_throttled(error)


def test_the_number_of_an_operating_system_is_no_refusal() -> None:
    """Numbers of OSError are of another kind."""
    assert not MYSQL.is_refusal(OSError(1045, "x"))
    assert not MYSQL.is_refusal(ValueError())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1040, "Connections rate limit exceeded (100)"),
        (1040, "IAM authentication rate limit exceeded"),
        (
            2002,
            "Received error packet …: 1040 - Connections rate limit exceeded (100)",
        ),
    ],
)
def test_throttled(number: int, text: str) -> None:
    """RDS Proxy says it in the text alone, which a client may have put into one of its own."""
    for error in errors(number, text, "HY000").values():
        assert MYSQL.is_throttled(error), repr(error)
        assert not MYSQL.is_refusal(error)


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local i",
            False,
        ),
        ("certificate verify failed: Hostname mismatch, certificate is not valid for 'x'", True),
        ("certificate verify failed: IP address mismatch, certificate is not valid", True),
        ("TLS/SSL error: unable to get local issuer certificate", False),
        ("TLS/SSL error: certificate has expired", False),
        ("TLS/SSL error: Validation of SSL server certificate failed", True),
        ("TLS/SSL error: Hostname verification failed", True),
    ],
)
def test_certificates(text: str, is_name: bool) -> None:
    """What drivers say of a certificate is known, and whether it is about the name alone."""
    assert re.search(MYSQL.certificate, text)
    assert bool(re.search(MYSQL.wrong_name, text)) is is_name
    assert not re.search(MYSQL.certificate, "SSL is required, but the server does not support it")


def test_names_count_characters() -> None:
    """A name is as long as its characters, of which MySQL keeps 32, and MariaDB 128."""
    name = "ä" * 33
    user_names.refuse_cut(name[:32], MYSQL)
    user_names.refuse_cut(name * 3, MARIADB)
    with pytest.raises(ConfigError, match=f"has 33 characters, and MySQL keeps 32: .*'{'ä' * 32}'"):
        user_names.refuse_cut(name, MYSQL)
    with pytest.raises(ConfigError, match="129 characters, and MariaDB keeps 128"):
        user_names.refuse_cut("a" * 129, MARIADB)


def test_a_warning_of_long_names(caplog: pytest.LogCaptureFixture) -> None:
    """A password may be good for what is left of a name, so it is said, and once."""
    lengths = user_names.Lengths(MYSQL)
    for name in ("ä" * 32, "ä" * 33, "ä" * 33):
        lengths.check(name)
    [said] = [record.getMessage() for record in caplog.records]
    assert "has 33 characters, and MySQL keeps 32: it logs in as" in said


@pytest.mark.parametrize(
    ("driver", "backend", "begins"),
    [
        ("psycopg", "mysql", "a driver of PostgreSQL, .*'mysql': expected .* postgresql"),
        ("pymysql", "postgresql", "a driver of MySQL, .* expected .* with mysql or mariadb"),
        ("nonsense", "mysql", "known are psycopg, .*mariadbconnector .*mysql.pymysql"),
    ],
)
def test_a_driver_of_another_family(driver: str, backend: str, begins: str) -> None:
    """A driver is for its own dialects only."""
    with pytest.raises(ConfigError, match=begins):
        known.driver(driver, backend)


@pytest.mark.parametrize("url", ["mysql+psycopg", "mariadb+asyncpg", "postgresql+pymysql"])
def test_a_url_of_another_family(url: str) -> None:
    """Said when the engine is made, before SQLAlchemy looks for such a dialect in vain."""
    with pytest.raises(ConfigError, match=r"is a driver of .* expected a URL that begins with"):
        create_engine(f"{url}://app@{HOST}/app?plugin=rds_iam")


def test_the_row_of_a_backend() -> None:
    """A row has the family of the dialect that it is asked for."""
    assert known.driver("pymysql", "mariadb").family is MARIADB
    assert known.driver("pymysql", "mysql").family is MYSQL
    assert known.driver("pymysql").family is MYSQL


def test_a_missing_driver() -> None:
    """The error says what to install: a package that exists, from its oldest version."""
    known.require_module("psycopg")
    known.require_module("nonsense")
    gone = {
        "mysqldb": "mysqlclient",
        "mysqlconnector": "mysql-connector-python",
        "mariadbconnector": "mariadb",
        "pymysql": "PyMySQL",
    }
    for name, package in gone.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("importlib.util.find_spec", lambda _module: None)
            with pytest.raises(ModuleNotFoundError, match=f"pip install '{package}>="):
                known.require_module(name)


@pytest.mark.parametrize("version", [(1, 1, 3, "final"), (1, 0, 0), (0, 10, 1)])
def test_an_old_pymysql(version: tuple[Any, ...]) -> None:
    """It would send a token in clear, and is refused, beneath aiomysql, too."""
    old = SimpleNamespace(VERSION=version)
    with pytest.raises(ConfigError, match=r"in clear .* install PyMySQL 1\.2\.0 or newer"):
        mysql_versions.pymysql(old, {})
    aiomysql = pytest.importorskip("aiomysql")
    with pytest.raises(ConfigError, match=r"install PyMySQL 1\.2\.0 or newer"):
        mysql_versions.aiomysql(SimpleNamespace(aiomysql=aiomysql, pymysql=old), {})


def test_a_pymysql_that_is_new_enough() -> None:
    """The one that is installed, and the first that is safe, are accepted."""
    pymysql = pytest.importorskip("pymysql")
    mysql_versions.pymysql(pymysql, {})
    mysql_versions.pymysql(SimpleNamespace(VERSION=(1, 2, 0, "final")), {})
    aiomysql = pytest.importorskip("aiomysql")
    mysql_versions.aiomysql(SimpleNamespace(aiomysql=aiomysql, pymysql=pymysql), {})


def test_another_aiomysql() -> None:
    """Where the private names of the guard are gone, aiomysql is refused."""
    aiomysql, pymysql = pytest.importorskip("aiomysql"), pytest.importorskip("pymysql")

    class Renamed(aiomysql.Connection):  # type: ignore[misc]
        async def _request_authentication(self) -> None:
            await self._authenticate()

    for connection in (Renamed, object, None):
        module = SimpleNamespace(Connection=connection, __version__="9")
        with pytest.raises(ConfigError, match=r"aiomysql 9 is made otherwise .* use asyncmy"):
            mysql_versions.aiomysql(SimpleNamespace(aiomysql=module, pymysql=pymysql), {})


def test_a_function_that_connects_in_place_of_aiomysql(ca: str) -> None:
    """It could not be guarded, so it is refused when the engine is made."""
    pytest.importorskip("aiomysql")
    from sqlalchemy.ext.asyncio import create_async_engine

    url = url_of("aiomysql").update_query_dict({"plugin": "rds_iam", "rds_iam_ca": ca})
    with pytest.raises(ConfigError, match="async_creator_fn cannot be used with aiomysql"):
        create_async_engine(url, connect_args={"async_creator_fn": print})


def test_postgresql_and_mysql_urls(ca: str) -> None:
    """An engine of each backend signs for the port that is usual there."""
    pytest.importorskip("pymysql")
    url = make_url(f"mysql+pymysql://app@{HOST}/app?plugin=rds_iam")
    engine = create_engine(url.update_query_dict({"rds_iam_ca": ca}))
    assert engine.url.get_backend_name() == "mysql"
