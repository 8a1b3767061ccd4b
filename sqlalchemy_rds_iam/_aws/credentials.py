"""Who we are in AWS: credentials from botocore's provider chain, or through aiobotocore."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._aws.ambient import unwrapped
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.container import from_container
from sqlalchemy_rds_iam._aws.key_check import refuse_malformed
from sqlalchemy_rds_iam._aws.log_filter import suppress_sdk_debug
from sqlalchemy_rds_iam._aws.sdk_errors import explained, found, outdated
from sqlalchemy_rds_iam._aws.sessions import aiobotocore_session, botocore_session, hang_up
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.urls import is_blank
from sqlalchemy_rds_iam.errors import CredentialsError


def from_environment(environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """The keys in the environment, as botocore's first provider finds them, but without botocore.

    Importing it is most of a cold start, and AWS Lambda, where that counts, puts keys there. None
    if there are none, or if there is more to it than two keys and a session token.

    Raises:
        CredentialsError: they cannot be keys.
    """
    more = ("AWS_CREDENTIAL_EXPIRATION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")
    access_key, secret_key = map(environ.get, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not access_key or not secret_key or not all(is_blank(environ.get(name)) for name in more):
        return None
    session_token = environ.get("AWS_SECURITY_TOKEN") or environ.get("AWS_SESSION_TOKEN") or None
    refuse_malformed((access_key, secret_key, session_token), "env", environ=environ)
    return Credentials(access_key, secret_key, session_token, expires_at=None, provider="env")


def is_async_session(session: Any) -> bool:
    """Whether this is an aiobotocore (or aioboto3) session, told without importing aiobotocore."""
    return any(
        base.__module__.partition(".")[0] == "aiobotocore"
        for base in type(unwrapped(session)).__mro__
    )


def profile_of(session: Any) -> str | None:
    """The profile that a session was made with, if any."""
    return None if session is None else getattr(unwrapped(session), "profile", None)


class AwsSource:
    """The tokens' source: credentials from botocore or aiobotocore, tokens by Signature V4.

    Reloading means a new session. One of the user's own is asked again instead and renews what it
    can: looking past the credentials that were put into it could find another identity's.

    Args:
        profile: profile of the shared config, or None for botocore's whole chain.
        session: a session of the user's own, in place of both.
        role: a role to assume on top of that identity.
        options: whose names errors say.
    """

    token = staticmethod(sign)

    def __init__(
        self,
        profile: str | None,
        session: Any = None,
        role: AssumedRole | None = None,
        options: type[PluginOptions] = IamOptions,
    ) -> None:
        self._profile = profile
        self._role = role
        self._options = options
        self._given = None if session is None else unwrapped(session)
        self._lock = threading.Lock()
        self._session: Any = None
        self._credentials: Any = None
        self._prepared: Any = None
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = (
            weakref.WeakKeyDictionary()
        )
        self._ready: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Credentials] = (
            weakref.WeakKeyDictionary()
        )

    @suppress_sdk_debug()
    def fetch(self, *, reload: bool) -> Credentials:
        """Get credentials through botocore. Blocks on files, processes and the network.

        Raises:
            CredentialsError: there are none, or their provider failed.
        """
        if plain := self._plain():
            return plain
        outer = sys.exception()
        # A fresh botocore session is not safe for threads: 20 of them load every provider 20 times.
        with self._lock:
            if reload:
                self._drop()
            try:
                if self._credentials is None:
                    self._session = self._given or botocore_session(
                        self._profile, asks_sts=self._sts
                    )
                    base = found(self._session.get_credentials(), self._session, self._options)
                    if self._role and self._given:  # our own sessions see to it themselves
                        self._snapshot(base, base.get_frozen_credentials())
                    self._credentials = self._role.assumed(self._session) if self._role else base
                return self._snapshot(self._credentials, self._credentials.get_frozen_credentials())
            except Exception as error:  # noqa: BLE001  (each is explained)
                explained = self._explained(error, self._credentials, outer)
                if self._credentials is None or outdated(error):
                    self._drop()
            raise explained

    @suppress_sdk_debug()
    def prepare_async(self, loop: asyncio.AbstractEventLoop, *, reload: bool) -> None:
        """Do what would hold `loop` up in `fetch_async`: imports, making a session, its models.

        Credentials that take no session are fetched here.

        Raises:
            CredentialsError: there is no such profile.
        """
        if reload:
            self._by_loop.clear()
            self._prepared = None
        self._ready.pop(loop, None)
        if plain := self._plain():
            self._ready[loop] = plain
            return
        if self._given is not None or self._prepared is not None or loop in self._by_loop:
            return
        outer = sys.exception()
        try:
            self._prepared = aiobotocore_session(self._profile, asks_sts=self._sts)
            return  # noqa: TRY300
        except Exception as error:  # noqa: BLE001  (each is explained)
            explained = self._explained(error, None, outer)
        raise explained

    async def fetch_async(self) -> Credentials:
        """Get credentials through aiobotocore; one provider per loop, as they are bound to theirs.

        Raises:
            CredentialsError: there are none, or their provider failed.
        """
        loop = asyncio.get_running_loop()
        if plain := self._ready.pop(loop, None):
            return plain
        outer = sys.exception()
        provider = self._by_loop.get(loop)
        with suppress_sdk_debug():
            try:
                if provider is None:
                    session = self._given or self._prepared or aiobotocore_session(self._profile)
                    self._prepared = None
                    base = found(await session.get_credentials(), session, self._options)
                    if self._role and self._given:
                        self._snapshot(base, await base.get_frozen_credentials())
                    provider = self._role.assumed_async(session) if self._role else base
                    self._by_loop[loop] = provider
                return self._snapshot(provider, await provider.get_frozen_credentials())
            except Exception as error:  # noqa: BLE001  (each is explained)
                explained = self._explained(error, provider, outer)
                if outdated(error):
                    self._by_loop.pop(loop, None)
        raise explained

    def _plain(self) -> Credentials | None:
        """Credentials that take no session, as neither a profile nor a role is asked for. Blocks.

        In botocore's order, in which keys in the environment come before a container's endpoint.
        """
        if self._profile is not None or self._given is not None or self._role is not None:
            return None
        try:
            return from_environment() or from_container()
        except CredentialsError as error:
            explained = self._explained(error, None, None)
        raise explained

    @property
    def _sts(self) -> bool:
        return self._role is not None

    def reset(self) -> None:
        """Drop what a thread may hold that hangs, or is gone after a fork: sessions and locks."""
        self._lock = threading.Lock()
        # Not closed: a thread that hangs may hold the locks of its connections.
        self._session = self._credentials = self._prepared = None
        self._by_loop.clear()
        self._ready.clear()

    def _drop(self) -> None:
        if self._session is not None and self._given is None:
            hang_up(self._session)
        self._session = self._credentials = None

    def _snapshot(self, provider: Any, frozen: Any) -> Credentials:
        method = str(getattr(provider, "method", "unknown"))
        given = f"the session ({self._options.named('session')})" if self._given else None
        refuse_malformed((frozen.access_key, frozen.secret_key, frozen.token), method, given)
        # botocore has no public expiry; anything without one counts as unknown.
        expiry = getattr(provider, "_expiry_time", None)
        return Credentials(
            access_key=frozen.access_key,
            secret_key=frozen.secret_key,
            session_token=frozen.token,
            expires_at=None if expiry is None else expiry.timestamp(),
            provider=method,
        )

    def _explained(
        self, error: Exception, provider: Any, outer: BaseException | None
    ) -> CredentialsError:
        return explained(error, provider, self._profile, self._role, self._options, outer=outer)
