"""PostgreSQL: its drivers, what they say when a password is refused, and the SQL of IAM logins.

What is behind a refusal is in `postgresql_causes`.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy_rds_iam._databases import (
    dialing,
    driver_tls,
    libpq_variables,
    postgresql_causes,
    postgresql_sessions,
)
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.family import Family, RefusedBy, chain
from sqlalchemy_rds_iam._databases.postgresql_grants import LONGEST_NAME, grants
from sqlalchemy_rds_iam._databases.postgresql_sessions import state
from sqlalchemy_rds_iam._tls.trust import CaPlaces

_STATES = {"28000", "28P01"}  # invalid_authorization_specification, invalid_password
_THROTTLED = "too many competing requests|Rate of connection to proxy exceeded"
_TEXT = "authentication failed|password that was provided for the role"
_BY_IAM = "IAM authentication failed"
_OTHER = r"pg_hba\.conf|is not permitted to log in|role .* does not exist"
# Arguments of libpq that psycopg copies to its errors.
_SECRET = (b"password", b"sslpassword")


def is_refusal(error: BaseException) -> bool:
    """Whether this is the server refusing the password, as far as the driver reports it.

    libpq drivers know no SQLSTATE for a failed connect, only its text. Refusals by pg_hba.conf, and
    of roles without LOGIN and by a proxy that is not set up for tokens, share the SQLSTATE but have
    other causes. What RDS Proxy throttles is for `is_throttled`.
    """
    for failure in chain(error):
        code, text = state(failure), str(failure)
        if re.search(_OTHER, text) or postgresql_causes.at_proxy("", text):
            return False
        if code in _STATES or (code is None and re.search(_TEXT, text)):
            return True
    return False


def is_throttled(error: BaseException) -> bool:
    """Whether this is RDS Proxy saying that logins come too fast; RDS itself never does.

    Source: "Troubleshooting for RDS Proxy" in the Amazon RDS User Guide.
    """
    return any(re.search(_THROTTLED, str(failure)) for failure in chain(error))


def refused_by(error: BaseException) -> RefusedBy:
    """Who has refused the password.

    Only PAM asks IAM, and says the same when that throttles. RDS Proxy has words for each.
    """
    for failure in chain(error):
        text = str(failure)
        if re.search(postgresql_causes.WANTED_A_PASSWORD, text):
            return "password"
        if state(failure) == "28P01" or re.search(_BY_IAM, text):
            return "iam"
    return "unclear"


def _forget(error: BaseException) -> None:
    """Take the password out of what psycopg keeps of a connection that has failed."""
    kept: Any = getattr(error, "pgconn", None)
    if type(kept).__name__ != "FinishedPGconn":
        return
    kept.password = b""
    kept.info = [option for option in kept.info if option.keyword not in _SECRET]


POSTGRESQL = Family(
    "postgresql",
    ("postgresql",),
    "PostgreSQL",
    "postgresql+psycopg",
    port=5432,
    longest_name=LONGEST_NAME,
    is_refusal=is_refusal,
    is_throttled=is_throttled,
    refused_by=refused_by,
    causes=postgresql_causes.refused,
    grants=grants,
    at_proxy=postgresql_causes.at_proxy,
    sessions=postgresql_sessions.RULES,
    alpn="postgresql",
    ca_places=CaPlaces("PGSSLROOTCERT", ".postgresql/root.crt"),
    hindrances=libpq_variables.hindrances,
    revocation=libpq_variables.revocation,
    forget=_forget,
)

FAMILIES = {"postgresql": POSTGRESQL}
"""By SQLAlchemy's name of the dialect."""

_TARGET = "PGTARGETSESSIONATTRS"
DRIVERS = {
    "psycopg": Driver(
        *(POSTGRESQL, driver_tls.libpq, dialing.libpq, "dbname"),
        libpq="psycopg",
        target_variable=_TARGET,
        reported=postgresql_sessions.psycopg,
    ),
    "asyncpg": Driver(
        *(POSTGRESQL, driver_tls.context("ssl"), dialing.asyncpg),
        # It is looked at here, and for longer than while connecting.
        fixed={"target_session_attrs": "any"},
        target_variable=_TARGET,
        reported=postgresql_sessions.asyncpg,
    ),
    "psycopg2": Driver(
        *(POSTGRESQL, driver_tls.libpq, dialing.libpq, "dbname"),
        dial=dialing.psycopg2,
        libpq="psycopg2",
        target_variable=_TARGET,
        reported=postgresql_sessions.psycopg2,
    ),
    "pg8000": Driver(
        *(POSTGRESQL, driver_tls.context("ssl_context"), dialing.none),
        dial=dialing.pg8000,
        reported=postgresql_sessions.pg8000,
    ),
}
"""By SQLAlchemy's name of the driver."""
