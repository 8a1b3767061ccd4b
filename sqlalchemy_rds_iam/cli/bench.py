"""``rds-iam bench``: how fast new connections come."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from sqlalchemy_rds_iam._tools.connect_benchmark import MOST_FAILURES, BenchmarkResult, measure
from sqlalchemy_rds_iam.cli import values
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    MYSQL_EXAMPLE,
    AsJson,
    Options,
    Profile,
    Region,
    Url,
    access,
    told,
)
from sqlalchemy_rds_iam.cli.output import FAILED, INTERRUPTED, document, note, out, rows
from sqlalchemy_rds_iam.cli.progress import Progress

EPILOG = f"""
20 connections at 5 a second to PostgreSQL and to MySQL, and 200 at 50 a second:
$ rds-iam bench \\
    {EXAMPLE}
$ rds-iam bench \\
    {MYSQL_EXAMPLE}
$ rds-iam bench --rate 50 --connects 200

One number of it:
$ rds-iam bench --json | jq .p99_ms
"""


def bench(
    url: Url = None,
    *,
    options: Options = None,
    profile: Profile = None,
    region: Region = None,
    connects: Annotated[
        int,
        typer.Option(
            parser=values.number(int, 1, 10_000, "a number"),
            metavar="N",
            help="New connections to open.",
        ),
    ] = 20,
    rate: Annotated[
        float,
        typer.Option(
            parser=values.number(float, 0.1, 100_000.0, "connections a second"),
            metavar="N",
            help="How many of them begin in a second.",
        ),
    ] = 5,
    exceed: Annotated[
        bool,
        typer.Option(
            "--exceed-ceiling", help="Allow a rate beyond rds_iam_connect_rate, which is 200."
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            parser=values.seconds,
            metavar="SECONDS",
            show_default=False,
            help="How long one connect may take; by default rds_iam_timeout, which is 30.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how long new connections take, through a real engine, and how many are refused.

    RDS throttles IAM logins, and others connect there, too: so by default 20 connections are opened
    at 5 a second, each is closed at once, and after three failures nothing more is tried. A rate
    beyond rds_iam_connect_rate is refused unless --exceed-ceiling is given. It needs the driver
    that the URL names.

    RDS refuses a login that it throttles in the same words as one that is not allowed. When the
    first was let in and later ones are refused, it is throttling.

    Ctrl-C ends it with the results so far.

    Exits with 0 if every connect was let in; with 1 if not; with 2 if called wrongly; with 130
    after Ctrl-C.
    """
    # asyncio leaves what Ctrl-C cuts short to the collector, which would warn in the middle of it.
    warnings.filterwarnings("ignore", category=ResourceWarning)
    progress = Progress()
    with told(), progress.shown():
        found = access(url, options, timeout=timeout, profile=profile, region=region)
        result = measure(
            found.engine_url,
            connects=connects,
            rate=rate,
            timeout=found.config.timeout,
            exceed=exceed,
            tell=lambda so_far: progress.show(_so_far(so_far)),
        )
    if as_json:
        document({"endpoint": found.endpoint._asdict(), **result.as_data()})
    else:
        out(_as_text(result, str(found.endpoint)))
    if result.interrupted:
        note(f"cut short: {_so_far(result)}")
        raise typer.Exit(INTERRUPTED)
    if result.errors:
        note(_verdict(result))
        raise typer.Exit(FAILED)


def _so_far(result: BenchmarkResult) -> str:
    if result.first is None:
        return "the first connect has not ended yet"
    failed = f", {len(result.errors)} failed" if result.errors else ""
    return f"{len(result.times)} of {result.asked} connects let in{failed}"


def _as_text(result: BenchmarkResult, endpoint: str) -> str:
    data = result.as_data()
    lines = [
        ("endpoint", endpoint),
        ("let in", f"{data['connects']} of {result.asked}, {result.per_second:.1f} a second"),
        ("asked for", f"{result.rate:g} a second, of {result.ceiling} that the plugin lets begin"),
        ("refused", f"{result.refused}"),
        ("throttled", f"{result.throttled} that the server says so of"),
    ]
    if result.first is not None:
        lines.append(("first", f"{data['first_ms']:.1f} ms, AWS credentials included"))
    if result.times:
        lines.append(("p50, p99", f"{data['p50_ms']:.1f} ms, {data['p99_ms']:.1f} ms"))
    return rows(lines, 12)


def _verdict(result: BenchmarkResult) -> str:
    words = f"{len(result.errors)} connects failed; the first: {result.errors[0]}"
    if len(result.errors) >= MOST_FAILURES:
        words += f". After {MOST_FAILURES} no more were begun"
    if result.refused:
        words += (
            ". As the first login was let in, that is likely throttling: see the metric "
            "IamDbAuthConnectionFailureThrottling"
        )
    return words
