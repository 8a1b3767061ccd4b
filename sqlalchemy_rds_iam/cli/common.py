"""What the commands have in common: how they take a URL, and how they say what went wrong.

A command exits with 0; with 1 if it failed; with 2 if it was called wrongly, options of the URL
included. What is to be read goes to standard output, all else to standard error.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sqlalchemy_rds_iam.access import Access
from sqlalchemy_rds_iam.errors import ConfigError

FAILED, MISUSED = 1, 2
VARIABLES = ["RDS_IAM_URL", "DATABASE_URL"]
"""Where the URL is read when it is not given; the first that is set counts."""

EXAMPLE = "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app"


def first_url(given: str = "") -> str:
    """The URL that a command line gives, else the first of the variables that is not empty."""
    urls = (given, *(os.environ.get(name, "") for name in VARIABLES))
    return next((url for url in urls if url.strip()), "")


def _required(given: str) -> str:
    if url := first_url(given):
        return url
    raise typer.BadParameter(f"it is empty, and so are {' and '.join(VARIABLES)}")


Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        envvar=VARIABLES,
        callback=_required,
        show_default=False,
        help="The SQLAlchemy URL, with or without ?plugin=rds_iam.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="An option of the plugin, as in the URL, over which it wins. Repeatable.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        metavar="SECONDS",
        show_default=False,
        help="How long to wait for AWS and DNS; by default rds_iam_timeout, which is 30.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of prose.")]


def given(options: list[str] | None, timeout: float | None) -> dict[str, str]:
    """The plugin's options of a command line.

    Raises:
        ConfigError: one is not NAME=VALUE.
    """
    found: dict[str, str] = {}
    for each in options or ():
        name, separator, value = each.partition("=")
        if not separator or not name.startswith("rds_iam_"):
            raise ConfigError(
                f"--option {name}: expected NAME=VALUE with the option's whole name, such as "
                "rds_iam_profile=reporting"
            )
        found[name] = value
    return found if timeout is None else found | {"rds_iam_timeout": str(timeout)}


def access(url: str, options: list[str] | None, timeout: float | None) -> Access:
    """The access that a command line is about; a note if what it signs for is odd."""
    found = Access(url, given(options, timeout))
    if found.host.partition is None:
        note(
            f"{found.host.host!r} is no RDS endpoint name, and RDS accepts only tokens that are "
            "signed for its own: see rds_iam_host and rds_iam_resolve_cname"
        )
    return found


def note(sentence: str) -> None:
    """Say something beside the output."""
    typer.echo(f"rds-iam: {sentence}", err=True)


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """End the command with what went wrong."""
    note(sentence)
    raise typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
    """Errors that the user can act on end the command with what they say, and no traceback."""
    # The plugin's own warnings would say the same once more.
    logger, silence = logging.getLogger("sqlalchemy_rds_iam"), logging.NullHandler()
    logger.addHandler(silence)
    try:
        yield
    except ConfigError as error:
        fail(_words(error), MISUSED)
    except ImportError as error:
        fail(f"{error}: install it, as with pip install 'sqlalchemy-rds-iam[psycopg]'")
    except (SQLAlchemyError, OSError) as error:
        fail(_words(error))
    finally:
        logger.removeHandler(silence)


def is_terminal() -> bool:
    """Whether a user would see what is printed."""
    return sys.stdout.isatty()


def _words(error: Exception) -> str:
    """An error's text and notes, without SQLAlchemy's own frame around a driver's."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    words = str(inner).strip() or type(inner).__name__
    return "\n".join([words, *getattr(error, "__notes__", ())])
