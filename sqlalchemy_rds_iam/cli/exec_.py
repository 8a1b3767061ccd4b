"""``rds-iam exec``: run psql, mysql, pg_dump and similar programs, logged in as an engine is."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, NamedTuple, NoReturn

import typer

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._databases.mysql import MYSQL
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._tools import libpq_environment, mysql_programs
from sqlalchemy_rds_iam._tools.program_setup import ProgramSetup
from sqlalchemy_rds_iam.cli import exec_child, values
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    MYSQL_EXAMPLE,
    Options,
    Profile,
    Region,
    Timeout,
    access,
    told,
)
from sqlalchemy_rds_iam.cli.output import MISUSED, fail, note

_SETUPS = {POSTGRESQL.name: libpq_environment.setup, MYSQL.name: mysql_programs.setup}

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_LONGEST_PAUSE = 30.0

EPILOG = f"""
A session of psql's, one of MySQL's or MariaDB's client, and dumps with the URL of the environment:
$ rds-iam exec \\
    {EXAMPLE} \\
    -- psql
$ rds-iam exec \\
    {MYSQL_EXAMPLE} \\
    -- mysql
$ rds-iam exec -- pg_dump -Fd -j 4 -f backup
$ rds-iam exec -- mysqldump --single-transaction app

Once more with a new token if the login is refused:
$ rds-iam exec --retry 3 -- pg_dump -Fc -f backup.dump

With a password of Secrets Manager, which may also say where to and as which user:
$ rds-iam exec postgresql:// -o rds_secret_id=prod/orders -- psql

A program that calls AWS as well:
$ rds-iam exec --keep-aws -- \\
    sh -c 'pg_dump | aws s3 cp - s3://backups/app.sql'
"""


def execute(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL] -- COMMAND",
            show_default=False,
            help="The SQLAlchemy URL, by default RDS_IAM_URL or DATABASE_URL of the environment; "
            "and the command with its arguments.",
        ),
    ] = None,
    *,
    options: Options = None,
    profile: Profile = None,
    region: Region = None,
    timeout: Timeout = None,
    retry: Annotated[
        int,
        typer.Option(
            parser=values.number(int, 0, 20, "a number"),
            metavar="N",
            help="Run the command again, with another password, when its login was refused.",
        ),
    ] = 0,
    keep_aws: Annotated[
        bool,
        typer.Option(
            "--keep-aws",
            help="Leave AWS credentials in the environment of the command, for one that calls AWS.",
        ),
    ] = False,
) -> None:
    """Run a program, such as psql or mysql, logged in as an engine of the URL would be.

    For PostgreSQL host, port, user, database, verified TLS and a fresh token are in the environment
    of that program (PGHOST, PGPASSWORD and so on), and nowhere else. For MySQL and MariaDB the
    token is in MYSQL_PWD, and all else in a private option file that is removed at the end: mysql,
    mariadb, mysqldump and so on get it as their first argument, other programs by MYSQL_HOME.
    Variables of yours that say otherwise are set aside. AWS credentials, and URLs with a password,
    are taken out of its environment: it needs none to log in.

    With plugin=rds_secret, or --option rds_secret_id=NAME, it gets the password of that secret in
    the place of a token, and what the secret says about host, port, user and database.

    A token is good for 15 minutes, for logging in: sessions go on for as long as they like. What
    logs in anew after that time, such as a parallel pg_restore late in its work, is refused. With
    --retry the whole command is run again, from its beginning, if it fails and says on standard
    error that a login was refused; so use it where that does no harm. A secret's other versions are
    tried then, as while it rotates.

    Exits as the command does, with 128+N if signal N ended it; with 126 or 127 if it cannot be
    run; with 1 if there are no AWS credentials; with 2 if called wrongly.
    """
    url, command = _parted(words or [])
    with ExitStack() as ended:
        with told():
            found = access(
                url, options, timeout=timeout, profile=profile, region=region, secrets=True
            )
            executable(command[0])
            kept, secret = exec_child.without_secrets(os.environ, keep_aws=keep_aws)

            def set_up() -> ProgramSetup:
                made = _SETUPS[found.family.name](found, command, kept)
                ended.callback(made.clean_up)
                return made

            setup = set_up()
            for each in setup.notes:
                note(each)
            password = found.password()
            environ, gone = setup.environment(password, kept)
            if gone:
                note(f"set aside for what the URL says: {', '.join(gone)}")
            if secret:
                note(f"secrets that {command[0]} does not get{_hint(secret)}: {', '.join(secret)}")
        try:
            if retry == 0 and setup.directory is None:
                exec_child.become(setup.command, environ)
            _again_and_again(found, set_up, _Login(setup, kept, password), retry)
        except (OSError, ValueError) as error:
            cannot_run(command[0], error)


def executable(program: str) -> None:
    """End if there is no such program, before anything is done for it."""
    if shutil.which(program) is None:
        code = errno.ENOENT
        if os.path.exists(program) and os.sep in program:  # noqa: PTH110  (any text will do)
            code = errno.EACCES
        cannot_run(program, OSError(code, os.strerror(code)))


def cannot_run(program: str, error: Exception) -> NoReturn:
    """End with what keeps a program from being run, and the exit status of a shell."""
    if isinstance(error, FileNotFoundError):
        fail(f"{program or repr(program)}: not found; is it installed, and on the PATH?", NOT_FOUND)
    reason = getattr(error, "strerror", None) or error
    fail(f"{program}: cannot be run ({reason})", NOT_EXECUTABLE)


def _parted(words: list[str]) -> tuple[str | None, list[str]]:
    """The URL and the command; what looks like a URL is one, and so is what is empty."""
    url, command = None, words
    if words and ("://" in words[0] or not words[0].strip()):
        url, *command = words
    if not command:
        fail("there is no command: expected one after the --, as in rds-iam exec -- psql", MISUSED)
    return url, command


def _hint(names: list[str]) -> str:
    """How to let a program have them, where there is a way."""
    aws = any(name.startswith("AWS_") for name in names)
    return " (--keep-aws leaves it those of AWS)" if aws else ""


class _Login(NamedTuple):
    """How a program is run, beside which variables, and what it logs in with."""

    setup: ProgramSetup
    kept: dict[str, str]
    password: IssuedPassword


def _again_and_again(
    found: Access, set_up: Callable[[], ProgramSetup], login: _Login, retry: int
) -> NoReturn:
    pause, (setup, kept, password) = 1.0, login
    for left in range(retry, -1, -1):
        environ, _ = setup.environment(password, kept)
        ended = exec_child.supervise(setup.command, environ, keep_words=retry > 0)
        if ended.code == 0 or not left or not setup.is_refused(ended.last_words):
            break
        program, before = setup.command[0], found.url
        note(f"the login was refused; {program} is run again in {pause:g} s, {left} more to go")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
        with told():
            other = found.replaced(password)
            if other is None:
                note(f"the secret has no other password, so {program} is not run again")
                break
            password = other
            if found.url != before:  # a version of a secret may be of another user
                setup = set_up()
    raise typer.Exit(ended.code)
