# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "pyramid", "pyramid-tm", "zope-sqlalchemy", "plaster-pastedeploy", "waitress",
#     "psycopg[binary]>=3.2",
# ]
#
# [tool.program]
# title = "Pyramid"
# url = "https://docs.pylonsproject.org/projects/pyramid/en/latest/tutorials/wiki2/index.html"
# group = "Web"
# packages = ["pyramid", "pyramid-tm", "zope-sqlalchemy"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL in the ini file, a `%` in it doubled:
#
# ```ini
# [app:main]
# sqlalchemy.url = postgresql+psycopg://…?plugin=rds_iam
# sqlalchemy.pool_pre_ping = true
# ```
# '''
# databases = ["app"]
# minutes = 4
# ///
"""Requests whose transactions pyramid_tm commits and rolls back, served by pserve."""

import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import free_port, get, post, run, serve, url

INI = """
[app:main]
use = call:shop:main
sqlalchemy.url = {url}
sqlalchemy.pool_pre_ping = true

[server:main]
use = egg:waitress#main
listen = 127.0.0.1:{port}
"""

SHOP = """
import zope.sqlalchemy
from pyramid.config import Configurator
from sqlalchemy import engine_from_config, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)


def add(request):
    request.session.add(Note())
    request.session.flush()
    if request.params.get("fail"):
        raise LookupError("as it should")
    return {}


def count(request):
    return request.session.scalar(select(func.count()).select_from(Note))


def main(_, **settings):
    engine = engine_from_config(settings, "sqlalchemy.")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)

    def session(request):
        made = sessions()
        zope.sqlalchemy.register(made, transaction_manager=request.tm)
        return made

    with Configurator(settings=settings | {"tm.manager_hook": "pyramid_tm.explicit_manager"}) as made:
        made.include("pyramid_tm")
        made.add_request_method(session, "session", reify=True)
        made.add_route("notes", "/notes")
        made.add_view(add, route_name="notes", request_method="POST", renderer="json")
        made.add_view(count, route_name="notes", request_method="GET", renderer="json")
    return made.make_wsgi_app()
"""


def is_refused(address: str) -> bool:
    try:
        post(address)
    except urllib.error.HTTPError as error:
        return error.code == 500
    return False


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    port = free_port()
    notes = f"http://127.0.0.1:{port}/notes"
    Path("shop.py").write_text(SHOP)
    Path("shop.ini").write_text(INI.format(url=url().replace("%", "%%"), port=port))

    def work() -> None:
        before = int(get(notes))
        post(notes)
        assert is_refused(f"{notes}?fail=1")
        assert int(get(notes)) == before + 1

    with serve("pserve", "shop.ini", ready=lambda: get(notes), env={"PYTHONPATH": "."}):
        yield work


if __name__ == "__main__":
    run(program)
