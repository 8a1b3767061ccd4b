"""MySQL and MariaDB: their drivers, what they say of a refused password, and how long names are.

What is behind a refusal is in `mysql_causes`.
"""

from __future__ import annotations

from functools import partial

from sqlalchemy_rds_iam._databases import (
    mysql_causes,
    mysql_dialing,
    mysql_errors,
    mysql_grants,
    mysql_sessions,
    mysql_tls,
    mysql_versions,
    mysql_words,
)
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._passwords.password import MaskedStr


def _latin_1(password: MaskedStr) -> MaskedStr:
    """A password for drivers that encode it as Latin-1 themselves, where the server wants UTF-8."""
    return password if password.isascii() else MaskedStr(password.encode().decode("latin-1"))


MYSQL = Family(
    "mysql",
    ("mysql", "mariadb"),
    "MySQL",
    "mysql+pymysql",
    port=3306,
    longest_name=mysql_grants.LONGEST_USER,
    counts="characters",
    is_refusal=mysql_errors.is_refusal,
    is_throttled=mysql_errors.is_throttled,
    causes=mysql_causes.refused,
    grants=mysql_grants.grants,
    at_proxy=mysql_causes.at_proxy,
    certificate=mysql_errors.CERTIFICATE,
    wrong_name=mysql_errors.WRONG_NAME,
    hindrances=mysql_causes.hindrances,
    sessions=mysql_sessions.RULES,
)

_LONGEST = mysql_grants.LONGEST_USER_MARIADB
MARIADB = MYSQL._replace(
    title="MariaDB",
    example="mariadb+pymysql",
    longest_name=_LONGEST,
    grants=partial(mysql_grants.grants, longest=_LONGEST),
)

FAMILIES = {"mysql": MYSQL, "mariadb": MARIADB}
"""By SQLAlchemy's name of the dialect."""

_LIMIT = mysql_dialing.limit("connect_timeout")
_TIMEOUTS = ("connection_timeout", "connect_timeout")

DRIVERS = {
    "pymysql": Driver(
        *(MYSQL, mysql_tls.context, _LIMIT),
        dial=mysql_dialing.pymysql,
        spelled=_latin_1,
        refuse=mysql_words.refuse,
        usable=mysql_versions.pymysql,
    ),
    "asyncmy": Driver(
        *(MYSQL, mysql_tls.context, _LIMIT, "db"),
        dial=mysql_dialing.asyncmy,
        spelled=_latin_1,
        refuse=mysql_words.refuse,
    ),
    "aiomysql": Driver(
        *(MYSQL, mysql_tls.context, _LIMIT, "db"),
        dial=mysql_dialing.aiomysql,
        spelled=_latin_1,
        refuse=mysql_words.refuse,
        usable=mysql_versions.aiomysql,
    ),
    "mysqldb": Driver(
        *(MYSQL, mysql_tls.mysqldb, _LIMIT, "db"),
        password="passwd",  # noqa: S106  (the argument's name)
        dial=mysql_dialing.in_thread(mysql_dialing.numbered, "connect_timeout"),
        refuse=mysql_words.refuse,
        tunnels=False,
    ),
    "mysqlconnector": Driver(
        *(MYSQL, mysql_tls.mysqlconnector, mysql_dialing.limit(*_TIMEOUTS)),
        dial=mysql_dialing.in_thread(mysql_dialing.mysqlconnector_error, *_TIMEOUTS),
        refuse=mysql_words.refuse,
        tunnels=False,
    ),
    "mariadbconnector": Driver(
        *(MYSQL, mysql_tls.mariadb, _LIMIT),
        user="username",
        dial=mysql_dialing.in_thread(mysql_dialing.mariadb_error, "connect_timeout"),
        refuse=mysql_words.refuse,
        tunnels=False,
    ),
}
"""By SQLAlchemy's name of the driver."""
