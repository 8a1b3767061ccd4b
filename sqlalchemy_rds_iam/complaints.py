"""What botocore says when there are no credentials, in our words, with what to do about it."""

from __future__ import annotations

from typing import Any

from sqlalchemy_rds_iam.config import Options
from sqlalchemy_rds_iam.errors import CredentialsError
from sqlalchemy_rds_iam.roles import Role

# What STS and the SSO portal say that time does not heal.
_FINAL = {
    "AccessDenied",
    "ForbiddenException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ValidationError",
}
_SIGN_IN = "aws sso login"


def explained(
    error: Exception,
    provider: Any,
    profile: str | None,
    role: Role | None,
    options: type[Options],
) -> CredentialsError:
    """Our error for one of botocore's, with who failed and what to do about it.

    botocore quotes answers that it cannot parse, and there are keys in them. Such an error is cut
    short and, raised outside of the handler, drags no quotation along as its context.

    Args:
        error: botocore's.
        provider: botocore's credentials whose renewal failed, if it came as far as that.
        profile: the profile that the user has named.
        role: the role that was to be assumed.
        options: whose names say what to do.
    """
    from botocore import exceptions

    if isinstance(error, CredentialsError):
        return error
    said = str(error).strip() or type(error).__name__
    text = said.splitlines()[0].partition("{")[0].partition("<")[0].strip()
    harmless = text == said
    who = getattr(provider, "method", None) or _named(error)
    retryable = True
    if isinstance(error, exceptions.ProfileNotFound):
        where = options.named("profile") if profile else "AWS_PROFILE"
        text = f"{text}: {where} names what is in neither the AWS config nor credentials file"
        retryable = False
    elif isinstance(error, (exceptions.SSOError, exceptions.TokenRetrievalError)):
        if _SIGN_IN not in text:
            text = f"{text}; run {_SIGN_IN} with the corresponding profile"
        retryable = False
    elif isinstance(error, exceptions.ClientError):
        code = error.response.get("Error", {}).get("Code")
        retryable = code not in _FINAL
        if role and code == "AccessDenied":
            text = f"{text}. {role.denied}"
    told = CredentialsError(
        f"no AWS credentials{f' from {who!r}' if who else ''}: {text}", retryable=retryable
    )
    if harmless:
        told.__cause__ = error
    return told


def outdated(error: Exception) -> bool:
    """Whether what a provider was made of, in files and environment, may have been put right.

    Not where nobody answered; nor for instance metadata, as botocore takes a service that is down
    for one that is not there, and would look for somebody else.
    """
    from botocore import exceptions

    answers = (
        exceptions.ClientError,
        exceptions.CredentialRetrievalError,
        exceptions.PartialCredentialsError,
    )
    return isinstance(error, answers) and _named(error) != "iam-role"


def found(credentials: Any, session: Any, options: type[Options]) -> Any:
    """The credentials that a session has found.

    Args:
        credentials: what it has found, None if nothing.
        session: botocore's or aiobotocore's.
        options: whose names say what to do.

    Raises:
        CredentialsError: there are none.
    """
    if credentials is not None:
        return credentials
    chain = session.get_component("credential_provider")
    asked = [provider.METHOD for provider in chain.providers]
    raise CredentialsError(
        f"no AWS credentials found; asked were {', '.join(asked)}. Set AWS_ACCESS_KEY_ID and "
        f"AWS_SECRET_ACCESS_KEY, name a profile with {options.named('profile')}, or run where a "
        "role is attached (ECS, EKS, EC2, Lambda)",
        # botocore takes an instance metadata service that is down for one that is not there.
        retryable="iam-role" in asked,
    )


def _named(error: Exception) -> str | None:
    """The provider that one of botocore's errors names."""
    provider: str | None = getattr(error, "kwargs", {}).get("provider")
    return provider
