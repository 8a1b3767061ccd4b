"""Which member is what, and which name leads to it: two things, as the second comes later."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

from sqlalchemy_rds_iam.testing.cluster.endpoint import ClusterEndpoint
from sqlalchemy_rds_iam.testing.cluster.member import ClusterMember
from sqlalchemy_rds_iam.testing.database.verifier import SignedEndpoint


class ClusterNames:
    """The endpoints of a cluster. What is a coroutine is for the emulator's event loop.

    Attributes:
        cluster: The cluster endpoint, which is the writer's.
        reader: The reader endpoint.
        instances: The instance endpoints, which never move.
        writer: The member that takes writes.
        standby: The member that replays them, None while there is none.
        promoted_at: When the writer was promoted, by ``time.monotonic()``; 0 before the first time.
        moved_at: When the names followed, by the same clock.
        moved: Set while the names lead to where they should; a failover clears it until they do.
    """

    def __init__(
        self,
        signed: Sequence[SignedEndpoint],
        members: Sequence[ClusterMember],
        *,
        lone_writer_reads: bool,
    ) -> None:
        """Of `members`, the first is the writer, the second its standby.

        Args:
            signed: What is signed for the cluster, its reader, and each member.
            members: The servers, which run.
            lone_writer_reads: See `RdsCluster`.
        """
        self.cluster, self.reader = (ClusterEndpoint(each) for each in signed[:2])
        pairs = zip(signed[2:], members, strict=True)
        self.instances = tuple(ClusterEndpoint(*pair) for pair in pairs)
        self.writer: ClusterMember = members[0]
        self.standby: ClusterMember | None = members[1]
        self.promoted_at = self.moved_at = 0.0
        self.moved = threading.Event()
        self._members = tuple(members)
        self._lone_writer_reads = lone_writer_reads
        self._timer: asyncio.TimerHandle | None = None

    @property
    def endpoints(self) -> tuple[ClusterEndpoint, ...]:
        """The endpoints of cluster, reader and instances, in this order."""
        return (self.cluster, self.reader, *self.instances)

    def instance(self, number: int) -> ClusterEndpoint:
        """The instance endpoint of member `number`.

        Raises:
            ValueError: There is no such member.
        """
        if not 1 <= number <= len(self.instances):
            raise ValueError(
                f"there is no instance {number!r}: they are numbered 1 to {len(self.instances)}"
            )
        return self.instances[number - 1]

    async def start(self, hosts: Sequence[str], port: int) -> None:
        """Listen, on `port` and those after it, or (0) on any free ones.

        Args:
            hosts: IP addresses; all but the first are left out where the system lacks them.
            port: The first port.

        Raises:
            OSError: A port cannot be bound.
        """
        self._lead()
        self.moved.set()
        for offset, endpoint in enumerate(self.endpoints):
            await endpoint.start(hosts, port and port + offset)

    async def stop(self) -> None:
        """Give all ports back."""
        self._cancel()
        for endpoint in self.endpoints:
            await endpoint.stop()

    async def promoted(self, member: ClusterMember, lag: float) -> None:
        """Note that `member` is the writer, and let the names follow in `lag` seconds."""
        self.writer, self.standby = member, None
        self.promoted_at = time.monotonic()
        self._cancel()
        if lag:
            self._timer = asyncio.get_running_loop().call_later(lag, self._move)
        else:
            self._move()

    async def joined(self, member: ClusterMember) -> None:
        """Note that `member` is the standby; the reader's name leads to it, unless it is late."""
        self.standby = member
        if self.moved.is_set():
            self._lead()
        self._refresh()

    async def move_at_once(self) -> None:
        """Let the names follow, without waiting for the rest of a lag."""
        if not self.moved.is_set():
            self._cancel()
            self._move()

    async def refresh(self) -> None:
        """Accept or refuse connections, as the members are now."""
        self._refresh()

    async def partition(self, member: ClusterMember) -> None:
        """Cut `member` off from its clients."""
        member.gateway.reachable.clear()
        self._refresh()

    async def heal(self) -> None:
        """End all partitions."""
        for member in self._members:
            member.gateway.reachable.set()
        self._refresh()

    def _move(self) -> None:
        self._lead()
        self._refresh()
        self.moved_at = time.monotonic()
        self.moved.set()

    def _lead(self) -> None:
        self.cluster.target = self.writer
        alone = self.writer if self._lone_writer_reads else None
        self.reader.target = self.standby or alone

    def _refresh(self) -> None:
        for endpoint in self.endpoints:
            endpoint.refresh()

    def _cancel(self) -> None:
        self.moved.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
