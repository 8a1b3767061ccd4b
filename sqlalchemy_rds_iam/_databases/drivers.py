"""One row per DBAPI: where it wants to be told about the server and about TLS.

Host, port, user and password have the same names with all of them; the database and TLS have not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy.engine import Dialect

from sqlalchemy_rds_iam._config.options import PLUGINS, PluginOptions
from sqlalchemy_rds_iam._databases import dialing, driver_tls
from sqlalchemy_rds_iam._databases.driver_tls import Arguments, TlsArguments, Watched
from sqlalchemy_rds_iam._databases.guarded import is_guarded
from sqlalchemy_rds_iam._databases.libpq_variables import libpq_version, overruled
from sqlalchemy_rds_iam._endpoints.hostname import (
    POSTGRESQL_PORT,
    Endpoint,
    HostName,
    parse_database_host,
)
from sqlalchemy_rds_iam._tls.trust import FoundCa
from sqlalchemy_rds_iam.errors import ConfigError


@dataclass(slots=True, eq=False)
class Target:
    """All that connecting to one host, port and user asks for, settled once.

    Attributes:
        endpoint: what the token is signed for, or the password is for.
        host: that host's parsed name.
        arguments: connect arguments to set beside the password.
        filled: connect arguments that the user has left to a secret.
        changed: all of these that differ from the user's, which spares each connect the others.
        resolve: name to look up before connecting with libpq: through a tunnel on every connect,
            for ``hostaddr``; else once, to know how many addresses share the time limit.
        tunnelled: whether the name connected to is another than the one that is verified.
        watched: a CA file that we made, or an SSL context of the user's: what has to be looked at
            before every connect.
        given: what the user's connect arguments say about where to and about TLS.
        limit: seconds that the driver may take to connect, where the user has set no limit.
        dial: makes the function that connects, if it is not the dialect's own.
        moving: whether there is something to look at before each connect.
        ca: the CA file that counts, and why; None if there is none, or in a context of the user's.
    """

    endpoint: Endpoint
    host: HostName
    arguments: dict[str, Any]
    resolve: str | None = None
    tunnelled: bool = False
    watched: Watched | None = None
    given: dict[str, Any] = field(default_factory=dict)
    limit: float = dialing.CONNECT_LIMIT
    dial: Callable[[Dialect, float], dialing.Connect] | None = None
    ca: FoundCa | None = None
    filled: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, Any] = field(init=False)
    moving: bool = field(init=False)

    def __post_init__(self) -> None:
        # Host and port only: a target is settled for them, and a listener may change the rest.
        same = {name for name in ("host", "port") if self._is_as_given(name)}
        changed = {name: self.arguments[name] for name in self.arguments if name not in same}
        self.changed = self.filled | changed
        self.moving = self.watched is not None or self.resolve is not None

    def at(self, addresses: Sequence[str]) -> dict[str, str]:
        """How libpq is told to connect to these, and to check the certificate for `host`."""
        # It tries the addresses in turn, and wants a host for each.
        hosts = ",".join([self.host.host] * len(addresses))
        return {"host": hosts, "hostaddr": ",".join(addresses)}

    def _is_as_given(self, name: str) -> bool:
        given, settled = self.given.get(name), self.arguments.get(name)
        return type(given) is type(settled) and given == settled


class Driver(NamedTuple):
    """What is particular about one DBAPI."""

    tls: Callable[[Arguments, PluginOptions, HostName, bool], TlsArguments]
    database: str
    """What it calls the database's name."""
    limit: dialing.Limit
    dial: Callable[[Dialect, float], dialing.Connect] | None = None

    libpq: str | None = None
    """The module with libpq in it, if it is made of that."""

    def target(
        self,
        cparams: Arguments,
        config: PluginOptions,
        ambient_region: Callable[[], str | None],
        filled: Arguments = MappingProxyType({}),
    ) -> Target:
        """Settle where `cparams` lead: what gets signed, and how the connection is protected.

        Args:
            cparams: the user's connect arguments.
            config: the options.
            ambient_region: finds the region of the AWS session, for names that carry none.
            filled: arguments that win over the user's.

        Raises:
            ConfigError: no host or user, several hosts, no region, TLS weaker than asked for, or
                a zero byte.
        """
        cparams = {**cparams, **filled}
        refuse_zero_bytes(cparams)
        for name in ("host", "user"):
            _refuse_object(name, cparams.get(name))
        dialled = _one_host(cparams, config)
        port = _port(cparams)
        host = parse_database_host(config.host) if config.host else dialled
        endpoint = config.endpoint(host, port, cparams.get("user"), ambient_region)
        tunnelled = host.host != dialled.host
        # The normalised name: a certificate never matches one with a trailing dot.
        settled, watched, ca = self.tls(cparams, config, host, tunnelled)
        limit = max(dialing.CONNECT_LIMIT, config.timeout)
        limited = self.limit(cparams, limit)
        arguments = {"host": dialled.host, "port": port, **limited, **settled}
        if self.libpq:
            arguments |= overruled(cparams, config, libpq_version(self.libpq))
        resolve = None
        if tunnelled and self.libpq:
            # libpq checks the certificate against `host` and connects to `hostaddr`.
            arguments["host"] = host.host
            if dialled.kind == "ip":
                arguments["hostaddr"] = dialled.host.strip("[]")
            elif not cparams.get("hostaddr"):
                resolve = dialled.host
        elif self.libpq and limited and dialled.kind != "ip" and not cparams.get("hostaddr"):
            resolve = dialled.host
        given = {name: cparams[name] for name in cparams if is_guarded(name)}
        return Target(
            *(endpoint, host, arguments, resolve, tunnelled, watched, given, limit, self.dial, ca),
            filled=dict(filled),
        )


