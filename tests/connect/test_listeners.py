"""Other do_connect listeners: what they may change, and what becomes of what they do."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from rds_secret_support import USER, LogIn
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool
from tampering_catalogue import CHANGES
from tls_support import CONTEXT
from worlds import POSTGRESQL, Database, on, worlds

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.urls import PASSWORDS
from sqlalchemy_rds_iam._databases import guarded
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

TWO_NAMES = ("pymysql", "mysqldb", "mysqlconnector", "mariadbconnector")

Change = Callable[[dict[str, Any]], object]


def _with(database: Database, change: Change) -> Database:
    @event.listens_for(database.engine, "do_connect")
    def tamper(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        change(cparams)

    return database


def _strangers(tmp_path: Any) -> str:
    import trustme

    file = tmp_path / "strangers.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return str(file)


WEAKER = [
    pytest.param(*world.values, change, id=f"{world.values[0]}-{name}", marks=world.marks)
    for world in worlds(tuple(CHANGES))
    for name, change in CHANGES[world.values[0]].items()
]


@pytest.mark.parametrize(("world", "change"), WEAKER, indirect=["world"])
def test_less_safe(
    rds: RdsEmulator, databases: Any, world: tuple[str, bool], change: dict[str, Any]
) -> None:
    """A listener that lowers TLS or moves the target is refused by name, and no token is sent."""
    database = databases(rds.url(world[0]), is_async=world[1])
    _with(database, lambda cparams: cparams.update(change))
    error = database.raises(ConfigError)
    assert "tamper" in str(error)
    assert next(iter(change)) in str(error)
    assert rds.decisions == []


@on(*POSTGRESQL)
def test_what_changes_from_connect_to_connect(
    rds: RdsEmulator, databases: Any, world: tuple[str, bool]
) -> None:
    """What an earlier listener changes arrives each time as it is then: the user, or the rest."""
    database = databases(rds.url(world[0]), is_async=world[1], poolclass=NullPool)
    driver, seen = database.inside.driver, list[dict[str, Any]]()
    rds.create_user("second")
    users = ["app", "second", "second", "app"]

    def change(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        cparams[driver.user] = users[len(seen)]
        seen.append(dict(cparams))

    # Those of the class come first.
    event.listen(Engine, "do_connect", change)
    try:
        for _ in users:
            database.scalar("select 1")
    finally:
        event.remove(Engine, "do_connect", change)
    assert [decision.db_user for decision in rds.decisions] == users
    assert not any(driver.password in each for each in seen)


def test_taken_away(connect: Any, rds: RdsEmulator) -> None:
    """An argument that a listener takes away is as good as a weaker one."""
    named = {"sslmode", "ssl", "ssl_context", "ssl_mode"}
    database = _with(connect(), lambda cparams: [cparams.pop(word, None) for word in named])
    assert "tamper" in str(database.raises(ConfigError))
    assert rds.decisions == []


def test_positional_arguments(rds: RdsEmulator) -> None:
    """What a listener adds by position may hold another host, so it is refused."""
    engine = create_engine(rds.url(), poolclass=NullPool)

    @event.listens_for(engine, "do_connect")
    def tamper(_dialect: Any, _record: Any, cargs: Any, _cparams: Any) -> None:
        cargs[:] = ["hostaddr=127.0.0.2"]

    with pytest.raises(ConfigError, match=r"tamper.*positional"):
        engine.connect()


def test_a_listener_that_comes_before(rds: RdsEmulator, connect: Any) -> None:
    """Listeners of all engines run before ours: what they add is looked at as well."""
    database = connect(poolclass=NullPool)
    before: dict[str, tuple[str, Any]] = {
        "asyncpg": ("direct_tls", True),
        "pg8000": ("unix_sock", "/nowhere"),
        "pymysql": ("unix_socket", "/nowhere"),
        "asyncmy": ("unix_socket", "/nowhere"),
        "mysqldb": ("unix_socket", "/nowhere"),
    }
    word, value = before.get(database.engine.dialect.driver, ("gssencmode", "prefer"))

    def early(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        cparams[word] = value

    event.listen(Engine, "do_connect", early)
    try:
        if word == "gssencmode":  # settled by us in any case, and so not theirs to say
            assert database.scalar("select 1") == 1
        else:
            assert "before the plugin" in str(database.raises(ConfigError))
    finally:
        event.remove(Engine, "do_connect", early)


def test_as_safe(rds: RdsEmulator, connect: Any, world: tuple[str, bool]) -> None:
    """What leaves the password as safe as it was is a listener's to change."""
    libpq = {"application_name": "mine", "sslcertmode": "allow", "gssencmode": "disable"}
    libpq |= {"ssl_min_protocol_version": "TLSv1.3", "sslrootcert": str(rds.ca_file)}
    changes: dict[str, dict[str, Any]] = {
        "asyncpg": {"server_settings": {"application_name": "mine"}},
        "pg8000": {"application_name": "mine"},
    }
    mysql = {"init_command": "set @mine = 'mine'"}
    changes |= dict.fromkeys(("pymysql", "asyncmy", "mysqldb"), mysql)
    change = changes.get(world[0].partition("+")[2], libpq)
    database = _with(connect(), lambda cparams: cparams.update(change))
    asks = {"postgresql": "show application_name", "mysql": "select @mine"}
    assert database.scalar(asks[database.words.family]) == "mine"


