"""``engine.url`` is what was given: an engine made of it logs in the same way, or says why not."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy
from families import words_of
from hypothesis import given
from hypothesis import strategies as st
from option_values import ROLE, ROLE_VALUES, SECRET_VALUES, VALUES
from sqlalchemy import URL, create_engine, event, make_url, text
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import CreateEnginePlugin, Engine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam import ConfigError, engine_pair
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._config.urls import OUTSIDE
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
PLAIN = f"postgresql+psycopg://app@{HOST}/app"
GIVEN = f"{PLAIN}?plugin=rds_iam"


class Session:
    """What can be asked for credentials, and is never asked here."""

    region_name = "us-east-1"

    def get_credentials(self) -> None:
        """Find none."""


def _passes_on(url: URL) -> list[URL | str]:
    """The ways in which programs hand on the URL of an engine."""
    shown = url.render_as_string(hide_password=False)
    return [
        url,
        str(url),
        shown,
        make_url(shown),
        pickle.loads(pickle.dumps(url)),
        url.set(database=words_of(url.drivername).open),
    ]


@pytest.mark.parametrize("way", range(6))
def test_an_engine_of_an_engines_url(connect: Any, databases: Any, way: int) -> None:
    """It logs in with a token, with each driver, however the URL got there."""
    first = connect(rds_iam_timeout=7.5)
    url = _passes_on(first.engine.url)[way]
    second = databases(url, is_async=first.is_async)
    assert second.scalar(second.words.user) == "app"
    assert second.inside.config == first.inside.config
    assert second.engine.url == make_url(url)
    assert second.engine.url.query["rds_iam_timeout"] == "7.5"


def test_an_engine_of_an_engines_url_with_a_secret(
    log_in: Any, secret: Secret, databases: Any, place: dict[str, Any]
) -> None:
    """So does one with the password of a secret."""
    first = log_in(secret, place=place)
    second = databases(first.engine.url, is_async=first.is_async, poolclass=NullPool)
    assert second.scalar(second.words.user) == first.scalar(first.words.user)


def test_the_driver_sees_none_of_it(connect: Any) -> None:
    """Neither the name of the plugin nor an option is among the arguments of the driver."""
    database = connect(rds_iam_timeout=7)
    seen: list[str] = []
    event.listen(database.engine, "do_connect", lambda *args: seen.extend(args[3]))
    database.scalar("select 1")
    assert seen
    assert not [name for name in seen if name.startswith(("plugin", "rds_"))]


def _options(values: dict[str, tuple[str, Any]], *left_out: str) -> Any:
    """Some of these options: each as a URL has it, or as the value that it stands for."""
    names = sorted(values.keys() - {"enabled", "resolve_cname", *left_out})
    some = {name: st.sampled_from(values[name]) for name in names}
    return st.fixed_dictionaries({}, optional=some)


IAM = _options({**VALUES, **ROLE_VALUES}, "rate_storage")
SECRETS = _options(SECRET_VALUES, "version_stage")


@given(IAM, IAM)
def test_options_travel(in_url: dict[str, Any], keywords: dict[str, Any]) -> None:
    """Whatever is given in the URL, as keywords, or both: the URL of the engine says the same."""
    keywords["role_arn"] = ROLE
    _assert_travels(IamOptions, in_url, keywords)


@given(SECRETS, SECRETS)
def test_options_of_secrets_travel(in_url: dict[str, Any], keywords: dict[str, Any]) -> None:
    """The same for the plugin of secrets."""
    keywords["id"] = "prod/app"
    _assert_travels(SecretOptions, in_url, keywords)


def _assert_travels(
    kind: type[PluginOptions], in_url: dict[str, Any], keywords: dict[str, Any]
) -> None:
    query = {kind.named(name): str(value) for name, value in in_url.items()}
    by_keyword = {kind.named(name): value for name, value in keywords.items()}
    handed_on = kind.as_query(kind.given_in(query, by_keyword))
    assert kind.take(handed_on, {}) == kind.take(query, by_keyword)
    assert OUTSIDE not in handed_on.values()


CANNOT: dict[str, Any] = {
    "rds_iam_session": Session(),
    "rds_iam_on_event": print,
    "rds_iam_rate_storage": "redis://:canary@cache:6379/0",
}


@pytest.mark.parametrize("name", CANNOT)
@pytest.mark.parametrize("in_url", [False, True])
def test_what_cannot_travel(ca: str, name: str, *, in_url: bool) -> None:
    """An object or a secret has to be handed in again, and no URL shows it."""
    value = CANNOT[name]
    if in_url and not isinstance(value, str):
        pytest.skip("no URL holds an object")
    if in_url:
        engine = create_engine(make_url(GIVEN).update_query_dict({name: value}))
    else:
        engine = create_engine(GIVEN, **{name: value})
    for url in _passes_on(engine.url):
        with pytest.raises(ConfigError, match=rf"{name} cannot travel.*hand it in again.*{name}="):
            create_engine(url)
        # Nothing is no value either.
        with pytest.raises(ConfigError, match="hand it in again"):
            create_engine(url, **{name: None})
        again = create_engine(url, **{name: value})
        assert "canary" not in repr(again) + repr(again.url) + str(dict(again.url.query))
        assert again.url == make_url(url)
    # Who does not want it any more says so.
    create_engine(engine.url.difference_update_query([name]))
    create_engine(engine.url, rds_iam_enabled="off")


@pytest.mark.parametrize(
    ("storage", "travels"),
    [
        ("memory://", True),
        ("redis://cache:6379/0", True),
        ("unix:///run/redis.sock", True),
        ("redis://:canary@cache", False),
        ("redis://canary@cache", False),
        ("rediss://cache?password=canary", False),
        ("valkey://cache?ssl_password=canary", False),
    ],
)
def test_a_rate_storage(storage: str, *, travels: bool) -> None:
    """It travels where no secret can be in it."""
    for given_in in ({}, {"rds_iam_rate_storage": storage}):
        keywords = {} if given_in else {"rds_iam_rate_storage": storage}
        query = IamOptions.as_query(IamOptions.given_in(given_in, keywords))
        assert query == {"rds_iam_rate_storage": storage if travels else OUTSIDE}


def test_named_in_the_url_and_by_keyword(connect: Any) -> None:
    """The plugin counts once, with the options of both, and its listener is there once."""
    once = connect()
    twice = connect(plugins=["rds_iam"], rds_iam_timeout=7)
    assert twice.scalar("select 1") == 1
    assert len(list(twice.engine.dialect.dispatch.do_connect)) == 1
    assert len(list(twice.engine.dialect.dispatch.handle_error)) == 1
    assert twice.engine.url == once.engine.url.update_query_dict({"rds_iam_timeout": "7"})


@pytest.mark.parametrize("plugins", [["rds_iam"], ("rds_iam",), ["spy", "rds_iam"]])
def test_off_by_a_keyword_counts_for_both(plugins: Any, spy: type[Spy]) -> None:
    """Neither of two namings attaches what the keyword has switched off."""
    engine = create_engine(GIVEN, plugins=plugins, rds_iam_enabled=False)
    assert not list(engine.dialect.dispatch.do_connect)  # type: ignore[attr-defined]


@pytest.mark.parametrize("query", ["", "&rds_iam_timeout=5", "&rds_iam_rate_storage=redis://:x@h"])
def test_switched_off(query: str) -> None:
    """Nothing is added that a driver would refuse, and an engine of that URL is off as well."""
    engine = create_engine(f"{PLAIN}?plugin=rds_iam&rds_iam_enabled=off{query}&sslmode=require")
    assert engine.url == make_url(f"{PLAIN}?sslmode=require")
    _, arguments = engine.dialect.create_connect_args(engine.url)
    assert not [name for name in arguments if name.startswith(("plugin", "rds_"))]
    assert not list(create_engine(engine.url).dialect.dispatch.do_connect)  # type: ignore[attr-defined]


class Spy(CreateEnginePlugin):
    """Another plugin, with an option of its own; it notes what it is shown."""

    restores: bool | str = False
    seen: list[tuple[str, URL]]

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self.word = kwargs.pop("spy_word", None) or url.query.get("spy_word")

    def update_url(self, url: URL) -> URL:
        """Take the option."""
        self.seen.append(("update_url", url))
        return url.difference_update_query(["spy_word"])

    def engine_created(self, engine: Engine) -> None:
        """Put it back, where it does so."""
        if self.restores == "all":
            engine.url = self.url
        elif self.restores:
            engine.url = engine.url.update_query_pairs(
                [("plugin", "spy"), ("spy_word", str(self.word))], append=True
            )
        self.seen.append(("engine_created", engine.url))


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Spy]]:
    """The other plugin, registered."""
    plugins.register("spy", __name__, "Spy")
    monkeypatch.setattr(Spy, "seen", [], raising=False)
    yield Spy
    plugins.impls.pop("spy")


@pytest.mark.parametrize("order", [["spy", "rds_iam"], ["rds_iam", "spy"]])
@pytest.mark.parametrize("by_keyword", [0, 1, 2])
@pytest.mark.parametrize("restores", [False, True])
def test_with_another_plugin(
    ca: str,
    spy: type[Spy],
    monkeypatch: pytest.MonkeyPatch,
    order: list[str],
    by_keyword: int,
    *,
    restores: bool,
) -> None:
    """Each puts back its own words and no others; the order of the plugins stays."""
    monkeypatch.setattr(Spy, "restores", restores)
    in_url = order[: 2 - by_keyword]
    url = make_url(PLAIN).update_query_pairs(("plugin", name) for name in in_url)
    url = url.update_query_dict({"spy_word": "x", "rds_iam_timeout": "5"})
    engine = create_engine(url, plugins=order[2 - by_keyword :])
    expected = make_url(PLAIN).update_query_dict({"rds_iam_timeout": "5", "plugin": "rds_iam"})
    if restores:
        expected = expected.update_query_dict({"spy_word": "x", "plugin": order})
    assert engine.url == expected
    # What it takes out last is what the driver would get: none of ours.
    kept = [url for what, url in spy.seen if what == "update_url"]
    assert len(kept) == 1
    if order[0] == "rds_iam":
        assert dict(kept[0].query) == {"spy_word": "x"}
    if restores:
        again = create_engine(engine.url)
        assert again.url == engine.url
        assert [what for what, _ in spy.seen] == ["update_url", "engine_created"] * 2


def test_a_foreign_word_is_put_back_before_the_dry_run(
    connect: Any, spy: type[Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another plugin puts back before us is not taken for an argument of the driver."""
    monkeypatch.setattr(Spy, "restores", True)
    for options, keywords in (({"spy_word": "x"}, {}), ({}, {"spy_word": "x"})):
        database = connect(options={"plugin": ("spy", "rds_iam")} | options, **keywords)
        assert database.scalar("select 1") == 1
        assert database.engine.url.query["plugin"] == ("spy", "rds_iam")
        assert database.engine.url.query["spy_word"] == "x"


