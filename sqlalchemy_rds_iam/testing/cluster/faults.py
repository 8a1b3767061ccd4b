"""What a test can do to a cluster: failovers, switch-overs and partitions."""

from __future__ import annotations

import math
import threading
from abc import ABC
from collections.abc import Callable
from typing import Any, Literal

from sqlalchemy_rds_iam.testing.account import EmulatedAccount
from sqlalchemy_rds_iam.testing.cluster.member import ClusterMember
from sqlalchemy_rds_iam.testing.cluster.names import ClusterNames

# Seconds that transactions have to end in when their server becomes read-only.
_PATIENCE = 1.0


class ClusterFaults(EmulatedAccount, ABC):
    """A cluster whose members change roles, one change at a time."""

    members: tuple[ClusterMember, ClusterMember]
    names: ClusterNames
    _synchronous: bool
    _change: threading.Lock

    @property
    def writer(self) -> ClusterMember:
        """The member that takes writes, wherever the names lead to."""
        return self.names.writer

    @property
    def standby(self) -> ClusterMember | None:
        """The member that replays what the writer writes, None while there is none."""
        return self.names.standby

    def failover(self, lag: float = 0.0, *, kill: bool | Literal["restart"] = True) -> None:
        """Promote the standby; return once it takes writes.

        With ``kill=False`` the old writer becomes read-only by ``default_transaction_read_only``,
        and its sessions go on. That is not a fence: ``BEGIN READ WRITE``, SQLAlchemy's
        ``postgresql_readonly=False`` and ``SET default_transaction_read_only`` write there, and
        what they write is lost. Sessions that are in the middle of a transaction a second later
        are ended.

        Args:
            lag: Seconds until the cluster and the reader endpoint follow. This does not wait for
                it: see `ClusterNames.moved`.
            kill: What becomes of the old writer: killed, so that connections to it are refused
                until `rejoin`; ``"restart"``: killed, and restarted as the new writer's standby;
                False: left running, read-only.

        Raises:
            RuntimeError: There is no standby: `rejoin` first.
            ValueError: Another `lag` or `kill`.
        """
        if kill not in (True, False, "restart"):
            raise ValueError(f"kill must be True, False or 'restart', not {kill!r}")
        _check(lag)
        with self._change:
            old, new = self.writer, self._existing_standby()
            if kill:
                self._stop(old.server.kill)
            else:
                self._call(old.replica.make_read_only(_PATIENCE))
            self._promote(new, lag)
            if not kill:
                self._call(old.replica.release())
            if kill == "restart":
                self._restart(old, old.server.copy)

    def switch_over(self, lag: float = 0.0) -> None:
        """Exchange the roles in good order, as a managed switch-over does; return once it is done.

        The writer is shut down, which ends its sessions (57P01), the standby gets all that it
        wrote and is promoted, and the old writer becomes its standby. Nothing can be lost.

        Args:
            lag: As with `failover`, from the promotion on.

        Raises:
            RuntimeError: There is no standby: `rejoin` first.
            ValueError: The lag is negative or not finite.
        """
        _check(lag)
        with self._change:
            old, new = self.writer, self._existing_standby()
            self._call(old.replica.hand_over(new.replica))
            self._stop(old.server.shut_down)
            self._promote(new, lag)
            self._restart(old, old.server.follow)

    def rejoin(self) -> None:
        """Make the old writer, killed or left running, the writer's standby. Ends its sessions.

        Raises:
            RuntimeError: It is the standby already.
        """
        with self._change:
            if self.standby is not None:
                raise RuntimeError(f"member {self.standby.number} is the standby already")
            [old] = (member for member in self.members if member is not self.writer)
            self._stop(old.server.kill)
            self._restart(old, old.server.copy)

    def partition(self, member: ClusterMember | None = None) -> None:
        """Swallow what clients and the writer, or `member`, send each other until `heal`.

        Connections stay open and silent, even if the server is stopped meanwhile; new ones are
        taken by the kernel, and hang. Replication goes on.
        """
        self._call(self.names.partition(member or self.writer))

    def heal(self) -> None:
        """End all partitions; what was sent meanwhile arrives now."""
        self._call(self.names.heal())

    def _stop(self, how: Callable[[], None]) -> None:
        how()
        self._call(self.names.refresh())

    def _promote(self, member: ClusterMember, lag: float) -> None:
        self._call(member.replica.promote())
        self._call(self._running_roles.move(member.backend))
        self._call(self.names.promoted(member, lag))

    def _restart(self, member: ClusterMember, how: Callable[[Any], None]) -> None:
        how(self.writer.server)
        writer = self.writer.replica
        self._call(writer.replicate(synchronous=self._synchronous))
        # Before anybody comes: what it has fetched anew may be long in coming.
        self._call(writer.await_replay(member.replica))
        self._call(self.names.joined(member))

    def _existing_standby(self) -> ClusterMember:
        if self.standby is None:
            raise RuntimeError("there is no standby: rejoin() makes one of the old writer")
        return self.standby


def _check(lag: float) -> None:
    if not 0 <= lag < math.inf:
        raise ValueError(f"lag must be a number of seconds, 0 or more, not {lag!r}")
