# /// script
# requires-python = ">=3.11"
# dependencies = ["openai-agents[sqlalchemy]"]
#
# [tool.program]
# title = "OpenAI Agents SDK"
# url = "https://openai.github.io/openai-agents-python/sessions/sqlalchemy_session/"
# group = "Machine learning"
# packages = ["openai-agents"]
# drivers = ["postgresql+asyncpg"]
# write = '''
# One engine for the sessions of all users; `SQLAlchemySession.from_url()` would make a pool for each:
#
# ```python
# from agents.extensions.memory import SQLAlchemySession
# from sqlalchemy.ext.asyncio import create_async_engine
#
# engine = create_async_engine(
#     "postgresql+asyncpg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     pool_pre_ping=True,
# )
# session = SQLAlchemySession("ada", engine=engine, create_tables=True)
# ```
# '''
# ///
"""Conversations that are kept in the database and read from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agents.extensions.memory import SQLAlchemySession
from job import run, url
from sqlalchemy.ext.asyncio import create_async_engine


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_async_engine(url("postgresql+asyncpg"), pool_pre_ping=True)
    with asyncio.Runner() as loop:

        async def talk(user: str) -> None:
            session = SQLAlchemySession(user, engine=engine, create_tables=True)
            before = len(await session.get_items())
            await session.add_items([{"role": "user", "content": "Hello"}])
            assert len(await session.get_items()) == before + 1

        def work() -> None:
            for user in ("ada", "bob"):
                loop.run(talk(user))

        yield work
        loop.run(engine.dispose())


if __name__ == "__main__":
    run(program)