@pytest.mark.parametrize("order", [("spy", "rds_iam"), ("rds_iam", "spy")])
def test_a_plugin_that_puts_all_of_it_back(
    ca: str, spy: type[Spy], monkeypatch: pytest.MonkeyPatch, order: tuple[str, str]
) -> None:
    """One that gives the engine the whole URL again has nothing doubled by us."""
    monkeypatch.setattr(Spy, "restores", "all")
    url = make_url(PLAIN).update_query_dict({"plugin": order, "spy_word": "x"})
    assert create_engine(url).url == url


def test_options_by_execution(connect: Any) -> None:
    """An engine with execution options, and the async one over it, have the same URL."""
    database = connect()
    url = database.engine.url
    assert url.query["plugin"] == "rds_iam"
    assert database.engine.execution_options(isolation_level="AUTOCOMMIT").url == url
    if database.is_async:
        assert database._async_engine.url == url


def test_a_pool_of_an_engines_url(rds: RdsEmulator) -> None:
    """A pool that is made of it logs in as well."""
    if not hasattr(sqlalchemy, "create_pool_from_url"):
        pytest.skip("it came with SQLAlchemy 2.0.14")
    engine = create_engine(rds.url())
    pool = sqlalchemy.create_pool_from_url(engine.url, rds_iam_timeout=9)
    try:
        with pool.connect() as connection, connection.cursor() as cursor:  # type: ignore[attr-defined]
            assert cursor.execute("select current_user").fetchone() == ("app",)
    finally:
        pool.dispose()


