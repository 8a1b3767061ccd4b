"""Environment variables that keep libpq from connecting as the URL says, and how to overrule them.

Each is looked at with the libpq inside of the drivers. What is not here has no say (PGREQUIREPEER
is for Unix sockets; PGSSLMODE, PGGSSENCMODE and PGPASSWORD yield to what the driver is told), or
says what the user may well want (PGOPTIONS, PGSSLNEGOTIATION, PGSSLCRL).

Source: "Environment Variables" and "Parameter Key Words" in the libpq chapter of the PostgreSQL
documentation.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam.errors import ConfigError

logger = logging.getLogger("sqlalchemy_rds_iam")


class Variable(NamedTuple):
    """How to overrule an environment variable.

    Attributes:
        keyword: libpq's parameter for the same.
        harmless: a value of it that changes nothing.
        fine: values of the variable that are not in the way.
        since: libpq's version that knows it, as in PQlibVersion(); older ones refuse the keyword.
        token: whether it is a token alone that it keeps from being sent.
    """

    keyword: str
    harmless: str
    fine: frozenset[str]
    since: int = 0
    token: bool = False


_NEW_TLS = frozenset(("tlsv1.2", "tlsv1.3"))
IN_THE_WAY = {
    # It leads elsewhere.
    "PGHOSTADDR": Variable("hostaddr", "", frozenset(("",))),
    # What it wants is an option of ours, which also looks again later.
    "PGTARGETSESSIONATTRS": Variable("target_session_attrs", "any", frozenset(("any",)), 10_00_00),
    # These forbid the clear password that a token is, within TLS. An empty require_auth forbids
    # all there is, so what is forbidden instead is SSPI, which is a matter of Windows domains.
    "PGREQUIREAUTH": Variable("require_auth", "!sspi", frozenset(("password",)), 16_00_00, True),
    "PGCHANNELBINDING": Variable(
        "channel_binding", "prefer", frozenset(("prefer", "disable")), 13_00_00, True
    ),
    # RDS asks for no client certificate.
    "PGSSLCERTMODE": Variable("sslcertmode", "allow", frozenset(("allow", "disable")), 16_00_00),
    # An empty one is no limit at all.
    "PGSSLMINPROTOCOLVERSION": Variable("ssl_min_protocol_version", "TLSv1.2", _NEW_TLS, 13_00_00),
    "PGSSLMAXPROTOCOLVERSION": Variable("ssl_max_protocol_version", "", _NEW_TLS | {""}, 13_00_00),
}


def is_in_the_way(name: str, value: str | None) -> bool:
    """Whether this value, None if there is none, of an environment variable is in the way."""
    return value is not None and value.lower() not in IN_THE_WAY[name].fine


def overruled(cparams: Mapping[str, Any], config: PluginOptions, version: int) -> dict[str, str]:
    """Connect arguments that overrule the variables of the environment which are in the way.

    A service, of PGSERVICE or named in the arguments, counts as if it had set all of them.

    Args:
        cparams: what the user says, which is looked at and not overruled.
        config: the options.
        version: libpq's.

    Raises:
        ConfigError: the user asks for what cannot work with a token, or for TLS before 1.2.
    """
    _refuse(cparams, config)
    service = cparams.get("service") or os.environ.get("PGSERVICE")
    found = {}
    for name, (keyword, harmless, _, since, token) in IN_THE_WAY.items():
        value = os.environ.get(name)
        wanted = token and value != "" and not isinstance(config, IamOptions)
        if cparams.get(keyword) or version < since or wanted:
            continue
        if is_in_the_way(name, value):
            found[keyword] = harmless
            logger.info(
                "%s of the environment is in the way, and overruled for these connections by %s=%r",
                *(name, keyword, harmless),
            )
        elif service or keyword in cparams:
            found[keyword] = value or harmless
    return found


def libpq_version(module: str) -> int:
    """The version of the libpq inside of a driver that is loaded; 0 if it is not, or too old."""
    driver: Any = sys.modules.get(module)
    try:
        found = driver.extensions.libpq_version() if module == "psycopg2" else driver.pq.version()
    except AttributeError:
        return 0
    return int(found)


def _refuse(cparams: Mapping[str, Any], config: PluginOptions) -> None:
    methods = str(cparams.get("require_auth") or "password").replace(" ", "").split(",")
    allowed = "!password" not in methods if methods[0].startswith("!") else "password" in methods
    if isinstance(config, IamOptions):
        if not allowed:
            raise ConfigError(
                f"require_auth={cparams['require_auth']!r} forbids the clear password that a token "
                "is, within TLS: remove it, or add 'password'"
            )
        if cparams.get("channel_binding") == "require":
            raise ConfigError(
                "channel_binding='require' cannot be met by a token, which is a clear password "
                "within TLS: remove it"
            )
    least = cparams.get("ssl_min_protocol_version")
    if least and str(least).lower() not in _NEW_TLS:
        raise ConfigError(
            f"ssl_min_protocol_version={least!r} allows TLS before 1.2: remove it, or say TLSv1.2 "
            "or TLSv1.3"
        )


# The apostrophe in what RDS Proxy says is one of two.
_NO_OPTIONS = "support command-line options"
# What drivers say because of a variable that they do not name, by libpq's keyword for the same.
_VARIABLES = {
    "service": ("PGSERVICE", "definition of service"),
    "min_protocol_version": ("PGMINPROTOCOLVERSION", r"\bmin_protocol_version"),
    "max_protocol_version": ("PGMAXPROTOCOLVERSION", r"\bmax_protocol_version"),
    "sslnegotiation": ("PGSSLNEGOTIATION", "sslnegotiation|ALPN"),
    "load_balance_hosts": ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    "gsslib": ("PGGSSLIB", "gsslib"),
    "client_encoding": ("PGCLIENTENCODING", 'parameter "client_encoding"'),
    "timezone": ("PGTZ", 'parameter "TimeZone"'),
    "datestyle": ("PGDATESTYLE", 'parameter "DateStyle"'),
    "geqo": ("PGGEQO", 'parameter "geqo"'),
}
_REVOKED = ("PGSSLCRL", "PGSSLCRLDIR")


def hindrances(said: str, cparams: Mapping[str, Any]) -> Iterator[str]:
    """What of the environment a driver complains about without naming it, and what to do.

    Args:
        said: the words of the driver's error.
        cparams: what the user says, which the environment does not.
    """
    if re.search(_NO_OPTIONS, said):
        by = "options=" if cparams.get("options") else "PGOPTIONS of the environment"
        yield f"an RDS Proxy takes no command-line options, which {by} would send"
        yield "leave them out, and set parameters with SET in a listener for SQLAlchemy's event"
        yield "'connect', or for the user: ALTER ROLE … SET … TO …"
    for keyword, (name, pattern) in _VARIABLES.items():
        value = os.environ.get(name)
        if value is not None and not cparams.get(keyword) and re.search(pattern, said):
            yield f"{name}={value!r} of the environment asks for that: unset it"


def revocation(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The lists of revoked certificates that the environment names, each with its variable.

    libpq turns down a certificate whose issuer the lists that it has read say nothing about.
    """
    if "sslmode" in arguments:
        for variable in filter(os.environ.get, _REVOKED):
            yield f"{os.environ[variable]} ({variable})"
