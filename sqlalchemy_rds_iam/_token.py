"""Tokens for a database URL without an engine: `token` and `async_token`.

They share the plugin's cache, so an engine of the same identity and a driver used by itself fetch
credentials once. What was asked for lately is remembered here, as no engine holds it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Hashable
from typing import Any

from sqlalchemy import URL
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_rds_iam import _frames
from sqlalchemy_rds_iam._access import Access, in_threads
from sqlalchemy_rds_iam._aws.credentials import is_async_session
from sqlalchemy_rds_iam._aws.identity_key import Itself, environment_key
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.given_urls import read_url
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.plugin import runtime_for

_REMEMBERED = 64
"""URLs, each with its options, whose tokens are remembered while no engine uses them."""


def token(url: str | URL, **options: Any) -> str:
    """Sign a token for a database URL: the password that an engine of this URL would log in with.

    For drivers and pools without SQLAlchemy. The token comes from the cache that all engines of
    the same AWS identity share. It is good for at least five minutes, unless the AWS credentials
    end earlier, and for 15 at the most; so ask for one at each new connection, which takes
    a fraction of a millisecond.

    Whether RDS accepts it, and whether TLS is verified, is not known here: the driver connects.

    Args:
        url: as for ``create_engine()``, with or without ``?plugin=rds_iam``. Host, port, user and
            the plugin's options count, and no driver has to be installed.
        options: the plugin's options by their whole names, such as ``rds_iam_profile``. They win
            over those in the URL.

    Returns:
        The token. Its ``repr()`` is masked, as tracebacks show local variables.

    Raises:
        ConfigError: the URL or an option cannot work.
        CredentialsError: there are no AWS credentials to sign with.
        WaitTimeout: they, or an answer of DNS, did not arrive within ``rds_iam_timeout``.
        RdsIamError: a CNAME is to be followed, and leads to no endpoint.
    """
    try:
        access = _access(url, options, is_async=False)
    finally:
        del url, options  # an error keeps this frame, and there may be a password in them
    return access.token().password


async def async_token(url: str | URL, **options: Any) -> str:
    """Do the same as `token` in a coroutine, without blocking the event loop.

    As async engines do, it needs asyncio and the package greenlet.

    Raises:
        ConfigError: the URL or an option cannot work, or greenlet is not installed.
        CredentialsError: there are no AWS credentials to sign with.
        WaitTimeout: they, or an answer of DNS, did not arrive within ``rds_iam_timeout``.
        RdsIamError: a CNAME is to be followed, and leads to no endpoint.
    """
    try:
        access = _access(url, options, is_async=True)
    finally:
        del url, options
    return (await greenlet_spawn(access.token)).password


def _access(url: str | URL, options: dict[str, Any], *, is_async: bool) -> Access:
    handled = sys.exception()
    try:
        return _found(url, options, is_async=is_async)
    except BaseException as error:
        _frames.clear(error, sys._getframe(), (handled,))  # noqa: SLF001
        del url, options
        raise


def _found(url: str | URL, options: dict[str, Any], *, is_async: bool) -> Access:
    parsed = read_url(url)
    for name in options:
        if not IamOptions.names_in({name: None}):
            raise ConfigError(
                f"{name}=…: expected an option of the plugin by its whole name, such as "
                "rds_iam_profile"
            )
    given = tuple((name, _hashable(value)) for name, value in sorted(options.items()))
    # Another environment may be another identity.
    return _remembered(parsed, given, is_async, environment_key())


@functools.lru_cache(_REMEMBERED)
def _remembered(
    url: URL,
    options: tuple[tuple[str, Any], ...],
    is_async: bool,
    _environment: Hashable,
) -> Access:
    given = {name: value.it if isinstance(value, Itself) else value for name, value in options}
    return Access(url, given, _on_a_loop if is_async else _off_loops)


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return Itself(value)
    return value  # type: ignore[no-any-return]


def _on_a_loop(config: PluginOptions) -> Runtime:
    return runtime_for(config, is_async=True)


def _off_loops(config: PluginOptions) -> Runtime:
    if config.session is not None and is_async_session(config.session):
        raise ConfigError(
            f"rds_iam_session is a session of aiobotocore ({type(config.session).__name__}), "
            "which only async_token() can await: hand in one of botocore or boto3"
        )
    return in_threads(config)
