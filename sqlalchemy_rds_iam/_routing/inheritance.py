"""What a pair's reader takes from its writer, and which server each has to be on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.parsers import as_boolean
from sqlalchemy_rds_iam._config.urls import is_blank, plugin_names, sole
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam.errors import ConfigError

_PREFIX = f"{IamOptions.PLUGIN}_"

SIGNED = frozenset({*(f"{plugin}_host" for plugin in PLUGINS), _PREFIX + "port"})
"""The options that belong to one server, and not to another."""

_TARGET = "target_session_attrs"
_WANTED = frozenset({_TARGET, *(f"{plugin}_{_TARGET}" for plugin in PLUGINS)})
"""The options, ours and the drivers' own, that say which of the servers it must be."""

_ID_OPTION = "rds_secret_id"

# Where a driver takes them from the query, they win over the other parts of the URL.
_ADDRESS = {"host", "hostaddr", "port", "service", "unix_socket"}
_LOGIN = {"user", "username", "password", "passwd", "passfile"}
_DATABASE = {"dbname", "database", "db"}


def complete(writer: URL, reader: URL) -> URL:
    """The reader's URL with what it leaves out taken from the writer's.

    The driver's name is always its own. A password goes with its user and not without, nor to an
    engine whose plugin has one. What is signed for goes with its server, and the options of a
    plugin with the plugin. Where the reader has a secret of its own, that is asked for user and
    server, and not the writer.

    Raises:
        ConfigError: the reader would sign for another server than the one it connects to.
    """
    own = {k: v for k, v in reader.query.items() if k not in writer.query or not is_blank(sole(v))}
    # What the one has to be the other is not.
    base, dropped = writer, _of_other_plugin(writer.query, own) | _WANTED
    if _has_secret(reader):
        base = URL.create(writer.drivername, database=writer.database)
        dropped |= _LOGIN
    if elsewhere(writer, reader):
        dropped |= _ADDRESS | SIGNED
        if parse_host(str(own.get(_PREFIX + "host") or reader.host or "")).region:
            dropped.add(_PREFIX + "region")
    else:
        _refuse_other_name(writer, reader)
    if reader.username:
        dropped |= _LOGIN
    if reader.database:
        dropped |= _DATABASE
    query = {name: value for name, value in writer.query.items() if name not in dropped} | own
    password = reader.password
    if not (reader.username or password or has_password_plugin(query)):
        password = base.password
    return URL.create(
        reader.drivername,
        reader.username or base.username,
        password,
        reader.host or base.host,
        reader.port or base.port,
        reader.database or base.database,
        query,
    )


def must_write(options: Mapping[str, Any]) -> dict[str, Any]:
    """What makes an engine's sessions writable ones, unless something says otherwise.

    Args:
        options: of ``create_engine()``, with the URL.
    """
    query = options["url"].query
    given = {**query, **(options.get("connect_args") or {}), **options}
    if any(not is_blank(sole(given.get(name))) for name in _WANTED):
        return {}
    named = [*named_plugins(query), *(options.get("plugins") or ())]
    return {f"{plugin}_{_TARGET}": "read-write" for plugin in PLUGINS if plugin in named}


def elsewhere(writer: URL, reader: URL) -> bool:
    """Whether the reader's URL names a server, and not that of the writer."""
    if not _ADDRESS.isdisjoint(reader.query) or _has_secret(reader):
        return True
    host, port = reader.host or writer.host or "", reader.port or writer.port
    return (parse_host(host).host, port) != (parse_host(writer.host or "").host, writer.port)


def named_plugins(query: Mapping[str, Any]) -> list[str]:
    """Our plugins in a URL with this query."""
    return [plugin for plugin in plugin_names(query) if plugin in PLUGINS]


def has_password_plugin(query: Mapping[str, Any]) -> bool:
    """Whether a URL with this query has one of our plugins, and has it switched on."""
    return any(_is_on(query.get(f"{plugin}_enabled", "on")) for plugin in named_plugins(query))


def _has_secret(url: URL) -> bool:
    return not is_blank(sole(url.query.get(_ID_OPTION)))


def _is_on(switch: Any) -> bool:
    try:
        return as_boolean(switch)
    except ValueError:  # the plugin itself raises an error
        return True


def _of_other_plugin(writer: Mapping[str, Any], reader: Mapping[str, Any]) -> set[str]:
    """The options in the writer's query for a plugin that the reader has not."""
    plugins = named_plugins(reader) or named_plugins(writer)
    foreign = [plugin for plugin in PLUGINS if plugins and plugin not in plugins]
    return {key for key in writer for plugin in foreign if key.startswith(f"{plugin}_")}


def _refuse_other_name(writer: URL, reader: URL) -> None:
    for option in (f"{plugin}_host" for plugin in PLUGINS):
        mine, host, theirs = reader.query.get(option), writer.host, writer.query.get(option)
        if is_blank(mine) or host is None:
            continue
        theirs = host if is_blank(theirs) else theirs
        if parse_host(str(mine)).host != parse_host(str(theirs)).host:
            raise ConfigError(
                f"the reader is to sign for {mine!r} and to connect to the writer's {host!r}, "
                f"since {option} only says what to sign for or to verify: name the server to "
                "connect to in the reader's URL (in the environment, in RDS_IAM_READER_SERVER)"
            )
