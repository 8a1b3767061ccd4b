"""The values of options: numbers that are checked, and what a shell offers for the others."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import typer

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._endpoints.regions import as_region
from sqlalchemy_rds_iam._tls.trust import BUNDLE_URLS

_OPTIONS = (IamOptions, SecretOptions)

LONGEST = 86_400
"""Seconds that anything may wait: a day."""

_Number = TypeVar("_Number", int, float)


def number(
    kind: type[_Number], low: _Number, high: _Number, what: str
) -> Callable[[object], _Number]:
    """A parser of numbers from `low` to `high`, for ``typer.Option(parser=…)``.

    Args:
        kind: what it makes of the text.
        low: the least.
        high: the most.
        what: what the number counts, for the message.
    """

    def parse(text: object) -> _Number:
        try:
            found = kind(str(text))
            fits = low <= found <= high  # which nothing that is not a number does
        except ValueError:
            fits = False
        if not fits:
            raise typer.BadParameter(f"{text!r}: expected {what} from {low:g} to {high:g}")
        return found

    return parse


seconds = number(float, 0.1, float(LONGEST), "seconds")


def partition(text: object) -> str:
    """A partition's name, by its form."""
    if re.fullmatch(r"aws(-[a-z]+)*", str(text)):
        return str(text)
    raise typer.BadParameter(f"{text!r}: expected one such as {', '.join(BUNDLE_URLS)}")


def region(text: object) -> str:
    """A region's name, by its form."""
    try:
        return as_region(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: expected {error}") from None


def driver(text: object) -> str:
    """The name of a driver that the plugin knows."""
    if str(text) in DRIVERS:
        return str(text)
    raise typer.BadParameter(f"{text!r}: expected one of {', '.join(DRIVERS)}")


def host(text: object) -> str:
    """The name of a host that can have a certificate; empty for the default."""
    if re.fullmatch(r"|[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", str(text)):
        return str(text)
    raise typer.BadParameter(f"{text!r}: expected a host name such as db.example.com")


def user(text: object) -> str:
    """The name of a database user."""
    if 0 < len(str(text).encode(errors="replace")) <= POSTGRESQL.longest_name:
        return str(text)
    raise typer.BadParameter(f"{text!r}: expected a name of 1 to {POSTGRESQL.longest_name} bytes")


def options(incomplete: str) -> Iterable[str]:
    """The names of the plugins' options, and the values of some."""
    name, separator, _ = incomplete.partition("=")
    if not separator:
        return [f"{kind.named(each.name)}=" for kind in _OPTIONS for each in fields(kind)]
    known = {"region": regions, "profile": profiles}
    found = [
        value
        for kind in _OPTIONS
        for field, values in known.items()
        if name == kind.named(field)
        for value in values("")
    ]
    return [f"{name}={each}" for each in found]


def regions(incomplete: str) -> Iterable[str]:
    """The regions that botocore knows."""
    del incomplete  # typer picks those that begin with it
    from botocore.session import Session  # not for a command that completes nothing

    session = Session()
    return sorted(
        {
            region
            for partition in session.get_available_partitions()
            for region in session.get_available_regions("rds", partition)
        }
    )


def profiles(incomplete: str) -> Iterable[str]:
    """The profiles of the user's AWS configuration; none where that cannot be read."""
    del incomplete
    found: set[str] = set()
    for variable, default in (
        ("AWS_CONFIG_FILE", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ):
        parser = configparser.RawConfigParser(strict=False)
        try:
            path = Path(os.environ.get(variable) or default).expanduser()
            parser.read(path, "utf-8")
        except (OSError, RuntimeError, UnicodeDecodeError, configparser.Error):
            continue
        found |= {
            each.removeprefix("profile ").strip()
            for each in parser.sections()
            if not each.startswith(("sso-session ", "services "))
        }
    return sorted(found)


def partitions(incomplete: str) -> Iterable[str]:
    """The partitions whose CA bundle is known."""
    del incomplete
    return list(BUNDLE_URLS)


def servers(incomplete: str) -> Iterable[str]:
    """The words for the emulator's PostgreSQL; a directory is for the shell to complete."""
    del incomplete
    return ["auto", "wheel"]
