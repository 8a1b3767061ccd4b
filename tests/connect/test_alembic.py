"""Alembic from the files that its own `init` writes, changed as docs/migrations.md says."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import quote

import pytest
from alembic import command
from alembic.config import Config
from docs_support import documents
from families import BOTH, Words
from hypothesis import given
from hypothesis import strategies as st
from inside import Inside
from patience import DEADLINE
from sqlalchemy import create_engine, engine_from_config, make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam.testing import Principal, RdsEmulator

GUIDE = documents()["docs/migrations.md"]

RUN = """
import shlex, sys
from alembic.config import main
for line in sys.argv[1:]:
    main(shlex.split(line), prog="alembic")
"""
BODIES = {
    "create note": (
        "op.create_table('note', sa.Column('id', sa.Integer))",
        "op.drop_table('note')",
    ),
    "add words": (
        "op.add_column('note', sa.Column('words', sa.Text))",
        "op.drop_column('note', 'words')",
    ),
}
PLACEHOLDER = "sqlalchemy.url = driver://user:pass@localhost/dbname\n"
# Without verification no CA file is needed, and nothing here connects.
QUERY = "?plugin=rds_iam&rds_iam_tls=require"
HOST = "mydb.abc123.eu-central-1.rds.amazonaws.com"


class Project:
    """A directory that `alembic init` made, with two revisions, and a database to migrate."""

    def __init__(
        self, directory: Path, template: str, rds: RdsEmulator, user: str, words: Words
    ) -> None:
        self._directory = directory
        self._template = template
        self._rds = rds
        self.user = user
        self._words = words
        self.owner = user if words.family == "postgresql" else ""

    def write(self, *lines: str) -> None:
        """Have alembic write the project, and put `lines` where its alembic.ini has a URL."""
        ini = self._directory / "alembic.ini"
        config = Config(str(ini), stdout=io.StringIO())
        command.init(config, str(self._directory / "migrations"), self._template)
        written = ini.read_text()
        assert PLACEHOLDER in written
        ini.write_text(written.replace(PLACEHOLDER, "".join(f"{line}\n" for line in lines)))
        for message, (up, down) in BODIES.items():
            revision = command.revision(Config(str(ini), stdout=io.StringIO()), message)
            file = Path(revision.path)  # type: ignore[union-attr]
            before, middle, after = file.read_text().split("    pass")
            file.write_text(f"{before}    {up}{middle}    {down}{after}")

    def add_to_env(self, lines: str) -> None:
        """Add lines to env.py, below the one that sets `config`."""
        file = self._directory / "migrations" / "env.py"
        before, line, after = file.read_text().partition("config = context.config\n")
        assert line
        file.write_text(f"{before}{line}{lines}{after}")

    def url(self, drivername: str) -> str:
        """The URL as it belongs into an ini file: every percent sign written twice."""
        url = self._rds.url(drivername, user="USER", database="ledger").render_as_string()
        # As people write it by hand: everything quoted, a space as well.
        return url.replace("USER", quote(self.user, safe="")).replace("%", "%%")

    def run(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """Run alembic commands in one process of their own, where every warning is an error."""
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", RUN, *commands],
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def succeed(self, *commands: str) -> str:
        """What the commands print; they have to succeed."""
        done = self.run(*commands)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def columns(self) -> dict[str, str]:
        """The columns of the migrated table, and who owns it."""
        rows = self._rds.execute(self._words.columns("ledger", "note"), "ledger")
        return {str(name): str(owner) for name, owner in rows}


@pytest.fixture(params=["generic", "async"])
def template(request: pytest.FixtureRequest) -> str:
    """Which of alembic's templates."""
    return str(request.param)


@pytest.fixture
def drivername(template: str, words: Words) -> str:
    """A driver for the template's engine."""
    return {"generic": words.sync, "async": words.asynchronous}[template]


@pytest.fixture
def project(template: str, rds: RdsEmulator, tmp_path: Path, words: Words) -> Iterator[Project]:
    """A project and the database `ledger`, whose owner's name is a trial for every quoting."""
    user = "my app 100%b/@x"
    rds.create_user(user)
    rds._call(rds._running_roles.create_database("ledger", user))
    yield Project(tmp_path, template, rds, user, words)
    rds.execute(words.drop_database("ledger"))


