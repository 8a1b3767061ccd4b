"""Engines as the documentation of each peer makes them, to the same place as the plugin's.

What they connect to is an address on loopback; the name that tokens are signed for is an
endpoint's. Where a peer knows of no such difference, as in a tunnel, the driver is told the address
by an argument of its own, which comes after the peer.
"""

from __future__ import annotations

import socket
from typing import Any, NamedTuple

from sqlalchemy import URL

from benchmarks.lib import ways
from benchmarks.lib.ways import AnyEngine, Build, Task

OWN = "sqlalchemy-rds-iam"
"""The environment of this project: as small as the others, as some of a start grows with it."""

AGAIN = "ready token, again"
READY = "ready token"
PASSWORD = "password"
PLUGIN = "rds_iam"
"""Ways with a place of their own in the tables: twice the floor, a password, and this project."""


class Way(NamedTuple):
    """A way to log in.

    Attributes:
        build: makes its engine.
        drivers: those that it is for, by SQLAlchemy's names.
        environment: where it is installed, by its name.
        waits_for_aws: whether it fetches credentials and signs.
        is_limited: whether IAM's limit of logins applies to it.
    """

    build: Build
    drivers: tuple[str, ...]
    environment: str = OWN
    waits_for_aws: bool = True
    is_limited: bool = True


def once(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """SQLAlchemy's recipe with a client of boto3 that is made beforehand."""
    import boto3  # only in environments of peers

    signed = task["signed"]
    client = boto3.client("rds", region_name=signed["region"])
    return ways.with_listener(
        url,
        lambda user: client.generate_db_auth_token(signed["host"], signed["port"], user),
        is_async=is_async,
    )


def each(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """The same with a client of boto3 for every connect."""
    import boto3  # only in environments of peers

    signed = task["signed"]

    def token(user: str) -> Any:
        client = boto3.client("rds", region_name=signed["region"])
        return client.generate_db_auth_token(signed["host"], signed["port"], user)

    return ways.with_listener(url, token, is_async=is_async)


def auth_plugin(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """sqlalchemy-rds-iam-auth-plugin, which signs for host and port of its URL."""
    plain, arguments = ways.without_plugin(url)
    signed = task["signed"]
    query = {"plugin": "rds_iam", "use_iam_auth": "true", "aws_region": signed["region"]}
    named = plain.set(host=signed["host"], port=signed["port"]).update_query_dict(query)
    arguments |= {"host": plain.host, "port": plain.port}
    return ways.make(named, is_async=is_async, connect_args=arguments)


def rdsiam(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """sqlalchemy-rdsiam, which signs for what it connects to, so that its port has to be signed."""
    plain, _ = ways.without_plugin(url)
    signed = task["signed"]
    if plain.port != signed["port"]:
        raise ValueError(
            f"port {signed['port']} is signed: expected that of {plain.host}:{plain.port}"
        )
    arguments = {
        "aws_region_name": signed["region"],
        "sslmode": "verify-full",
        "sslrootcert": str(url.query["rds_iam_ca"]),
    }
    if plain.get_driver_name() == "psycopg2":
        arguments["hostaddr"] = str(plain.host)
    else:
        _resolve(signed["host"], str(plain.host))
    named = plain.set(drivername=f"{plain.drivername}rdsiam", host=signed["host"])
    return ways.make(named, is_async=is_async, connect_args=arguments)


def aws_wrapper(url: URL, task: Task, *, is_async: bool) -> AnyEngine:
    """The AWS Advanced Python Wrapper with its plugin "iam", through its dialects."""
    plain, arguments = ways.without_plugin(url)
    signed = task["signed"]
    backend, driver = plain.get_backend_name(), plain.get_driver_name()
    query = {
        "wrapper_dialect": {"postgresql": "pg"}.get(backend, backend),
        "wrapper_plugins": "iam",
        "iam_host": signed["host"],
        "iam_default_port": str(signed["port"]),
        "iam_region": signed["region"],
    }
    wrapped = plain.set(drivername=f"{backend}+aws_wrapper_{driver}").update_query_dict(query)
    return ways.make(wrapped, is_async=is_async, connect_args=arguments)


_POSTGRESQL = ("psycopg", "psycopg2", "asyncpg")
_ALL = (*_POSTGRESQL, "mysqlconnector")

WAYS = {
    READY: Way(ways.static, _ALL, waits_for_aws=False),
    AGAIN: Way(ways.static, _ALL, waits_for_aws=False),
    PASSWORD: Way(ways.password, _POSTGRESQL, waits_for_aws=False, is_limited=False),
    "boto3, client once": Way(once, _ALL, "boto3"),
    "boto3, client per connect": Way(each, _ALL, "boto3"),
    "sqlalchemy-rds-iam-auth-plugin": Way(auth_plugin, _ALL, "sqlalchemy-rds-iam-auth-plugin"),
    "sqlalchemy-rdsiam": Way(rdsiam, ("psycopg2", "asyncpg"), "sqlalchemy-rdsiam"),
    "AWS wrapper": Way(aws_wrapper, ("psycopg", "mysqlconnector"), "aws-advanced-python-wrapper"),
    PLUGIN: Way(ways.plugin, _ALL),
}
"""By the name in the tables, in their order."""


def _resolve(name: str, address: str) -> None:
    """Let this process find `name` at `address`, for a driver that cannot be told one."""
    real: Any = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *more, **named: real(
        address if host == name else host, *more, **named
    )
