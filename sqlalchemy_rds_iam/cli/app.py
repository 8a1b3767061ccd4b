"""The commands. The two here need the extra ``testing``, and import it only when they are run."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sqlalchemy_rds_iam import __version__
from sqlalchemy_rds_iam.cli import bench, ca, doctor, exec_, policy_and_grant, token
from sqlalchemy_rds_iam.cli.steps import Report

app = typer.Typer(
    no_args_is_help=True,
    # Python's own traceback: a bug report needs all of it, and none of the local variables.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command(epilog=doctor.EPILOG)(doctor.doctor)
app.command(epilog=token.EPILOG)(token.token)
app.command("exec", epilog=exec_.EPILOG)(exec_.execute)
app.command(epilog=policy_and_grant.POLICY_EPILOG)(policy_and_grant.policy)
app.command(epilog=policy_and_grant.GRANT_EPILOG)(policy_and_grant.grant)
app.command(epilog=ca.EPILOG)(ca.ca)
app.command(epilog=bench.EPILOG)(bench.bench)


def run() -> None:
    """Parse the command line and run a command; ends with ``SystemExit``."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 shows a question mark instead of failing on a check mark.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(prog_name="rds-iam")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sqlalchemy-rds-iam {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Examples:\n"
    '- `rds-iam doctor "$DATABASE_URL"` finds out why an engine does not connect\n'
    "- `rds-iam demo` shows what the plugin does in ten seconds, without AWS\n"
    "- `rds-iam emulator --listen-port 15432` runs an endpoint to develop against\n"
)
def _options(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Password-less PostgreSQL on Amazon RDS: a fresh IAM token on every connection."""


@app.command()
def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of prose.")] = False,
) -> None:
    """Show the main job end to end on the emulator, without AWS, in about ten seconds.

    A sync and an async engine log in with IAM tokens; a forged and an expired token and a
    connection without TLS are refused; and credentials roll over without losing a connect.
    Exits with 0 only if every step passed.
    """
    with _told_in_a_sentence():
        from sqlalchemy_rds_iam.cli.demo_steps import stage

        report = Report(quiet=as_json)
        report.heading(
            "IAM logins to a real PostgreSQL, sync and async",
            "no AWS: endpoint, certificates and account are emulated on this machine",
        )
        with stage() as steps:
            for title, step in steps.items():
                # Each step builds on those before it.
                if not report.take(title, step):
                    break
    if as_json:
        typer.echo(json.dumps(report.as_data()))
    else:
        report.closing(
            len(steps), f"Next: {sys.argv[0]} emulator runs such an endpoint for your own code."
        )
    raise typer.Exit(0 if report.passed else 1)


@app.command(
    epilog="Examples:\n"
    "- `rds-iam emulator --listen-port 15432 --user app --user report`\n"
    "- `rds-iam emulator --server postgresql://postgres:secret@localhost/postgres`\n"
    "- `rds-iam emulator --host db.example.com --region eu-central-1 --ceiling 0`\n"
)
def emulator(
    *,
    host: Annotated[
        str | None,
        typer.Option(help="Endpoint that tokens must be signed for; by default one in us-east-1."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port that tokens must be signed for.")] = 5432,
    region: Annotated[
        str | None, typer.Option(help="Region, when the host name does not say it.")
    ] = None,
    listen_port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 0,
    user: Annotated[
        list[str] | None,
        typer.Option(
            help="Database user, with a database of its name; by default app. Repeatable."
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="USER",
            help="Database user with a password, kept in a secret of its name. Repeatable.",
        ),
    ] = None,
    ceiling: Annotated[
        float,
        typer.Option(
            min=0, metavar="RATE", help="Authentications per second before throttling; 0: no limit."
        ),
    ] = 200,
    server: Annotated[
        str | None,
        typer.Option(help="Front this postgresql:// URL instead of starting a server."),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(help="Server to start: auto, wheel, or the directory of postgres and initdb."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Run an RDS PostgreSQL with IAM authentication on this machine, without AWS.

    It listens on 127.0.0.1 with TLS, verifies every token as RDS does, and plays the AWS endpoints
    that credentials come from. It prints the URL and the environment to use it with, and the
    decision on each login with its reason. Ctrl-C stops it.
    """
    with _told_in_a_sentence():
        from sqlalchemy_rds_iam.testing import run_foreground
        from sqlalchemy_rds_iam.testing.emulator import HOST

        run_foreground(
            host or HOST,
            port,
            region=region,
            users=user or ("app",),
            secrets=secret or (),
            ceiling=ceiling or None,
            server=server,
            postgres=postgres,
            listen_port=listen_port,
            as_json=as_json,
        )


@contextmanager
def _told_in_a_sentence() -> Iterator[None]:
    """Errors that the user can act on end the command with their sentence alone."""
    try:
        yield
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        typer.echo(f"rds-iam: {error}", err=True)
        raise typer.Exit(1) from None
