"""docs/from-passwords.md, step by step: its SQL, its variables and its Python, in its order."""

from __future__ import annotations

import re
import socket
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from docs_support import Block, Document, documents, variables
from docs_world import World
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.server import postgres
from sqlalchemy_rds_iam.testing.server.postgres import Postgres

GUIDE = documents()["docs/from-passwords.md"]
BEFORE, AFTER = [block for block in GUIDE.blocks if block.language == "env"]
_SQL = [block.text for block in GUIDE.blocks if block.language == "sql"]
CREATE, CREATE_MYSQL, CLOSE, CLOSE_MYSQL, WATCH, WATCH_MYSQL = _SQL
SETTINGS, ASYNC, DRY_RUN, DRY_RUN_MYSQL = [
    block for block in GUIDE.blocks if block.language == "python"
]

# Passwords over TCP, as RDS decides it: a user with rds_iam has none. The emulator's own way in is
# the socket.
RULES = """
local all all trust
host all +rds_iam 127.0.0.1/32 reject
host all all 127.0.0.1/32 md5
"""


@pytest.fixture(scope="module")
def port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def rds_emulator(port: int) -> Iterator[RdsEmulator]:
    """A database that knows passwords at `port`, and IAM at the emulator's gateways."""
    with TemporaryDirectory(dir="/tmp") as directory, pytest.MonkeyPatch.context() as patch:
        # The server may run as another system user.
        Path(directory).chmod(0o755)
        rules = Path(directory, "pg_hba.conf")
        rules.write_text(RULES)
        listening = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(rules)}
        patch.setattr(postgres, "_SETTINGS", postgres._SETTINGS | listening)
        patch.setattr(Postgres, "socket_name", f".s.PGSQL.{port}")
        with RdsEmulator(users=()) as emulator:
            yield emulator


_IN_MYSQL = {"postgresql+psycopg": "mysql+pymysql", "postgresql+asyncpg": "mysql+asyncmy"}
"""What the guide says to write in place of what it shows."""


class Deployment:
    """The guide's application, whose engines are asked who they are."""

    def __init__(self, world: World, rds: RdsEmulator, port: int) -> None:
        self._world = world
        self._rds = rds
        self._password_door = f"DB_HOST=127.0.0.1\nDB_PORT={port}"
        self._endpoint = f"DB_PORT={rds.engine.port}"

    def sql(self, statements: str) -> list[tuple[str | None, ...]]:
        """Run statements as the master user."""
        return [tuple(row) for row in self._rds.execute(statements, "wiki")]

    def by_password(self, statements: str, **changes: str) -> None:
        """Run the guide's snippet as before the move, and statements through its engine."""
        self._run(BEFORE, statements, self._password_door, changes)

    def by_token(self, statements: str, **changes: str) -> None:
        """Run the guide's snippet as after the move, and statements through its engine."""
        self._run(AFTER, statements, self._endpoint, changes)

    def dry_run(self) -> None:
        """Run the guide's script."""
        script = DRY_RUN
        if self._rds.engine.name == "mysql":
            head, begin, _ = DRY_RUN.text.partition("with engine.connect() as connection:\n")
            body = textwrap.indent(DRY_RUN_MYSQL.text, "    ")
            script = self._own(replace(DRY_RUN, text=f"{head}{begin}{body}engine.dispose()\n"))
        self._run_blocks([AFTER, Block("test", 1, "env", self._endpoint), script])

    def _run(self, env: Block, statements: str, door: str, changes: dict[str, str]) -> None:
        overrides = "\n".join([door, *(f"{name}={value}" for name, value in changes.items())])
        use = (
            "from sqlalchemy import text\n"
            "with engine.begin() as connection:\n"
            f"    connection.execute(text({statements!r}))\n"
        )
        blocks = [env, Block("test", 1, "env", overrides), self._own(SETTINGS), self._own(ASYNC)]
        self._run_blocks([*blocks, Block("test", 1, "python", use)])

    def _own(self, block: Block) -> Block:
        text = block.text
        for shown, instead in _IN_MYSQL.items() if self._rds.engine.name == "mysql" else ():
            text = text.replace(shown, instead)
        return replace(block, text=text)

    def _run_blocks(self, blocks: list[Block]) -> None:
        document = Document(GUIDE.name, "")
        document.blocks = blocks
        self._world.run(document)


