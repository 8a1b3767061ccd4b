"""Versions of drivers that would send a password in clear, looked for when an engine is made."""

from __future__ import annotations

from typing import Any

from sqlalchemy_rds_iam._databases import aiomysql_guard
from sqlalchemy_rds_iam._databases.driver_tls import Arguments
from sqlalchemy_rds_iam._databases.mysql_dialing import refuse_creator
from sqlalchemy_rds_iam.errors import ConfigError

_OLDEST = (1, 2, 0)


def pymysql(dbapi: Any, _cparams: Arguments) -> None:
    """Refuse a PyMySQL that goes on in clear if a server offers no TLS.

    Raises:
        ConfigError: it is older than 1.2.0.
    """
    _refuse_old(dbapi)


def aiomysql(dbapi: Any, cparams: Arguments) -> None:
    """Refuse an aiomysql that cannot be guarded, and PyMySQL beneath it that is too old.

    Raises:
        ConfigError: it is such a version, or another function is to connect.
    """
    refuse_creator(cparams)
    aiomysql_guard.refuse_unguarded(dbapi.aiomysql)
    _refuse_old(dbapi.pymysql)


def _refuse_old(module: Any) -> None:
    version = getattr(module, "VERSION", None)
    if isinstance(version, tuple) and version[:3] < _OLDEST:
        found = ".".join(map(str, version[:3]))
        raise ConfigError(
            f"PyMySQL {found} sends a password in clear if a server offers no TLS, in spite of an "
            "SSL context: install PyMySQL 1.2.0 or newer"
        )
