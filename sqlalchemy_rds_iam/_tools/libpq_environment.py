"""The environment in which psql, pg_dump and all else made of libpq connect as an engine would.

Source: "Environment Variables" in the libpq chapter of the PostgreSQL documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._concurrency import call_with_timeout
from sqlalchemy_rds_iam._connecting.runtime import ThreadRuntime
from sqlalchemy_rds_iam._databases.driver_tls import level_of
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.libpq_variables import IN_THE_WAY, is_in_the_way
from sqlalchemy_rds_iam._databases.postgresql import (
    DRIVERS,
    POSTGRESQL,
    is_refusal,
    is_throttled,
)
from sqlalchemy_rds_iam._tools.program_setup import ProgramSetup, passed_over
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


_DRIVER = "psycopg"
"""Whose words are those of libpq."""


def setup(access: Access, command: list[str], environ: Mapping[str, str]) -> ProgramSetup:
    """Settle how libpq is told to connect as `access` says. Looks up a name, for a tunnel.

    Raises:
        ConfigError: there is no CA file, or the TLS asked for is too weak.
        RdsIamError: the name of a tunnel's end cannot be looked up.
        WaitTimeout: not in time.
    """
    said = access.arguments(f"{POSTGRESQL.name}+{_DRIVER}")
    target = _target(access, said)
    told: dict[str, Any] = {
        key: said[key] for key in ("user", "dbname", "hostaddr") if said.get(key)
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
        for key in said.keys() - _VARIABLES.keys():
            if key in _MORE:
                variables[_MORE[key]] = str(said[key])
            else:
                lost.append(key)
    notes = passed_over(target.ca)
    if lost:
        notes.append(f"no variable says {', '.join(sorted(lost))}; that of the URL is left out")
    # A service comes before all variables.
    doubtful = (name for name in IN_THE_WAY if is_in_the_way(name, environ.get(name)))
    aside = frozenset(("PGSERVICE", *doubtful))
    return ProgramSetup(command, variables, "PGPASSWORD", _is_refused, aside, notes)


def _target(access: Access, said: Mapping[str, Any]) -> Target:
    level = level_of(said.get("ssl") or said.get("ssl_context"))
    if isinstance(level, str):
        said = {"sslmode": level, **said}  # the words of asyncpg and pg8000 for the same
    return access.target(DRIVERS[_DRIVER], said)


def _is_refused(words: str) -> bool:
    error = RuntimeError(words)
    return is_refusal(error) or is_throttled(error)


def _addresses(name: str, timeout: float) -> list[str]:
    try:
        return call_with_timeout(timeout, lambda: ThreadRuntime(inline=True).resolve(name, timeout))
    except RdsIamError:
        raise
    except TimeoutError:
        raise WaitTimeout(f"no address for {name!r} within {timeout:g} s") from None
