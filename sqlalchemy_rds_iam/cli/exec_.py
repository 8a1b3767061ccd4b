"""``rds-iam exec``: run psql, pg_dump and similar programs, logged in by token."""

from __future__ import annotations

import os
import time
from typing import Annotated, NoReturn

import typer

from sqlalchemy_rds_iam._databases.postgresql import is_refusal, is_throttled
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._tools import libpq_environment
from sqlalchemy_rds_iam.access import Access
from sqlalchemy_rds_iam.cli import exec_child
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    MISUSED,
    VARIABLES,
    Options,
    Timeout,
    access,
    fail,
    first_url,
    note,
    told,
)

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_LONGEST_PAUSE = 30.0

EPILOG = (
    "Examples:\n"
    f"- `rds-iam exec {EXAMPLE} -- psql -c 'select 1'`\n"
    '- `rds-iam exec "$DATABASE_URL" -- pg_dump -Fd -j 4 -f backup`\n'
    "- `rds-iam exec -- pg_restore -l backup.dump` with the URL in `RDS_IAM_URL`\n"
    "- `rds-iam exec --keep-aws -- sh -c 'pg_dump | aws s3 cp - s3://backups/app.sql'`\n"
)


def execute(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="URL -- COMMAND",
            show_default=False,
            help="The SQLAlchemy URL, by default RDS_IAM_URL or DATABASE_URL of the environment; "
            "and the command with its arguments.",
        ),
    ],
    *,
    options: Options = None,
    timeout: Timeout = None,
    retry: Annotated[
        int,
        typer.Option(
            min=0,
            max=20,
            metavar="N",
            help="Run the command again, with a new token, when its login was refused.",
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
    """Run a program made of libpq, such as psql, logged in as an engine of the URL would be.

    Host, port, user, database, verified TLS and a fresh token are in the environment of that
    program (PGHOST, PGPASSWORD and so on), and nowhere else. Variables of yours that say otherwise
    are set aside. AWS credentials, and URLs with a password, are taken out of its environment: it
    needs none to log in.

    A token is good for 15 minutes, for logging in: sessions go on for as long as they like. What
    logs in anew after that time, such as a parallel pg_restore late in its work, is refused. With
    --retry the whole command is run again, from its beginning, if it fails and says on standard
    error that a login was refused; so use it where that does no harm.

    Exits as the command does, with 128+N if signal N ended it; with 126 or 127 if it cannot be
    run; with 1 if there are no AWS credentials; with 2 if called wrongly.
    """
    url, command = _parted(words)
    with told():
        found = access(url, options, timeout)
        settings = libpq_environment.settings(found)
        for each in settings.passed:
            note(f"a CA file is passed over, as others can change it: {each}")
        if settings.lost:
            note(f"no variable says {', '.join(settings.lost)}; that of the URL is left out")
        signed = found.token()
        environ, gone = libpq_environment.environment(settings.variables, signed, os.environ)
        if gone:
            note(f"set aside for what the URL says: {', '.join(gone)}")
        environ, secret = exec_child.without_secrets(environ, keep_aws=keep_aws)
        if secret:
            note(f"secrets that {command[0]} does not get{_hint(secret)}: {', '.join(secret)}")
    try:
        if retry == 0:
            exec_child.become(command, environ)
        _again_and_again(found, command, environ, signed, retry)
    except FileNotFoundError:
        fail(f"{command[0]}: not found; is it installed, and on the PATH?", NOT_FOUND)
    except OSError as error:
        fail(f"{command[0]}: cannot be run ({error.strerror})", NOT_EXECUTABLE)


def _parted(words: list[str]) -> tuple[str, list[str]]:
    """The URL and the command; what looks like a URL is one."""
    if "://" in words[0]:
        url, *command = words
    else:
        command = words
        url = first_url()
    if not url:
        fail(f"there is no URL: give one before the --, or set {VARIABLES[0]}", MISUSED)
    if not command:
        fail("there is no command: expected one after the URL, as in URL -- psql", MISUSED)
    return url, command


def _hint(names: list[str]) -> str:
    """How to let a program have them, where there is a way."""
    aws = any(name.startswith("AWS_") for name in names)
    return " (--keep-aws leaves it those of AWS)" if aws else ""


def _again_and_again(
    found: Access, command: list[str], environ: dict[str, str], signed: IssuedPassword, retry: int
) -> NoReturn:
    pause = 1.0
    for left in range(retry, -1, -1):
        ended = exec_child.supervise(command, environ)
        words = RuntimeError(ended.last_words)
        if ended.code == 0 or not left or not (is_refusal(words) or is_throttled(words)):
            break
        note(f"the login was refused; {command[0]} is run again in {pause:g} s, {left} more to go")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
        with told():
            signed = found.replaced(signed)
        environ = environ | {"PGPASSWORD": str(signed.password)}
    raise typer.Exit(ended.code)