@pytest.fixture
def writer(rds: RdsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Principal:
    """The one identity that may connect as the owner; the environment's own may not."""
    principal = rds.identities.role("writer")
    key = rds.identities.issue(principal, lifetime=3600)
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[writer]\n"
        f"aws_access_key_id = {key.access_key}\n"
        f"aws_secret_access_key = {key.secret_key}\n"
        f"aws_session_token = {key.session_token}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setattr(rds.key.principal, "db_users", frozenset({"reader"}))
    return principal


@BOTH
def test_migration(project: Project, drivername: str, writer: Principal, rds: RdsEmulator) -> None:
    """Tables are made, changed and dropped as the user of the URL, logged in as the writer."""
    project.write(
        f"sqlalchemy.url = {project.url(drivername)}", "sqlalchemy.rds_iam_profile = writer"
    )
    project.succeed("upgrade +1", "upgrade head")
    assert project.columns() == {"id": project.owner, "words": project.owner}
    assert "(head)" in project.succeed("downgrade -1", "upgrade head", "current")
    project.succeed("downgrade base")
    assert project.columns() == {}
    decisions = {(each.granted, each.db_user, each.principal) for each in rds.decisions}
    assert decisions == {(True, project.user, writer.arn)}
    assert len(rds.decisions) == 6


@BOTH
def test_another_identity(
    project: Project, drivername: str, writer: Principal, rds: RdsEmulator, words: Words
) -> None:
    """An identity that may not connect as the owner migrates nothing, and is told why."""
    project.write(f"sqlalchemy.url = {project.url(drivername)}")
    done = project.run("upgrade head")
    assert done.returncode != 0
    assert words.refused in done.stderr
    assert "rds_iam: the server refused the IAM token" in done.stderr
    assert project.columns() == {}
    assert {each.reason for each in rds.decisions} == {"NotAuthorized"}


@BOTH
def test_offline(project: Project, drivername: str, rds: RdsEmulator) -> None:
    """`--sql` asks neither AWS nor the database, needs no credentials, and prints what works."""
    project.write(
        f"sqlalchemy.url = {project.url(drivername)}", "sqlalchemy.rds_iam_profile = missing"
    )
    sql = project.succeed("upgrade head --sql")
    assert rds.decisions == []
    for statement in sql.split(";\n"):
        if statement.strip():
            rds.execute(statement, "ledger")
    assert set(project.columns()) == {"id", "words"}


def test_url_from_the_environment(
    project: Project, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines that the documents add to env.py read the URL from the environment."""
    [block] = [block for block in GUIDE.blocks if block.language == "python"]
    project.write(
        "sqlalchemy.url = overwritten://",
        f"sqlalchemy.rds_iam_host = {rds.endpoint.host}",
        f"sqlalchemy.rds_iam_port = {rds.endpoint.port}",
    )
    project.add_to_env(block.text)
    host, port = rds.address
    variables = {"DB_USER": project.user, "DB_HOST": host, "DB_PORT": port, "DB_NAME": "ledger"}
    for name, value in (variables | {"PGSSLROOTCERT": rds.ca_file}).items():
        monkeypatch.setenv(name, str(value))
    project.succeed("upgrade head")
    assert project.columns() == {"id": project.owner, "words": project.owner}


@BOTH
def test_url_of_an_engine(project: Project, drivername: str, writer: Principal) -> None:
    """The URL of the application's engine, put into the file as Flask-Migrate does, is enough."""
    url = project.url(drivername).replace("%%", "%")
    project.write("sqlalchemy.url = overwritten://")
    project.add_to_env(
        "from sqlalchemy import create_engine, pool\n"
        f"engine = create_engine({url!r}, rds_iam_profile='writer', poolclass=pool.NullPool)\n"
        "shown = engine.url.render_as_string(hide_password=False)\n"
        "config.set_main_option('sqlalchemy.url', shown.replace('%', '%%'))\n"
    )
    project.succeed("upgrade head")
    assert project.columns() == {"id": project.owner, "words": project.owner}


def test_grants(rds: RdsEmulator) -> None:
    """With the documents' grants the migrator creates tables, and the application uses them."""
    user, privileges, _ = [block.text for block in GUIDE.blocks if block.language == "sql"]
    rds.execute("CREATE DATABASE ledger")
    try:
        rds.execute(user, "ledger")
        for name, statement in (
            ("migrator", f"{privileges}; CREATE TABLE note (id serial)"),
            ("app", "INSERT INTO note VALUES (DEFAULT)"),
        ):
            engine = create_engine(rds.url(user=name, database="ledger"), poolclass=NullPool)
            with engine.begin() as connection:
                connection.execute(text(statement))
        with pytest.raises(ProgrammingError, match="must be owner"), engine.begin() as connection:
            connection.execute(text("DROP TABLE note"))
    finally:
        rds.execute("DROP DATABASE ledger WITH (FORCE)")
        rds.execute("DROP ROLE migrator")


# What PostgreSQL takes for a name: anything but the zero byte.
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15)


@given(user=names)
def test_percent_signs(user: str) -> None:
    """Any user name, quoted for the URL and its percent signs doubled, is the user signed for."""
    line = f"postgresql+psycopg://{quote(user, safe='')}@{HOST}/app{QUERY}"
    parser = ConfigParser()
    parser.read_string(f"[alembic]\nsqlalchemy.url = {line.replace('%', '%%')}\n")
    engine = engine_from_config(dict(parser["alembic"]), "sqlalchemy.")
    target = Inside(engine).plan.target
    assert target.endpoint.user == user


@given(user=names)
def test_url_of_the_program(user: str) -> None:
    """A URL object, doubled as documented, comes out of alembic's Config as it went in."""
    url = make_url(f"postgresql+psycopg://{HOST}/app{QUERY}").set(username=user)
    config = Config()
    text = url.render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", text.replace("%", "%%"))
    assert make_url(config.get_section_option("alembic", "sqlalchemy.url")) == url
