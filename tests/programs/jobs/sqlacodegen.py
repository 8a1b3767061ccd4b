# /// script
# requires-python = ">=3.11"
# dependencies = ["sqlacodegen", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "sqlacodegen"
# url = "https://github.com/agronholm/sqlacodegen"
# group = "Migrations"
# packages = ["sqlacodegen"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL as its argument, quoted for the shell:
#
# ```sh
# sqlacodegen 'postgresql+psycopg://…?plugin=rds_iam' --outfile models.py
# ```
# '''
# databases = ["app"]
# minutes = 3
# ///
"""Models written from the tables of a database, by each of its generators."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from job import command, run, url
from sqlalchemy import create_engine, text


def generate(generator: str) -> str:
    return command("sqlacodegen", "--generator", generator, url())


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(url())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE city (id serial PRIMARY KEY, name text NOT NULL)"))
    engine.dispose()

    def work() -> None:
        assert "class City(Base):" in generate("declarative")
        assert "'city', metadata," in generate("tables")
        assert "MappedAsDataclass" in generate("dataclasses")

    yield work


if __name__ == "__main__":
    run(program)