@on("asyncpg", "pg8000", "pymysql", "asyncmy", "aiomysql")
def test_another_context(rds: RdsEmulator, databases: Any, world: tuple[str, bool]) -> None:
    """Another SSL context that checks as much, by the same authorities, is as safe."""
    own = ssl.create_default_context(cafile=str(rds.ca_file))
    word = CONTEXT[world[0].partition("+")[2]]
    # The emulator's certificate names what is signed, which is not what is dialled.
    url = rds.url(world[0], rds_iam_tls="verify-ca")
    own.check_hostname = False
    database = databases(url, is_async=world[1])
    assert _with(database, lambda cparams: cparams.update({word: own})).scalar("select 1") == 1


def test_stronger(rds: RdsEmulator, databases: Any) -> None:
    """More TLS than was settled is welcome."""
    url = rds.url(rds_iam_tls="require").difference_update_query(["rds_iam_ca"])
    change = {"sslmode": "verify-full", "sslrootcert": str(rds.ca_file)}
    database = _with(databases(url), lambda cparams: cparams.update(change))
    assert database.scalar("select 1") == 1


def test_another_ca(rds: RdsEmulator, databases: Any, tmp_path: Any) -> None:
    """Authorities that were not among the settled ones are not a listener's to add."""
    strangers = _strangers(tmp_path)
    database = _with(databases(rds.url()), lambda cparams: cparams.update(sslrootcert=strangers))
    assert "sslrootcert" in str(database.raises(ConfigError))


def _tried_once(rds: RdsEmulator, database: Database) -> str:
    """See that a connect fails without another try; the notes on its error."""
    limiter = database.inside.limiter
    error = database.raises(Exception)
    assert len(rds.decisions) <= 1
    assert limiter.current_rate == limiter.rate
    counts = database.inside.counts
    assert (counts["retried"], counts["throttled"], counts["refused"]) == (0, 0, 0)
    return "\n".join(getattr(error, "__notes__", []))


def _says_whose_it_was(notes: str) -> bool:
    return "tamper" in notes and "signed for" not in notes


@pytest.mark.parametrize("replaced", ["by-another", "by-nothing"])
def test_a_replaced_token(rds: RdsEmulator, connect: Any, replaced: str) -> None:
    """A password of a listener's is tried once; the note says that it was not the token."""
    database = connect(poolclass=NullPool, pool_pre_ping=False)
    password = "made-by-an-old-listener" if replaced == "by-another" else ""
    _with(database, lambda cparams: cparams.update({database.inside.driver.password: password}))
    notes = _tried_once(rds, database)
    assert replaced == "by-nothing" or _says_whose_it_was(notes)


@pytest.mark.filterwarnings("ignore:'passwd' is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("world", "beside"),
    [
        *(pytest.param(*each.values, False, marks=each.marks) for each in worlds(TWO_NAMES)),
        *(pytest.param(*each.values, True, marks=each.marks) for each in worlds(TWO_NAMES[-1:])),
    ],
    indirect=["world"],
)
def test_a_replaced_token_by_its_other_name(rds: RdsEmulator, connect: Any, beside: bool) -> None:
    """What a driver calls a password as well is one of the listener's, too.

    With MariaDB Connector/Python it counts even beside the token.
    """
    database = connect(poolclass=NullPool, pool_pre_ping=False)

    def change(cparams: dict[str, Any]) -> None:
        [other] = {*PASSWORDS} - {database.inside.driver.password}
        cparams[other] = "made-by-an-old-listener"
        if not beside:
            del cparams[database.inside.driver.password]

    _with(database, change)
    assert _says_whose_it_was(_tried_once(rds, database))


