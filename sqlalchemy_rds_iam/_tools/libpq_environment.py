"""The environment in which psql, pg_dump and all else made of libpq connect as an engine would.

Source: "Environment Variables" in the libpq chapter of the PostgreSQL documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._concurrency import call_with_timeout
from sqlalchemy_rds_iam._connecting.runtime import ThreadRuntime
from sqlalchemy_rds_iam._databases.libpq_variables import IN_THE_WAY, is_in_the_way
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.access import Access
from sqlalchemy_rds_iam.errors import RdsIamError, WaitTimeout

_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "gssencmode": "PGGSSENCMODE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
# What the URL of a libpq driver may say beside.
_MORE = {
    "application_name": "PGAPPNAME",
    "client_encoding": "PGCLIENTENCODING",
    "options": "PGOPTIONS",
    "sslcert": "PGSSLCERT",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcrl": "PGSSLCRL",
    "sslkey": "PGSSLKEY",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


class Settings(NamedTuple):
    """How to connect, without the password.

    Attributes:
        variables: the environment variables to set.
        lost: what the URL says and no variable can.
        passed: the CA files that do not count, each with the reason.
    """

    variables: dict[str, str]
    lost: list[str]
    passed: tuple[str, ...] = ()


def settings(access: Access) -> Settings:
    """Settle how libpq is told to connect as `access` says. Looks up a name, for a tunnel.

    Raises:
        ConfigError: there is no CA file, or the TLS asked for is too weak.
        RdsIamError: the name of a tunnel's end cannot be looked up.
        WaitTimeout: not in time.
    """
    target = access.target()
    told: dict[str, Any] = {
        key: access.cparams[key]
        for key in ("user", "dbname", "hostaddr")
        if access.cparams.get(key)
    }
    # What is overruled for an engine is taken out of the environment here.
    told |= {
        key: value
        for key, value in target.arguments.items()
        if key in _VARIABLES and (value or key == "sslrootcert")
    }
    if target.resolve is not None and target.tunnelled:
        told |= target.hosts(_addresses(target.resolve, access.config.timeout))
    variables = {_VARIABLES[key]: str(value) for key, value in told.items()}
    lost: list[str] = []
    if access.url.get_driver_name() in {"psycopg", "psycopg2"}:
        for key in access.cparams.keys() - _VARIABLES.keys():
            if key in _MORE:
                variables[_MORE[key]] = str(access.cparams[key])
            else:
                lost.append(key)
    return Settings(variables, sorted(lost), target.ca.passed if target.ca else ())


def environment(
    variables: Mapping[str, str], token: IssuedPassword, environ: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The whole environment of a program that is to connect.

    Args:
        variables: those of `settings`.
        token: the password.
        environ: the environment so far.

    Returns:
        It, and the names of those variables whose value had to give way.
    """
    ours = {**variables, "PGPASSWORD": str(token.password)}
    # A service comes before all variables.
    doubtful = [name for name in IN_THE_WAY if is_in_the_way(name, environ.get(name))]
    out = {name for name in ("PGSERVICE", *doubtful) if name in environ}
    kept = {name: value for name, value in environ.items() if name not in out}
    gone = [name for name in out if name not in ours]
    gone += [name for name, value in ours.items() if environ.get(name, value) != value]
    return kept | ours, sorted(gone)


def _addresses(name: str, timeout: float) -> list[str]:
    try:
        return call_with_timeout(timeout, lambda: ThreadRuntime(inline=True).resolve(name, timeout))
    except RdsIamError:
        raise
    except TimeoutError:
        raise WaitTimeout(f"no address for {name!r} within {timeout:g} s") from None