def test_a_pair(ca: str) -> None:
    """The engines of a pair keep their options, and make another pair."""
    pair = engine_pair(
        GIVEN,
        f"postgresql+psycopg://ro.{HOST.partition('.')[2]}",
        rds_iam_timeout=7,
        reader_options={"rds_iam_profile": "reports"},
    )
    assert dict(pair.writer.url.query) == {
        "plugin": "rds_iam",
        "rds_iam_target_session_attrs": "read-write",
        "rds_iam_timeout": "7",
    }
    assert "rds_iam_target_session_attrs" not in pair.reader.url.query
    assert pair.reader.url.query["rds_iam_profile"] == "reports"
    again = engine_pair(pair.writer.url, pair.reader.url)
    assert (again.writer.url, again.reader.url) == (pair.writer.url, pair.reader.url)


def test_sqlalchemy_utils(rds: RdsEmulator) -> None:
    """Databases are found, made and dropped by the URL of an engine."""
    utils = pytest.importorskip("sqlalchemy_utils")
    rds.execute("ALTER ROLE app CREATEDB")
    engine = create_engine(rds.url())
    url = engine.url.set(database="by_utils")
    assert utils.database_exists(engine.url)
    assert not utils.database_exists(url)
    utils.create_database(url)
    assert utils.database_exists(url)
    utils.drop_database(url)
    assert not utils.database_exists(url)


