"""The async face of `RoutingSession`. In a room of its own, as it needs greenlet."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from sqlalchemy_rds_iam._routing.pair import AsyncEnginePair, EnginePair
from sqlalchemy_rds_iam._routing.session import RoutingSession
from sqlalchemy_rds_iam.errors import ConfigError


class AsyncRoutingSession(AsyncSession):
    """`RoutingSession` for asyncio: ``async_sessionmaker(class_=AsyncRoutingSession, pair=pair)``.

    ``bind_arguments={"bind": …}`` takes sync engines, as with every ``AsyncSession``:
    ``pair.writer.sync_engine``.
    """

    sync_session_class = RoutingSession
    sync_session: RoutingSession

    def __init__(
        self,
        bind: AsyncEngine | AsyncConnection | None = None,
        *,
        pair: AsyncEnginePair,
        sticky: bool = False,
        reader_fallback: bool = False,
        **kw: Any,
    ) -> None:
        """Make a session over `pair`; all as for `RoutingSession`.

        Raises:
            ConfigError: not a pair of async engines, or ``binds`` or ``twophase``.
        """
        if not isinstance(pair, AsyncEnginePair):
            raise ConfigError(
                f"pair={pair!r}: expected an AsyncEnginePair as async_engine_pair() makes it; sync "
                "engines go with RoutingSession"
            )
        engines = EnginePair(pair.writer.sync_engine, pair.reader.sync_engine)
        super().__init__(bind, pair=engines, sticky=sticky, reader_fallback=reader_fallback, **kw)

    def on_writer(self) -> AbstractContextManager[None]:
        """As `RoutingSession.on_writer`, with a plain ``with``."""
        return self.sync_session.on_writer()

    def on_reader(self) -> AbstractContextManager[None]:
        """As `RoutingSession.on_reader`, with a plain ``with``."""
        return self.sync_session.on_reader()