def driver(name: str) -> Driver:
    """The row for SQLAlchemy's ``dialect.driver``; a `ConfigError` names the known ones."""
    if name not in DRIVERS:
        raise ConfigError(
            f"the driver {name!r} is not supported by {' or '.join(PLUGINS)}; known are "
            f"{', '.join(DRIVERS)} (as in postgresql+psycopg://…)"
        )
    return DRIVERS[name]


def refuse_zero_bytes(arguments: Arguments) -> None:
    """Refuse what C and PostgreSQL's protocol would cut off, or take for two words.

    Raises:
        ConfigError: there is a zero byte in one of the connect arguments.
    """
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            refuse_zero_bytes(value)
        elif (isinstance(value, str) and "\0" in name + value) or (
            isinstance(value, bytes) and 0 in value
        ):
            raise ConfigError(f"there is a zero byte (%00 in a URL) in {name!r}: remove it")


def _one_host(cparams: Arguments, config: PluginOptions) -> HostName:
    host = cparams.get("host")
    if not host:
        raise ConfigError(
            f"the URL names no host, and a {config.BRINGS} is for one: "
            f"postgresql+psycopg://user@HOST/database?plugin={config.PLUGIN}"
        )
    if not isinstance(host, str):
        host = ",".join(map(str, host))
    return parse_database_host(host)


def _refuse_object(name: str, value: Any) -> None:
    several = name == "host" and isinstance(value, list | tuple)  # as SQLAlchemy does for asyncpg
    if not (value is None or isinstance(value, str) or several):
        kind = type(value).__name__
        raise ConfigError(f"{name} is an object of the type {kind}: expected a text")


def _port(cparams: Arguments) -> int:
    port = cparams.get("port") or POSTGRESQL_PORT
    try:
        return int(port)
    except (TypeError, ValueError):
        raise ConfigError(f"port={port!r}: expected one port number, such as 5432") from None


DRIVERS = {
    "psycopg": Driver(driver_tls.libpq, "dbname", dialing.libpq, libpq="psycopg"),
    "asyncpg": Driver(driver_tls.context("ssl"), "database", dialing.asyncpg),
    "psycopg2": Driver(driver_tls.libpq, "dbname", dialing.libpq, libpq="psycopg2"),
    "pg8000": Driver(
        driver_tls.context("ssl_context"), "database", dialing.none, dial=dialing.pg8000
    ),
}
