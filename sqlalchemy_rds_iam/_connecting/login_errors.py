"""A refused password: how each driver lets on, and what may be behind it.

RDS answers every reason with SQLSTATE 28000 "PAM authentication failed" (`auth_failed` in
PostgreSQL's ``auth.c``), so the error says nothing; what can help is what only the client knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy.engine import URL, ExceptionContext

from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.options import PLUGINS, IamOptions
from sqlalchemy_rds_iam._databases.grants import membership
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, HostName
from sqlalchemy_rds_iam._passwords.password import IssuedPassword

_STATES = {"28000", "28P01"}  # invalid_authorization_specification, invalid_password
_TEXT = "authentication failed"
_THROTTLED = "too many competing requests|Rate of connection to proxy exceeded"
_TITLES = tuple(f"{plugin}: " for plugin in PLUGINS)
# Connect arguments without a secret that decide where a connect leads, and whom it trusts.
_CONNECTING = ("hostaddr", "ssl", "sslmode", "sslrootcert")


def is_refusal(error: BaseException) -> bool:
    """Whether this is the server refusing the password, as far as the driver lets on.

    libpq drivers know no SQLSTATE for a failed connect, only its text. Refusals by pg_hba.conf
    share the SQLSTATE but have other causes. What RDS Proxy throttles is for `is_throttled`.
    """
    for failure in chain(error):
        state, text = _state(failure), str(failure)
        if "pg_hba.conf" in text or re.search(_THROTTLED, text):
            return False
        if state in _STATES or (state is None and _TEXT in text):
            return True
    return False


def is_throttled(error: BaseException) -> bool:
    """Whether this is RDS Proxy saying that logins come too fast; RDS itself never does.

    Source: "Troubleshooting for RDS Proxy" in the Amazon RDS User Guide.
    """
    return any(re.search(_THROTTLED, str(failure)) for failure in chain(error))


def explain(
    error: BaseException,
    *,
    endpoint: Endpoint,
    host: HostName,
    token: IssuedPassword,
    credentials: Credentials | None,
    now: float,
    command: str,
) -> None:
    """Add a note (PEP 678) to the driver's error: what was signed, by whom, and likely causes.

    Args:
        error: the driver's.
        endpoint: what was signed for.
        host: the parsed name of that.
        token: what was refused.
        credentials: what it was signed with.
        now: epoch seconds.
        command: finds out more, see `doctor_command`.
    """
    user, region = endpoint.user, endpoint.region
    causes = [
        f"the database user {user!r} lacks the role: {membership(user)}",
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


def doctor_command(config: IamOptions, driver: str, cparams: Mapping[str, Any]) -> str:
    """The command that looks into a refused login, ready for a shell.

    Args:
        config: the options. Those that may hold a password are left out, and so are objects.
        driver: the name of the DBAPI.
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
        f"postgresql+{driver}",
        cparams["user"],
        host=host if isinstance(host, str) else ",".join(map(str, host)),
        port=int(cparams["port"]) if cparams.get("port") else None,
        database=cparams.get("dbname") or cparams.get("database"),
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


def chain(error: BaseException) -> Iterator[BaseException]:
    """A driver's error, and what it was made of."""
    yield error
    for inner in (getattr(error, "orig", None), error.__cause__):
        if isinstance(inner, BaseException):
            yield inner


def _state(error: BaseException) -> str | None:
    state: Any = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is None and error.args and isinstance(error.args[0], dict):
        state = error.args[0].get("C")  # pg8000
    return None if state is None else str(state)
