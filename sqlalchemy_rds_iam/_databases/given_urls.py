"""Database URLs that come without an engine: what they say, and for which of the plugins."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._config.urls import plugin_names
from sqlalchemy_rds_iam._databases import known
from sqlalchemy_rds_iam._databases.drivers import Driver, refuse_zero_bytes
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam.errors import ConfigError

_EXAMPLES = " or ".join(
    f"{known.FAMILIES[each].example}://USER@HOST:PORT/DATABASE" for each in ("postgresql", "mysql")
)


def read_url(url: str | URL) -> URL:
    """Read a URL of a database of ours.

    Raises:
        ConfigError: it cannot be read, or is of another database; the message does not quote it,
            as there may be a password in it.
    """
    found = None
    with contextlib.suppress(ArgumentError, ValueError):  # they may quote the URL
        found = make_url(url)
    if not isinstance(found, URL):  # SQLAlchemy 2.0 hands back what is no text
        raise ConfigError(
            f"the URL cannot be read: expected {_EXAMPLES}, with special characters as percent "
            "codes, and in quotes in a shell"
        )
    if found.get_backend_name() not in known.FAMILIES:
        begins = ", ".join(f"{each}://" for each in known.FAMILIES)
        raise ConfigError(
            f"the URL begins with {found.drivername}://: expected {begins}, or one of these with "
            f"a driver, as in {_EXAMPLES}"
        )
    return found


def plugin_of(query: Mapping[str, Any], options: Mapping[str, Any]) -> type[PluginOptions]:
    """Whose options these are: of the plugin that is named, else of the one that has some.

    Args:
        query: of the URL.
        options: by their whole names.
    """
    named = plugin_names(query)
    if IamOptions.PLUGIN in named:
        return IamOptions
    has_secret = SecretOptions.PLUGIN in named or SecretOptions.names_in({**query, **options})
    return SecretOptions if has_secret else IamOptions


def arguments_of(url: URL, drivername: str) -> dict[str, Any]:
    """What SQLAlchemy makes of a URL for this dialect and driver.

    Raises:
        ConfigError: there is a zero byte in it.
    """
    # The dialect alone: it needs no driver to be installed.
    dialect: Any = url.set(drivername=drivername).get_dialect()()
    found: dict[str, Any] = dialect.create_connect_args(url)[1]
    refuse_zero_bytes(found)
    return found


def drivername_of(url: URL, family: Family) -> str:
    """Dialect and driver of the URL; those of the family where the driver is none of ours."""
    name = url.get_driver_name()
    return f"{url.get_backend_name()}+{name}" if name in known.DRIVERS else family.example


def row_of(drivername: str) -> Driver:
    """The row of a dialect and a driver."""
    backend, _, name = drivername.partition("+")
    return known.driver(name, backend)
