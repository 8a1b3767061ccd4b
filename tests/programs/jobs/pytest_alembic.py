# /// script
# requires-python = ">=3.11"
# dependencies = ["pytest-alembic", "pytest", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "pytest-alembic"
# url = "https://pytest-alembic.readthedocs.io"
# group = "Migrations"
# packages = ["pytest-alembic", "alembic", "pytest"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The engine of the tests, in `conftest.py`; the plugin in its URL does the rest:
#
# ```python
# import os
#
# import pytest
# from sqlalchemy import create_engine
#
#
# @pytest.fixture
# def alembic_engine():
#     engine = create_engine(os.environ["DATABASE_URL"])
#     yield engine
#     engine.dispose()
# ```
#
# In tests without AWS the URL is that of the [emulator](testing.md).
# '''
# ///
"""Its four tests of a migration, which it runs up and down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, run, url

CONFTEST = """
import os
import pytest
from sqlalchemy import create_engine

@pytest.fixture
def alembic_engine():
    engine = create_engine(os.environ["DATABASE_URL"])
    yield engine
    engine.dispose()
"""

TESTS = """
from pytest_alembic.tests import (
    test_model_definitions_match_ddl, test_single_head_revision, test_up_down_consistency,
    test_upgrade,
)
"""

REVISION = '''"""the table of notes"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None

def upgrade():
    op.create_table("note", sa.Column("id", sa.Integer, primary_key=True))

def downgrade():
    op.drop_table("note")
'''

ENV = """
import sqlalchemy as sa
from alembic import context

metadata = sa.MetaData()
sa.Table("note", metadata, sa.Column("id", sa.Integer, primary_key=True))
with context.config.attributes["connection"].connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    command("alembic", "init", "migrations")
    Path("conftest.py").write_text(CONFTEST)
    Path("migrations", "env.py").write_text(ENV)
    Path("test_migrations.py").write_text(TESTS)
    Path("migrations", "versions", "1.py").write_text(REVISION)
    yield work


def work() -> None:
    printed = command("pytest", env={"DATABASE_URL": url()})
    assert "4 passed" in printed, printed


if __name__ == "__main__":
    run(program)
