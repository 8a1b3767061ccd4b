"""``rds-iam token``: the one command that prints a token."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    MYSQL_EXAMPLE,
    AsJson,
    Options,
    Profile,
    Region,
    Timeout,
    Url,
    access,
    told,
)
from sqlalchemy_rds_iam.cli.output import document, is_terminal, note, out

EPILOG = f"""
The password of a URL's user, or of the user of DATABASE_URL with a profile of AWS's:
$ rds-iam token \\
    {EXAMPLE}
$ rds-iam token \\
    {MYSQL_EXAMPLE}
$ rds-iam token --profile reporting

In the place of a password, for which rds-iam exec takes less typing:
$ PGPASSWORD="$(rds-iam token)" psql -h mydb.abc123.eu-central-1.rds.amazonaws.com
$ MYSQL_PWD="$(rds-iam token)" mysql --ssl-mode=VERIFY_IDENTITY \\
    --ssl-ca=global-bundle.pem --enable-cleartext-plugin \\
    -h mydb.abc123.eu-central-1.rds.amazonaws.com -u app

When it ends:
$ rds-iam token --json | jq -r .expires_at
"""


def token(
    url: Url = None,
    *,
    options: Options = None,
    profile: Profile = None,
    region: Region = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Print a token: the password to log in with as the user of the URL, for 15 minutes.

    It is signed as an engine of this URL would sign it, for its host, port, user and region, with
    the AWS credentials that are found. Whether it will be accepted is not known: that takes the
    permission rds-db:connect (see `rds-iam policy`) and a database user who logs in by token (see
    `rds-iam grant`).

    The token is all that a login takes. Nothing else of this package ever prints one.

    Exits with 0; with 1 if there are no AWS credentials; with 2 if called wrongly.
    """
    with told():
        found = access(url, options, timeout=timeout, profile=profile, region=region)
        signed = found.token()
        if is_terminal():
            note(
                f"who sees this can log in as {found.endpoint.user!r} until "
                f"{_moment(signed.expires_at)}; in a pipe this note is left out"
            )
        if as_json:
            document(_as_data(found, signed))
        else:
            out(str(signed.password))


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
