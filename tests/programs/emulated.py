"""The database and the AWS account of one program, and whether its logins were good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from programs.metadata import Program
from sqlalchemy_rds_iam.testing import Decision, RdsEmulator

LIFE = 30.0
"""Seconds for which keys are good."""

_SHOWN = 5


class Account:
    """What one program has of AWS: a role, whose keys live `LIFE` seconds, and a database."""

    def __init__(self, rds: RdsEmulator, program: Program) -> None:
        self._rds = rds
        self._program = program
        self._before: list[Decision] | None = None
        container = rds.aws.container
        container.role = rds.identities.role(f"program-{program.name}")
        container.lifetime = LIFE
        # New keys for the second half of their life.
        container.reissue_below = LIFE / 2
        if program.family == "postgresql":
            # As an application's owner may on RDS; some make their databases themselves.
            rds.execute("ALTER ROLE app CREATEDB")
        for database in program.databases:
            if database != "app":
                rds.execute(f'CREATE DATABASE "{database}"' + self._owner)
            for extension in program.extensions:
                rds.execute(f"CREATE EXTENSION {extension}", database)

    @property
    def _owner(self) -> str:
        return " OWNER app" if self._program.family == "postgresql" else ""

    def environ(self) -> dict[str, str]:
        """The variables of a process that works as the role, and nothing else of AWS."""
        found = self._rds.environ()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            found.pop(name, None)
        found["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self._rds.aws.container_url
        family = self._program.family
        url = self._rds.url(f"{family}+{self._rds.engine.driver}", database="{database}")
        address = url.render_as_string().partition(":")[2]
        found[f"PROGRAM_URL_{family.upper()}"] = address.replace("%7Bdatabase%7D", "{database}")
        return found

    def seconds_to_rollover(self) -> float:
        """Until the keys have expired with which the program began; 0 if it has not begun."""
        keys = [self._rds.identities.find(each.access_key or "") for each in self.logins]
        ends = [key.expires_at for key in keys if key is not None and key.expires_at is not None]
        return max(0.0, min(ends) - time.time() + 0.1) if ends else 0.0

    def roll_over(self) -> None:
        """End all sessions, once the keys have expired."""
        self._before = self.logins
        self._rds.kill_sessions()

    @property
    def logins(self) -> list[Decision]:
        """All so far, refused ones included."""
        return self._rds.decisions

    @property
    def counts(self) -> dict[str, int]:
        """How many logins there were before the rollover, and after it."""
        before = len(self._before or ())
        return {"before": before, "after": len(self.logins) - before}

    def refusals(self) -> list[str]:
        """Each login that was refused, in a sentence."""
        refused = [each for each in self.logins if not each.granted]
        found = [
            f"a login as {each.db_user!r} was refused: {each.detail}" for each in refused[:_SHOWN]
        ]
        if len(refused) > _SHOWN:
            found.append(f"{len(refused) - _SHOWN} more logins were refused")
        return found

    def faults(self) -> list[str]:
        """What was not as it should be, each in a sentence."""
        before, logins = self._before, self.logins
        found = self.refusals()
        if any(each.method != "iam" for each in logins):
            found.append("a login was one by password")
        if before is None:
            return [*found, "the job asked for no rollover"]
        if not before:
            found.append("no login before the rollover")
        after = {each.access_key for each in logins[len(before) :] if each.granted}
        if not after - {each.access_key for each in before[:1]}:
            found.append("no login after the rollover with keys of after it")
        return found


@contextmanager
def account(program: Program) -> Iterator[Account]:
    """An emulator for this program alone."""
    # The PostgreSQL of a machine need not have extensions.
    postgres = "wheel" if program.extensions else None
    with RdsEmulator(engine=program.family, postgres=postgres) as rds:
        yield Account(rds, program)
