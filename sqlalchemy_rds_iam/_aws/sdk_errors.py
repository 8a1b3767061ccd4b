"""What botocore says when there are no credentials, in our words, with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._aws import shared_files
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.provider_faults import in_traceback, metadata_hint, reason
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._masking import first_line, harmless
from sqlalchemy_rds_iam.errors import CredentialsError

# What STS and the SSO portal say that time does not heal.
_FINAL = {
    "AccessDenied",
    "ForbiddenException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ValidationError",
}
_MISTAKES = ("InvalidConfigError", "MissingDependencyException", "PartialCredentialsError")
_SIGN_IN = "aws sso login"


def explained(
    error: Exception,
    provider: Any,
    profile: str | None,
    role: AssumedRole | None,
    options: type[PluginOptions],
    *,
    outer: BaseException | None = None,
) -> CredentialsError:
    """Our error for one of botocore's, with who failed and what to do about it.

    Raise it outside of the handler: its cause is all that may be told of botocore's.

    Args:
        error: botocore's.
        provider: botocore's credentials whose renewal failed, if it came as far as that.
        profile: the profile that the user has named.
        role: the role that was to be assumed.
        options: whose names say what to do.
        outer: what was being handled when the fetch began.
    """
    from botocore import exceptions

    if isinstance(error, CredentialsError):
        # Anew, as the frames of this one know the keys.
        return type(error)(str(error), retryable=error.retryable)
    failed = in_traceback(error, "METHOD")
    who = getattr(provider, "method", None) or _named(error) or getattr(failed, "METHOD", None)
    told = reason(error, who, failed)
    # What a provider reads does not change by itself; what it asks over a network may.
    retryable = told is None or isinstance(error, RuntimeError)
    text = told or first_line(error)
    if isinstance(error, exceptions.ProfileNotFound):
        where = options.named("profile") if profile else _profile_variable(os.environ)
        text = f"{text}: {where} names what is in neither the AWS config nor credentials file"
        name = str(error.kwargs["profile"])
        hints = [shared_files.misplaced(name), *shared_files.faults()]
        text = "; ".join([text, *filter(None, hints)])
        retryable = False
    elif isinstance(error, (exceptions.SSOError, exceptions.TokenRetrievalError)):
        if _SIGN_IN not in text:
            text = f"{text}; run {_SIGN_IN} with the corresponding profile"
        retryable = False
    elif isinstance(error, tuple(getattr(exceptions, name) for name in _MISTAKES)):
        retryable = False
    elif who == "iam-role" and (hint := metadata_hint(os.environ)):
        text = f"{text}; {hint}"
    elif isinstance(error, exceptions.ClientError):
        code = error.response.get("Error", {}).get("Code")
        retryable = code not in _FINAL
        if role and code == "AccessDenied":
            text = f"{text}. {role.denied}"
    told_error = CredentialsError(
        f"no AWS credentials{f' from {who!r}' if who else ''}: {text}", retryable=retryable
    )
    # What a process prints is known to nothing that masks it.
    words = told if getattr(failed, "METHOD", None) == "custom-process" else None
    told_error.__cause__ = harmless(error, outer, words)
    return told_error


def outdated(error: Exception) -> bool:
    """Whether what a provider was made of, in files and environment, may have been put right.

    Not where no service answered; nor for instance metadata, as botocore takes a service that is
    down for one that is not there, and would look for another identity.
    """
    from botocore import exceptions

    answers = (
        exceptions.ClientError,
        exceptions.CredentialRetrievalError,
        exceptions.PartialCredentialsError,
        CredentialsError,
    )
    return isinstance(error, answers) and _named(error) != "iam-role"


def found(credentials: Any, session: Any, options: type[PluginOptions]) -> Any:
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
    hints = "".join(f"; {hint}" for hint in _overlooked(asked, os.environ))
    raise CredentialsError(
        f"no AWS credentials found; asked were {', '.join(asked)}{hints}. Set AWS_ACCESS_KEY_ID "
        f"and AWS_SECRET_ACCESS_KEY, name a profile with {options.named('profile')}, or run where "
        "a role is attached (ECS, EKS, EC2, Lambda)",
        # botocore takes an instance metadata service that is down for one that is not there.
        retryable="iam-role" in asked,
    )


def _overlooked(asked: list[str], environ: Mapping[str, str]) -> list[str]:
    """What is there, and has not led to credentials."""
    hints = shared_files.faults(environ)
    if environ.get("AWS_SECRET_ACCESS_KEY") and not environ.get("AWS_ACCESS_KEY_ID"):
        hints.append("AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID")
    if "iam-role" in asked and (hint := metadata_hint(environ)):
        hints.append(hint)
    return hints


def _profile_variable(environ: Mapping[str, str]) -> str:
    """The variable that names the profile: botocore takes the first of these two."""
    names = "AWS_DEFAULT_PROFILE", "AWS_PROFILE"
    return next((name for name in names if environ.get(name)), names[1])


def _named(error: Exception) -> str | None:
    """The provider that one of botocore's errors names."""
    provider: str | None = getattr(error, "kwargs", {}).get("provider")
    return provider
