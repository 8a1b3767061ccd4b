"""Who we are in AWS: the credentials as the plugin finds them, and what STS says about them.

STS tells whether the keys are good, whose they are, and, by the Date of its answer, whether this
machine's clock is right. Any caller may ask it ("GetCallerIdentity" in the AWS STS API reference),
but not every network reaches it; then keys and clock are listed as not checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from sqlalchemy_rds_iam._aws import credentials as aws
from sqlalchemy_rds_iam._aws.ambient import nearest_region
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.sessions import botocore_session
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.doctor import providers
from sqlalchemy_rds_iam.doctor.advice import CLOCK
from sqlalchemy_rds_iam.doctor.findings import Finding, note, ok, problem, warning
from sqlalchemy_rds_iam.doctor.keys import finding_of, unasked, verdict
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.errors import CredentialsError, RdsIamError

WRONG_CLOCK, INEXACT_CLOCK = 240.0, 30.0
"""Seconds: AWS accepts what was signed up to five minutes in its future, and STS in its past."""
ENDING = 60.0
_ONCE = {"connect_timeout": 1.5, "read_timeout": 2, "retries": {"total_max_attempts": 1}}
_CLOCK_EXPLAINS = (
    *("keys-invalid", "secret-wrong", "session-expired", "certificate-expired", "sso-login"),
    *("certificate-early", "credentials-failed", "policy", "role-denied", "web-identity"),
)


def examine(state: State) -> Iterator[Finding]:
    """Get the credentials, and ask STS about them."""
    role = AssumedRole.of(state.config, lambda: _region(state))
    try:
        state.credentials = _fetch(state, role)
    except RdsIamError as error:
        caller, _ = _ask(state, _base(state) if role else None)
        yield from _clock(state)
        yield finding_of(state, error, role, caller)
        return
    credentials = state.credentials
    found = f"access key …{credentials.access_key[-4:]} from {credentials.provider!r}"
    state.hide(credentials.secret_key, credentials.session_token)
    caller, refusal = _ask(state, credentials)
    state.caller, state.verified = caller, caller is not None
    evidence = (f"found      {found}", f"expires    {_expiry(credentials)}")
    if caller is not None:
        yield ok(f"{caller}", *evidence)
    yield from _clock(state)
    if refusal is not None:
        finding = verdict(credentials, refusal, state.config.profile)
        state.hopeless |= finding is not None
        if finding is None and (suspect := unasked(credentials)) is not None:
            yield suspect
        yield finding or note(
            f"{found}; STS could not be asked whose it is: {refusal[1]}",
            *evidence[1:],
            "not checked: the keys, and the clock"
            if state.skew is None
            else "not checked: the keys",
        )
    if credentials.expires_at is not None and credentials.expires_at - time.time() < ENDING:
        yield warning(
            "session-ending",
            f"the credentials expire in {credentials.expires_at - time.time():.0f} s",
            fix="Have what provides them renew them earlier",
        )
    if credentials.provider == "env" and (profile := os.environ.get("AWS_PROFILE")):
        yield note(
            f"keys in the environment win over AWS_PROFILE={profile}",
            f"rds_iam_profile={profile} makes the profile win",
        )


def late(state: State, seconds: float) -> Finding:
    """The finding for what did not end in time."""
    if state.credentials is not None:
        return note(
            f"STS did not say within {seconds:.1f} s whose the credentials are",
            "not checked: the keys, and the clock",
        )
    return providers.late(state.config, seconds)


def _region(state: State) -> str | None:
    """The region whose STS is asked, as for the plugin's own roles."""
    host = state.config.host or str(state.cparams.get("host"))
    return nearest_region(state.config, parse_host(host))


def _fetch(state: State, role: AssumedRole | None) -> Credentials:
    session = state.config.session
    source = aws.AwsSource(state.config.profile, session, role)
    if session is None or not aws.is_async_session(session):
        return source.fetch(reload=False)

    async def fetch() -> Credentials:
        source.prepare_async(asyncio.get_running_loop(), reload=False)
        return await source.fetch_async()

    return asyncio.run(fetch())


def _base(state: State) -> Credentials | None:
    """Who wanted to assume the role."""
    with contextlib.suppress(CredentialsError):
        found = _fetch(state, None)
        state.hide(found.secret_key, found.session_token)
        return found
    return None


def _ask(
    state: State, credentials: Credentials | None
) -> tuple[str | None, tuple[str, str] | None]:
    """Ask STS who `credentials` are, or, without any, only what time it is.

    Returns:
        The caller's ARN; or else what went wrong, as an error code (empty if STS did not answer)
        and a sentence.
    """
    from botocore import UNSIGNED, exceptions  # takes a fifth of a second
    from botocore.config import Config as ClientConfig

    keys: dict[str, Any] = {}
    options: dict[str, Any] = {**_ONCE}
    if credentials is None:
        options["signature_version"] = UNSIGNED
    else:
        keys = {
            "aws_access_key_id": credentials.access_key,
            "aws_secret_access_key": credentials.secret_key,
            "aws_session_token": credentials.session_token,
        }
    try:
        client = botocore_session(state.config.profile, asks_sts=True).create_client(
            "sts",
            region_name=_region(state),
            endpoint_url=state.config.sts_endpoint_url,
            config=ClientConfig(**options),
            **keys,
        )
    except (RdsIamError, exceptions.BotoCoreError, ValueError) as error:
        return None, ("", first_line(error))
    began = time.time()
    with contextlib.closing(client):
        try:
            answer = client.get_caller_identity()
        except exceptions.ClientError as error:
            _read_clock(state, error.response, began)
            found = error.response.get("Error", {})
            return None, (str(found.get("Code")), f"{found.get('Code')}: {found.get('Message')}")
        except Exception as error:  # noqa: BLE001  (an answer of anything else than STS, for one)
            return None, ("", first_line(error))
    _read_clock(state, answer, began)
    return str(answer["Arn"]), None


def _read_clock(state: State, answer: dict[str, Any], began: float) -> None:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    with contextlib.suppress(KeyError, ValueError):
        date = parsedate_to_datetime(headers["date"]).timestamp()
        # It was written between the two, and its fraction of a second was cut off.
        state.skew = date + 0.5 - (began + time.time()) / 2


def _clock(state: State) -> Iterator[Finding]:
    if state.skew is None or abs(state.skew) < INEXACT_CLOCK:
        return
    behind = "behind" if state.skew > 0 else "ahead of"
    summary = f"this machine's clock is {abs(state.skew):.0f} s {behind} AWS's"
    how: dict[str, Any] = {
        "why": "AWS refuses what was signed more than five minutes in the future, and tokens older "
        "than 15 minutes, by its own clock",
        "evidence": (f"here       {time.strftime('%FT%TZ', time.gmtime())}",),
        "fix": "Set the clock, and keep it by chrony or systemd-timesyncd; a container has its "
        "host's",
        "commands": CLOCK,
    }
    if abs(state.skew) >= WRONG_CLOCK:
        state.hopeless = True
        yield problem("clock-skewed", summary, explains=_CLOCK_EXPLAINS, **how)
    else:
        yield warning("clock-inexact", summary, **how)


def _expiry(credentials: Credentials) -> str:
    if credentials.expires_at is None:
        temporary = credentials.session_token is not None
        return "at an unknown time" if temporary else "never, these are long-term keys"
    return f"in {credentials.expires_at - time.time():.0f} s"
