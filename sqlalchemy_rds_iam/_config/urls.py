"""What is ours in a URL, the plugin's name and its options: how it leaves it, and how it returns.

SQLAlchemy hands what is left in the query to the driver, so a plugin takes its words out of the URL
("CreateEnginePlugin" in its documentation). Once the engine is made they return to ``engine.url``,
so that ``create_engine(engine.url)`` makes an engine that logs in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.engine import URL

OUTSIDE = "not-in-this-url"
"""Stands in ``engine.url`` for the value of an option that no URL can hold, or should.

No option has this value, so that an engine made of that URL is refused until the value is handed in
again. Leaving the option out would make an engine that is weaker, or another identity's.
"""

PASSWORDS = ("password", "passwd")
"""What drivers call the database's password; some know both words."""

# The words of the drivers that are read here as well: with an empty value they mean nothing.
_ABOUT_SAFETY = ("sslmode", "sslrootcert", "ssl")
# How MySQL's drivers begin theirs.
_BEGIN = "ssl_"


def is_blank(value: Any) -> bool:
    """Whether this is a value that is not given, as from a variable that is not set."""
    return value is None or (isinstance(value, str) and not value.strip())


def sole(value: Any) -> Any:
    """The one value of an option whose name a URL's query may have several times.

    None if all are blank; still a tuple if there are several.
    """
    if not isinstance(value, tuple):
        return value
    given = tuple(each for each in value if not is_blank(each))
    return given if len(given) > 1 else next(iter(given), None)


def plugin_names(query: Mapping[str, Any]) -> list[str]:
    """The plugins that a query names, in order."""
    named = query.get("plugin", ())
    return [named] if isinstance(named, str) else list(named)


def password_in(url: URL, connect_args: Mapping[str, Any]) -> bool:
    """Whether a password is given that is not empty."""
    written = None if url.password is None else str(url.password)
    # A password may be white space; one that is not given is empty.
    given = (
        each for name in PASSWORDS for each in (sole(url.query.get(name)), connect_args.get(name))
    )
    return bool(written or any(given))


def without_blanks(url: URL) -> URL:
    """The URL without an empty password, and without what is empty in its query about TLS.

    Of an empty password ``***`` would be shown, and with it a URL that cannot be used again.
    """
    if url.password is not None and not str(url.password):
        url = URL.create(
            url.drivername, url.username, None, url.host, url.port, url.database, url.query
        )
    return url.difference_update_query(blanks(url.query))


def blanks(arguments: Mapping[str, Any]) -> list[str]:
    """The driver's arguments about passwords and TLS whose value is empty."""
    names = (*PASSWORDS, *_ABOUT_SAFETY)
    return [
        name
        for name, value in arguments.items()
        if (name in names or name.startswith(_BEGIN)) and is_blank(sole(value))
    ]


def without_plugins(url: URL, plugins: Iterable[str]) -> URL:
    """The URL for a driver: without the names of plugins, and without the options of these."""
    ours = tuple(f"{plugin}_" for plugin in plugins)
    gone = [key for key in url.query if key in {"plugin", "plugins"} or key.startswith(ours)]
    return url.difference_update_query(gone)


def with_plugin(url: URL, plugin: str, options: Mapping[str, str]) -> URL:
    """The URL with one plugin and its options. What it says about other plugins stays.

    Plugins put themselves back in the order in which they are named, so the last place is right.

    Args:
        url: for ``engine.url``.
        plugin: its name.
        options: its options, by their whole names.
    """
    names = plugin_names(url.query)
    if plugin not in names:
        names.append(plugin)
    query = {**without_plugin_options(url.query, plugin), **options}
    return url.set(query=query | {"plugin": names[0] if len(names) == 1 else tuple(names)})


def without_plugin_options(query: Mapping[str, Any], plugin: str) -> dict[str, Any]:
    """A query without the options of a plugin."""
    return {key: value for key, value in query.items() if not key.startswith(f"{plugin}_")}
