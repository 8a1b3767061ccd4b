"""Passwords out of AWS Secrets Manager: a source for the same cache that serves tokens."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy_rds_iam._aws.log_filter import suppress_sdk_debug
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._secretsmanager.client import SecretsClient
from sqlalchemy_rds_iam._secretsmanager.secret import Secret, SecretPassword, fields_in
from sqlalchemy_rds_iam._secretsmanager.secret_errors import explained
from sqlalchemy_rds_iam.errors import SecretError


class SecretSource:
    """One version of a secret, fetched when asked for.

    Args:
        config: which secret, and how to read it.
        region: where it is.
        client: asks for it.
        stage: the staging label of the version; None for the version id in `config`.
        clock: epoch seconds.
    """

    def __init__(
        self,
        config: SecretOptions,
        region: str,
        client: SecretsClient,
        *,
        stage: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._region = region
        self._client = client
        self._stage = stage
        self._clock = clock
        self._request = {"SecretId": config.name}
        if stage is not None:
            self._request["VersionStage"] = stage
        else:
            self._request["VersionId"] = str(config.version_id)

    @suppress_sdk_debug()
    def fetch(self, *, reload: bool) -> Secret:  # noqa: ARG002  (a secret is always asked for anew)
        """Fetch the secret through botocore. Blocks.

        Raises:
            SecretError: it could not be fetched, or holds no password.
        """
        outer = sys.exception()
        try:
            return self._read(self._client.call(self._request))
        except Exception as error:  # noqa: BLE001  (each is explained)
            told = self._explained(error, outer)
        raise told

    @suppress_sdk_debug()
    def prepare_async(self, loop: asyncio.AbstractEventLoop, *, reload: bool) -> None:  # noqa: ARG002
        """Do what would hold `loop` up in `fetch_async`.

        Raises:
            SecretError: there is no such profile.
        """
        outer = sys.exception()
        try:
            self._client.prepare_async(loop)
            return  # noqa: TRY300
        except Exception as error:  # noqa: BLE001  (each is explained)
            told = self._explained(error, outer)
        raise told

    async def fetch_async(self) -> Secret:
        """Fetch the secret through aiobotocore, on the running event loop.

        Raises:
            SecretError: it could not be fetched, or holds no password.
        """
        outer = sys.exception()
        with suppress_sdk_debug():
            try:
                return self._read(await self._client.call_async(self._request))
            except Exception as error:  # noqa: BLE001  (each is explained)
                told = self._explained(error, outer)
        raise told

    def reset(self) -> None:
        """Drop what a thread may hold that hangs, or is gone after a fork."""
        self._client.reset()

    def token(self, secret: Secret, endpoint: Any, now: float) -> SecretPassword:  # noqa: ARG002
        """The password, good until it is refused."""
        return SecretPassword(secret.login.password, now, float("inf"), secret=secret)

    def _read(self, answer: dict[str, Any]) -> Secret:
        config = self._config
        text = answer.get("SecretString")
        if not isinstance(text, str):
            raise SecretError(
                f"the secret {config.name!r} is binary: it has to be text (SecretString), JSON or "
                "the password itself"
            )
        return Secret(
            fields_in(text, config.name, config.username_key, config.password_key),
            str(answer.get("ARN")),
            str(answer.get("VersionId")),
            tuple(answer.get("VersionStages") or ()),
            config.ttl,
            config.resurrect_ttl,
            self._clock(),
        )

    def _explained(self, error: Exception, outer: BaseException | None) -> SecretError:
        return explained(error, self._config, self._region, self._stage, outer=outer)
