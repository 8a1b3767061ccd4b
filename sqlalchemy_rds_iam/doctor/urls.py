"""The given URL, changed: most fixes are one, whole and ready to paste. Pure."""

from __future__ import annotations

from sqlalchemy import URL, make_url

from sqlalchemy_rds_iam._config.urls import PASSWORDS
from sqlalchemy_rds_iam.doctor.findings import Command, Kind
from sqlalchemy_rds_iam.doctor.state import State

PLUGIN_WORDS = ("plugin", "plugins")
"""What a URL's query may call the plugins; SQLAlchemy reads the first, and drops the second."""


def shown(url: URL) -> str:
    """A URL as it may be printed."""
    return url.render_as_string(hide_password=True)


def instead(url: URL) -> Command:
    """The command to use `url` in place of the one that was given."""
    return Command(Kind.URL, shown(url))


def changed(state: State, *without: str, **options: str) -> tuple[Command, ...]:
    """The URL with other options; or those that ``create_engine()`` has as keywords.

    Args:
        state: knows the URL and the keywords.
        without: words to take out of the URL's query.
        options: words to put into it.
    """
    wanted: dict[str, str | None] = {**dict.fromkeys(without), **options}
    by_keyword = [name for name in wanted if name in state.keywords]
    if by_keyword:
        return tuple(Command(Kind.OPTION, f"{name}={wanted[name]}") for name in by_keyword)
    given = make_url(state.given)
    url = given.difference_update_query([*wanted]).update_query_dict(options)
    # What is not in the URL cannot be put right there.
    return () if url == given else (instead(url),)


def for_endpoint(state: State, host: str) -> tuple[Command, ...]:
    """The URL that has tokens signed for the endpoint `host`, whatever leads there.

    A driver that verifies the name that it connects to has to connect by that one.
    """
    if state.driver.tunnels:
        return changed(state, rds_iam_host=host)
    return (
        instead(make_url(state.given).difference_update_query(["rds_iam_host"]).set(host=host)),
    )


def without_password(url: URL) -> URL:
    """The URL without a password, wherever it stands."""
    query = {name: value for name, value in url.query.items() if name not in PASSWORDS}
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
