"""A refused password: what may be behind it.

RDS answers every reason in the same words, so the error says nothing; what can help is what only
the client knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy.engine import URL, ExceptionContext

from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.options import PLUGINS, IamOptions
from sqlalchemy_rds_iam._databases.drivers import Driver, Target
from sqlalchemy_rds_iam._passwords.password import IssuedPassword

_TITLES = tuple(f"{plugin}: " for plugin in PLUGINS)
# Connect arguments without a secret that decide where a connect leads, and whom it trusts.
_CONNECTING = ("hostaddr", "ssl", "sslmode", "sslrootcert")


def explain(
    error: BaseException,
    *,
    target: Target,
    token: IssuedPassword,
    credentials: Credentials | None,
    now: float,
    command: str,
) -> None:
    """Add a note (PEP 678) to the driver's error: what was signed, by whom, and likely causes.

    Args:
        error: the driver's.
        target: what was signed for.
        token: what was refused.
        credentials: what it was signed with.
        now: epoch seconds.
        command: finds out more, see `doctor_command`.
    """
    endpoint, host = target.endpoint, target.host
    user, region = endpoint.user, endpoint.region
    causes = [
        target.driver.family.not_by_token(user),
        f"the identity lacks rds-db:connect on dbuser:<resource id>/{user} (case matters)",
        "IAM database authentication is off for this instance, cluster or proxy",
        "this machine's clock is off by minutes, or the credentials have been revoked",
        "too many new IAM connections a second, which RDS throttles in the same words",
    ]
    if host.region is None:
        causes.insert(
            0,
            f"{host.host!r} is no RDS endpoint name, and RDS accepts only tokens signed for its "
            "own: set rds_iam_host",
        )
    if user != user.lower():
        causes.insert(0, f"the user name is spelled otherwise in the database than {user!r}")
    error.add_note(
        "rds_iam: the server refused the IAM token\n"
        f"  signed for  {endpoint.host}:{endpoint.port}, user {user!r}, region {region}\n"
        f"  signed by   {_identity(credentials, now)}\n"
        f"  token       {now - token.signed_at:.0f} s old, good for "
        f"{max(token.expires_at - now, 0):.0f} s more\n"
        "  likely causes\n"
        + "".join(f"    - {cause}\n" for cause in causes)
        + f"  to tell them apart\n    {command}\n"
        "  the exact reason "
        "is in the instance's iam-db-auth-error log and its IamDbAuthConnectionFailure* metrics"
    )


def doctor_command(
    config: IamOptions, drivername: str, driver: Driver, cparams: Mapping[str, Any]
) -> str:
    """The command that looks into a refused login, ready for a shell.

    Args:
        config: the options. Those that may hold a password are left out, and so are objects.
        drivername: how the URL begins.
        driver: what the user, and the database, are called.
        cparams: what SQLAlchemy hands to the driver.
    """
    query = {"plugin": config.PLUGIN}
    for option in fields(config):
        value = getattr(config, option.name)
        if value != option.default and not option.metadata["private"] and option.name != "session":
            switch = ("off", "on")[value] if isinstance(value, bool) else value
            query[config.named(option.name)] = str(switch)
    query |= {key: value for key in _CONNECTING if isinstance(value := cparams.get(key), str)}
    host = cparams["host"]
    url = URL.create(
        drivername,
        cparams[driver.user],
        host=host if isinstance(host, str) else ",".join(map(str, host)),
        port=int(cparams["port"]) if cparams.get("port") else None,
        database=cparams.get(driver.database),
        query=query,
    )
    import shlex  # where there is something to say

    return f"rds-iam doctor {shlex.quote(url.render_as_string())}"


def lift_note(context: ExceptionContext) -> None:
    """Move the note from the driver's error to the SQLAlchemy error that callers catch."""
    notes: list[str] = getattr(context.original_exception, "__notes__", [])
    if context.sqlalchemy_exception is not None:
        for note in [note for note in notes if note.startswith(_TITLES)]:
            notes.remove(note)
            context.sqlalchemy_exception.add_note(note)


def _identity(credentials: Credentials | None, now: float) -> str:
    if credentials is None:
        return "credentials that are gone by now"
    left = "without a known expiry"
    if credentials.expires_at is not None:
        left = f"which expires in {credentials.expires_at - now:.0f} s"
    return f"access key …{credentials.access_key[-4:]} from {credentials.provider!r}, {left}"
