"""What the user asked for with ``?plugin=rds_iam``: what to sign for, and how fast to connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.parsers import (
    as_port,
    as_rate,
    as_seconds,
    as_storage,
    as_throttle_retry,
    option,
)
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, FindRegion, HostName, signed_endpoint
from sqlalchemy_rds_iam._endpoints.regions import as_region
from sqlalchemy_rds_iam.errors import ConfigError


@dataclass(frozen=True)
class IamOptions(PluginOptions):
    """The options of one engine with the plugin ``rds_iam``, besides those of `PluginOptions`.

    Attributes:
        host: host to sign for, too.
        region: region to sign for; None takes it from the host name, then from the environment.
        port: port to sign for when it is not the one connected to.
        failure_ttl: seconds a failed fetch of credentials is remembered.
        connect_rate: most connects that begin in any second at one signed endpoint; 0 for no limit.
        rate_storage: where a fleet keeps the connect rate that it shares; ``memory://`` is this
            process alone. There may be a password in it.
        throttle_retry: whether a connect that seems to be throttled is tried again in time; a user
            who has never been let in for up to 3 s with ``on``, up to 15 with ``patient``.
    """

    PLUGIN: ClassVar[str] = "rds_iam"
    BRINGS: ClassVar[str] = "token"
    SECRET_WORDS: ClassVar[tuple[str, ...]] = (*PluginOptions.SECRET_WORDS, "secret")

    region: str | None = option(as_region)
    port: int | None = option(as_port)
    failure_ttl: float = option(as_seconds, default=1.0)
    connect_rate: int = option(as_rate, default=200)
    rate_storage: str = option(as_storage, default="memory://", private=True)
    throttle_retry: str = option(as_throttle_retry, default="on")

    @property
    def memory_of_failure(self) -> float:
        """Seconds that a failed fetch stands for the next one."""
        return self.failure_ttl

    @property
    def retries_throttled(self) -> bool:
        """Whether a connect that seems to be throttled is tried again in time."""
        return self.throttle_retry != "off"

    def endpoint(
        self, host: HostName, port: int, user: Any, ambient_region: FindRegion, example: str
    ) -> Endpoint:
        """What a token for `user` at `host` is signed for; see `PluginOptions.endpoint`."""
        if not user or not isinstance(user, str):
            raise ConfigError(
                "the URL names no database user, and a token is signed for one: "
                f"{example}://USER@host/database?plugin=rds_iam"
            )
        return signed_endpoint(
            host, self.port or port, user, region=self.region, ambient_region=ambient_region
        )
