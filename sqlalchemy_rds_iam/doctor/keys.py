"""What AWS says against credentials, and what is behind it: one table each for having and using.

The words are those of botocore, of STS and of our own `CredentialsError`.
"""

from __future__ import annotations

import re
import shlex

from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._tools.iam_policy import account
from sqlalchemy_rds_iam.doctor import metadata, providers
from sqlalchemy_rds_iam.doctor.advice import environment, look, option, principal
from sqlalchemy_rds_iam.doctor.findings import Certainty, Command, Finding, problem
from sqlalchemy_rds_iam.doctor.key_causes import (
    AT_STS,
    CAUSES,
    LACKS_TOKEN,
    SURPLUS_TOKEN,
    WRONG_TOKEN,
    Cause,
)
from sqlalchemy_rds_iam.doctor.key_fixes import commands, plain
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.errors import RdsIamError

# What AWS and the plugin add by way of advice, and a request that AWS may quote.
_CONSULT = re.compile(
    r"\. (?:Check your AWS|Consult the|The Canonical|The role's trust policy|Set AWS_ACCESS).*",
    re.DOTALL,
)
_CONNECTION = re.compile("Could not connect|timeout|Connection was closed|Failed to connect")
# What STS says against a role or a caller, and not against the keys that ask.
_NOT_ABOUT_KEYS = {"role-denied", "web-identity", "role-duration", "sts-failing"}


def finding_of(
    state: State, error: RdsIamError, role: AssumedRole | None, caller: str | None
) -> Finding:
    """Why there are no credentials.

    Args:
        state: what is known.
        error: the plugin's own.
        role: the role that was to be assumed.
        caller: who was to assume it, if STS knows.
    """
    words = _CONSULT.sub("", state.scrub(str(error)))
    if "no AWS credentials found" in words:
        return metadata.finding_of(words)
    at_sts = role is not None or any(name in words for name in AT_STS)
    searched = (
        f"Could not connect to sts: {words}" if at_sts and _CONNECTION.search(words) else words
    )
    cause = _first(searched)
    if cause is None:
        return problem(
            "credentials-failed",
            f"could not get AWS credentials: {plain(words)}",
            fix="Correct what this says, and ask with the same environment",
            commands=(look("aws sts get-caller-identity"),),
        )
    if cause.code == "role-denied" and role is not None:
        return _denied(role, caller, words)
    return problem(
        cause.code,
        f"could not get AWS credentials: {cause.summary or plain(words)}",
        evidence=(words,) if cause.summary else (),
        fix=cause.fix,
        commands=(*commands(state, cause.code, words), *cause.commands),
    )


def _first(words: str) -> Cause | None:
    return next((cause for cause in CAUSES if re.search(cause.pattern, words, re.DOTALL)), None)


def _denied(role: AssumedRole, caller: str | None, words: str) -> Finding:
    """STS says the same for a caller that is not trusted and for a missing external id."""
    who, evidence = principal(caller), [words]
    elsewhere = account(caller) is not None and account(caller) != account(role.arn)
    name = role.arn.rpartition("/")[2]
    trust = look(
        f"aws iam get-role --role-name {shlex.quote(name)} --query Role.AssumeRolePolicyDocument"
    )
    evidence.append(f"caller       {caller or 'unknown'}")
    evidence.append(f"external id  {'given' if role.external_id else 'none given'}")
    if elsewhere and role.external_id is None:
        # Roles for other accounts are where external ids are asked for.
        return problem(
            "external-id-missing",
            f"{role.arn} is of another account, and no external id is given: its trust policy "
            "asks for one, or does not name the caller",
            Certainty.LIKELY,
            evidence=tuple(evidence),
            fix="Ask the owner of that account for the external id; if there is none, have the "
            "caller named in the trust policy",
            commands=(option("rds_iam_external_id=EXTERNAL-ID"), trust),
        )
    also = (
        "; if it asks for an external id (sts:ExternalId), give it with rds_iam_external_id"
        if role.external_id is None
        else f", and has to ask for the external id {role.external_id!r} or none"
    )
    return problem(
        "role-denied",
        f"could not get AWS credentials: STS does not let {who or 'the caller'} assume {role.arn}",
        evidence=tuple(evidence),
        fix=f"The trust policy of the role has to name the caller{also}. In another account, and "
        "for a role as caller, its own policy has to allow sts:AssumeRole as well",
        commands=(trust,),
    )


def verdict(credentials: Credentials, said: tuple[str, str], profile: str | None) -> Finding | None:
    """What STS has against credentials; None if it says nothing about them.

    Args:
        credentials: those that it was asked about.
        said: its error code and its sentence.
        profile: the profile that they are of, if one was named.
    """
    code, words = said
    cause = _first(words) if code else None
    if cause is None or cause.code in _NOT_ABOUT_KEYS:
        return None
    token = credentials.session_token
    evidence = [
        _CONSULT.sub("", words),
        f"access key …{credentials.access_key[-4:]} from {credentials.provider!r}",
    ]
    if cause.code == "keys-invalid" and credentials.access_key.startswith("ASIA"):
        cause = WRONG_TOKEN if token else LACKS_TOKEN
    elif cause.code == "keys-invalid" and token:
        cause = SURPLUS_TOKEN
    if cause is WRONG_TOKEN and token:
        evidence.append(f"session token of {len(token)} characters{_shape(token)}")
    elif cause is WRONG_TOKEN or cause is SURPLUS_TOKEN:
        evidence.append("session token beside the keys")
    return problem(
        cause.code,
        cause.summary,
        evidence=tuple(evidence),
        fix=cause.fix,
        commands=(*_renewed(cause, credentials, profile), *cause.commands),
        explains=("policy",),
    )


def unasked(credentials: Credentials) -> Finding | None:
    """What the keys alone show, where STS could not be asked."""
    token, temporary = credentials.session_token, credentials.access_key.startswith("ASIA")
    cause, certainty = None, Certainty.CERTAIN
    if temporary and not token:
        cause = LACKS_TOKEN
    elif credentials.access_key.startswith("AKIA") and token:
        cause = SURPLUS_TOKEN
    elif token and _shape(token):
        cause, certainty = WRONG_TOKEN, Certainty.LIKELY
    if cause is None:
        return None
    what = f"session token of {len(token)} characters{_shape(token)}" if token else ""
    return problem(
        cause.code,
        cause.summary if cause is not WRONG_TOKEN else "the session token is cut",
        certainty,
        evidence=(what, f"access key …{credentials.access_key[-4:]}"),
        fix=cause.fix,
        commands=cause.commands,
        explains=("policy",),
    )


def _shape(token: str) -> str:
    """What base64, which session tokens are, tells of their length."""
    return ", which cannot be whole: base64 has a multiple of four" if len(token) % 4 else ""


def _renewed(cause: Cause, credentials: Credentials, profile: str | None) -> tuple[Command, ...]:
    if credentials.provider in {"sso", "login"} and cause.code == "session-expired":
        return (providers.sign_in(profile),)
    if credentials.provider != "env":
        return ()
    if cause is SURPLUS_TOKEN:
        return (environment("unset AWS_SESSION_TOKEN"),)
    return providers.unset_keys()
