"""What the two engines of a pair are made of: from two URLs, a mapping or the environment. Pure.

All three come down to two URLs, of which the reader's is completed from the writer's, as Kong
Gateway does with its ``pg_ro_*`` settings.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._config.urls import is_blank, plugin_names
from sqlalchemy_rds_iam._routing.inheritance import named_plugins
from sqlalchemy_rds_iam.errors import ConfigError

_OURS = tuple(f"{plugin}_" for plugin in PLUGINS)

_ROLES = ("writer", "reader")
_VARIABLES = "RDS_IAM_"
_READER = _VARIABLES + "READER_"
# The emulator's own, which say nothing about engines.
_FOREIGN = _VARIABLES + "EMULATOR_"
# No variable or URL holds an object.
_OBJECTS = ("session", "on_event")
# All variables begin alike, so that an unknown one can be told from those of other programs.
_OPTIONS = {
    begin + field.name.upper(): kind.named(field.name)
    for begin, kind in (("", IamOptions), ("SECRET_", SecretOptions))
    for field in fields(kind)
    if field.name not in _OBJECTS
}
_PARTS = ("SERVER", "USER", "DATABASE")


class Settings(NamedTuple):
    """What ``create_engine()`` is given for each engine, the URL included.

    Attributes:
        writer: of the writer.
        reader: of the reader, its URL still as it was given.
        has_reader: whether anything was said about a reader.
    """

    writer: dict[str, Any]
    reader: dict[str, Any]
    has_reader: bool


def from_urls(writer: str | URL, reader: str | URL | None) -> Settings:
    """Take the URLs as they are."""
    base = _url(writer, "the writer's URL")
    own = base if reader is None else _url(reader, "the reader's URL")
    return Settings({"url": base}, {"url": own}, reader is not None)


def from_mapping(mapping: Mapping[str, Any], prefix: str) -> Settings:
    """Read a section of an ini file: ``writer.…``, ``reader.…``, and what is for both.

    Raises:
        ConfigError: a key that belongs to neither, or no URL.
    """
    parts: dict[str, dict[str, Any]] = {"": {}, "writer": {}, "reader": {}}
    for key in mapping:
        if key.startswith(prefix):
            role, dot, option = key.removeprefix(prefix).partition(".")
            if dot and role not in _ROLES:
                close = difflib.get_close_matches(role, _ROLES, n=1, cutoff=0.5) or _ROLES
                names = " or ".join(f"{prefix}{name}.{option}" for name in close)
                raise ConfigError(f"unknown key {key}; did you mean {names}?")
            parts[role if dot else ""][option if dot else role] = mapping[key]
    both, writer, reader = parts.values()
    url = _first(writer.pop("url", None), both.pop("url", None))
    if is_blank(url):
        raise ConfigError(
            f"no {prefix}writer.url and no {prefix}url: one of them has to say where the writer "
            f"is; keys are expected to be {prefix}writer.…, {prefix}reader.…, or {prefix}… for both"
        )
    # In the URL, where those of the reader's own URL can win.
    base = _with(_url(url, f"{prefix}writer.url"), _options(both))
    has_reader = not all(map(is_blank, reader.values()))
    url = reader.pop("url", None)
    own = URL.create(base.drivername) if is_blank(url) else _url(url, f"{prefix}reader.url")
    own = _with(own, _options(reader))
    return Settings({"url": base, **both, **writer}, {"url": own, **both, **reader}, has_reader)


def from_environ(environ: Mapping[str, str]) -> Settings:
    """Read ``RDS_IAM_URL``, ``RDS_IAM_<OPTION>``, and their twins ``RDS_IAM_READER_…``.

    The options of ``rds_secret`` are ``RDS_IAM_SECRET_<OPTION>``. One of them is enough to have the
    plugin, where the URL names none.

    A variable that is empty counts as not set, as container definitions pass on what is missing.

    Raises:
        ConfigError: an unknown variable (with the nearest known one), or no URL.
    """
    known = _variables(_VARIABLES, ["URL"]) | _variables(_READER, ["URL", *_PARTS])
    names = [name for name in environ if name.startswith(_VARIABLES)]
    ours = {name: environ[name].strip() for name in names if not name.startswith(_FOREIGN)}
    given = {name: value for name, value in ours.items() if value}
    for name in given:
        if name not in known:
            raise ConfigError(_unknown(name, known))
    if _VARIABLES + "URL" not in given:
        raise ConfigError(
            "RDS_IAM_URL is not set: it has to hold the writer's URL, such as "
            "postgresql+psycopg://app@mydb.cluster-abc123.eu-central-1.rds.amazonaws.com/app, "
            "unless URLs or a mapping are passed to the function"
        )
    base = _url(given[_VARIABLES + "URL"], "RDS_IAM_URL")
    base = _with_plugin(_with(base, _from_variables(given, _VARIABLES)))
    # As keywords, which win nothing; but the plugin may have to name them.
    empty = dict.fromkeys(ours.keys() - given.keys(), "")
    writer = {"url": base, **_of_plugins(base, _from_variables(empty, _VARIABLES))}
    mentioned = [name for name in given if name.startswith(_READER)]
    if not mentioned:
        return Settings(writer, writer, has_reader=False)
    parts = [name for name in mentioned if name.removeprefix(_READER) in _PARTS]
    if _READER + "URL" not in given:
        reader = _url_of_parts(base, given)
    elif parts:
        raise ConfigError(f"RDS_IAM_READER_URL already says it: unset {', '.join(parts)}")
    else:
        reader = _url(given[_READER + "URL"], "RDS_IAM_READER_URL")
    reader = _with(reader, _from_variables(given, _READER))
    if "plugin" in reader.query or _has_other_options(reader, base):
        reader = _with_plugin(reader)
    named = reader if named_plugins(reader.query) else base
    own = {"url": reader, **_of_plugins(named, _from_variables(empty, _READER))}
    return Settings(writer, own, has_reader=True)


def _url(value: str | URL, name: str) -> URL:
    try:
        return make_url(value)
    except (ArgumentError, ValueError):
        # Without the value, which may hold a password.
        raise ConfigError(
            f"{name} is no SQLAlchemy URL: expected the like of "
            "postgresql+psycopg://user@host:5432/database?plugin=rds_iam"
        ) from None


def _url_of_parts(writer: URL, given: Mapping[str, str]) -> URL:
    server, user, database = (given.get(_READER + part) for part in _PARTS)
    url = URL.create(writer.drivername, user, database=database)
    if server is None:
        return url
    found = _url(f"postgresql://{server}", "RDS_IAM_READER_SERVER")
    # Compared as a whole, so that no user, database or query slips by.
    if not found.host or found != URL.create("postgresql", host=found.host, port=found.port):
        raise ConfigError(
            "RDS_IAM_READER_SERVER is to be a host name, or host:port; the whole of a URL goes "
            "into RDS_IAM_READER_URL"
        )
    return url.set(host=found.host, port=found.port)


def _options(keywords: dict[str, Any]) -> dict[str, str]:
    """Take out of `keywords` our options as far as a URL can hold them."""
    objects = {begin + name for begin in _OURS for name in _OBJECTS}
    names = [key for key in keywords if key.startswith(_OURS) and key not in objects]
    taken = {name: keywords.pop(name) for name in names}
    return {name: str(value) for name, value in taken.items() if value is not None}


def _from_variables(given: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        option: given[variable]
        for name, option in _OPTIONS.items()
        if (variable := prefix + name) in given
    }


def _of_plugins(url: URL, options: Mapping[str, str]) -> dict[str, str]:
    """Those of the options that are of a plugin which the URL names."""
    begin = tuple(f"{plugin}_" for plugin in named_plugins(url.query))
    return {name: value for name, value in options.items() if name.startswith(begin)}


def _has_other_options(reader: URL, writer: URL) -> bool:
    """Whether the reader has options, and none of them is of the writer's plugin."""
    begin = tuple(f"{plugin}_" for plugin in named_plugins(writer.query))
    own = [name for name in reader.query if name.startswith(_OURS)]
    return bool(own) and not any(name.startswith(begin) for name in own)


def _variables(prefix: str, more: Iterable[str]) -> set[str]:
    return {prefix + name for name in (*_OPTIONS, *more)}


def _unknown(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
    return f"unknown variable {name}; {hint}"


def _with(url: URL, options: Mapping[str, str]) -> URL:
    """The URL with these options; one that is empty takes nothing away."""
    said = {k: value for k, value in options.items() if not (is_blank(value) and k in url.query)}
    return url.update_query_dict(said)


def _first(*values: Any) -> Any:
    return next((value for value in values if not is_blank(value)), None)


def _with_plugin(url: URL) -> URL:
    if named_plugins(url.query):
        return url
    kind = SecretOptions if SecretOptions.names_in(url.query) else IamOptions
    others = plugin_names(url.query)
    return url.update_query_dict({"plugin": (*others, kind.PLUGIN) if others else kind.PLUGIN})
