"""``rds-iam token``: the one command that prints a token."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import typer

from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.access import Access
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    AsJson,
    Options,
    Timeout,
    Url,
    access,
    is_terminal,
    note,
    told,
)

EPILOG = (
    "Examples:\n"
    f"- `rds-iam token {EXAMPLE}`\n"
    '- `PGPASSWORD=$(rds-iam token "$DATABASE_URL") psql -h mydb.abc123…` (or `rds-iam exec`)\n'
    '- `rds-iam token "$DATABASE_URL" --json | jq -r .expires_at`\n'
)


def token(
    url: Url, *, options: Options = None, timeout: Timeout = None, as_json: AsJson = False
) -> None:
    """Print a token: the password to log in with as the user of the URL, for 15 minutes.

    It is signed as an engine of this URL would sign it, for its host, port, user and region, with
    the AWS credentials that are found. Whether it will be accepted is not known: that takes the
    permission rds-db:connect (see `rds-iam policy`) and the database role rds_iam (see
    `rds-iam grant`).

    The token is all that a login takes. Nothing else of this package ever prints one.

    Exits with 0; with 1 if there are no AWS credentials; with 2 if called wrongly.
    """
    with told():
        found = access(url, options, timeout)
        signed = found.token()
        if is_terminal():
            note(
                f"who sees this can log in as {found.endpoint.user!r} until "
                f"{_moment(signed.expires_at)}; in a pipe this note is left out"
            )
        typer.echo(json.dumps(_as_data(found, signed)) if as_json else str(signed.password))


def _as_data(found: Access, signed: IssuedPassword) -> dict[str, Any]:
    credentials = found.credentials()
    return {
        "token": str(signed.password),
        "expires_at": _moment(signed.expires_at),
        "expires_in": round(signed.expires_at - time.time()),
        "signed_for": found.endpoint._asdict(),
        "identity": {"access_key": credentials.access_key, "provider": credentials.provider},
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
