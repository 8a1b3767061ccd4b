# /// script
# requires-python = ">=3.11"
# dependencies = ["sqlalchemy-continuum", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "SQLAlchemy-Continuum"
# url = "https://sqlalchemy-continuum.readthedocs.io"
# group = "Migrations"
# packages = ["sqlalchemy-continuum"]
# drivers = ["postgresql+psycopg"]
# write = "Nothing: it works with the sessions of your engine."
# databases = ["app"]
# minutes = 3
# ///
"""An article with its versions, one of which comes back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from job import run, url
from sqlalchemy import create_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    configure_mappers,
    mapped_column,
    sessionmaker,
)
from sqlalchemy_continuum import make_versioned

make_versioned(user_cls=None)


class Base(DeclarativeBase):
    pass


class Article(Base):
    __versioned__: dict[str, object] = {}  # noqa: RUF012 - Continuum's own form
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


configure_mappers()


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(url(), pool_pre_ping=True)
    Base.metadata.create_all(engine)
    Session = sessionmaker(engine)  # noqa: N806 - SQLAlchemy's own habit

    def work() -> None:
        with Session() as session:
            article = Article(name="first")
            session.add(article)
            session.commit()
            article.name = "second"
            session.commit()
            assert [version.name for version in article.versions] == ["first", "second"]
            article.versions[0].revert()
            session.commit()
            assert session.get_one(Article, article.id).name == "first"

    yield work
    engine.dispose()


if __name__ == "__main__":
    run(program)
