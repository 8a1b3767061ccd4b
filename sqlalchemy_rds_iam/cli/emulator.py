"""``rds-iam emulator``: an endpoint without AWS, by itself or for as long as a command runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam.cli import values
from sqlalchemy_rds_iam.cli.common import AsJson, told
from sqlalchemy_rds_iam.cli.exec_ import cannot_run, executable
from sqlalchemy_rds_iam.cli.exec_child import SIGNALED, Relay
from sqlalchemy_rds_iam.cli.output import MISUSED, fail, note

EPILOG = """
Tests, or a shell, in which the emulator is all of AWS:
$ rds-iam emulator -- pytest
$ rds-iam emulator --user app --user report -- bash

By itself, and what leads to it in a file, for docker compose or another shell:
$ rds-iam emulator --listen-port 15432 --env-file .env.emulator
$ set -a; . ./.env.emulator; set +a; rds-iam doctor

A writer and a standby, and failovers by hand:
$ rds-iam emulator --cluster

A MySQL, by a MariaDB of this machine, or one fetched for this user:
$ rds-iam emulator --engine mysql
$ rds-iam emulator --engine mysql --fetch -- pytest

In front of a server of yours, or under another name:
$ rds-iam emulator \\
    --server postgresql://postgres:secret@localhost/postgres
$ rds-iam emulator --host db.example.com --region eu-central-1
"""


# As in testing.database.engines, which is imported when it is needed.
_ENGINES = ("postgresql", "mysql")

_port = values.number(int, 1, 65_535, "a port")


def _engine(text: object) -> str:
    if str(text) in _ENGINES:
        return str(text)
    raise typer.BadParameter(f"{text!r}: expected {' or '.join(_ENGINES)}")


def emulator(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND]",
            show_default=False,
            help="What to run in the emulator's environment; it ends the emulator when it ends.",
        ),
    ] = None,
    *,
    host: Annotated[
        str | None,
        typer.Option(
            parser=values.host,
            metavar="NAME",
            help="Endpoint that tokens must be signed for; by default one in us-east-1.",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            parser=_engine,
            metavar="NAME",
            help="Which database: postgresql, or mysql, for which a MariaDB stands.",
            autocompletion=lambda: list(_ENGINES),
        ),
    ] = _ENGINES[0],
    port: Annotated[
        int | None,
        typer.Option(
            parser=_port,
            metavar="N",
            help="Port that tokens must be signed for; by default 5432, and 3306 for MySQL.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            parser=values.region,
            metavar="NAME",
            help="Region, when the host name does not say it.",
            autocompletion=values.regions,
        ),
    ] = None,
    listen_port: Annotated[
        int,
        typer.Option(
            parser=values.number(int, 0, 65_535, "a port"),
            metavar="N",
            help="Port to listen on; 0 is any free one.",
        ),
    ] = 0,
    user: Annotated[
        list[str] | None,
        typer.Option(
            parser=values.user,
            metavar="USER",
            help="Database user, with a database of its name; by default app. Repeatable; the URL "
            "is that of the first.",
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            parser=values.user,
            metavar="USER",
            help="Database user with a password, kept in a secret of its name. Repeatable.",
        ),
    ] = None,
    driver: Annotated[
        str | None,
        typer.Option(
            parser=values.driver,
            metavar="NAME",
            help="Driver that the URL names; by default psycopg, and pymysql for MySQL.",
            autocompletion=lambda: list(DRIVERS),
        ),
    ] = None,
    ceiling: Annotated[
        float,
        typer.Option(
            parser=values.number(float, 0.0, 1e6, "logins a second"),
            metavar="RATE",
            help="Authentications per second before throttling; 0 is no limit.",
        ),
    ] = 200,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Front this postgresql:// or mysql:// URL, and start none."
        ),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Server to start: auto, wheel, or the directory of postgres and initdb.",
            autocompletion=values.servers,
        ),
    ] = None,
    mariadb: Annotated[
        str | None,
        typer.Option(metavar="DIRECTORY", help="Server to start: the directory of mariadbd."),
    ] = None,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch",
            help="Where there is no MariaDB, fetch one into this user's cache: without root, by "
            "apt-get of Debian or Ubuntu.",
        ),
    ] = False,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="Start a writer and a standby, behind four ports from --listen-port on, and set "
            "RDS_IAM_READER_URL as well. PostgreSQL needs pg_basebackup beside postgres.",
        ),
    ] = False,
    env_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write the variables to this file as well, as long as the emulator runs.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run an RDS PostgreSQL or MySQL with IAM authentication on this machine, without AWS.

    It listens on 127.0.0.1 with TLS, verifies every token as RDS does, and plays the AWS endpoints
    that credentials come from.

    With a command after --, that runs in an environment that leads here and only here
    (RDS_IAM_URL, DATABASE_URL, AWS keys and endpoints; other variables AWS_…, PG…, MYSQL_…,
    MARIADB_… and RDS_IAM_… are taken out). It gets the signals, and when it ends the emulator
    ends. Of the logins those that are refused are shown on standard error, with the reason.

    Without one it prints the variables, as shell commands, shows the decision on each login on
    standard error, and runs until Ctrl-C. With --cluster the signal SIGUSR1 is a failover then, and
    so is the word "failover" on its terminal; others are shown there. With a command signals and
    terminal are the command's.

    Exits as the command does, with 128+N if signal N ended it, and with 126 or 127 if it cannot be
    run; else with 0; with 1 if the emulator does not start; with 2 if called wrongly.
    """
    if command and as_json:
        fail("--json prints the variables, and a command has them already: leave one out", MISUSED)
    with told(RuntimeError):
        from sqlalchemy_rds_iam.testing.database.users import ServerError
        from sqlalchemy_rds_iam.testing.foreground import run_foreground

        settings: dict[str, Any] = {
            "host": host or None,
            "engine": engine,
            "port": port,
            "region": region or None,
            "users": user or ("app",),
            "secrets": secret or (),
            "driver": driver,
            "ceiling": ceiling or None,
            "server": server,
            "postgres": postgres,
            "mariadb": mariadb,
            "fetch": fetch,
            "listen_port": listen_port,
            "cluster": cluster,
            "variables_file": env_file,
        }
        try:
            if command:
                _run(command, settings)
            run_foreground(as_json=as_json, **settings)
        except ValueError as error:
            fail(str(error), MISUSED)
        except ServerError as error:
            fail(f"the server refused what the emulator needs: {error}")
        except BrokenPipeError:
            raise
        except OSError as error:
            fail(f"the emulator cannot start: {error}")


def _run(command: list[str], settings: dict[str, Any]) -> NoReturn:
    from sqlalchemy_rds_iam.testing.foreground import leads_elsewhere, serving

    executable(command[0])
    relay = Relay()
    with relay.listening(), serving(only_refusals=True, **settings) as (_, variables):
        # One that came while it started.
        code = -next(iter(relay.early), 0)
        if code == 0:
            gone = sorted(set(filter(leads_elsewhere, os.environ)) - set(variables))
            if gone:
                note(f"set aside for what leads to the emulator: {', '.join(gone)}")
            kept = {name: value for name, value in os.environ.items() if name not in gone}
            code = _ended(command, kept | variables, relay)
    raise typer.Exit(code if code >= 0 else SIGNALED - code)


def _ended(command: list[str], environ: dict[str, str], relay: Relay) -> int:
    try:
        child = subprocess.Popen(command, env=environ)  # noqa: S603  (it is what was asked for)
    except (OSError, ValueError) as error:
        cannot_run(command[0], error)
    relay.to(child)
    return child.wait()
