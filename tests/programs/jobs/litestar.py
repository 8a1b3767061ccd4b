# /// script
# requires-python = ">=3.11"
# dependencies = ["litestar[standard]", "advanced-alchemy[uuid]", "asyncpg>=0.30"]
#
# [tool.program]
# title = "Litestar with Advanced Alchemy"
# url = "https://litestar.dev"
# group = "Web"
# packages = ["litestar", "advanced-alchemy"]
# drivers = ["postgresql+asyncpg"]
# write = '''
# The URL in the configuration of the plugin:
#
# ```python
# from advanced_alchemy.extensions.litestar import (
#     EngineConfig,
#     SQLAlchemyAsyncConfig,
#     SQLAlchemyPlugin,
# )
#
# alchemy = SQLAlchemyPlugin(
#     config=SQLAlchemyAsyncConfig(
#         connection_string=(
#             "postgresql+asyncpg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam"
#         ),
#         engine_config=EngineConfig(pool_pre_ping=True),
#     )
# )
# ```
#
# The commands `litestar database …` (Alembic) use the same configuration.
# '''
# ///
"""An application migrated by `litestar database`, that adds and reads rows by its repository."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, free_port, get, post, run, serve, url

APP = """
import os
from advanced_alchemy.extensions.litestar import (
    AlembicAsyncConfig, AsyncSessionConfig, EngineConfig, SQLAlchemyAsyncConfig,
    SQLAlchemyPlugin, base, repository,
)
from litestar import Litestar, get, post
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

class Author(base.BigIntBase):
    name: Mapped[str]

class Authors(repository.SQLAlchemyAsyncRepository[Author]):
    model_type = Author

@post("/authors")
async def add(data: dict[str, str], db_session: AsyncSession) -> int:
    author = await Authors(session=db_session).add(Author(**data), auto_commit=True)
    return author.id

@get("/authors")
async def count(db_session: AsyncSession) -> int:
    return await Authors(session=db_session).count()

@get("/ready")
async def ready() -> str:
    return "yes"

alchemy = SQLAlchemyPlugin(
    config=SQLAlchemyAsyncConfig(
        connection_string=os.environ["DATABASE_URL"],
        engine_config=EngineConfig(pool_pre_ping=True),
        session_config=AsyncSessionConfig(expire_on_commit=False),
        alembic_config=AlembicAsyncConfig(script_location="migrations"),
    )
)
app = Litestar([add, count, ready], plugins=[alchemy])
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path("app.py").write_text(APP)
    env = {"DATABASE_URL": url("postgresql+asyncpg")}
    for words in (["init", "migrations"], ["make-migrations", "-m", "authors"], ["upgrade"]):
        command("litestar", "database", words[0], "--no-prompt", *words[1:], env=env)
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def work() -> None:
        before = json.loads(get(f"{address}/authors"))
        post(f"{address}/authors", {"name": "Ada"})
        assert json.loads(get(f"{address}/authors")) == before + 1

    serving = ("litestar", "run", "--port", str(port))
    with serve(*serving, env=env, ready=lambda: get(f"{address}/ready")):
        yield work


if __name__ == "__main__":
    run(program)
