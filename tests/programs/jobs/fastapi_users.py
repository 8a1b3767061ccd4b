# /// script
# requires-python = ">=3.11"
# dependencies = ["fastapi-users[sqlalchemy]", "sqladmin", "uvicorn", "asyncpg>=0.30", "httpx"]
#
# [tool.program]
# title = "FastAPI Users with SQLAdmin"
# url = "https://fastapi-users.github.io/fastapi-users/"
# group = "Web"
# packages = ["fastapi-users", "sqladmin", "fastapi"]
# drivers = ["postgresql+asyncpg"]
# write = '''
# The URL of the engine that both are given:
#
# ```python
# from fastapi import FastAPI
# from sqladmin import Admin
# from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
#
# engine = create_async_engine(
#     "postgresql+asyncpg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     pool_pre_ping=True,
# )
# async_session_maker = async_sessionmaker(engine, expire_on_commit=False)
# app = FastAPI()
# admin = Admin(app, engine)
# ```
# '''
# ///
"""An application where users register and log in, and the admin pages list them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from job import free_port, get, post, run, serve, url

APP = """
import os, uuid
from contextlib import asynccontextmanager
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqladmin import Admin, ModelView
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = "the secret of a test, which signs tokens"

class Base(DeclarativeBase):
    pass

class User(SQLAlchemyBaseUserTableUUID, Base):
    pass

engine = create_async_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)
async_session_maker = async_sessionmaker(engine, expire_on_commit=False)

async def get_user_db():
    async with async_session_maker() as session:
        yield SQLAlchemyUserDatabase(session, User)

class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = verification_token_secret = SECRET

async def get_user_manager(user_db=Depends(get_user_db)):
    yield UserManager(user_db)

backend = AuthenticationBackend(
    "jwt", BearerTransport("auth/login"), lambda: JWTStrategy(SECRET, lifetime_seconds=3600)
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])

@asynccontextmanager
async def lifespan(app):
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()

app = FastAPI(lifespan=lifespan)
app.include_router(users.get_auth_router(backend), prefix="/auth")
register = users.get_register_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserCreate)
app.include_router(register, prefix="/auth")
app.include_router(users.get_users_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserUpdate))

class UserAdmin(ModelView, model=User):
    column_list = [User.email]

Admin(app, engine).add_view(UserAdmin)
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path("main.py").write_text(APP)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    numbers = itertools.count()

    def work() -> None:
        email = f"ada{next(numbers)}@example.com"
        post(f"{address}/auth/register", {"email": email, "password": "correct horse"})
        form = urlencode({"username": email, "password": "correct horse"}).encode()
        with urlopen(f"{address}/auth/login", form, timeout=30) as answer:
            token = json.load(answer)["access_token"]
        me = json.loads(get(f"{address}/me", Authorization=f"Bearer {token}"))
        assert me["email"] == email
        assert email in get(f"{address}/admin/user/list")

    serving = ("uvicorn", "--port", str(port), "main:app")
    env = {"DATABASE_URL": url("postgresql+asyncpg")}
    with serve(*serving, env=env, ready=lambda: get(f"{address}/openapi.json")):
        yield work


if __name__ == "__main__":
    run(program)
