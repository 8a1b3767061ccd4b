"""``rds-iam demo``: the whole story on this machine."""

from __future__ import annotations

import sys

import typer

from sqlalchemy_rds_iam.cli.common import AsJson, told
from sqlalchemy_rds_iam.cli.output import FAILED, document, note, writing
from sqlalchemy_rds_iam.cli.steps import Report

EPILOG = """
$ rds-iam demo
$ rds-iam demo --json | jq .passed
"""


def demo(*, as_json: AsJson = False) -> None:
    """Show the main job end to end on the emulator, without AWS, in about ten seconds.

    A sync and an async engine log in with IAM tokens; a forged and an expired token and a
    connection without TLS are refused; and credentials roll over without losing a connect.

    Exits with 0 only if every step passed; with 1 if not, or if something is not installed.
    """
    with told(RuntimeError, ValueError), writing():
        from sqlalchemy_rds_iam.cli.demo_steps import stage  # it needs the extra `testing`

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
        document(report.as_data())
    else:
        with writing():
            report.closing(len(steps))
        note(f"next: {sys.argv[0]} emulator runs such an endpoint for your own code")
    if not report.passed:
        raise typer.Exit(FAILED)
