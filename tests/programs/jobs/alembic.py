# /// script
# requires-python = ">=3.11"
# dependencies = ["alembic", "psycopg[binary]>=3.2.1", "asyncpg>=0.30", "SQLAlchemy[asyncio]"]
#
# [tool.program]
# title = "Alembic"
# url = "https://alembic.sqlalchemy.org"
# group = "Migrations"
# packages = ["alembic"]
# drivers = ["postgresql+psycopg", "postgresql+asyncpg"]
# databases = ["app", "other", "async"]
# write = '''
# The URL in `alembic.ini`, a `%` in it doubled, as in every ini file:
#
# ```ini
# sqlalchemy.url = postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam
# ```
#
# The same with the templates `generic`, `async` (an async driver) and `multidb` (a URL for each
# database). Offline (`--sql`) nothing connects.
# '''
# ///
"""A migration forth and back, online and offline, in the templates generic, async and multidb."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, run, url

REVISION = '''"""the table of notes"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None

def upgrade({of}) -> None:
    op.create_table("note", sa.Column("id", sa.Integer, primary_key=True))

def downgrade({of}) -> None:
    op.drop_table("note")
'''
TEMPLATES = {
    "generic": {"alembic": url()},
    "async": {"alembic": url("postgresql+asyncpg", "async")},
    "multidb": {"engine1": url(), "engine2": url(database="other")},
}


def alembic(template: str, *words: str) -> str:
    return command("alembic", "--config", f"{template}.ini", *words)


def init(template: str, urls: dict[str, str]) -> None:
    alembic(template, "init", "--template", template, template)
    ini = Path(f"{template}.ini")
    text = ini.read_text()
    for section, address in urls.items():
        line = "sqlalchemy.url = " + address.replace("%", "%%")
        of_section = re.compile(rf"(?ms)(^\[{section}\].*?)^sqlalchemy\.url = .*?$")
        text, found = of_section.subn(lambda match, line=line: match[1] + line, text, count=1)
        assert found, f"the template {template} has no URL in [{section}]"
    ini.write_text(text)
    of = "engine_name: str" if template == "multidb" else ""
    Path(template, "versions", "1.py").write_text(REVISION.format(of=of))


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    for template, urls in TEMPLATES.items():
        init(template, urls)
        printed = alembic(template, "upgrade", "head", "--sql")
        written = [path.read_text() for path in Path().glob("engine*.sql")]
        assert "CREATE TABLE note" in "".join([printed, *written])
    # There before the rollover, and back after it.
    ways = iter([("upgrade", "head"), ("downgrade", "base")])

    def work() -> None:
        way = next(ways)
        for template in TEMPLATES:
            alembic(template, *way)

    yield work


if __name__ == "__main__":
    run(program)
