"""Who we are in AWS: credentials from botocore's provider chain, or through aiobotocore.

botocore is imported on the first fetch and never on an event loop: it takes a fifth of a second.
"""

from __future__ import annotations

import asyncio
import configparser
import gc
import os
import threading
import weakref
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy_rds_iam.config import Config
from sqlalchemy_rds_iam.errors import CredentialsError
from sqlalchemy_rds_iam.signing import Credentials, sign

# What selects an identity in the environment; the secrets themselves are not looked at.
_SELECTORS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
)

# Three tries of at most 8 s stay within the 30 s that a connect waits by default.
_NETWORK = {
    "connect_timeout": 3,
    "read_timeout": 5,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}


# For clients that are made to have their models read, and never make a call.
_NOBODY = {"region_name": "us-east-1", "aws_access_key_id": "-", "aws_secret_access_key": "-"}


def identity(config: Config, environ: Mapping[str, str] = os.environ) -> Hashable:
    """What tells this engine's AWS identity from any other; part of every cache key."""
    if config.session is not None:
        return ("session", id(config.session))
    return (config.profile, *map(environ.get, _SELECTORS))


def ambient_region(config: Config, environ: Mapping[str, str] = os.environ) -> str | None:
    """The region of the AWS session, read without importing botocore.

    ``AWS_REGION`` counts and comes first, as in every other AWS SDK; botocore itself ignores it.
    """
    if config.session is not None:
        session = _unwrapped(config.session)
        return getattr(config.session, "region_name", None) or _text(
            session.get_config_variable("region")
        )
    if region := environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"):
        return region
    profile = config.profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    file = Path(environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(file.expanduser().read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError, configparser.Error):
        return None  # botocore explains what is wrong with the file once it has to read it
    section = "default" if profile in {None, "default"} else f"profile {profile}"
    return parser.get(section, "region", fallback=None)


def is_async_session(session: Any) -> bool:
    """Whether this is an aiobotocore (or aioboto3) session, told without importing aiobotocore."""
    return any(
        base.__module__.partition(".")[0] == "aiobotocore"
        for base in type(_unwrapped(session)).__mro__
    )


class AwsSource:
    """The tokens' source: credentials from botocore or aiobotocore, tokens by Signature V4.

    Reloading means a new session. One of the user's own is asked again instead and renews what it
    can: looking past the credentials that were put into it could find somebody else's.

    Args:
        profile: profile of the shared config, or None for botocore's whole chain.
        session: a session of the user's own, in place of both.
    """

    token = staticmethod(sign)

    def __init__(self, profile: str | None, session: Any = None) -> None:
        self._profile = profile
        self._given = None if session is None else _unwrapped(session)
        self._lock = threading.Lock()
        self._credentials: Any = None
        self._prepared: Any = None
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = (
            weakref.WeakKeyDictionary()
        )

    def fetch(self, *, reload: bool) -> Credentials:
        """Get credentials through botocore. Blocks on files, processes and the network.

        Raises:
            CredentialsError: there are none, or their provider failed.
        """
        # A fresh botocore session is not safe for threads: 20 of them load every provider 20 times.
        with self._lock, _explained(self._profile):
            if reload:
                self._credentials = None
            if self._credentials is None:
                session = self._given or _session(self._profile)
                self._credentials = _found(session.get_credentials(), session)
            return _snapshot(self._credentials, self._credentials.get_frozen_credentials)

    def prepare_async(self, loop: asyncio.AbstractEventLoop, *, reload: bool) -> None:
        """Do what would hold `loop` up in `fetch_async`: imports, making a session, its models.

        Raises:
            CredentialsError: there is no such profile.
        """
        if reload:
            self._by_loop.clear()
        if self._given is None and self._prepared is None and loop not in self._by_loop:
            with _explained(self._profile):
                self._prepared = _aio_session(self._profile)

    async def fetch_async(self) -> Credentials:
        """Get credentials through aiobotocore; one provider per loop, as they are bound to theirs.

        Raises:
            CredentialsError: there are none, or their provider failed.
        """
        with _explained(self._profile):
            loop = asyncio.get_running_loop()
            provider = self._by_loop.get(loop)
            if provider is None:
                session = self._given or self._prepared or _aio_session(self._profile)
                self._prepared = None
                provider = _found(await session.get_credentials(), session)
                self._by_loop[loop] = provider
            frozen = await provider.get_frozen_credentials()
            return _snapshot(provider, lambda: frozen)

    def reset(self) -> None:
        """Drop what a thread may hold that hangs, or is gone after a fork: sessions and locks."""
        self._lock = threading.Lock()
        self._credentials = self._prepared = None
        self._by_loop.clear()


def _session(profile: str | None) -> Any:
    with _uncollected():
        import botocore.config
        import botocore.session

        session = botocore.session.Session(profile=profile)
        session.set_default_client_config(botocore.config.Config(**_NETWORK))
        if _asks_sts(_with_region(session)):
            session.create_client("sts", **_NOBODY)
    return session


def _aio_session(profile: str | None) -> Any:
    with _uncollected():
        import aiobotocore.config
        import aiobotocore.session

        session = aiobotocore.session.AioSession(profile=profile)
        session.set_default_client_config(aiobotocore.config.AioConfig(**_NETWORK))

        async def read_models() -> None:
            async with session.create_client("sts", **_NOBODY):
                pass

        if _asks_sts(_with_region(session)):
            asyncio.run(read_models())
    return session


def _asks_sts(session: Any) -> bool:
    """Whether credentials will come through a client, whose models take long to read.

    Reading them ahead, into the session's cache, keeps that work off the event loop, and apart
    from waiting for the network.
    """
    profile = session.get_scoped_config()
    return "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ or not profile.keys().isdisjoint(
        {"role_arn", "web_identity_token_file", "sso_session", "sso_start_url"}
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold off the garbage collector while botocore is imported and its models are read.

    Those are tens of thousands of objects that stay. A full collection would find nothing among
    them, and stop every thread for it, the event loop's too: up to 170 ms were measured.
    """
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Together they make old objects of what there is, without looking at it.
        gc.freeze()
        gc.unfreeze()
        gc.enable()


def _with_region(session: Any) -> Any:
    if region := os.environ.get("AWS_REGION"):
        session.set_config_variable("region", region)
    return session


def _unwrapped(session: Any) -> Any:
    """The botocore session inside a boto3 (or aioboto3) one."""
    return getattr(session, "_session", session)


def _found(credentials: Any, session: Any) -> Any:
    if credentials is not None:
        return credentials
    chain = session.get_component("credential_provider")
    asked = ", ".join(provider.METHOD for provider in chain.providers)
    raise CredentialsError(
        f"no AWS credentials found; asked were {asked}. Set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, name a profile with rds_iam_profile, or run where a role is "
        "attached (ECS, EKS, EC2, Lambda)"
    )


def _snapshot(provider: Any, freeze: Any) -> Credentials:
    frozen = freeze()
    # botocore has no public expiry; anything without one counts as unknown.
    expiry = getattr(provider, "_expiry_time", None)
    return Credentials(
        access_key=frozen.access_key,
        secret_key=frozen.secret_key,
        session_token=frozen.token,
        expires_at=None if expiry is None else expiry.timestamp(),
        provider=str(getattr(provider, "method", "unknown")),
    )


def _text(value: Any) -> str | None:
    return str(value) if value else None


@contextmanager
def _explained(profile: str | None) -> Iterator[None]:
    """Turn botocore's errors into ours, with what to do about them."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ProfileNotFound as error:
        where = "rds_iam_profile" if profile else "AWS_PROFILE"
        raise CredentialsError(
            f"{error}: {where} names a profile that is in neither the shared AWS config nor the "
            "credentials file"
        ) from error
    except exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise CredentialsError(
            f"AWS refused to hand out credentials: {error}",
            retryable=code not in {"AccessDenied", "InvalidClientTokenId", "SignatureDoesNotMatch"},
        ) from error
    except (exceptions.BotoCoreError, RuntimeError, OSError) as error:
        raise CredentialsError(
            f"fetching AWS credentials failed: {error}", retryable=True
        ) from error
