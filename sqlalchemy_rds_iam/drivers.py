"""One row per DBAPI: where it wants to be told about the server and about TLS.

Host, port, user and password have the same names with all of them; the database and TLS have not.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.engine import Dialect

from sqlalchemy_rds_iam import dialing, tls
from sqlalchemy_rds_iam.bundle import narrowed
from sqlalchemy_rds_iam.config import PLUGINS, Options
from sqlalchemy_rds_iam.endpoint import POSTGRESQL_PORT, Endpoint, HostName, parse_database_host
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.guarded import is_guarded

Arguments = Mapping[str, Any]
"""What SQLAlchemy is about to hand to the DBAPI's ``connect()`` (``cparams``)."""


class Watched(Protocol):
    """Something among the connect arguments that may change after it was settled."""

    def is_current(self) -> bool:
        """Whether it is still what it was."""


TlsArguments = tuple[dict[str, Any], Watched | None]
"""Connect arguments about TLS, and what of them has to be looked at before every connect."""


@dataclass(frozen=True, slots=True)
class Target:
    """All that connecting to one host, port and user asks for, settled once.

    Attributes:
        endpoint: what the token is signed for, or the password is for.
        host: that host's parsed name.
        arguments: connect arguments to set beside the password.
        resolve: name to look up before connecting with libpq: through a tunnel on every connect,
            for ``hostaddr``; else once, to know how many addresses share the time limit.
        tunnelled: whether the name connected to is another than the one that is verified.
        watched: a CA file that we made, or an SSL context of the user's: what has to be looked at
            before every connect.
        given: what the user's connect arguments say about where to and about TLS.
        limit: seconds that the driver may take to connect, where the user has set no limit.
        dial: makes the function that connects, if it is not the dialect's own.
        moving: whether there is something to look at before each connect.
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
    moving: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moving", self.watched is not None or self.resolve is not None)


@dataclass(frozen=True, slots=True)
class Driver:
    """What is particular about one DBAPI."""

    tls: Callable[[Arguments, Options, HostName, bool], TlsArguments]
    libpq: bool
    database: str
    """What it calls the database's name."""
    limit: dialing.Limit
    dial: Callable[[Dialect, float], dialing.Connect] | None = None

    def target(
        self, cparams: Arguments, config: Options, ambient_region: Callable[[], str | None]
    ) -> Target:
        """Settle where `cparams` lead: what gets signed, and how the connection is protected.

        Raises:
            ConfigError: no host or user, several hosts, no region, or TLS weaker than asked for.
        """
        dialled = _one_host(cparams, config)
        port = _port(cparams)
        host = parse_database_host(config.host) if config.host else dialled
        endpoint = config.endpoint(host, port, cparams.get("user"), ambient_region)
        tunnelled = host.host != dialled.host
        # The normalised name: a certificate never matches one with a trailing dot.
        settled, watched = self.tls(cparams, config, host, tunnelled)
        limit = max(dialing.CONNECT_LIMIT, config.timeout)
        limited = self.limit(cparams, limit)
        arguments = {"host": dialled.host, "port": port, **limited, **settled}
        resolve = None
        if tunnelled and self.libpq:
            # libpq checks the certificate against `host` and connects to `hostaddr`.
            arguments["host"] = host.host
            if dialled.kind == "ip":
                arguments = {"hostaddr": dialled.host.strip("[]")} | arguments
            elif not cparams.get("hostaddr"):
                resolve = dialled.host
        elif self.libpq and limited and dialled.kind != "ip" and not cparams.get("hostaddr"):
            resolve = dialled.host
        given = {name: cparams[name] for name in cparams if is_guarded(name)}
        return Target(
            endpoint, host, arguments, resolve, tunnelled, watched, given, limit, self.dial
        )


def driver(name: str) -> Driver:
    """The row for SQLAlchemy's ``dialect.driver``; a `ConfigError` names the known ones."""
    if name not in DRIVERS:
        raise ConfigError(
            f"the driver {name!r} is not supported by {' or '.join(PLUGINS)}; known are "
            f"{', '.join(DRIVERS)} (as in postgresql+psycopg://…)"
        )
    return DRIVERS[name]


