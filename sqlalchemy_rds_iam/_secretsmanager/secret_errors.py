"""What Secrets Manager says when it does not give out a secret, with what to do about it.

Sources: "GetSecretValue" and "Common errors" in the AWS Secrets Manager API reference.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._masking import first_line, harmless
from sqlalchemy_rds_iam.errors import CredentialsError, SecretError

# Said of the caller's keys, which may have been replaced since they were loaded.
STALE_KEYS = {
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}
_THROTTLED = {"Throttling", "ThrottlingException", "TooManyRequestsException"}
_DENIED = {"AccessDenied", "AccessDeniedException"}
# The codes, a part of the message, and what to say about it.
_REASONS: tuple[tuple[set[str], str, str], ...] = (
    (
        {"ResourceNotFoundException"},
        "",
        (
            "does not exist: check the spelling of rds_secret_id, the region (rds_secret_region) "
            "and the account; in another account a secret is found by its whole ARN only"
        ),
    ),
    (
        {"InvalidRequestException"},
        "marked for deletion",
        (
            "is scheduled for deletion: restore it (aws secretsmanager restore-secret), or name "
            "another with rds_secret_id"
        ),
    ),
    (
        {"DecryptionFailure", *_DENIED},
        "KMS",
        (
            "cannot be decrypted ({}): the identity needs kms:Decrypt on the key that encrypts it, "
            "and the key has to be enabled"
        ),
    ),
    (
        _DENIED,
        "",
        (
            "is not for this identity ({}): it needs secretsmanager:GetSecretValue on the ARN of "
            "the secret, and kms:Decrypt if a key of your own encrypts it"
        ),
    ),
    (
        STALE_KEYS,
        "",
        (
            "cannot be fetched, as AWS does not accept the keys that ask for it ({}): have they "
            "expired, and is this machine's clock right?"
        ),
    ),
    (_THROTTLED, "", "cannot be fetched: throttled ({})"),
)


class VersionNotFoundError(SecretError):
    """There is no version with that staging label; a rotation is not under way."""


def explained(
    error: Exception,
    config: SecretOptions,
    region: str,
    stage: str | None,
    *,
    outer: BaseException | None = None,
) -> SecretError:
    """Our error for one of botocore's.

    Raise it outside of the handler: its cause is all that may be told of botocore's.

    Args:
        error: botocore's, or ours.
        config: which secret was asked for.
        region: where.
        stage: the staging label asked for; None if a version id was.
        outer: what was being handled when the fetch began.
    """
    if isinstance(error, SecretError):
        # Anew, as the frames of this one know what is in the secret.
        return type(error)(str(error), retryable=error.retryable)
    told = _told(error, config, region, stage)
    told.__cause__ = harmless(error, outer)
    return told


def _told(error: Exception, config: SecretOptions, region: str, stage: str | None) -> SecretError:
    from botocore import exceptions

    if isinstance(error, CredentialsError):
        return SecretError(
            f"the secret {config.name!r} cannot be asked for: {error}", retryable=error.retryable
        )
    what = f"the secret {config.name!r} in {region}"
    if isinstance(error, exceptions.ClientError):
        found: dict[str, Any] = error.response.get("Error", {})
        code = str(found.get("Code"))
        said = first_line(found.get("Message", code)).rstrip(".:")
        return _refused(code, said, what, config, stage)
    if isinstance(error, exceptions.HTTPClientError | exceptions.BotoCoreError):
        return SecretError(
            f"{what} cannot be fetched: {first_line(error).rstrip('.:')}. Is the endpoint of "
            "Secrets Manager reachable from here (a NAT gateway, a VPC endpoint, its security "
            f"group), and is the region right ({config.named('region')}, "
            f"{config.named('endpoint_url')})?",
            retryable=True,
        )
    return SecretError(f"{what} cannot be fetched: {type(error).__name__}: {first_line(error)}")


def _refused(
    code: str, said: str, what: str, config: SecretOptions, stage: str | None
) -> SecretError:
    if code == "ResourceNotFoundException" and "secret value" in said:
        version = f"labelled {stage}" if stage else f"with the id {config.version_id}"
        return VersionNotFoundError(
            f"{what} has no version {version}: see rds_secret_version_stage and "
            "rds_secret_version_id; a secret is without any until it is given a value"
        )
    for codes, words, text in _REASONS:
        if code in codes and words in said:
            retryable = codes is STALE_KEYS or codes is _THROTTLED
            return SecretError(f"{what} {text.format(f'{code}: {said}')}", retryable=retryable)
    return SecretError(
        f"{what} cannot be fetched ({code}: {said})",
        retryable=code in {"InternalServiceError", "InternalFailure", "ServiceUnavailable"}
        or code.startswith("5"),
    )


def contradiction(config: SecretOptions, name: str, mine: Any, theirs: Any) -> str:
    """What to say when URL and secret differ about a connect argument of this name."""
    what = {"dbname": "database", "db": "database", "username": "user"}.get(name, name)
    hint = ""
    if what == "user":
        hint = "; where users alternate in a rotation, the URL must not name one"
    return (
        f"the URL says {what} {mine!r} and the secret {config.name!r} says {theirs!r}: remove it "
        f"from the URL, or say whose word counts with rds_secret_conflict=url or =secret{hint}"
    )


def other_engine(config: SecretOptions, mine: str, theirs: str) -> str:
    """What to say when a secret names another kind of database, `theirs`, than the engine's."""
    return (
        f"the engine is one for {mine}, and the secret {config.name!r} is about {theirs} (its key "
        "'engine'): name another secret, or say with rds_secret_conflict=url that the URL counts"
    )
