"""Two engines from one place: a writer and a reader, each with its own plugin options."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import engine_from_config
from sqlalchemy.engine import URL, Engine

from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._routing.inheritance import (
    SIGNED,
    complete,
    elsewhere,
    must_write,
    named_plugins,
)
from sqlalchemy_rds_iam._routing.settings import Settings, from_environ, from_mapping, from_urls
from sqlalchemy_rds_iam.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_E = TypeVar("_E")

WriterSpec = str | URL | Mapping[str, Any] | None
"""The writer's URL, a mapping for both engines, or None for the environment."""


class EnginePair(NamedTuple):
    """A writer and a reader. Where there is no reader, both are the one engine there is.

    Attributes:
        writer: for all that changes something, and reads that must see it.
        reader: for reads that may lag behind.
    """

    writer: Engine
    reader: Engine

    def dispose(self, *, close: bool = True) -> None:
        """Dispose of both engines' pools; `close` as for ``Engine.dispose()``."""
        try:
            self.writer.dispose(close)
        finally:
            if self.reader is not self.writer:
                self.reader.dispose(close)


class AsyncEnginePair(NamedTuple):
    """The same of two async engines.

    Attributes:
        writer: for all that changes something, and reads that must see it.
        reader: for reads that may lag behind.
    """

    writer: AsyncEngine
    reader: AsyncEngine

    async def dispose(self, *, close: bool = True) -> None:
        """Dispose of both engines' pools; `close` as for ``AsyncEngine.dispose()``."""
        try:
            await self.writer.dispose(close)
        finally:
            if self.reader is not self.writer:
                await self.reader.dispose(close)


def engine_pair(
    writer: WriterSpec = None,
    reader: str | URL | None = None,
    *,
    prefix: str = "sqlalchemy.",
    environ: Mapping[str, str] = os.environ,
    writer_options: Mapping[str, Any] | None = None,
    reader_options: Mapping[str, Any] | None = None,
    **both: Any,
) -> EnginePair:
    """Make a writer and a reader engine from two URLs, from a mapping, or from the environment.

    The reader takes from the writer's URL what its own leaves out: user, port, database and query,
    our options included. A password goes with its user only, ``rds_iam_host`` and
    ``rds_iam_port`` with their server only, a plugin's options with the plugin only. Without any
    word about a reader, both are one engine.

    The writer's sessions are on a server that can write, also after a failover: its
    ``target_session_attrs`` is ``read-write`` unless said otherwise, and the reader's is ``any``.

    Args:
        writer: the writer's URL; or a mapping, as from an ini file, with
            ``sqlalchemy.writer.url``, ``sqlalchemy.reader.url``, ``sqlalchemy.reader.pool_size``, …
            where ``sqlalchemy.pool_size`` is for both; or None for the environment, with
            ``RDS_IAM_URL``, ``RDS_IAM_<OPTION>``, ``RDS_IAM_SECRET_<OPTION>`` for those of
            ``rds_secret``, and ``RDS_IAM_READER_…`` for each of them.
        reader: the reader's URL, beside a writer's URL.
        prefix: what the keys of the mapping begin with.
        environ: read instead of the process's own environment.
        writer_options: keywords of ``create_engine()`` for the writer alone.
        reader_options: keywords of ``create_engine()`` for the reader alone.
        both: keywords of ``create_engine()`` for both engines. Keywords win over all else.

    Raises:
        ConfigError: what was given cannot work; the message says for which of the two.
    """
    settings = _settings(writer, reader, prefix, environ)
    engines = _engines(engine_from_config, settings, both, writer_options, reader_options)
    return EnginePair(*engines)


def async_engine_pair(
    writer: WriterSpec = None,
    reader: str | URL | None = None,
    *,
    prefix: str = "sqlalchemy.",
    environ: Mapping[str, str] = os.environ,
    writer_options: Mapping[str, Any] | None = None,
    reader_options: Mapping[str, Any] | None = None,
    **both: Any,
) -> AsyncEnginePair:
    """Make the same of two async engines; see `engine_pair`.

    Raises:
        ConfigError: what was given cannot work; the message says for which of the two.
    """
    # Here, because it asks for greenlet, which sync engines do without.
    from sqlalchemy.ext.asyncio import async_engine_from_config

    settings = _settings(writer, reader, prefix, environ)
    engines = _engines(async_engine_from_config, settings, both, writer_options, reader_options)
    return AsyncEnginePair(*engines)


def _settings(
    writer: WriterSpec, reader: str | URL | None, prefix: str, environ: Mapping[str, str]
) -> Settings:
    if isinstance(writer, str | URL):
        return from_urls(writer, reader)
    if reader is not None:
        raise ConfigError(
            "a reader's URL was given without a writer's URL: give both as URLs, or say the "
            "reader's in the mapping or the environment that says the writer's"
        )
    return from_environ(environ) if writer is None else from_mapping(writer, prefix)


def _engines(
    create: Callable[..., _E],
    settings: Settings,
    both: Mapping[str, Any],
    writer_options: Mapping[str, Any] | None,
    reader_options: Mapping[str, Any] | None,
) -> tuple[_E, _E]:
    writer, reader, has_reader = settings
    given = {**writer, **both, **(writer_options or {})}
    engine = _engine(create, "writer", {**given, **must_write(given)})
    if not (has_reader or reader_options):
        return engine, engine
    base: URL = writer["url"]
    own: URL = reader["url"]
    if elsewhere(base, own) and (names := sorted(SIGNED & both.keys())):
        raise ConfigError(
            f"{' and '.join(names)} can be right for one server only, and the reader is on another "
            "one: move it into writer_options, reader_options or the URLs"
        )
    try:
        url = complete(base, own)
    except ConfigError as error:
        raise ConfigError(f"reader: {error}") from error
    given = {**reader, "url": url, **both, **(reader_options or {})}
    return engine, _engine(create, "reader", given)


def _engine(create: Callable[..., _E], role: str, options: dict[str, Any]) -> _E:
    query = options["url"].query
    named = [*named_plugins(query), *(options.get("plugins") or ())]
    for plugin in PLUGINS:
        ours = [key for key in {**query, **options} if key.startswith(f"{plugin}_")]
        if ours and not any(one in named for one in PLUGINS):
            raise ConfigError(
                f"{role}: {', '.join(ours)} without the plugin: add ?plugin={plugin} to the URL, "
                "or remove it"
            )
    try:
        # For the values that an ini file holds as text; it leaves all others as they are.
        return create(options, prefix="")
    except ConfigError as error:
        raise ConfigError(f"{role}: {error}") from error
    except TypeError as error:
        if not str(error).startswith("Invalid argument"):
            raise
        raise ConfigError(f"{role}: {error}") from error
