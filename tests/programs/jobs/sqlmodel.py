# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "fastapi", "uvicorn", "sqlmodel", "SQLAlchemy[asyncio]",
#   "psycopg[binary]>=3.2", "asyncpg>=0.30",
# ]
#
# [tool.program]
# title = "FastAPI with SQLModel"
# url = "https://sqlmodel.tiangolo.com"
# group = "Web"
# packages = ["sqlmodel", "fastapi", "uvicorn"]
# drivers = ["postgresql+psycopg", "postgresql+asyncpg"]
# write = '''
# SQLModel's `create_engine()` is SQLAlchemy's, and for async there is SQLAlchemy's own:
#
# ```python
# from sqlalchemy.ext.asyncio import create_async_engine
# from sqlmodel import create_engine
#
# engine = create_engine(
#     "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     pool_pre_ping=True,
# )
# async_engine = create_async_engine(
#     "postgresql+asyncpg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     pool_pre_ping=True,
# )
# ```
# '''
# ///
"""An application on uvicorn whose sync and async endpoints add and read rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import free_port, get, post, run, serve, url

APP = """
import os
from contextlib import asynccontextmanager
from typing import Annotated
from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, Session, SQLModel, create_engine, select
from sqlmodel.ext.asyncio.session import AsyncSession

class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str

engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)
async_engine = create_async_engine(os.environ["ASYNC_DATABASE_URL"], pool_pre_ping=True)

@asynccontextmanager
async def lifespan(app):
    SQLModel.metadata.create_all(engine)
    yield
    engine.dispose()
    await async_engine.dispose()

app = FastAPI(lifespan=lifespan)

def get_session():
    with Session(engine) as session:
        yield session

async def get_async_session():
    async with AsyncSession(async_engine) as session:
        yield session

@app.post("/heroes")
def add(hero: Hero, session: Annotated[Session, Depends(get_session)]) -> Hero:
    session.add(hero)
    session.commit()
    session.refresh(hero)
    return hero

@app.get("/heroes")
async def read(session: Annotated[AsyncSession, Depends(get_async_session)]) -> list[Hero]:
    return (await session.exec(select(Hero))).all()
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path("main.py").write_text(APP)
    env = {"DATABASE_URL": url(), "ASYNC_DATABASE_URL": url("postgresql+asyncpg")}
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def work() -> None:
        before = len(json.loads(get(f"{address}/heroes")))
        added = json.loads(post(f"{address}/heroes", {"name": "Ada"}))
        assert added["id"] == before + 1
        assert len(json.loads(get(f"{address}/heroes"))) == before + 1

    serving = ("uvicorn", "--port", str(port), "main:app")
    with serve(*serving, env=env, ready=lambda: get(f"{address}/openapi.json")):
        yield work


if __name__ == "__main__":
    run(program)
