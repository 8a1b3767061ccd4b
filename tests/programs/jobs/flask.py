# /// script
# requires-python = ">=3.11"
# dependencies = ["Flask-SQLAlchemy", "Flask-Migrate", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Flask-SQLAlchemy and Flask-Migrate"
# url = "https://flask-sqlalchemy.readthedocs.io"
# group = "Web"
# packages = ["flask-sqlalchemy", "flask-migrate", "flask"]
# drivers = ["postgresql+psycopg"]
# databases = ["app", "audit"]
# write = '''
# The URL in the configuration, and one for each bind:
#
# ```python
# app.config["SQLALCHEMY_DATABASE_URI"] = (
#     "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam"
# )
# app.config["SQLALCHEMY_BINDS"] = {
#     "audit": "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/audit?plugin=rds_iam"
# }
# db = SQLAlchemy(app, engine_options={"pool_pre_ping": True})
# ```
#
# `engine_options` are those of every engine; `SQLALCHEMY_ENGINE_OPTIONS` in the configuration reaches
# the default one alone, and the first request to a bind fails after a failover.
#
# `flask db init --multidb`, `flask db migrate` and `flask db upgrade` need nothing more: Flask-Migrate
# takes the URLs from the engines, with the plugin and its options.
# '''
# ///
"""An application with a bind, migrated by `flask db`; it adds and reads rows in both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, free_port, get, run, serve, url

APP = """
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
app.config["SQLALCHEMY_BINDS"] = {"audit": os.environ["AUDIT_URL"]}
db = SQLAlchemy(app, model_class=Base, engine_options={"pool_pre_ping": True})
migrate = Migrate(app, db)

class Note(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)

class Event(db.Model):
    __bind_key__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)

@app.get("/add")
def add():
    db.session.add_all([Note(), Event()])
    db.session.commit()
    return [db.session.scalar(select(func.count()).select_from(table)) for table in (Note, Event)]
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path("app.py").write_text(APP)
    env = {"DATABASE_URL": url(), "AUDIT_URL": url(database="audit")}
    for words in (["init", "--multidb"], ["migrate"], ["upgrade"]):
        command("flask", "db", *words, env=env)
    port, asked = free_port(), 0

    def add() -> str:
        return get(f"http://127.0.0.1:{port}/add")

    def work() -> None:
        nonlocal asked
        for _ in range(2):
            found = add()
            asked += 1
            # One more was added when the server was asked whether it serves.
            assert found.split() == f"[{asked + 1},{asked + 1}]".split(), found

    with serve("flask", "run", "--port", str(port), env=env, ready=add):
        yield work


if __name__ == "__main__":
    run(program)