def test_arguments_do_not_travel(ca: str) -> None:
    """What is in ``connect_args`` is no part of a URL: it has to be handed in again."""
    engine = create_engine(GIVEN, connect_args={"application_name": "orders"})
    assert engine.url == make_url(GIVEN)


@pytest.mark.parametrize("wrong", [ArgumentError, ConfigError])
def test_both_plugins(ca: str, wrong: type[Exception]) -> None:
    """A URL that names one, and a keyword that names the other, are refused as ever."""
    with pytest.raises(wrong, match="both want to give"):
        create_engine(GIVEN, plugins=["rds_secret"], rds_secret_id="app")


async def test_async_engines(rds: RdsEmulator) -> None:
    """The URL of an async engine makes a sync one, and another async one."""
    engine = create_async_engine(rds.url("postgresql+psycopg"))
    sync = create_engine(engine.url)
    assert sync.url == engine.url == engine.sync_engine.url
    second = create_async_engine(engine.url)
    async with second.connect() as connection:
        assert await connection.scalar(text("select current_user")) == "app"
    await second.dispose()


def test_how_to_be_without(make: Callable[..., Engine]) -> None:
    """What documents say to who hands the URL to a driver: without the plugin and its options."""
    engine = make("&rds_iam_timeout=5&application_name=x")
    ours = [key for key in engine.url.query if key == "plugin" or key.startswith("rds_iam_")]
    plain = engine.url.difference_update_query(ours)
    assert dict(plain.query) == {"application_name": "x"}
    assert plain.get_dialect() is engine.url.get_dialect()


@pytest.fixture
def make(ca: str) -> Callable[..., Engine]:
    """Make an engine that connects to nothing."""
    return lambda query: create_engine(GIVEN + query)
