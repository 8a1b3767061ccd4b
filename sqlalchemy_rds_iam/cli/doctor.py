"""``rds-iam doctor``: the examination as a command."""

from __future__ import annotations

import math
import os
from typing import Annotated

import typer

from sqlalchemy_rds_iam.cli import values
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    VARIABLES,
    AsJson,
    Options,
    Profile,
    Region,
    Url,
    options_of,
    required_url,
    told,
)
from sqlalchemy_rds_iam.cli.console import Page
from sqlalchemy_rds_iam.cli.doctor_report import show
from sqlalchemy_rds_iam.cli.output import FAILED, document, writing
from sqlalchemy_rds_iam.cli.progress import Progress
from sqlalchemy_rds_iam.doctor import Report, examine
from sqlalchemy_rds_iam.doctor.schedule import TOTAL

EPILOG = f"""
Why this URL does not connect:
$ rds-iam doctor \\
    {EXAMPLE}

With the server's own reason, from CloudWatch:
$ rds-iam doctor "$DATABASE_URL" --log

In a script:
$ rds-iam doctor --json | jq -r '.causes[0].code'
"""


def doctor(
    url: Url = None,
    *,
    options: Options = None,
    profile: Profile = None,
    region: Region = None,
    timeout: Annotated[
        float,
        typer.Option(
            parser=values.number(float, 1.0, float(values.LONGEST), "seconds"),
            metavar="SECONDS",
            help="How long all of it may take.",
        ),
    ] = TOTAL,
    read_log: Annotated[
        bool,
        typer.Option(
            "--log",
            help="If the login is refused, read the reason in CloudWatch (logs:FilterLogEvents).",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what each check has seen.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find out why an engine does not connect: the cause, what shows it, what to do.

    It walks what a connect walks: the options; DNS; the network; TLS and the server's certificate;
    the AWS credentials, their owner and this machine's clock; what the token is signed for; the
    login; and, once let in, the user, its limits and the pool.

    RDS refuses every token in the same words, so a refused one is narrowed down by what only the
    client knows. Each cause is said to be certain, likely or possible. Run it where the
    application runs, as the same user and with the same environment.

    With plugin=rds_secret the login is tried, and no more: its passwords are those of a secret.

    It takes 12 seconds at the most. Nothing is changed, no secret is printed, and at most six
    logins are attempted.

    Exits with 0 if the login works, with 1 if it does not, with 2 if called wrongly.
    """
    with told():
        url = required_url(url)
        report = _examined(
            url,
            options_of(url, options, profile=profile, region=region),
            timeout=timeout,
            read_log=read_log,
        )
    if as_json:
        document(report.as_data(), indent=2)
    else:
        with writing():
            show(report, Page(), verbose=verbose)
    raise typer.Exit(0 if report.healthy else FAILED)


def _examined(url: str, options: dict[str, str], *, timeout: float, read_log: bool) -> Report:
    # What is made of this variable, a pair of engines, has the plugin whether or not it is named.
    named = "plugin=" in url or url != os.environ.get(VARIABLES[0])
    plugins = {} if named else {"plugins": ["rds_iam"]}
    # In a terminal only: elsewhere its seconds are not worth a line.
    progress = Progress(pause=math.inf)
    with progress.shown():
        return examine(
            url,
            timeout=timeout,
            read_log=read_log,
            tell=lambda check: progress.show(f"looking at: {check.lower()}"),
            **plugins,
            **options,
        )
