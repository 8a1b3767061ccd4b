"""TLS in the words of MySQL's drivers: ``ssl={…}``, ``ssl_…`` each, and what each driver is told.

Sources: "Connection Options for Encrypted Connections" in the MySQL reference manual, and the
drivers' own documentation.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.parsers import as_boolean
from sqlalchemy_rds_iam._config.urls import is_blank
from sqlalchemy_rds_iam._databases.driver_tls import (
    FILE,
    Arguments,
    TlsArguments,
    TlsWanted,
    ca_file,
    given_context,
    level_of,
    own_context,
    refuse_libpqs_words,
    strongest,
)
from sqlalchemy_rds_iam._databases.mysql_words import CLEAR_TEXT
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.errors import ConfigError

_MODES = {
    "DISABLED": "disable",
    "PREFERRED": "prefer",
    "REQUIRED": "require",
    "VERIFY_CA": "verify-ca",
    "VERIFY_IDENTITY": "verify-full",
}
# What a word says of the level: at least this much if it is on, just this much if it is off.
_SWITCHES = {
    "verify_cert": ("verify-ca", "require"),
    "verify_mode": ("verify-ca", "require"),
    "verify_identity": ("verify-full", "verify-ca"),
    "check_hostname": ("verify-full", "verify-ca"),
    "disabled": ("disable", None),
}
_WORDS = dict.fromkeys(("required", "cert_required", "2"), "on") | dict.fromkeys(
    ("none", "optional", "cert_none", "cert_optional"), "off"
)
# Addresses for which Connector/C skips the check of the name.
_LOCAL = ("127.0.0.1", "::1")
_OF_THE_CLIENT = ("cert", "key", "key_password", "password", "cipher")


class Said(NamedTuple):
    """What the user says about TLS in the words of MySQL's clients.

    Attributes:
        level: the protection to use.
        files: the CA files that are named, ours first, by the options that name them.
        rest: words about the client's own certificate and about ciphers, without ``ssl_``.
    """

    level: str
    files: dict[str, str | None]
    rest: dict[str, Any]


def said(wanted: TlsWanted) -> Said:
    """Read ``ssl={…}`` and ``ssl_…``, which mean the same.

    Raises:
        ConfigError: they ask for less than the options do, or for what is not supported.
    """
    refuse_libpqs_words(wanted)
    config, given = wanted.config, wanted.cparams.get("ssl")
    level, rest = config.tls, dict[str, Any]()
    files = {config.named("ca"): config.ca}
    if not isinstance(given, Mapping):
        level = strongest(config, "ssl", level_of(given))
    for name, value in _words(wanted.cparams).items():
        argument = f"ssl_{name}"
        if name == "ca":
            files[argument] = _text(argument, value)
        elif name == "mode":
            level = _higher(level, strongest(config, argument, _mode(value)))
        elif name in _SWITCHES:
            on, off = _SWITCHES[name]
            if (asked := on if _switch(argument, value) else off) in {"disable", off, None}:
                strongest(config, argument, asked)
            else:
                level = _higher(level, asked)
        elif name in _OF_THE_CLIENT:
            rest[name] = value
        elif name == "capath" or (isinstance(given, Mapping) and name in given):
            raise ConfigError(
                f"{argument} is not looked at here: say {config.named('tls')} for how much is "
                f"verified, and name one file of authorities with {config.named('ca')}"
            )
    return Said(level, files, rest)


def context(wanted: TlsWanted) -> TlsArguments:
    """What a driver is told that takes an SSL context as ``ssl``."""
    given = wanted.cparams.get("ssl")
    # PyMySQL would make a context of its own of them, and forget ours.
    words = {name: None for name in wanted.cparams if name.startswith("ssl_")}
    if isinstance(given, ssl.SSLContext):
        for name in words:
            if not is_blank(wanted.cparams[name]):
                raise ConfigError(
                    f"there are an SSL context in ssl and {name} beside it: say it in the context"
                )
        return given_context(wanted.config, "ssl", given)
    level, files, rest = said(wanted)
    if rest:
        raise ConfigError(
            f"ssl_{next(iter(rest))} is not taken from here: make an ssl.SSLContext with it, and "
            "hand it in as connect_args={'ssl': context}"
        )
    settled = own_context(wanted, "ssl", level, files)
    return settled._replace(arguments=words | settled.arguments)


def mysqldb(wanted: TlsWanted) -> TlsArguments:
    """What mysqlclient is told: ``ssl_mode`` alone makes it verify, ``ssl`` has the files.

    Connector/C insists on TLS only if it verifies: else a server that offers none gets the password
    in clear. So it always verifies.
    """
    level, files, rest = said(wanted)
    level = _higher(level, "verify-ca")
    _refuse_other_name(wanted, "mysqlclient", _LOCAL)
    found = ca_file(wanted, level, files)
    mode = next(word for word, each in _MODES.items() if each == level)
    return found._replace(
        arguments={"ssl_mode": mode, "ssl": {**rest, "ca": found.arguments[FILE]}}
    )


def mariadb(wanted: TlsWanted) -> TlsArguments:
    """What MariaDB Connector/Python is told, which checks the name whenever it verifies.

    It always does, for the same reason as `mysqldb`.
    """
    level, files, rest = said(wanted)
    level = _higher(level, "verify-ca")
    _refuse_other_name(wanted, "MariaDB Connector/Python", _LOCAL)
    found = ca_file(wanted, level, files)
    words = {f"ssl_{name}": value for name, value in rest.items()}
    told = {"ssl": True, "ssl_verify_cert": True, "ssl_ca": found.arguments[FILE]}
    return found._replace(arguments={**words, **told})


def mysqlconnector(wanted: TlsWanted) -> TlsArguments:
    """What MySQL Connector/Python is told: ``ssl_ca`` alone would make it verify nothing.

    Its C extension insists on TLS only if it verifies the name, too: with less a server that offers
    none gets the password in clear. So it always does.
    The plugin for tokens has to be named to its C extension, and only a token is sent by it.
    """
    level, files, rest = said(wanted)
    _refuse_other_name(wanted, "MySQL Connector/Python", ())
    found = ca_file(wanted, _higher(level, "verify-ca"), files)
    arguments = {
        **{f"ssl_{name}": value for name, value in rest.items()},
        "ssl_ca": found.arguments[FILE],
        "ssl_disabled": False,
        "ssl_verify_cert": True,
        "ssl_verify_identity": True,
    }
    if isinstance(wanted.config, IamOptions):
        arguments["auth_plugin"] = CLEAR_TEXT
    return found._replace(arguments=arguments)


def _refuse_other_name(wanted: TlsWanted, driver: str, unchecked: tuple[str, ...]) -> None:
    """Refuse to connect by another name than is verified, or by one that is taken on trust.

    Raises:
        ConfigError: it would be done.
    """
    config, dialled = wanted.config, parse_host(str(wanted.cparams.get("host"))).host
    if dialled == "localhost" and unchecked:
        raise ConfigError(
            f"{driver} takes 'localhost' for a socket of this machine, where there is no TLS: name "
            "the endpoint itself"
        )
    if wanted.tunnelled:
        raise ConfigError(
            f"{driver} verifies the name that it connects to, and so cannot connect to {dialled!r} "
            f"for {wanted.host.host!r}: use pymysql, asyncmy or aiomysql, or give this machine the "
            f"endpoint's name for the tunnel (in /etc/hosts), and leave out {config.named('host')}"
        )
    if dialled.strip("[]") in unchecked:
        raise ConfigError(
            f"{driver} does not check the certificate's name where it connects to {dialled!r}: "
            "name the endpoint itself, or use pymysql, asyncmy or aiomysql"
        )


def _words(cparams: Arguments) -> dict[str, Any]:
    """All that is said, without the ``ssl_`` before it; what is empty is not said."""
    given = cparams.get("ssl")
    found = {} if not isinstance(given, Mapping) else dict(given)
    for name, value in cparams.items():
        if name.startswith("ssl_"):
            found[name.removeprefix("ssl_")] = value
    return {name: value for name, value in found.items() if not is_blank(value)}


def _mode(value: Any) -> str:
    level = _MODES.get(str(value).upper().replace("-", "_"))
    if level is None:
        raise ConfigError(f"ssl_mode={value!r}: expected one of {', '.join(_MODES)}")
    return level


def _switch(argument: str, value: Any) -> bool:
    text = str(getattr(value, "name", value)).lower()  # of ssl.VerifyMode, too
    try:
        return as_boolean(_WORDS.get(text, text))
    except ValueError:
        raise ConfigError(f"{argument}={value!r}: expected on or off") from None


def _text(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        kind = type(value).__name__
        raise ConfigError(
            f"{argument} is an object of the type {kind}: expected the path of a file"
        )
    return value


def _higher(one: str, other: str) -> str:
    return max(one, other, key=trust.STRENGTH.__getitem__)
