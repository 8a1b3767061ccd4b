"""Who exists in the emulated AWS account: principals, their policy and the access keys they hold.

The AWS endpoints issue keys here and the database gateway looks them up here, so a key that STS
handed out a second ago is known to the gateway, and one that was revoked is refused by both.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

ACCOUNT_ID = "123456789012"


@dataclass
class Principal:
    """A user or role, the database users its ``rds-db:connect`` policy names, and its secrets.

    ``db_users=None`` stands for ``dbuser:*/*``, ``secrets=None`` for every secret (else their
    names). Assign a new value to give or take permission at run time: every key of the principal
    follows at once.
    """

    arn: str
    db_users: frozenset[str] | None = None
    external_id: str | None = None
    secrets: frozenset[str] | None = None

    def may_connect_as(self, db_user: str) -> bool:
        """Whether the policy lets this principal connect as `db_user` (case matters, as in RDS)."""
        return self.db_users is None or db_user in self.db_users

    def may_use_secret(self, name: str) -> bool:
        """Whether the policy lets this principal do anything with the secret `name`."""
        return self.secrets is None or name in self.secrets


@dataclass
class AccessKey:
    """One set of AWS credentials. ``expires_at`` is epoch seconds, None for long-term keys."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: float | None
    principal: Principal
    revoked: bool = False

    def environ(self) -> dict[str, str]:
        """The environment variables that make botocore find this key."""
        found = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        if self.session_token is not None:
            found["AWS_SESSION_TOKEN"] = self.session_token
        return found


class Identities:
    """The account's register of principals and keys. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._principals: dict[str, Principal] = {}
        self._keys: dict[str, AccessKey] = {}

    def user(self, name: str = "app", db_users: Iterable[str] | None = None) -> Principal:
        """Add (or replace) an IAM user; `db_users` None allows every database user."""
        return self._add(f"arn:aws:iam::{ACCOUNT_ID}:user/{name}", db_users, None)

    def role(
        self,
        name: str,
        db_users: Iterable[str] | None = None,
        external_id: str | None = None,
    ) -> Principal:
        """Add (or replace) a role; with `external_id` STS asks for it, as a trust policy would."""
        return self._add(f"arn:aws:iam::{ACCOUNT_ID}:role/{name}", db_users, external_id)

    def issue(self, principal: Principal, lifetime: float | None = None) -> AccessKey:
        """Mint a key: long-term (AKIA…) without `lifetime`, else temporary for so many seconds."""
        temporary = lifetime is not None
        key = AccessKey(
            access_key=("ASIA" if temporary else "AKIA") + secrets.token_hex(8).upper(),
            secret_key=secrets.token_urlsafe(30),
            # As long as those of STS, and with the characters that need quoting in a URL.
            session_token="IQoJb3JpZ2luX2VjE+/" + secrets.token_urlsafe(480) + "=="
            if temporary
            else None,
            expires_at=None if lifetime is None else self.clock() + lifetime,
            principal=principal,
        )
        with self._lock:
            self._keys[key.access_key] = key
        return key

    def find(self, access_key: str) -> AccessKey | None:
        """The key with this id, revoked and expired ones included; None if it was never issued."""
        with self._lock:
            return self._keys.get(access_key)

    def principal(self, arn: str) -> Principal | None:
        """The principal with this ARN, or None."""
        with self._lock:
            return self._principals.get(arn)

    def revoke(self, principal: Principal) -> None:
        """Revoke every key issued to `principal` so far, as "revoke active sessions" does."""
        with self._lock:
            for key in self._keys.values():
                if key.principal is principal:
                    key.revoked = True

    def _add(self, arn: str, db_users: Iterable[str] | None, external_id: str | None) -> Principal:
        allowed = None if db_users is None else frozenset(db_users)
        principal = Principal(arn, allowed, external_id)
        with self._lock:
            self._principals[arn] = principal
        return principal
