"""All drivers that there are, of all families."""

from __future__ import annotations

from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._databases import postgresql
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam.errors import ConfigError

DRIVERS = {**postgresql.DRIVERS}


def driver(name: str) -> Driver:
    """The row for SQLAlchemy's ``dialect.driver``.

    Raises:
        ConfigError: there is none; names the known ones.
    """
    if name not in DRIVERS:
        begin = postgresql.POSTGRESQL.example
        raise ConfigError(
            f"the driver {name!r} is not supported by {' or '.join(PLUGINS)}; known are "
            f"{', '.join(DRIVERS)} (as in {begin}://…)"
        )
    return DRIVERS[name]
