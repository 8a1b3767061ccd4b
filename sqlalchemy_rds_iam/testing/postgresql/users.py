"""The database users of the real server, and which of them authenticate through IAM."""

from __future__ import annotations

from sqlalchemy_rds_iam.testing.database.users import Users
from sqlalchemy_rds_iam.testing.postgresql.backend import APPLICATION_NAME, Backend
from sqlalchemy_rds_iam.testing.postgresql.password_login import scram_verifier
from sqlalchemy_rds_iam.testing.postgresql.wire import quote_identifier, quote_literal

# As "+rds_iam" in pg_hba.conf decides: through any number of grants, no exception for superusers.
_IS_MEMBER = """
WITH RECURSIVE member (id) AS (
  SELECT oid FROM pg_roles WHERE rolname = {user}
  UNION SELECT roleid FROM pg_auth_members JOIN member ON pg_auth_members.member = member.id
) SELECT 1 FROM member JOIN pg_roles ON oid = id WHERE rolname = 'rds_iam'
"""

# What InitPostgres() and CheckMyDatabase() of the server look at once a login has been let in; a
# database that does not exist, or takes no connections at all, refuses every user itself.
_FACTS = """
SELECT rolcanlogin, NOT rolsuper AND rolconnlimit BETWEEN 0 AND {present},
  has_database_privilege(pg_roles.oid, pg_database.oid, 'CONNECT'),
  NOT rolsuper AND datconnlimit BETWEEN 0 AND (
    SELECT count(*) FROM pg_stat_activity WHERE datid = pg_database.oid
  )
FROM pg_roles LEFT JOIN pg_database ON datname = {database} WHERE rolname = {user}
"""

_SESSIONS = f"""
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> '{APPLICATION_NAME}'
"""  # noqa: S608 - a constant of ours
_KILL = "SELECT pg_terminate_backend(pid) FROM unnest({numbers}::int[]) AS pid"


class Roles(Users[Backend]):
    """PostgreSQL's users are roles; those of IAM are members of the role ``rds_iam``."""

    iam_user = "a member of rds_iam"

    async def prepare(self) -> None:
        """Create the role ``rds_iam``, unless it exists."""
        if not await self.execute("SELECT 1 FROM pg_roles WHERE rolname = 'rds_iam'"):
            await self.execute("CREATE ROLE rds_iam")

    async def create_user(self, name: str, *, iam: bool = True) -> None:
        """Create the user `name`, unless it exists, and make it log in through IAM or not."""
        user = quote_identifier(name)
        found = f"SELECT 1 FROM pg_roles WHERE rolname = {quote_literal(name)}"  # noqa: S608
        if not await self.execute(found):
            await self.execute(f"CREATE ROLE {user} LOGIN")
        if self._backend.shared_login:
            await self.execute(f"GRANT {user} TO CURRENT_USER")
        await self.execute(f"GRANT rds_iam TO {user}" if iam else f"REVOKE rds_iam FROM {user}")

    async def create_member(self, name: str, *, of: str) -> None:
        """Create the user `name`, unless it exists, with all the rights of the user `of`."""
        await self.create_user(name, iam=False)
        await self.execute(f"GRANT {quote_identifier(of)} TO {quote_identifier(name)}")

    async def set_password(self, name: str, password: str) -> None:
        """Give user `name` another password, for SCRAM-SHA-256."""
        verifier = quote_literal(scram_verifier(password))
        await self.execute(f"ALTER ROLE {quote_identifier(name)} PASSWORD {verifier}")

    async def create_database(self, name: str, owner: str) -> None:
        """Create the database `name` for `owner`, unless it exists. All users may connect to it."""
        found = f"SELECT 1 FROM pg_database WHERE datname = {quote_literal(name)}"  # noqa: S608
        if not await self.execute(found):
            database, user = quote_identifier(name), quote_identifier(owner)
            await self.execute(f"CREATE DATABASE {database} OWNER {user}")

    async def uses_iam(self, name: str) -> bool:
        """Whether user `name` exists and is a member of ``rds_iam``, directly or not.

        Raises:
            ConnectionError: The real server is gone.
        """
        # The emulator's own sessions speak UTF-8, in which there can be no such user.
        exists = name == name.encode(errors="surrogateescape").decode(errors="replace")
        return exists and bool(await self._look(_IS_MEMBER.format(user=quote_literal(name))))

    async def obstacle(self, user: str, database: str, present: int) -> tuple[str, str] | None:
        """Why the server would not open a session that has been let in, though it may be ours.

        Args:
            user: Who wants it.
            database: Where.
            present: How many sessions that user has.

        Returns:
            SQLSTATE and words, or None if nothing is in the way.
        """
        literals = {"user": quote_literal(user), "database": quote_literal(database)}
        rows = await self._look(_FACTS.format(present=present, **literals))
        for may_log_in, too_many, may_connect, full in rows:
            if may_log_in == "f":
                return "28000", f'role "{user}" is not permitted to log in'
            if too_many == "t":
                return "53300", f'too many connections for role "{user}"'
            if may_connect == "f":
                return "42501", f'permission denied for database "{database}"'
            if full == "t":
                return "53300", f'too many connections for database "{database}"'
        return None

    async def _sessions(self) -> set[str]:
        return {str(number) for (number,) in await self.execute(_SESSIONS)}

    async def _kill(self, sessions: set[str]) -> None:
        numbers = quote_literal("{" + ",".join(sessions) + "}")
        await self.execute(_KILL.format(numbers=numbers))
