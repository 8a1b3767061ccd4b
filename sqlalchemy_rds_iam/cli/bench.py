"""``rds-iam bench``: how fast new connections come."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sqlalchemy_rds_iam._tools.connect_benchmark import MOST_FAILURES, BenchmarkResult, measure
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    FAILED,
    AsJson,
    Options,
    Url,
    access,
    note,
    told,
)

EPILOG = (
    "Examples:\n"
    f"- `rds-iam bench {EXAMPLE}`\n"
    '- `rds-iam bench "$DATABASE_URL" --rate 50 --connects 200`\n'
    '- `rds-iam bench "$DATABASE_URL" --json | jq .p99_ms`\n'
)


def bench(
    url: Url,
    *,
    options: Options = None,
    connects: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="New connections to open.")
    ] = 20,
    rate: Annotated[
        float, typer.Option(min=0.1, metavar="N", help="How many of them begin in a second.")
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
            min=0.1,
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

    Exits with 0 if every connect was let in; with 1 if not; with 2 if called wrongly.
    """
    with told():
        found = access(url, options, timeout)
        result = measure(
            found.engine_url,
            connects=connects,
            rate=rate,
            timeout=found.config.timeout,
            exceed=exceed,
        )
    typer.echo(json.dumps(result.as_data()) if as_json else _as_text(result, str(found.endpoint)))
    if result.errors:
        note(_verdict(result))
        raise typer.Exit(FAILED)


def _as_text(result: BenchmarkResult, endpoint: str) -> str:
    data = result.as_data()
    rows = [
        ("endpoint", endpoint),
        ("let in", f"{data['connects']}, {result.per_second:.1f} a second"),
        ("asked for", f"{result.rate:g} a second, of {result.ceiling} that the plugin lets begin"),
        ("refused", f"{result.refused}"),
        ("throttled", f"{result.throttled} that the server says so of"),
        ("first", f"{data['first_ms']:.1f} ms, AWS credentials included"),
    ]
    if result.times:
        rows.append(("p50, p99", f"{data['p50_ms']:.1f} ms, {data['p99_ms']:.1f} ms"))
    return "\n".join(f"{label:<12}{text}" for label, text in rows)


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