def test_a_replaced_secret(rds: RdsEmulator, log_in: LogIn, secret: Secret, calls: Any) -> None:
    """The same with a secret: no other version is looked for."""
    database = log_in(secret)
    _with(database, lambda cparams: cparams.update({database.inside.driver.password: "mine"}))
    error = database.raises(Exception)
    assert "tamper" in "\n".join(error.__notes__)
    assert (calls(), len(rds.decisions)) == (1, 1)


def test_a_right_password_of_its_own(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """A listener that knows better logs in with what it knows."""
    password = secret.fields()["password"]
    secret.put(secret.fields() | {"password": "wrong"})
    database = log_in(secret)
    _with(database, lambda cparams: cparams.update({database.inside.driver.password: password}))
    assert database.scalar(database.words.user) == USER


def test_a_replaced_password_lowers_no_tls(rds: RdsEmulator, databases: Any) -> None:
    """TLS is a promise of the engine, wherever the password comes from."""
    change = {"password": "mine", "sslmode": "disable"}
    database = _with(databases(rds.url()), lambda cparams: cparams.update(change))
    assert "sslmode" in str(database.raises(ConfigError))


def test_a_listener_that_connects(rds: RdsEmulator, connect: Any) -> None:
    """A listener's own connection is its own: tried once, no rate is cut, nothing is reloaded."""
    database = connect(poolclass=NullPool)

    @event.listens_for(database.engine, "do_connect")
    def take_over(dialect: Any, _record: Any, cargs: Any, cparams: Any) -> Any:
        return dialect.connect(*cargs, **cparams | {database.inside.driver.password: "its own"})

    error = database.raises(Exception)
    assert len(rds.decisions) == 1
    assert "take_over" in "\n".join(error.__notes__)
    limiter = database.inside.limiter
    assert limiter.current_rate == limiter.rate


def test_a_listener_that_fails(rds: RdsEmulator, connect: Any) -> None:
    """An error of a listener's own is passed on as it is."""
    database = _with(connect(), lambda _: 1 / 0)
    error = database.raises(ZeroDivisionError)
    assert getattr(error, "__notes__", []) == []
    assert rds.decisions == []


def test_the_token_is_retried_beside_listeners(connect: Any, rds: RdsEmulator) -> None:
    """With listeners that leave the password alone, a refused token is replaced as ever."""
    database = _with(connect(poolclass=NullPool), lambda _: None)
    database.scalar("select 1")
    rds.gateway.refuse_next = 1
    assert database.scalar("select 1") == 1


@pytest.fixture
def own_context(rds: RdsEmulator) -> ssl.SSLContext:
    """A verifying context of the user's."""
    return ssl.create_default_context(cafile=str(rds.ca_file))


@on("asyncpg", "pg8000", "pymysql", "asyncmy", "aiomysql")
@pytest.mark.parametrize("how", ["no-name", "nothing", "old"])
def test_a_context_that_is_loosened(
    rds: RdsEmulator, databases: Any, own_context: Any, world: tuple[str, bool], how: str
) -> None:
    """A context of the user's own that checks less than it did at create_engine() is refused."""
    word = CONTEXT[world[0].partition("+")[2]]
    url = rds.url(world[0])
    database = databases(url, is_async=world[1], connect_args={word: own_context})
    own_context.check_hostname = False
    if how == "nothing":
        own_context.verify_mode = ssl.CERT_NONE
    if how == "old":
        own_context.check_hostname = True
        with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
            own_context.minimum_version = ssl.TLSVersion.TLSv1
    assert word in str(database.raises(ConfigError))
    assert rds.decisions == []


def test_every_argument_of_the_drivers_about_tls_is_guarded() -> None:
    """The list that libpq has of its arguments is the authority for what there is about TLS."""
    from psycopg import pq

    names = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    about = {name for name in names if name.startswith(("ssl", "gss"))}
    assert {"sslmode", "sslrootcert", "gssencmode", "sslcertmode"} <= about
    assert all(guarded.is_guarded(name) for name in about | {"host", "hostaddr", "port", "service"})