@pytest.fixture
def documented(
    rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[World]:
    """A world in which only those users exist whom the guide creates."""
    with World(rds, monkeypatch, tmp_path, provides=False).entered() as entered:
        yield entered


@pytest.fixture
def wiki(documented: World, rds: RdsEmulator, port: int) -> Iterator[Deployment]:
    """The deployment as it is in the beginning."""
    password = variables(BEFORE.text)["DB_PASSWORD"]
    rds.execute(f"CREATE ROLE wiki LOGIN PASSWORD '{password}'")
    rds.execute("CREATE DATABASE wiki OWNER wiki")
    yield Deployment(documented, rds, port)
    rds.execute("DROP DATABASE wiki WITH (FORCE)")
    rds.execute("DROP ROLE IF EXISTS wiki_iam")
    rds.execute("DROP ROLE wiki")


def as_user(session: str, current: str) -> str:
    """A statement that fails unless it is run in such a session."""
    return f"SELECT 1 / (session_user = '{session}' AND current_user = '{current}')::int"


def test_two_users(wiki: Deployment, documented: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Before, dry run, after, and back: both modes work while both doors are open."""
    wiki.by_password(as_user("wiki", "wiki"))
    wiki.by_password("CREATE TABLE page (words text)")
    with pytest.raises(OperationalError, match="password authentication failed"):
        wiki.by_password("SELECT 1", DB_PASSWORD="wrong")
    assert documented.logins == []

    wiki.sql(CREATE)
    wiki.dry_run()
    assert capsys.readouterr().out == (
        "logged in as wiki_iam, working as wiki\na new table belongs to wiki\n"
    )
    assert wiki.sql("SELECT tablename FROM pg_tables WHERE tablename = 'dry_run'") == []

    wiki.by_token(as_user("wiki_iam", "wiki"))
    wiki.by_token("INSERT INTO page VALUES ('by token'); CREATE TABLE comment (words text)")
    # The way back, and what was made meanwhile can still be altered.
    wiki.by_password("ALTER TABLE comment ADD COLUMN author text")
    assert {(each.db_user, each.granted) for each in documented.logins} == {("wiki_iam", True)}


def test_closing_the_door(wiki: Deployment) -> None:
    """In the end the password opens nothing any more, and tokens do."""
    wiki.sql(CREATE)
    wiki.sql(CLOSE)
    with pytest.raises(OperationalError, match=r"failed|not permitted"):
        wiki.by_password("SELECT 1")
    wiki.by_token(as_user("wiki_iam", "wiki"))


def test_watching(wiki: Deployment, port: int) -> None:
    """The query shows who is logged in, by the names they logged in with."""
    password = variables(BEFORE.text)["DB_PASSWORD"]
    engine = create_engine(f"postgresql+psycopg://wiki:{password}@127.0.0.1:{port}/wiki")
    with engine.connect():
        assert ("wiki", "1") in [row[:2] for row in wiki.sql(WATCH)]
    engine.dispose()


def test_one_user(wiki: Deployment, port: int) -> None:
    """The grant ends the password at once and no open connection; revoked, the password is back."""
    password = variables(BEFORE.text)["DB_PASSWORD"]
    engine = create_engine(f"postgresql+psycopg://wiki:{password}@127.0.0.1:{port}/wiki")
    with engine.connect() as connection:
        wiki.sql("GRANT rds_iam TO wiki")
        assert connection.scalar(text("SELECT current_user")) == "wiki"
    engine.dispose()
    with pytest.raises(OperationalError):
        wiki.by_password("SELECT 1")
    wiki.by_token(as_user("wiki", "wiki"), DB_USER="wiki")
    wiki.sql("REVOKE rds_iam FROM wiki")
    wiki.by_password(as_user("wiki", "wiki"))


def test_the_wrong_direction(wiki: Deployment) -> None:
    """Granted to it, the new user makes the old one a member of rds_iam, too."""
    wiki.sql("CREATE USER wiki_iam; GRANT rds_iam TO wiki_iam")
    wiki.by_password("SELECT 1")
    wiki.sql("GRANT wiki_iam TO wiki")
    with pytest.raises(OperationalError):
        wiki.by_password("SELECT 1")


@pytest.fixture
def wiki_in_mysql(
    rds_iam_mysql_environment: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Deployment]:
    """The deployment as it is in the beginning, with MySQL."""
    rds, password = rds_iam_mysql_environment, variables(BEFORE.text)["DB_PASSWORD"]
    rds.execute("CREATE DATABASE wiki")
    rds.execute(f"CREATE USER 'wiki'@'%' IDENTIFIED BY '{password}'")
    rds.execute("GRANT ALL ON wiki.* TO 'wiki'@'%'")
    with World(rds, monkeypatch, tmp_path, provides=False).entered() as world:
        yield Deployment(world, rds, rds.address[1])
    rds.execute("DROP DATABASE wiki")
    rds.execute("DROP USER IF EXISTS 'wiki'@'%', 'wiki_iam'@'%'")


def as_account(name: str) -> str:
    """A statement that fails unless it is run by this account."""
    return f"SELECT IF(current_user() = '{name}@%', 1, (SELECT 1 UNION SELECT 2))"


def test_two_users_in_mysql(wiki_in_mysql: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """Before, after, and back: both modes work while both doors are open, and then one."""
    wiki = wiki_in_mysql
    wiki.by_password(as_account("wiki"))
    wiki.by_password("CREATE TABLE page (words text)")
    with pytest.raises(OperationalError, match="Access denied for user 'wiki'"):
        wiki.by_password("SELECT 1", DB_PASSWORD="wrong")

    wiki.sql(CREATE_MYSQL)
    wiki.dry_run()
    said = capsys.readouterr().out
    assert said.startswith("logged in as wiki_iam@%\nGRANT ")
    assert "GRANT ALL PRIVILEGES ON `wiki`.* TO `wiki_iam`@`%`" in said
    wiki.by_token(as_account("wiki_iam"))
    wiki.by_token("INSERT INTO page VALUES ('by token')")
    wiki.by_token("CREATE TABLE comment (words text)")
    wiki.by_password("ALTER TABLE comment ADD COLUMN author text")
    wiki.sql(WATCH_MYSQL)

    wiki.sql(CLOSE_MYSQL)
    with pytest.raises(OperationalError, match=r"locked"):
        wiki.by_password("SELECT 1")
    wiki.by_token(as_account("wiki_iam"))


def test_one_user_in_mysql(wiki_in_mysql: Deployment) -> None:
    """The account's plugin decides: by token from then on, and by password after the way back."""
    there, back = re.findall(r"\| `(ALTER USER 'wiki'[^`]+)`", "\n".join(GUIDE.prose))
    wiki = wiki_in_mysql
    wiki.sql(there)
    with pytest.raises(OperationalError, match="Access denied for user 'wiki'"):
        wiki.by_password("SELECT 1")
    wiki.by_token(as_account("wiki"), DB_USER="wiki")
    wiki.sql(back.replace("…", variables(BEFORE.text)["DB_PASSWORD"]))
    wiki.by_password(as_account("wiki"))
