"""A role assumed on top of the current AWS identity: how it is asked for, and where.

botocore renews what comes out of here as it renews a role that a profile assumes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._aws.sessions import NETWORK
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._endpoints.regions import REGION

_REGION_IN_URL = rf"//(?:.+\.)?sts(?:-fips)?\.({REGION})\."


class AssumedRole(NamedTuple):
    """A role to assume, and all that tells one way of assuming it from another.

    Source: "AssumeRole" in the AWS STS API reference.

    Attributes:
        region: whose STS is asked, and what that request is signed for; None leaves it to botocore.
        options: what the names of the options begin with that have asked for it.
    """

    arn: str
    session_name: str
    external_id: str | None
    duration: int
    endpoint_url: str | None
    region: str | None
    options: str

    @classmethod
    def of(cls, config: PluginOptions, nearest: Callable[[], str | None]) -> AssumedRole | None:
        """The role that an engine's options ask for, if any.

        Args:
            config: the options.
            nearest: finds the region to ask STS in, unless the options' STS endpoint names it.

        Raises:
            ConfigError: that region is none.
        """
        if config.role_arn is None:
            return None
        url = config.sts_endpoint_url
        named = re.search(_REGION_IN_URL, url) if url else None
        return cls(
            config.role_arn,
            config.role_session_name,
            config.external_id,
            config.role_duration,
            url,
            named[1] if named else nearest(),
            config.named(""),
        )

    @property
    def method(self) -> str:
        """What credentials of this role are said to come from."""
        return f"assume-role {self.arn}"

    @property
    def denied(self) -> str:
        """What to look at when STS says AccessDenied."""
        option = f"{self.options}external_id"
        condition = f"and {option} has to be the external id that it asks for"
        if self.external_id is None:
            condition = f"and if it asks for an external id, {option} has to give it"
        return f"The role's trust policy has to allow this caller sts:AssumeRole, {condition}"

    @property
    def request(self) -> dict[str, Any]:
        """The parameters of AssumeRole."""
        found: dict[str, Any] = {
            "RoleArn": self.arn,
            "RoleSessionName": self.session_name,
            "DurationSeconds": self.duration,
        }
        return found | ({"ExternalId": self.external_id} if self.external_id else {})

    def assumed(self, session: Any) -> Any:
        """Credentials of the role on top of those of a botocore session."""
        from botocore.config import Config as ClientConfig
        from botocore.credentials import (
            DeferredRefreshableCredentials,
            create_assume_role_refresher,
        )

        def refresh() -> Any:
            client = session.create_client("sts", config=ClientConfig(**NETWORK), **self._place)
            with contextlib.closing(client):
                return create_assume_role_refresher(client, self.request)()

        return DeferredRefreshableCredentials(refresh, self.method)

    def assumed_async(self, session: Any) -> Any:
        """Credentials of the role on top of those of an aiobotocore session."""
        from aiobotocore.config import AioConfig
        from aiobotocore.credentials import (
            AioDeferredRefreshableCredentials,
            create_assume_role_refresher,
        )

        async def refresh() -> Any:
            # The refresher enters and closes it.
            client = session.create_client("sts", config=AioConfig(**NETWORK), **self._place)
            return await create_assume_role_refresher(client, self.request)()

        return AioDeferredRefreshableCredentials(refresh, self.method)

    @property
    def _place(self) -> dict[str, str | None]:
        return {"region_name": self.region, "endpoint_url": self.endpoint_url}
