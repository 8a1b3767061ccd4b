"""What a driver's arguments ask of TLS, whatever they are called: how much is verified, by whom."""

from __future__ import annotations

import ssl
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._tls import contexts

CONTEXT = {
    "asyncpg": "ssl",
    "pg8000": "ssl_context",
    "pymysql": "ssl",
    "asyncmy": "ssl",
    "aiomysql": "ssl",
}
"""The drivers that take an SSL context, and as which argument."""

LIBPQ = ("psycopg", "psycopg2")

ARGUMENT = dict.fromkeys(LIBPQ, "sslmode") | CONTEXT | {"mysqldb": "ssl_mode"}
"""The argument in which a driver is told how much to verify, where there is just one."""

POSTGRESQL = [name for name, driver in DRIVERS.items() if driver.family.name == "postgresql"]

LEAST = {"mysqldb": "verify-ca", "mysqlconnector": "verify-full", "mariadbconnector": "verify-full"}
"""What these verify in any case: they insist on TLS only if they verify."""

_MODES = {"REQUIRED": "require", "VERIFY_CA": "verify-ca", "VERIFY_IDENTITY": "verify-full"}


class Asked(NamedTuple):
    """What is asked for.

    Attributes:
        level: one of the levels of rds_iam_tls.
        ca: the CA file; None where there is none, or a context holds what was in it.
        context: the context, with the drivers that take one.
    """

    level: str
    ca: str | None
    context: ssl.SSLContext | None = None

    @property
    def trusted(self) -> list[Any]:
        """The certificates of those who are trusted."""
        return (self.context or ssl.create_default_context(cafile=self.ca)).get_ca_certs()


def asked(driver: str, arguments: dict[str, Any]) -> Asked:
    """What a driver is asked for by its arguments."""
    if driver in CONTEXT:
        context = arguments[CONTEXT[driver]]
        return Asked(contexts.strength(context), None, context)
    if driver in LIBPQ:
        return Asked(arguments["sslmode"], arguments.get("sslrootcert"))
    if driver == "mysqldb":
        return Asked(_MODES[arguments["ssl_mode"]], (arguments.get("ssl") or {}).get("ca"))
    # mysqlconnector and mariadbconnector have a word for each step.
    verified = bool(arguments.get("ssl_verify_cert"))
    named = bool(arguments.get("ssl_verify_identity", driver == "mariadbconnector"))
    level = "verify-full" if verified and named else "verify-ca" if verified else "require"
    return Asked(level, arguments.get("ssl_ca"))
