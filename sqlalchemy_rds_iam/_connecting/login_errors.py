"""A refused token: the note that says what was signed, by whom, and what may be behind it.

RDS says no in the same words for many reasons. What tells them apart is which words, and what only
the client knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from time import monotonic
from typing import Any

from sqlalchemy.engine import URL, ExceptionContext

from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._connecting.provider import Failure
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.family import Family, chain
from sqlalchemy_rds_iam._databases.token_causes import Cause, RefusedLogin
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, WINDOWS

# How the ids of temporary access keys begin ("IAM identifiers" in the IAM User Guide).
_TEMPORARY = "ASIA"
_TITLES = tuple(f"{plugin}: " for plugin in PLUGINS)
# Connect arguments without a secret that decide where a connect leads, and whom it trusts.
_CONNECTING = ("hostaddr", "ssl", "sslmode", "sslrootcert", "ssl_mode", "ssl_ca")


def explain(
    error: BaseException,
    login: RefusedLogin,
    *,
    family: Family,
    token: IssuedPassword,
    now: float,
    command: str,
) -> list[Cause]:
    """Add a note (PEP 678) to the driver's error: two lines of facts, what may be behind it.

    Args:
        error: the driver's.
        login: what is known of the login.
        family: of the server, which knows what its words rule out.
        token: what was refused.
        now: epoch seconds.
        command: finds out more, see `doctor_command`.

    Returns:
        The causes that the note names, most likely first.
    """
    causes = family.causes(login, "\n".join(str(each) for each in chain(error)))
    accepted = "no login of this user was accepted before"
    if login.tried:
        accepted += f", nor in {login.tried:.1f} s of trying again"
    if login.accepted is not None:
        accepted = f"the last login of this user was accepted {login.accepted:.0f} s ago"
    left = max(token.expires_at - now, 0)
    lines = [
        f"rds_iam: the server refused the IAM token of {login.endpoint.user!r}",
        f"signed for {login.endpoint} with {_signer(login)}",
        f"token {now - token.signed_at:.0f} s old, valid for {left:.0f} s more; {accepted}",
        *(f"- {cause.text}" for cause in causes),
        command,
    ]
    error.add_note("\n".join(map(on_one_line, lines)))
    return causes


def refused_login(
    failure: Failure, config: IamOptions, credentials: Credentials | None, now: float
) -> RefusedLogin:
    """Put together what is known of a refused login.

    Args:
        failure: of that login.
        config: the options.
        credentials: what its token was signed with; None if they are gone.
        now: epoch seconds.
    """
    target, entry = failure.plan.target, failure.plan.entry
    accepted_at = max(entry.accepted_at, entry.accepted_before)
    known = RefusedLogin(
        target.endpoint,
        target.host,
        str(failure.cparams.get("host")) if target.tunnelled else None,
        config.tls == "verify-full",
        None if accepted_at == NEVER else monotonic() - accepted_at,
        failure.state.tried_for(entry, monotonic(), WINDOWS[config.throttle_retry]),
        config.throttle_retry != "patient" and config.rate_storage == "memory://",
    )
    if credentials is None:
        return known
    ends_at, session = credentials.expires_at, credentials.session_token
    return known._replace(
        key=credentials.access_key[-4:],
        provider=credentials.provider,
        is_temporary=bool(session),
        lacks_session=credentials.access_key.startswith(_TEMPORARY) and not session,
        expires_in=None if ends_at is None else ends_at - now,
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


def _signer(login: RefusedLogin) -> str:
    if not login.key:
        return "keys that have been replaced since"
    ends = ""
    if login.expires_in is not None:
        ends = f", whose session ends in {login.expires_in:.0f} s"
    elif login.is_temporary:
        ends = ", whose session ends at an unknown time"
    return f"access key …{login.key} from {login.provider!r}{ends}"
