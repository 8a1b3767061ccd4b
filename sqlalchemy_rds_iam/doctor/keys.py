"""What AWS says against credentials, and what is behind it: one table each for having and using.

The words are those of botocore, of STS and of our own `CredentialsError`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._tools.iam_policy import account
from sqlalchemy_rds_iam.doctor import metadata
from sqlalchemy_rds_iam.doctor.advice import principal
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, problem
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.errors import RdsIamError

# What AWS and the plugin add by way of advice, and a request that AWS may quote.
_CONSULT = re.compile(
    r"\. (?:Check your AWS|Consult the|The Canonical|The role's trust policy|Set AWS_ACCESS).*",
    re.DOTALL,
)


class Cause(NamedTuple):
    """A cause of what AWS or botocore says."""

    pattern: str
    code: str
    summary: str
    fix: str
    commands: tuple[str, ...] = ()


# The first that fits counts.
_HAVING = (
    Cause(
        r"config profile .* could not be found",
        "profile-missing",
        "the named profile is in neither of the shared AWS files",
        "Spell it as in the file, or configure it",
        ("aws configure list-profiles",),
    ),
    Cause(
        "mfa_serial",
        "profile-mfa",
        "the profile asks for a one-time code, which has to be typed",
        "Use IAM Identity Center, or a credential_process",
        ("aws sso login --profile PROFILE",),
    ),
    Cause(
        "aws sso login|SSO session|Error loading SSO Token|ForbiddenException",
        "sso-login",
        "the session with IAM Identity Center is over, or does not allow this role",
        "Sign in again",
        ("aws sso login --profile PROFILE",),
    ),
    Cause(
        "Signature expired|Signature not yet current|RequestTimeTooSkewed",
        "clock-skewed",
        "AWS says that requests of this machine are signed at a wrong time",
        "Set the clock, and have it kept: chrony or systemd-timesyncd",
        ("timedatectl status", "date -u"),
    ),
    Cause(
        "still expired|had expired|ExpiredToken",
        "session-expired",
        "the AWS session is over",
        "Have what provides the keys renew them: sign in again, or restart the agent",
        ("aws sts get-caller-identity",),
    ),
    Cause(
        "InvalidClientTokenId|InvalidAccessKeyId",
        "keys-invalid",
        "AWS does not know the access key: it was deleted or deactivated, is of another partition, "
        "or lacks its session token",
        "Provide keys that exist",
        ("aws sts get-caller-identity", "aws iam list-access-keys --user-name USER"),
    ),
    Cause(
        "SignatureDoesNotMatch",
        "secret-wrong",
        "the secret key does not belong to the access key",
        "Copy both again, whole; a secret with / or + in it is often cut",
        ("aws configure list",),
    ),
    Cause(
        r"\(AccessDenied\) when calling the AssumeRole",
        "role-denied",
        "STS does not let the caller assume the role",
        "Look at the trust policy of the role and at the caller's own permissions",
    ),
    Cause(
        "InvalidIdentityToken|IDPCommunicationError|AssumeRoleWithWebIdentity",
        "web-identity",
        "STS does not accept the web identity (the token that Kubernetes mounts) for this role",
        "Look at the role's trust policy: the OIDC provider, namespace and service account in it",
        ("aws iam get-role --role-name ROLE --query Role.AssumeRolePolicyDocument",),
    ),
    Cause(
        "ValidationError|DurationSeconds",
        "role-duration",
        "STS does not accept how the role is asked for",
        "Correct the option that the sentence names",
    ),
    Cause(
        "(Could not connect|timeout on endpoint|Connection was closed|Connect timeout|"
        "Read timeout|Failed to connect).*sts|sts.*(timed out)",
        "sts-unreachable",
        "STS, which the credentials come from, cannot be reached",
        "Let this machine reach STS: a NAT gateway, a proxy, or a VPC endpoint for STS, which "
        "rds_iam_sts_endpoint_url may name",
    ),
    Cause(
        "Could not connect|timeout on endpoint|Connection was closed|Connect timeout|Read timeout",
        "provider-unreachable",
        "the service that the credentials come from cannot be reached",
        "Look at the agent or the network between",
    ),
    Cause(
        "[Pp]artial credentials",
        "keys-incomplete",
        "there is an access key without its secret key",
        "Provide both",
        ("aws configure list",),
    ),
)
_CONNECTION = re.compile("Could not connect|timeout|Connection was closed|Failed to connect")


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
    at_sts = role is not None or "assume-role" in words
    if at_sts and _CONNECTION.search(words):
        words_for_table = f"Could not connect to sts: {words}"
    else:
        words_for_table = words
    for cause in _HAVING:
        if re.search(cause.pattern, words_for_table, re.DOTALL):
            break
    else:
        return problem(
            "credentials-failed",
            "the AWS credentials cannot be had",
            evidence=(words,),
            fix="See what is said",
            commands=("aws sts get-caller-identity",),
        )
    if cause.code == "role-denied" and role is not None:
        return _denied(role, caller, words)
    return problem(
        cause.code, cause.summary, evidence=(words,), fix=cause.fix, commands=cause.commands
    )


def _denied(role: AssumedRole, caller: str | None, words: str) -> Finding:
    """STS says the same for a caller that is not trusted and for a missing external id."""
    who, evidence = principal(caller), [words]
    elsewhere = account(caller) is not None and account(caller) != account(role.arn)
    name = role.arn.rpartition("/")[2]
    trust = f"aws iam get-role --role-name {name} --query Role.AssumeRolePolicyDocument"
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
            commands=("rds_iam_external_id=…", trust),
        )
    also = (
        "; if it asks for an external id (sts:ExternalId), give it with rds_iam_external_id"
        if role.external_id is None
        else f", and has to ask for the external id {role.external_id!r} or none"
    )
    return problem(
        "role-denied",
        f"STS does not let {who or 'the caller'} assume {role.arn}",
        evidence=tuple(evidence),
        fix=f"The trust policy of the role has to name the caller{also}. In another account, and "
        "for a role as caller, its own policy has to allow sts:AssumeRole as well",
        commands=(trust,),
    )


_LACKS_TOKEN = Cause(
    "",
    "session-token-missing",
    "the access key is a temporary one (ASIA…), and its session token is missing",
    "Set AWS_SESSION_TOKEN (aws_session_token in a file) beside the two keys",
)


def verdict(credentials: Credentials, said: tuple[str, str]) -> Finding | None:
    """What STS has against credentials; None if it says nothing about them.

    Args:
        credentials: those that it was asked about.
        said: its error code and its sentence.
    """
    code, words = said
    found = next((cause for cause in _HAVING if code and re.search(cause.pattern, words)), None)
    if found is None or found.code in {"role-denied", "web-identity", "role-duration"}:
        return None
    if found.code == "keys-invalid" and credentials.access_key.startswith("ASIA"):
        found = found if credentials.session_token else _LACKS_TOKEN
    more: dict[str, Any] = {"explains": ("policy",)}
    return problem(
        found.code,
        found.summary,
        evidence=(
            _CONSULT.sub("", words),
            f"access key …{credentials.access_key[-4:]} from {credentials.provider!r}",
        ),
        fix=found.fix,
        commands=found.commands,
        **more,
    )