def _one_host(cparams: Arguments, config: Options) -> HostName:
    host = cparams.get("host")
    if not host:
        raise ConfigError(
            f"the URL names no host, and a {config.BRINGS} is for one: "
            f"postgresql+psycopg://user@HOST/database?plugin={config.PLUGIN}"
        )
    if not isinstance(host, str):
        host = ",".join(map(str, host))
    return parse_database_host(host)


def _port(cparams: Arguments) -> int:
    port = cparams.get("port") or POSTGRESQL_PORT
    try:
        return int(port)
    except (TypeError, ValueError):
        raise ConfigError(f"port={port!r}: expected one port number, such as 5432") from None


def _libpq_tls(
    cparams: Arguments, config: Options, host: HostName, _tunnelled: bool
) -> TlsArguments:
    if cparams.get("gssencmode") == "require":
        raise ConfigError("gssencmode='require' rules out TLS, which RDS asks for: remove it")
    mode = _strongest(config, "sslmode", cparams.get("sslmode"))
    named = {config.named("ca"): config.ca, "sslrootcert": cparams.get("sslrootcert")}
    # With a Kerberos ticket at hand libpq would else prefer GSSAPI encryption to TLS.
    arguments = {"sslmode": mode, "gssencmode": "disable"}
    if mode == "require" and not any(named.values()):
        return arguments, None
    ca = tls.find_ca(named, host)
    # What is said in libpq's own words is passed on as it is. And with `require` libpq takes a
    # missing file for a wish not to verify, so that one must not be ours, to be cleaned away.
    as_it_is = mode == "require" or (named["sslrootcert"] and not config.ca)
    own = None if as_it_is else narrowed(ca, host.region)
    arguments["sslrootcert"] = own.file if own else ca
    tls.check(arguments["sslrootcert"])
    return arguments, own


def _context_tls(
    argument: str, true_means: str
) -> Callable[[Arguments, Options, HostName, bool], TlsArguments]:
    def settle(
        cparams: Arguments, config: Options, host: HostName, tunnelled: bool
    ) -> TlsArguments:
        for name in ("sslmode", "sslrootcert"):
            if name in cparams:
                raise ConfigError(
                    f"this driver has no argument {name!r}: say {config.named('tls')} and "
                    f"{config.named('ca')}"
                )
        given = cparams.get(argument)
        if isinstance(given, ssl.SSLContext):
            level = _strongest(config, argument, tls.strength(given))
            if tls.speaks_old_versions(given):
                raise ConfigError(
                    f"the SSL context in {argument} accepts TLS before 1.2, which is broken "
                    "(RFC 8996): set its minimum_version to ssl.TLSVersion.TLSv1_2"
                )
            return {argument: given}, tls.Given(given, level)
        if isinstance(given, bool):
            given = true_means if given else "disable"
        mode = _strongest(config, argument, given)
        ca = None
        if mode != "require" or config.ca:
            ca = tls.find_ca({config.named("ca"): config.ca}, host)
        return {argument: tls.context(mode, ca, host, check_name=tunnelled)}, None

    return settle


def _strongest(config: Options, argument: str, given: Any) -> str:
    """The level to use, given what the user said in the driver's own words."""
    if given is None:
        return config.tls
    level = tls.STRENGTH.get(given, 0)
    if level >= tls.STRENGTH[config.tls]:
        return str(given)
    option = config.named("tls")
    fix = f"remove it, or allow it with {option}={given}" if level else "remove it"
    raise ConfigError(
        f"{argument} amounts to {given!r}, which is weaker than {option}={config.tls}: {fix}. "
        f"A {config.BRINGS} sent to the wrong server, or in clear, is a password given away"
    )


DRIVERS = {
    "psycopg": Driver(_libpq_tls, libpq=True, database="dbname", limit=dialing.libpq),
    "asyncpg": Driver(
        _context_tls("ssl", true_means="verify-full"),
        libpq=False,
        database="database",
        limit=dialing.asyncpg,
    ),
    "psycopg2": Driver(_libpq_tls, libpq=True, database="dbname", limit=dialing.libpq),
    "pg8000": Driver(
        _context_tls("ssl_context", true_means="require"),
        libpq=False,
        database="database",
        limit=dialing.none,
        dial=dialing.pg8000,
    ),
}
