"""A PostgreSQL in a cluster: streaming replication, asynchronous or synchronous.

See "Log-Shipping Standby Servers" in the PostgreSQL documentation.
"""

from __future__ import annotations

import contextlib
from typing import Any

from sqlalchemy_rds_iam.testing.database.replica import Replica
from sqlalchemy_rds_iam.testing.postgresql.wire import quote_literal

_REPLAYED = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= {}"
_CLIENTS = """
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_NONE = f"SELECT 1 WHERE NOT EXISTS (SELECT {_CLIENTS} AND {{}})"


class PostgresReplica(Replica):
    """A PostgreSQL's part in the replication."""

    async def promote(self) -> None:
        """Make a standby a primary; return once it takes writes."""
        await self._users.execute("SELECT pg_promote(false)")
        await self.until("SELECT 1 WHERE NOT pg_is_in_recovery()")

    async def replicate(self, *, synchronous: bool) -> None:
        """As a primary, wait for the standby, and have commits wait for it from then on."""
        await self.until("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
        if synchronous:
            await self._users.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await self._users.execute("SELECT pg_reload_conf()")
            await self.until("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")

    async def await_replay(self, _standby: Any) -> None:
        """As a primary, wait until the standby shows what has been written by now."""
        [(end,)] = await self._users.execute("SELECT pg_current_wal_lsn()")
        await self.until(_REPLAYED.format(quote_literal(str(end))))

    async def make_read_only(self, patience: float) -> None:
        """Have transactions be read-only by default; return once none from before is under way.

        Args:
            patience: Seconds after which those are ended, and their sessions with them.
        """
        [(before,)] = await self._users.execute("SELECT clock_timestamp()")
        await self._users.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await self._users.execute("SELECT pg_reload_conf()")
        # The server has told all its sessions by the time that it takes a new one.
        await self.until(f"SELECT 1 WHERE pg_conf_load_time() >= {quote_literal(str(before))}")
        [(told,)] = await self._users.execute("SELECT clock_timestamp()")
        older = f"xact_start <= {quote_literal(str(told))}"
        with contextlib.suppress(TimeoutError):
            await self.until(_NONE.format(older), patience)
        await self._end_sessions(older)

    async def release(self) -> None:
        """As a primary whose standby is gone, have commits wait for it no more.

        A commit that is waiting is not told to be done, which it may never be anywhere else.
        """
        await self._end_sessions("backend_xid IS NOT NULL")
        await self._users.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        await self._users.execute("SELECT pg_reload_conf()")

    async def hand_over(self, _standby: Any) -> None:
        """Nothing is needed: a server that shuts down sends its standby all that it has."""

    async def _end_sessions(self, which: str) -> None:
        await self._users.execute(f"SELECT pg_terminate_backend(pid) {_CLIENTS} AND {which}")
        await self.until(_NONE.format(which))
