"""The database users of the real server, and which of them authenticate through IAM.

No server but RDS has the plugin ``AWSAuthenticationPlugin``. Here an account of IAM is one whose
password only the emulator can make, for the private leg from the gateway to the server; what
`execute` runs may name the plugin all the same.
"""

from __future__ import annotations

import contextlib
import re
import secrets

from sqlalchemy_rds_iam.testing.database.users import Row, ServerError, Users
from sqlalchemy_rds_iam.testing.mysql.backend import Backend
from sqlalchemy_rds_iam.testing.mysql.wire import (
    NATIVE_PASSWORD,
    native_hash,
    quote_identifier,
    quote_literal,
)

_IS_STORED = """
SELECT 1 FROM mysql.user WHERE User = BINARY {user} AND authentication_string = {stored}
"""
# Without the server's own threads, of replication and of events, and clients not yet let in.
_SESSIONS = """
SELECT ID FROM information_schema.PROCESSLIST WHERE USER NOT IN
({own}, 'system user', 'event_scheduler', 'unauthenticated user') AND COMMAND <> 'Daemon'
"""

# CREATE USER and ALTER USER as AWS has them ("Using IAM authentication to connect").
_NAME = r"""(?:'(?P<single>(?:[^']|'')+)'|"(?P<double>[^"]+)"|`(?P<back>[^`]+)`|(?P<bare>\w+))"""
_AWS_PLUGIN = re.compile(
    rf"(?P<account>(?:USER|EXISTS)\s+{_NAME}(?:\s*@\s*\S+)?)\s+"
    r"IDENTIFIED\s+(?:WITH|VIA)\s+[`'\"]?AWSAuthenticationPlugin[`'\"]?\s+(?:AS|USING)\s+['\"]RDS['\"]"
    r"(?P<tls>\s+REQUIRE\s+SSL)?",
    re.IGNORECASE,
)
_NO_ACCESS = "GRANT USAGE ON *.* TO"
_IDENTIFIED = re.compile(r" IDENTIFIED BY PASSWORD '[^']*'| REQUIRE SSL")


class Accounts(Users[Backend]):
    """MySQL's users are accounts, here always for every host (``'name'@'%'``)."""

    iam_user = "an account of IAM"

    async def execute(self, sql: str, database: str | None = None) -> list[Row]:
        """Run `sql`, one statement or several, in a session of its own.

        Accounts ``IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'`` become accounts of IAM.

        Raises:
            ServerError: The server refused.
        """
        return await super().execute(_AWS_PLUGIN.sub(self._as_iam, sql), database)

    async def prepare(self) -> None:
        """Nothing is needed."""

    async def create_user(self, name: str, *, iam: bool = True) -> None:
        """Create the user `name`, unless it exists, and make it log in through IAM or not."""
        account = _account(name)
        # An account without a password is open to all: this password is not kept.
        unknown = native_hash(secrets.token_hex())
        await self.execute(
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED WITH {NATIVE_PASSWORD} AS '{unknown}'"
        )
        if iam:
            await self.set_password(name, self._backend.secret_of(name))
        elif await self.uses_iam(name):
            await self.set_password(name, secrets.token_hex())

    async def create_member(self, name: str, *, of: str) -> None:
        """Create the user `name`, unless it exists, with all the rights of the user `of`.

        As AWS's rotation function does it ("Lambda function rotation strategies"): what SHOW
        GRANTS says of the one is granted to the other.
        """
        await self.create_user(name, iam=False)
        theirs, account = f"{quote_identifier(of)}@`%`", _account(name)
        for (grant,) in await self.execute(f"SHOW GRANTS FOR {_account(of)}"):
            text = _IDENTIFIED.sub("", str(grant))
            if not text.startswith(_NO_ACCESS):
                await self.execute(text.replace(f" TO {theirs}", f" TO {account}", 1))

    async def set_password(self, name: str, password: str) -> None:
        """Give user `name` another password, for ``mysql_native_password``."""
        stored = native_hash(password)
        await self.execute(
            f"ALTER USER {_account(name)} IDENTIFIED WITH {NATIVE_PASSWORD} AS '{stored}'"
        )

    async def create_database(self, name: str, owner: str) -> None:
        """Create the database `name`, unless it exists, with all rights there for `owner`."""
        database = quote_identifier(name)
        await self.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
        # In a grant these two are wildcards.
        pattern = re.sub(r"([_%])", r"\\\1", database)
        await self.execute(f"GRANT ALL ON {pattern}.* TO {_account(owner)}")

    async def uses_iam(self, name: str) -> bool:
        """Whether user `name` exists and authenticates through IAM.

        Raises:
            ConnectionError: The real server is gone.
        """
        # The emulator's own sessions speak UTF-8, in which there can be no such user.
        if name != name.encode(errors="surrogateescape").decode(errors="replace"):
            return False
        stored = native_hash(self._backend.secret_of(name))
        question = _IS_STORED.format(user=quote_literal(name), stored=quote_literal(stored))
        return bool(await self._look(question))

    async def _sessions(self) -> set[str]:
        own = quote_literal(self._backend.user)
        return {str(number) for (number,) in await self.execute(_SESSIONS.format(own=own))}

    async def _kill(self, sessions: set[str]) -> None:
        for number in sessions:
            # One that has ended by itself meanwhile is as good.
            with contextlib.suppress(ServerError):
                await self.execute(f"KILL {number}")

    def _as_iam(self, found: re.Match[str]) -> str:
        name = next(filter(None, found.group("single", "double", "back", "bare")))
        stored = native_hash(self._backend.secret_of(name.replace("''", "'")))
        # TLS is the gateway's, which insists on it for these accounts.
        return f"{found['account']} IDENTIFIED WITH {NATIVE_PASSWORD} AS '{stored}'"


def _account(name: str) -> str:
    return f"{quote_identifier(name)}@'%'"
