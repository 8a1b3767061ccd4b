"""Who logs in, as far as that may be told: no secret is in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logs in, as far as that may be told and is known without asking AWS.

    Attributes:
        access_key: the access key id that signs, all but its ends masked: ``AKIA…2EAE``.
        provider: botocore's name of the provider it is from, such as ``env`` or ``iam-role``.
        role_arn: the role that the options say to assume.
        secret: ARN of the secret with the password.
        version: id of that secret's version.
    """

    access_key: str | None = None
    provider: str | None = None
    role_arn: str | None = None
    secret: str | None = None
    version: str | None = None
