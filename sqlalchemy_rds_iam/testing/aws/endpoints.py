"""The AWS endpoints, on loopback: STS, SSO, instances, containers, Secrets Manager and RDS.

The first four issue keys from `Identities`, so the emulated database knows the keys they hand out.
"""

from __future__ import annotations

import asyncio

from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.aws.metadata import ContainerCredentials, InstanceMetadata
from sqlalchemy_rds_iam.testing.aws.rds_api import RdsApi
from sqlalchemy_rds_iam.testing.aws.secrets_api import SecretsManager
from sqlalchemy_rds_iam.testing.aws.sso import IdentityCenter
from sqlalchemy_rds_iam.testing.aws.sts import Sts

_STOP_SECONDS = 5.0


class AwsEndpoints:
    """The emulated services of one account, each on a port of its own.

    Attributes:
        sts: AssumeRole, AssumeRoleWithWebIdentity and GetCallerIdentity.
        sso: IAM Identity Center: GetRoleCredentials and CreateToken.
        imds: The EC2 instance metadata service; without a role until one is set.
        container: The ECS or EKS credentials endpoint; without a role until one is set.
        secrets: Secrets Manager.
        rds: The API of RDS, which tells the resource id of the emulated database.
    """

    def __init__(self, identities: Identities, host: str = "", region: str = "") -> None:
        """Make them, with a database at `host` in `region` that RDS knows."""
        self.sts = Sts(identities)
        self.sso = IdentityCenter(identities)
        self.imds = InstanceMetadata(identities)
        self.container = ContainerCredentials(identities)
        self.secrets = SecretsManager(identities, self.sts)
        self.rds = RdsApi(identities)
        if host:
            self.rds.add(host, region)
        self._services = (
            self.sts,
            self.sso,
            self.imds,
            self.container,
            self.secrets,
            self.rds,
        )

    @property
    def sts_url(self) -> str:
        """For an STS client's ``endpoint_url``."""
        return self.sts.url

    @property
    def sso_url(self) -> str:
        """For the ``endpoint_url`` of an SSO client, and of an SSO OIDC client."""
        return self.sso.url

    @property
    def imds_url(self) -> str:
        """For ``AWS_EC2_METADATA_SERVICE_ENDPOINT``."""
        return self.imds.url

    @property
    def container_url(self) -> str:
        """For ``AWS_CONTAINER_CREDENTIALS_FULL_URI``, path included."""
        return self.container.url + self.container.path

    @property
    def secrets_url(self) -> str:
        """For a Secrets Manager client's ``endpoint_url``."""
        return self.secrets.url

    async def start(self) -> None:
        """Bind every service on 127.0.0.1 and serve on the running event loop.

        Raises:
            RuntimeError: The endpoints are running already.
            OSError: A port cannot be bound; nothing stays behind.
        """
        try:
            for service in self._services:
                await service.start()
        except (OSError, asyncio.CancelledError):
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop every service, dropping slow answers in flight, within five seconds. Idempotent."""
        async with asyncio.timeout(_STOP_SECONDS):
            await asyncio.gather(*(service.stop() for service in self._services))

    def environ(self) -> dict[str, str]:
        """The variables that lead an SDK here, whichever provider finds its credentials.

        ``AWS_CONTAINER_CREDENTIALS_FULL_URI`` is not among them: it would take precedence over the
        instance's role.
        """
        return {
            "AWS_ENDPOINT_URL_STS": self.sts_url,
            "AWS_ENDPOINT_URL_SSO": self.sso_url,
            "AWS_ENDPOINT_URL_SSO_OIDC": self.sso_url,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.secrets_url,
            "AWS_ENDPOINT_URL_RDS": self.rds.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds_url,
        }
