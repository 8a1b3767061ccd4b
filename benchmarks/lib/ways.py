"""Engines by the way in which they get their password.

Peers have environments of their own, in which this is imported as well: it needs SQLAlchemy alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks.lib.drivers import DRIVERS

AnyEngine = Engine | AsyncEngine
Task = dict[str, Any]
Build = Callable[..., AnyEngine]


def plugin(url: URL, _task: Task, *, is_async: bool) -> AnyEngine:
    """This project."""
    return make(url, is_async=is_async)


def unpaced(url: URL, _task: Task, *, is_async: bool) -> AnyEngine:
    """This project without turns and without patience."""
    off = {"rds_iam_connect_rate": "0", "rds_iam_throttle_retry": "off"}
    return make(url.update_query_dict(off), is_async=is_async)


def static(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """A password in the URL, which is a token signed beforehand: it is good for 15 minutes."""
    plain, arguments = without_plugin(url)
    return make(
        plain.set(password=signed_token(task, url)), is_async=is_async, connect_args=arguments
    )


def password(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """A password in the URL, which the database itself verifies: SCRAM in PostgreSQL."""
    plain, arguments = without_plugin(url)
    user, secret = task["login"]
    return make(
        plain.set(username=user, password=secret), is_async=is_async, connect_args=arguments
    )


def recipe(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """generate_db_auth_token() in a do_connect listener; the client is made beforehand."""
    client, signed = _rds_client(task), task["signed"]
    return with_listener(
        url,
        lambda user: client.generate_db_auth_token(signed["host"], signed["port"], user),
        is_async=is_async,
    )


WAYS: dict[str, Build] = {
    "plugin": plugin,
    "unpaced": unpaced,
    "static": static,
    "password": password,
    "boto3-recipe": recipe,
}


def make(url: URL, *, is_async: bool, **more: Any) -> AnyEngine:
    """An engine that keeps no connection."""
    create: Callable[..., AnyEngine] = create_async_engine if is_async else create_engine
    return create(url, poolclass=NullPool, **more)


def with_listener(url: URL, token: Callable[[str], Any], *, is_async: bool) -> AnyEngine:
    """An engine without the plugin, with the listener that SQLAlchemy's documentation shows.

    Args:
        url: of the plugin.
        token: called with the user on every connect.
        is_async: which kind of engine.
    """
    plain, arguments = without_plugin(url)
    engine = make(plain, is_async=is_async, connect_args=arguments)

    @event.listens_for(
        engine.sync_engine if isinstance(engine, AsyncEngine) else engine, "do_connect"
    )
    def _provide(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        cparams["password"] = token(cparams["user"])

    return engine


def without_plugin(url: URL) -> tuple[URL, dict[str, Any]]:
    """`url` without the plugin, and arguments for as much TLS."""
    ca = url.query.get("rds_iam_ca") or os.environ.get("PGSSLROOTCERT")
    arguments = DRIVERS[url.get_driver_name()].tls(str(ca))
    ours = [name for name in url.query if name == "plugin" or name.startswith("rds_iam_")]
    return url.difference_update_query(ours), arguments


def signed_token(task: Task, url: URL) -> str:
    """A token that is good for 15 minutes."""
    signed = task["signed"]
    client = _rds_client(task)
    return str(client.generate_db_auth_token(signed["host"], signed["port"], url.username))


def _rds_client(task: Task) -> Any:
    import botocore.session  # the plugin is to find it not yet imported

    session = botocore.session.Session(profile=task.get("profile"))
    return session.create_client("rds", region_name=task["signed"]["region"])
