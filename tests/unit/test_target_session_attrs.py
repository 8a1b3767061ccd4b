"""Which server it must be: our option, the driver's own word and its variable are one."""

from __future__ import annotations

from typing import Any

import pytest
from inside import Inside
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from worlds import WORLDS

from sqlalchemy_rds_iam import ConfigError

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
PLUGINS = {
    "rds_iam": {"plugin": "rds_iam"},
    "rds_secret": {
        "plugin": "rds_secret",
        "rds_secret_id": "app",
        "rds_secret_region": "us-east-1",
    },
}
VARIABLE = "PGTARGETSESSIONATTRS"
LIBPQ_LIKE = {"psycopg", "psycopg2", "asyncpg"}


@pytest.fixture(params=PLUGINS)
def plugin(request: pytest.FixtureRequest) -> str:
    """Both plugins."""
    return str(request.param)


def _engine(world: tuple[str, bool], plugin: str, **kwargs: Any) -> Engine:
    query = PLUGINS[plugin] | kwargs.pop("query", {})
    url = make_url(f"{world[0]}://app@{HOST}/app").set(query=query)
    if world[1]:
        return create_async_engine(url, **kwargs).sync_engine
    return create_engine(url, **kwargs)


def _wanted(engine: Engine) -> str:
    return str(Inside(engine).config.target_session_attrs)


def _drivers_own(engine: Engine) -> list[Any]:
    """What the driver is told of it."""
    url = engine.url.set(query={})
    _, told = engine.dialect.create_connect_args(url)
    arguments = [told, *(plan.target.arguments for plan in Inside(engine).plans)]
    return [each.get("target_session_attrs") for each in arguments]


@pytest.mark.parametrize("way", ["option", "keyword", "url", "connect_args"])
def test_ways_to_say_it(world: tuple[str, bool], plugin: str, way: str, ca: str) -> None:
    """They mean the same with every driver, and the driver is not told a second time."""
    own, ours = {"target_session_attrs": "read-write"}, f"{plugin}_target_session_attrs"
    engine = _engine(
        world,
        plugin,
        **{
            "option": {"query": {ours: "read-write"}},
            "keyword": {ours: "read-write"},
            "url": {"query": own},
            "connect_args": {"connect_args": own},
        }[way],
    )
    assert _wanted(engine) == "read-write"
    assert set(_drivers_own(engine)) <= {None, "any"}
    assert engine.url.query[ours] == "read-write"
    assert "target_session_attrs" not in engine.url.query
    again = _engine(world, plugin, query=dict(engine.url.query))
    assert _wanted(again) == "read-write"
    assert again.url == engine.url


def test_the_variable(
    world: tuple[str, bool], plugin: str, ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers that look at it are looked at for it; anything in the URL comes before it."""
    monkeypatch.setenv(VARIABLE, "standby")
    engine = _engine(world, plugin)
    is_read = engine.dialect.driver in LIBPQ_LIKE
    assert _wanted(engine) == ("standby" if is_read else "any")
    assert "standby" not in _drivers_own(engine)
    assert _wanted(_engine(world, plugin, query={"target_session_attrs": "primary"})) == "primary"
    monkeypatch.setenv(VARIABLE, "master")
    if is_read:
        with pytest.raises(ConfigError, match=r"PGTARGETSESSIONATTRS='master': expected any, read"):
            _engine(world, plugin)


def test_the_same_twice(world: tuple[str, bool], plugin: str, ca: str) -> None:
    """Said twice alike it is one; said twice and differently, an error that names both."""
    own, ours = "target_session_attrs", f"{plugin}_target_session_attrs"
    engine = _engine(world, plugin, query={own: "primary", ours: "primary"})
    assert _wanted(engine) == "primary"
    for given in (
        {"query": {own: "primary", ours: "standby"}},
        {"query": {own: "primary"}, "connect_args": {own: "standby"}},
        {"query": {own: "primary"}, ours: "standby"},
    ):
        with pytest.raises(ConfigError, match="both say which server it must be"):
            _engine(world, plugin, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["query", "connect_args"])
def test_a_word_that_is_none(world: tuple[str, bool], plugin: str, way: str, ca: str) -> None:
    """Also in the driver's own place."""
    with pytest.raises(ConfigError, match="target_session_attrs='master': expected any, read-wri"):
        _engine(world, plugin, **{way: {"target_session_attrs": "master"}})


def test_a_plugin_that_is_switched_off(plugin: str, ca: str) -> None:
    """It leaves the driver's own word to the driver."""
    own = {"target_session_attrs": "read-write"}
    engine = _engine(WORLDS["psycopg"], plugin, query={f"{plugin}_enabled": "off"} | own)
    assert engine.url.query["target_session_attrs"] == "read-write"
    given = dict(own)
    told: list[dict[str, Any]] = []
    engine = _engine(
        WORLDS["psycopg"], plugin, query={f"{plugin}_enabled": "off"}, connect_args=given
    )

    @event.listens_for(engine, "do_connect")
    def look(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        told.append(dict(cparams))
        raise LookupError

    with pytest.raises(LookupError):
        engine.connect()
    assert told[0]["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    ("wanted", "listens"),
    [
        *((word, []) for word in ("any", "prefer-standby", None)),
        *((word, ["sessions", "handle_error"]) for word in ("read-write", "primary")),
        *((word, ["sessions"]) for word in ("read-only", "standby")),
    ],
)
def test_what_is_listened_to(
    world: tuple[str, bool], plugin: str, ca: str, wanted: str | None, listens: list[str]
) -> None:
    """Nothing where every server will do, so that such engines pay nothing.

    Sessions are looked at when they are checked out; where a server reports nothing, by the ping.
    """
    plain = _engine(world, plugin)
    engine = _engine(world, plugin, query={f"{plugin}_target_session_attrs": wanted or ""})
    found = []
    by_checkout = len(engine.pool.dispatch.checkout) > len(plain.pool.dispatch.checkout)
    if by_checkout or "do_ping" in vars(engine.dialect):
        found.append("sessions")
    if len(engine.dialect.dispatch.handle_error) > len(plain.dialect.dispatch.handle_error):
        found.append("handle_error")
    assert found == listens
    assert (Inside(engine).listener._failover is None) is not bool(listens)
