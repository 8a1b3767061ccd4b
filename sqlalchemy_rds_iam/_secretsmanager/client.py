"""One client of AWS Secrets Manager for each identity and region: botocore's, and aiobotocore's.

A client is made once, as that means reading models; its connections are closed after each call, as
the next one may be an hour away. So nothing stays open in a process that ends, forks, or closes an
event loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Any

from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._aws.sessions import aiobotocore_client, botocore_client
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._secretsmanager.secret_errors import STALE_KEYS

SERVICE = "secretsmanager"


class SecretsClient:
    """Calls GetSecretValue for all secrets of one identity in one region.

    Args:
        aws: the identity.
        profile: profile of the shared config, which may have settings for clients.
        region: where the secrets are.
        endpoint_url: where Secrets Manager is, if not where botocore finds it.
    """

    def __init__(
        self, aws: AwsSource, profile: str | None, region: str, endpoint_url: str | None
    ) -> None:
        self._aws = aws
        self._profile = profile
        self._place = {"region_name": region, "endpoint_url": endpoint_url}
        self._lock = threading.Lock()
        self._client: Any = None
        self._keys = _Keys()
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClient] = (
            weakref.WeakKeyDictionary()
        )

    def call(self, request: dict[str, str]) -> dict[str, Any]:
        """Call GetSecretValue through botocore. Blocks.

        Raises:
            CredentialsError: there are no credentials.
            Exception: botocore's.
        """
        for reload in (False, True):
            credentials = self._aws.fetch(reload=reload)
            with self._lock:
                if self._client is None:
                    self._client = botocore_client(
                        SERVICE, self._profile, self._keys, **self._place
                    )
                client = self._client
            self._keys.use(credentials)
            try:
                answer: dict[str, Any] = client.get_secret_value(**request)
                break
            except Exception as error:
                if reload or not _says_stale(error):
                    raise
            finally:
                client.close()
        return answer

    def prepare_async(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do in a thread what would hold `loop` up in `call_async`."""
        self._aws.prepare_async(loop, reload=False)
        if loop not in self._by_loop:
            self._by_loop.setdefault(loop, _LoopClient(self._profile, self._place))

    async def call_async(self, request: dict[str, str]) -> dict[str, Any]:
        """Call GetSecretValue through aiobotocore, on the running event loop.

        Raises:
            CredentialsError: there are no credentials.
            Exception: aiobotocore's.
        """
        loop = asyncio.get_running_loop()
        mine = self._by_loop[loop]
        try:
            return await mine.call(await self._aws.fetch_async(), request)
        except Exception as error:
            if not _says_stale(error):
                raise
        # Seldom: once for keys that have been replaced under way.
        await asyncio.to_thread(self._aws.prepare_async, loop, reload=True)
        return await mine.call(await self._aws.fetch_async(), request)

    def reset(self) -> None:
        """Drop what a thread may hold that hangs, or is gone after a fork."""
        self._lock = threading.Lock()
        self._client = None
        self._keys = _Keys()
        self._by_loop.clear()
        self._aws.reset()


class _LoopClient:
    """A client for one event loop. The first caller opens its connections, the last closes them."""

    def __init__(self, profile: str | None, place: dict[str, str | None]) -> None:
        self._keys = _AsyncKeys()
        self._client = aiobotocore_client(SERVICE, profile, self._keys, **place)
        self._callers = 0
        self._turn = asyncio.Lock()

    async def call(self, credentials: Credentials, request: dict[str, str]) -> dict[str, Any]:
        self._keys.use(credentials)
        async with self._turn:
            if self._callers == 0:
                await self._client.__aenter__()
            self._callers += 1
        try:
            answer: dict[str, Any] = await self._client.get_secret_value(**request)
            return answer
        finally:
            async with self._turn:
                self._callers -= 1
                if self._callers == 0:
                    await self._client.__aexit__(None, None, None)


class _Keys:
    """Credentials for a client of botocore's that are put in from outside, all parts at once.

    It stands for a session's whole chain of providers.
    """

    def __init__(self) -> None:
        self._frozen: Any = None

    def use(self, credentials: Credentials) -> None:
        from botocore.credentials import ReadOnlyCredentials

        self._frozen = ReadOnlyCredentials(
            credentials.access_key, credentials.secret_key, credentials.session_token
        )

    def load_credentials(self) -> Any:
        from botocore.credentials import Credentials as Kept

        kept = Kept("-", "-")
        kept.get_frozen_credentials = lambda: self._frozen
        return kept


class _AsyncKeys(_Keys):
    """The same for a client of aiobotocore's."""

    async def load_credentials(self) -> Any:
        from aiobotocore.credentials import AioCredentials

        async def frozen() -> Any:
            return self._frozen

        kept = AioCredentials("-", "-")
        kept.get_frozen_credentials = frozen
        return kept


def _says_stale(error: Exception) -> bool:
    response = getattr(error, "response", None) or {}
    return response.get("Error", {}).get("Code") in STALE_KEYS
