"""The command ``rds-iam``: its commands, put together."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from sqlalchemy_rds_iam import __version__, _owners
from sqlalchemy_rds_iam.cli import (
    bench,
    ca,
    demo,
    doctor,
    emulator,
    exec_,
    policy_and_grant,
    token,
)
from sqlalchemy_rds_iam.cli.help import Command, Group, explain
from sqlalchemy_rds_iam.cli.output import note, out

app = typer.Typer(
    cls=Group,
    # Python's own traceback: a bug report needs all of it, and none of the local variables.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _name, _function, _epilog in (
    ("doctor", doctor.doctor, doctor.EPILOG),
    ("token", token.token, token.EPILOG),
    ("exec", exec_.execute, exec_.EPILOG),
    ("policy", policy_and_grant.policy, policy_and_grant.POLICY_EPILOG),
    ("grant", policy_and_grant.grant, policy_and_grant.GRANT_EPILOG),
    ("ca", ca.ca, ca.EPILOG),
    ("bench", bench.bench, bench.EPILOG),
    ("emulator", emulator.emulator, emulator.EPILOG),
    ("demo", demo.demo, demo.EPILOG),
):
    app.command(_name, cls=Command, epilog=_epilog)(_function)


def run() -> None:
    """Parse the command line and run a command; ends with ``SystemExit``."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        # A terminal without UTF-8 shows a question mark instead of failing on a check mark.
        sys.stderr.reconfigure(errors="replace")
    app(prog_name="rds-iam")


def _version(wanted: bool) -> None:
    if wanted:
        out(f"sqlalchemy-rds-iam {__version__}")
        if said := _owners.warning():
            note(said)
        raise typer.Exit


@app.callback(
    epilog="""
Why it does not connect, and a query without a password:
$ rds-iam doctor "$DATABASE_URL"
$ rds-iam exec "$DATABASE_URL" -- psql -c 'select 1'
$ rds-iam exec "$DATABASE_URL" -- mysql -e 'select 1'

Without AWS, the whole story in ten seconds, and an endpoint to develop against:
$ rds-iam demo
$ rds-iam emulator -- pytest

All about one command:
$ rds-iam help exec
"""
)
def _options(
    _version_wanted: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Password-less PostgreSQL, MySQL and MariaDB on Amazon RDS: a fresh IAM token every time."""


def _commands() -> list[str]:
    return [str(each.name) for each in app.registered_commands]


@app.command(
    "help", cls=Command, epilog="\n$ rds-iam help\n$ rds-iam help exec\n$ rds-iam exec --help\n"
)
def _help(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMMAND]",
            show_default=False,
            help="The command; without one, all of them.",
            autocompletion=_commands,
        ),
    ] = None,
) -> None:
    """Show what a command does, its options and examples.

    Exits with 0; with 2 if there is no such command.
    """
    out(explain(ctx, name).rstrip("\n"))
