"""One row per DBAPI: where it wants to be told about the server and about TLS.

Host, port, user and password have the same names with all of them; the database and TLS have not.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy_rds_iam import tls
from sqlalchemy_rds_iam.bundle import Narrowed, narrowed
from sqlalchemy_rds_iam.config import PLUGINS, Options
from sqlalchemy_rds_iam.endpoint import POSTGRESQL_PORT, Endpoint, HostName, parse_database_host
from sqlalchemy_rds_iam.errors import ConfigError

Arguments = Mapping[str, Any]
"""What SQLAlchemy is about to hand to the DBAPI's ``connect()`` (``cparams``)."""

TlsArguments = tuple[dict[str, Any], Narrowed | None]
"""Connect arguments about TLS, and the CA file among them if it is one that we made."""


@dataclass(frozen=True, slots=True)
class Target:
    """All that connecting to one host, port and user asks for, settled once.

    Attributes:
        endpoint: what the token is signed for, or the password is for.
        host: that host's parsed name.
        arguments: connect arguments to set beside the password.
        resolve: name to look up for ``hostaddr`` on every connect, for libpq through a tunnel.
        own_ca: the CA file among the arguments, if it is one that we made; it has to be looked
            at before every connect.
    """

    endpoint: Endpoint
    host: HostName
    arguments: dict[str, Any]
    resolve: str | None = None
    own_ca: Narrowed | None = None


@dataclass(frozen=True, slots=True)
class Driver:
    """What is particular about one DBAPI."""

    tls: Callable[[Arguments, Options, HostName, bool], TlsArguments]
    libpq: bool
    database: str
    """What it calls the database's name."""

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
        settled, own_ca = self.tls(cparams, config, host, tunnelled)
        arguments = {"host": dialled.host, "port": port, **settled}
        resolve = None
        if tunnelled and self.libpq:
            # libpq checks the certificate against `host` and connects to `hostaddr`.
            arguments["host"] = host.host
            if dialled.kind == "ip":
                arguments = {"hostaddr": dialled.host.strip("[]")} | arguments
            elif "hostaddr" not in cparams:
                resolve = dialled.host
        return Target(endpoint, host, arguments, resolve, own_ca)


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
            _strongest(config, argument, tls.strength(given))
            return {argument: given}, None
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
    "psycopg": Driver(_libpq_tls, libpq=True, database="dbname"),
    "asyncpg": Driver(
        _context_tls("ssl", true_means="verify-full"), libpq=False, database="database"
    ),
    "psycopg2": Driver(_libpq_tls, libpq=True, database="dbname"),
    "pg8000": Driver(
        _context_tls("ssl_context", true_means="require"), libpq=False, database="database"
    ),
}
