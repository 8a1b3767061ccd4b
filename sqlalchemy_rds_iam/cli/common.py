"""What the commands have in common: how they take a URL, and the errors that end them."""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, NoReturn

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.urls import plugin_names
from sqlalchemy_rds_iam._databases.given_urls import plugin_of
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._requirements import install
from sqlalchemy_rds_iam.cli import values
from sqlalchemy_rds_iam.cli.output import MISUSED, command, fail, note, reader_gone
from sqlalchemy_rds_iam.errors import ConfigError

VARIABLES = ("RDS_IAM_URL", "DATABASE_URL")
"""Where the URL is read when it is not given; the first that is not empty counts."""

EXAMPLE = "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app"
MYSQL_EXAMPLE = EXAMPLE.replace("postgresql+psycopg", "mysql+pymysql")

_origin: ContextVar[str] = ContextVar("origin", default="")
"""The variable that the URL has been read from, if it was one."""

Url = Annotated[
    str | None,
    typer.Argument(
        metavar="[URL]",
        show_default=False,
        help="The SQLAlchemy URL, with or without ?plugin=rds_iam; without one, what RDS_IAM_URL "
        "or else DATABASE_URL of the environment says.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="An option of the plugin, as in the URL, over which it wins. Repeatable.",
        autocompletion=values.options,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The AWS profile: the same as --option rds_iam_profile=NAME, or rds_secret_profile.",
        autocompletion=values.profiles,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The AWS region: the same as --option rds_iam_region=NAME, or rds_secret_region.",
        autocompletion=values.regions,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        parser=values.seconds,
        metavar="SECONDS",
        show_default=False,
        help="How long to wait for AWS and DNS; by default rds_iam_timeout, which is 30.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of prose.")]


def optional_url(given: str | None) -> str | None:
    """The URL of a command line, else that of the first variable that is not empty."""
    _origin.set("")
    if given and given.strip():
        return _readable(given)
    set_ = {name: os.environ[name] for name in VARIABLES if os.environ.get(name, "").strip()}
    if not set_:
        return None
    name, url = next(iter(set_.items()))
    _origin.set(name)
    others = [each for each in set_ if set_[each] != url]
    if others:
        note(f"the URL is that of {name}; {others[0]} holds another, which does not count")
    elif sys.stderr is not None and sys.stderr.isatty():
        note(f"the URL is that of {name}")
    return _readable(url)


def _readable(url: str) -> str:
    """The URL, which has to be text."""
    try:
        url.encode()
    except UnicodeEncodeError as error:
        fail(
            f"the URL has bytes that are not UTF-8, such as {url[error.start]!a}: write them as "
            "percent codes",
            MISUSED,
        )
    return url


def required_url(given: str | None) -> str:
    """The same; there has to be one."""
    return optional_url(given) or _missing_url()


def _missing_url() -> NoReturn:
    empty = [name for name in VARIABLES if name in os.environ]
    hint = f" ({' and '.join(empty)} set, and empty)" if empty else ""
    fail(
        f"there is no database URL: give one, as in {command.get()} {EXAMPLE}, or set "
        f"{' or '.join(VARIABLES)}{hint}",
        MISUSED,
    )


def options_of(
    url: str,
    options: list[str] | None,
    *,
    timeout: float | None = None,
    profile: str | None = None,
    region: str | None = None,
) -> dict[str, str]:
    """The options of a command line, for the plugin that its URL or its options name.

    Raises:
        ConfigError: one is not NAME=VALUE.
    """
    found: dict[str, str] = {}
    for each in options or ():
        name, separator, value = each.partition("=")
        if not separator or not name.startswith(tuple(f"{plugin}_" for plugin in PLUGINS)):
            raise ConfigError(
                f"--option {name}: expected NAME=VALUE with the option's whole name, such as "
                "rds_iam_profile=reporting"
            )
        found[name] = value
    plugin = plugin_of(_query(url), found)
    said = {"timeout": timeout, "profile": profile, "region": region}
    return found | {plugin.named(name): str(each) for name, each in said.items() if each}


def _query(url: str) -> Mapping[str, Any]:
    try:
        return make_url(url).query
    except (ArgumentError, ValueError):  # about which another error says more
        return {}


def parsed(url: str, options: dict[str, str], *, secrets: bool = False) -> Access:
    """The access that a URL is about; notes what an engine of it would fail with.

    Args:
        url: the URL.
        options: by their whole names.
        secrets: whether a password of Secrets Manager will do.

    Raises:
        ConfigError: it cannot work; names the variable that the URL has come from.
    """
    try:
        found = Access(url, options, secrets=secrets)
        _ = found.plan  # so that what is wrong with the URL is said here
    except ConfigError as error:
        origin = _origin.get()
        raise ConfigError(
            f"{error} (the URL is that of {origin})" if origin else str(error)
        ) from None
    for name in plugin_names(found.engine_url.query):
        if name != IamOptions.PLUGIN and difflib.get_close_matches(
            name.replace("-", "_"), [IamOptions.PLUGIN], 1, 0.8
        ):
            note(f"the URL names the plugin {name!r}, which an engine does not find: say rds_iam")
    return found


def access(
    url: str | None,
    options: list[str] | None,
    *,
    timeout: float | None = None,
    profile: str | None = None,
    region: str | None = None,
    secrets: bool = False,
) -> Access:
    """The access that a command line is about; a note if what it signs for is odd."""
    url = required_url(url)
    given = options_of(url, options, timeout=timeout, profile=profile, region=region)
    found = parsed(url, given, secrets=secrets)
    if found.host.partition is None and isinstance(found.config, IamOptions):
        note(
            f"{found.host.host!r} is not the name of an RDS endpoint, and RDS accepts only tokens "
            "that are signed for its own: see rds_iam_host and rds_iam_resolve_cname"
        )
    return found


@contextmanager
def told(*more: type[Exception]) -> Iterator[None]:
    """Errors that the user can act on end the command with what they say, and no traceback.

    Args:
        more: further types of them.
    """
    known: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, UnicodeError, *more)
    # The plugin's own warnings would say the same once more.
    logger, silence = logging.getLogger("sqlalchemy_rds_iam"), logging.NullHandler()
    logger.addHandler(silence)
    try:
        yield
    except typer.Exit:
        raise  # which is a RuntimeError
    except BrokenPipeError:
        reader_gone()
    except NoSuchModuleError as error:
        known_ = "plugin=rds_iam" if ".plugins:" in str(error) else ", ".join(DRIVERS)
        fail(f"{error}; expected {known_}", MISUSED)
    except ConfigError as error:
        fail(_words(error), MISUSED)
    except ImportError as error:
        hint = f": install it, as with {install('psycopg')} or {install('pymysql')}"
        fail(f"{error}{'' if re.search('pip (un)?install', str(error)) else hint}")
    except known as error:
        fail(_words(error))
    finally:
        logger.removeHandler(silence)


def _words(error: Exception) -> str:
    """An error's text and notes, without SQLAlchemy's own frame around a driver's."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    words = str(inner).strip() or type(inner).__name__
    return "\n".join([words, *getattr(error, "__notes__", ())])
