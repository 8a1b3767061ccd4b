"""A MariaDB in a cluster: asynchronous or semi-synchronous replication, by GTID.

See "Semisynchronous Replication" and "Global Transaction ID" in the MariaDB documentation.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy_rds_iam.testing.database.replica import Replica
from sqlalchemy_rds_iam.testing.mysql.replication_port import ReplicationPort

_FOLLOWED = "SELECT 1 FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"
_SYNCHRONOUS = """
SELECT 1 FROM information_schema.global_status
WHERE variable_name = 'RPL_SEMI_SYNC_MASTER_CLIENTS' AND variable_value > 0
"""
# Seconds that commits under way, and table locks, have before it shuts down.
_PATIENCE = 1.0
_WROTE = "SELECT @@gtid_binlog_pos"
_SHOWS = "SELECT 1 FROM DUAL WHERE MASTER_GTID_WAIT('{}', 0.1) = 0"


class MariaDbReplica(Replica):
    """A MariaDB's part in the replication."""

    async def start(self) -> None:
        """Let others follow."""
        self._port = ReplicationPort(self._server.socket)
        self._server.leads_from = self._port.start()

    async def stop(self) -> None:
        """End that."""
        await self._port.stop()

    async def promote(self) -> None:
        """Make a standby a primary; return once it takes writes."""
        await self._users.execute("STOP SLAVE IO_THREAD")
        # What has come from the old primary may have been reported there as done.
        [status] = await self._users.execute("SHOW SLAVE STATUS")
        received = status[status.index("Slave_Pos") + 1]  # Using_Gtid, Gtid_IO_Pos
        await self.until(_SHOWS.format(received))
        await self._users.execute("STOP SLAVE")
        await self._users.execute("RESET SLAVE ALL")
        await self._users.execute("SET GLOBAL read_only = 0")

    async def replicate(self, *, synchronous: bool) -> None:
        """As a primary, wait for the standby, and have commits wait for it from then on."""
        await self.until(_FOLLOWED)
        if synchronous:
            await self._users.execute("SET GLOBAL rpl_semi_sync_master_enabled = 1")
            await self.until(_SYNCHRONOUS)

    async def await_replay(self, standby: Any) -> None:
        """As a primary, wait until `standby` shows what has been written by now."""
        [(written,)] = await self._users.execute(_WROTE)
        await standby.until(_SHOWS.format(written))

    async def make_read_only(self, patience: float) -> None:
        """Take no more writes.

        The server waits for commits under way and for table locks; a transaction that has written
        fails when it commits.
        """
        try:
            async with asyncio.timeout(patience):
                await self._users.execute("SET GLOBAL read_only = 1")
        except TimeoutError:
            await self._users.kill_sessions()
            await self._users.execute("SET GLOBAL read_only = 1")

    async def release(self) -> None:
        """As a primary whose standby is gone, have commits wait for it no more.

        None is waiting: it takes no more writes, and has waited for those under way.
        """
        await self._users.execute("SET GLOBAL rpl_semi_sync_master_enabled = 0")

    async def hand_over(self, standby: Any) -> None:
        """As a primary that shuts down next, see that `standby` will have it all.

        A shut-down by a signal ends the replication first, whatever has not been sent.
        """
        await self.make_read_only(_PATIENCE)
        await self.await_replay(standby)
