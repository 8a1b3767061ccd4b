"""How options are written: one parser for each kind of value.

Values may be strings everywhere, because URL queries and ini files know nothing else. A parser
raises ValueError with what was expected.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import Field, field
from typing import Any
from urllib.parse import urlsplit

SESSION_ATTRS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
"""Which server a session must be on ("target_session_attrs" in the libpq chapter of the PostgreSQL
documentation)."""

_TRUE = {"true", "on", "yes", "1"}
_FALSE = {"false", "off", "no", "0"}


def as_text(value: Any) -> str:
    """A text that is not empty."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("a text that is not empty")


def as_boolean(value: Any) -> bool:
    """A switch."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("on or off")


def as_throttle_retry(value: Any) -> str:
    """A switch, or more of what it switches on."""
    word = str(value).strip().lower()
    if word == "patient":
        return word
    try:
        return "on" if as_boolean(value) else "off"
    except ValueError:
        raise ValueError("on, off or patient") from None


def as_seconds(value: Any) -> float:
    """Seconds, from 0."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise ValueError("a number of seconds such as 30")
    return seconds


def as_timeout(value: Any) -> float:
    """Seconds, above 0."""
    if (seconds := as_seconds(value)) > 0:
        return seconds
    raise ValueError("a number of seconds above 0 such as 30")


def as_rate(value: Any) -> int:
    """Connects a second; 0 for no limit."""
    highest = 100_000
    try:
        rate = int(str(value).strip())
    except ValueError:
        rate = -1
    if isinstance(value, bool) or not 0 <= rate <= highest:
        raise ValueError(f"whole connects a second up to {highest}, such as 200; 0 for no limit")
    return rate


def as_port(value: Any) -> int:
    """A TCP port."""
    last = 65535
    try:
        port = int(str(value).strip())
    except ValueError:
        port = 0
    if isinstance(value, bool) or not 1 <= port <= last:
        raise ValueError("a port number from 1 to 65535")
    return port


def one_of(*choices: str) -> Callable[[Any], str]:
    """The parser of a word that is one of these."""

    def parse(value: Any) -> str:
        word = str(value).strip().lower()
        if word in choices:
            return word
        raise ValueError(" or ".join(repr(choice) for choice in choices))

    return parse


def as_session(value: Any) -> Any:
    """A session object, as it is."""
    if callable(getattr(value, "get_credentials", None)):
        return value
    raise ValueError(
        "a botocore, boto3 or aiobotocore session object (as a create_engine keyword; in a URL "
        "or an ini file name a profile instead)"
    )


def as_hook(value: Any) -> Any:
    """A function, or what can be called like one."""
    if callable(value) and not any(map(inspect.iscoroutinefunction, (value, type(value).__call__))):
        return value
    raise ValueError(
        "a function that takes one Event and is not async (as a create_engine keyword; no URL or "
        "ini file can hold one)"
    )


def matching(pattern: str, expected: str) -> Callable[[Any], str]:
    """The parser of a text of this pattern."""

    def parse(value: Any) -> str:
        text = str(value).strip()
        if re.fullmatch(pattern, text, re.ASCII):
            return text
        raise ValueError(expected)

    return parse


def as_role_duration(value: Any) -> int:
    """Seconds that STS lets a role be assumed for ("AssumeRole" in its API reference)."""
    shortest, longest = 900, 43_200
    seconds = as_seconds(value)
    if shortest <= seconds <= longest and seconds.is_integer():
        return int(seconds)
    raise ValueError(f"whole seconds from {shortest} to {longest}, as STS does")


def endpoint_url(service: str, name: str) -> Callable[[Any], str]:
    """The parser of the URL of an AWS endpoint that hands out secrets.

    Args:
        service: its name, in messages.
        name: how its host name begins.
    """

    def parse(value: Any) -> str:
        url = urlsplit(str(value).strip())
        if url.hostname and url.scheme in {"https", "http"} and not (url.query or url.username):
            if url.scheme == "https" or url.hostname in {"localhost", "127.0.0.1", "::1"}:
                return url.geturl()
            raise ValueError(f"an https:// URL, as {service} answers with credentials in clear")
        raise ValueError(f"a URL such as https://{name}.eu-central-1.amazonaws.com")

    return parse


def as_storage(value: Any) -> str:
    """The URL of a rate storage."""
    text = str(value).strip()
    schemes = {"redis", "rediss", "valkey", "valkeys", "unix"}
    try:
        url = urlsplit(text)
        port = url.port
        fits = url.scheme in schemes and bool(url.path if url.scheme == "unix" else url.hostname)
        # What is left of a password in which a character has to be written as a percent code.
        fits = fits and port != 0 and not (url.fragment or "@" in url.path + url.query)
    except ValueError:
        fits = False
    if fits or text == "memory://":
        return text
    raise ValueError(
        "memory://, or the URL of a Redis or Valkey server: redis://host:6379/0, rediss:// for "
        "TLS, unix:///path for a socket; special characters of a password as percent codes"
    )


def option(parse: Callable[[Any], Any], default: Any = None, *, private: bool = False) -> Any:
    """A dataclass field. The value of one that is `private` may hold a password."""
    return field(default=default, repr=not private, metadata={"parse": parse, "private": private})


def text_of(value: Any, option: Field[Any]) -> str | None:
    """How a URL says this value of an option; None if it cannot, or if there may be a secret in it.

    Args:
        value: one that the option's parser takes.
        option: the dataclass field.
    """
    parse = option.metadata["parse"]
    if isinstance(value, bool):
        text = "on" if value else "off"
    else:
        text = str.__str__(value) if isinstance(value, str) else str(value)
    try:
        if parse(text) != parse(value):
            return None
        parts = urlsplit(text) if option.metadata["private"] else None
    except ValueError:
        return None
    # The URL of a server: its password is before the @, or a word of the query.
    return None if parts and ("@" in parts.netloc or parts.query) else text
