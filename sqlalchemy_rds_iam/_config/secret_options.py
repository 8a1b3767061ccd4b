"""What the user asked for with ``?plugin=rds_secret``: which secret, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.parsers import (
    as_seconds,
    as_text,
    endpoint_url,
    matching,
    one_of,
    option,
)
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, FindRegion, HostName
from sqlalchemy_rds_iam._endpoints.regions import REGION, as_region
from sqlalchemy_rds_iam.errors import ConfigError

AWSCURRENT, AWSPENDING, AWSPREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"

_ARN = re.compile(
    rf"arn:aws[a-z-]*:secretsmanager:(?P<region>{REGION}):\d{{12}}:secret:"
    r"[\w/+=.@!-]{1,519}",
    re.ASCII,
)
_NAME = re.compile(r"[\w/+=.@!-]{1,512}", re.ASCII)
# As in Kong Gateway's references to the secrets of AWS.
_NUMBERS = {"1": AWSCURRENT, "2": AWSPREVIOUS}


class SecretId(NamedTuple):
    """Which secret.

    Attributes:
        text: its name, ARN or partial ARN, as Secrets Manager takes it.
        region: the region that the ARN names.
        stage: the staging label that a suffix ``#1`` or ``#2`` stands for.
    """

    text: str
    region: str | None = None
    stage: str | None = None


def as_secret_id(value: Any) -> SecretId:
    """A secret's name, ARN or partial ARN, with ``#1`` or ``#2`` after it or without.

    Source: "CreateSecret" in the AWS Secrets Manager API reference for names, and "Finding a secret
    from a partial ARN" in its user guide.
    """
    if isinstance(value, SecretId):
        return value
    text, hash_sign, number = str(value).strip().partition("#")
    if hash_sign and number not in _NUMBERS:
        raise ValueError("nothing after # but 1 (AWSCURRENT) or 2 (AWSPREVIOUS)")
    stage = _NUMBERS.get(number)
    if found := _ARN.fullmatch(text):
        return SecretId(text, found["region"], stage)
    if _NAME.fullmatch(text):
        return SecretId(text, None, stage)
    if " " in text:
        raise ValueError("a secret's name or ARN without spaces; in a URL, a + is written %2B")
    raise ValueError(
        "the name of a secret, of letters, digits and /_+=.@!-, or its ARN such as "
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-a1b2c3"
    )


@dataclass(frozen=True)
class SecretOptions(PluginOptions):
    """The options of one engine with the plugin ``rds_secret``, besides those of `PluginOptions`.

    Attributes:
        id: name, ARN or partial ARN of the secret.
        region: region of the secret; None takes it from the ARN, then from the environment.
        endpoint_url: Secrets Manager endpoint to ask, such as a VPC endpoint.
        version_stage: staging label of the version to use, and no other.
        version_id: id of the version to use, and no other.
        username_key: key of the user's name in the secret's JSON.
        password_key: key of the password in the secret's JSON.
        conflict: whose word counts when the URL and the secret name different users, hosts, ports
            or databases: ``error``, ``url``, ``secret``.
        ttl: seconds after which the secret is fetched anew; 0 for not until it is refused.
        neg_ttl: seconds a failed fetch is remembered.
        resurrect_ttl: seconds beyond `ttl` that the secret is used while it cannot be fetched.
    """

    PLUGIN: ClassVar[str] = "rds_secret"
    BRINGS: ClassVar[str] = "password"
    renews_lazily: ClassVar[bool] = True

    id: SecretId | None = option(as_secret_id)
    region: str | None = option(as_region)
    endpoint_url: str | None = option(endpoint_url("Secrets Manager", "secretsmanager"))
    version_stage: str | None = option(as_text)
    version_id: str | None = option(
        matching(r"[\w-]{32,64}", "the id of a version, of 32 to 64 letters, digits or -")
    )
    username_key: str = option(as_text, default="username")
    password_key: str = option(as_text, default="password")
    conflict: str = option(one_of("error", "url", "secret"), default="error")
    ttl: float = option(as_seconds, default=3600.0)
    neg_ttl: float = option(as_seconds, default=1.0)
    resurrect_ttl: float = option(as_seconds, default=1e8)

    @property
    def memory_of_failure(self) -> float:
        """Seconds that a failed fetch stands for the next one."""
        return self.neg_ttl

    @property
    def name(self) -> str:
        """The secret, as messages have it."""
        return self.id.text if self.id else "?"

    @property
    def stage(self) -> str | None:
        """The staging label of the version to use; None if an id is given for it."""
        if self.version_id is not None:
            return None
        return self.version_stage or (self.id and self.id.stage) or AWSCURRENT

    def endpoint(
        self,
        host: HostName,
        port: int,
        user: Any,
        ambient_region: FindRegion,  # noqa: ARG002  (no signature, so no region)
        example: str,  # noqa: ARG002
    ) -> Endpoint:
        """Where the password is for; see `PluginOptions.endpoint`."""
        if not user or not isinstance(user, str):
            raise ConfigError(
                f"neither the URL nor the secret {self.name!r} names a database user: add it to "
                f"the URL, or to the secret as {self.username_key!r} (rds_secret_username_key)"
            )
        return Endpoint(host.host, port, user, "")

    @classmethod
    def _refuse_contradictions(cls, values: Mapping[str, Any]) -> None:
        super()._refuse_contradictions(values)
        secret_id: SecretId | None = values.get("id")
        if secret_id is None:
            if values.get("enabled", True):
                raise ConfigError(
                    "rds_secret_id is missing: the name or the ARN of the secret that the database "
                    "user and password are in"
                )
            return
        region = values.get("region", secret_id.region)
        if secret_id.region not in {None, region}:
            raise ConfigError(
                f"rds_secret_region={region!r} contradicts the ARN in rds_secret_id, which is in "
                f"{secret_id.region}: remove the option, or correct the ARN"
            )
        said = [cls.named(name) for name in ("version_stage", "version_id") if name in values]
        if secret_id.stage:
            said.append("the # in rds_secret_id")
        if len(said) > 1:
            raise ConfigError(f"{' and '.join(said)} both say which version to use; give one")

    @classmethod
    def _unknown(cls, name: str) -> str:
        if name in {field.name for field in fields(IamOptions)}:
            return (
                f"rds_secret_{name} is not an option: {name} is about IAM tokens, see "
                f"rds_iam_{name}; with a secret there is nothing to sign and nothing that throttles"
            )
        return super()._unknown(name)
