"""Which version of a secret to log in with while it is being rotated. Waits for nothing itself.

While a password changes there are moments in which the database and AWSCURRENT do not agree:

- A rotation function sets AWSPENDING in the database and moves AWSCURRENT there afterwards.
- Where the secret comes first, as when a user edits it, the database still has AWSPREVIOUS.

So a refused AWSCURRENT is fetched anew; then come AWSPENDING and AWSPREVIOUS. Any of them may have
been changed between two attempts, so it all is done again, a few times.

Sources: "How rotation works" and "Lambda function rotation strategies", which asks for a retry with
backoff and jitter, in the AWS Secrets Manager User Guide; AWS's own rotation functions, which look
for a password that works in AWSPENDING, AWSCURRENT and AWSPREVIOUS.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._secretsmanager.secret import Secret
from sqlalchemy_rds_iam._secretsmanager.secret_errors import VersionNotFoundError
from sqlalchemy_rds_iam.errors import RdsIamError

T = TypeVar("T")

ROUNDS = 3
"""How often all versions are tried before a refusal is believed."""

PAUSE = 1.0
"""Seconds between two rounds, or half as much again; after so long a secret is fetched anew."""

NO_TIME = 0.25
"""Seconds to the deadline with which another round makes no sense."""


@dataclass
class Search:
    """What one connect has found out so far about the versions of a secret.

    Attributes:
        refused: versions that the server has refused in this round.
        all_refused: versions that it has refused in any round.
        missing: why versions could not be tried, by their staging labels.
        absent: the labels of those among them that do not exist.
        first: the first refusal, which is what the caller gets in the end.
        refusals: how many there were.
    """

    refused: list[Secret] = field(default_factory=list)
    all_refused: list[Secret] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    first: BaseException | None = None
    refusals: int = 0
    _rounds: int = 0
    _looked_at: int = 0

    @property
    def is_first_round(self) -> bool:
        """Whether all is tried for the first time."""
        return self._rounds == 0

    def untried(self, versions: Sequence[T]) -> Iterator[T]:
        """Those of `versions`, best first, that this round has not come to yet."""
        while self._looked_at < len(versions):
            self._looked_at += 1
            yield versions[self._looked_at - 1]

    def refuse(self, secret: Secret) -> None:
        """Note that the server has refused `secret`."""
        self.refusals += 1
        self.refused.append(secret)
        if secret.version_id not in {other.version_id for other in self.all_refused}:
            self.all_refused.append(secret)

    def skip(self, stage: str, error: RdsIamError) -> None:
        """Note that a version could not be tried."""
        # Its words only: its traceback has frames that have this.
        self.missing[stage] = str(error)
        if isinstance(error, VersionNotFoundError):
            self.absent.add(stage)

    def is_new(self, secret: Secret) -> bool:
        """Whether the server has not refused the same user and password in this round."""
        return all(secret.login != other.login for other in self.refused)

    def next_round(self, remaining: float) -> float | None:
        """Seconds to let pass before the next round; None if there is none.

        Args:
            remaining: seconds to the connect's deadline.
        """
        self._rounds += 1
        alone = len(self.all_refused) == 1 and self.missing.keys() == self.absent
        if alone or self._rounds == ROUNDS or remaining < NO_TIME:
            return None
        self.refused.clear()
        self._looked_at = 0
        # Spread, so that those that were refused together do not come back together.
        return min(PAUSE * random.uniform(1.0, 1.5), remaining / 2)  # noqa: S311


def explain_unsent(error: BaseException, secret: Secret) -> None:
    """Add a note to the error of a driver that refuses to send such a password.

    pg8000 does so with control characters (RFC 4013, section 2.3), and says no more than that.
    """
    if type(error).__name__ == "ScramException" and (oddity := secret.login.oddity):
        error.add_note(
            f"rds_secret: the password of the secret {secret.arn!r} {oddity}, and this driver "
            "refuses to send it"
        )


def explain(error: BaseException, search: Search, config: SecretOptions, now: float) -> None:
    """Add a note (PEP 678) to the driver's error: which versions were refused, and what to do.

    Args:
        error: the driver's.
        search: what was tried.
        config: which secret.
        now: epoch seconds.
    """
    tried = "".join(
        f"  refused     version {secret.version_id} ({', '.join(secret.stages) or 'no label'}), "
        f"user {secret.login.user!r}, fetched {max(now - secret.fetched_at, 0):.0f} s ago\n"
        for secret in search.all_refused
    )
    missing = "".join(
        f"  not tried   {stage}: {reason}\n" for stage, reason in search.missing.items()
    )
    [newest, *_] = search.all_refused
    oddity = newest.login.oddity
    odd = (
        f"    - the password {oddity}: write it without that, unless it is meant\n"
        if oddity
        else ""
    )
    error.add_note(
        f"rds_secret: the server refused the password of the secret {config.name!r}\n"
        f"  secret      {newest.arn}\n{tried}{missing}"
        f"  likely causes\n{odd}"
        "    - the password was changed in the database and not in the secret, or the other way\n"
        "      round: rotate the secret, or write the password that is right into it\n"
        "    - a rotation has failed half-way: aws secretsmanager describe-secret shows a version\n"
        "      that is AWSPENDING only; the rotation function's log says why\n"
        "    - the secret is that of another server than this one\n"
        "    - the user has the role rds_iam, so RDS takes tokens from it and no passwords"
    )
