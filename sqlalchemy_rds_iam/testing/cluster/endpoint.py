"""One name of a cluster: where it leads to, and what has come by it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from sqlalchemy_rds_iam.testing.cluster.member import ClusterMember
from sqlalchemy_rds_iam.testing.database.listener import Listeners
from sqlalchemy_rds_iam.testing.database.traffic import Traffic
from sqlalchemy_rds_iam.testing.database.verifier import SignedEndpoint


class ClusterEndpoint:
    """A port on loopback that stands for a DNS name. Moving it changes where new connections go.

    Attributes:
        signed: The host, port and region that tokens for it are signed for.
        target: The member it leads to, None while there is none.
        traffic: What has come by it; see `Traffic`.
    """

    def __init__(self, signed: SignedEndpoint, target: ClusterMember | None = None) -> None:
        self.signed = signed
        self.target = target
        self.traffic = Traffic()
        self._listener = Listeners(self._serve)

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port that clients connect to."""
        return self._listener.address

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Every IP address, with the port, that clients may connect to."""
        return self._listener.addresses

    @property
    def refuses(self) -> bool:
        """Whether connections are refused, as there is no server where it leads to."""
        return not self._listener.is_open

    async def start(self, hosts: Sequence[str], port: int = 0) -> None:
        """Listen on `hosts` and `port` (0: any free one), as far as the target is there.

        Raises:
            OSError: The port cannot be bound.
        """
        self._listener.bind(hosts, port)
        self.refresh()

    async def stop(self) -> None:
        """Give the port back; the sessions belong to the member."""
        self._listener.close()

    def refresh(self) -> None:
        """Accept or refuse connections, as the target is now. For the emulator's event loop."""
        if self.target is not None and self.target.answers:
            self._listener.open()
        else:
            self._listener.shut()

    def _serve(self, sock: socket.socket) -> None:
        assert self.target is not None
        self.traffic.connects += 1
        self.target.gateway.serve(sock, self.traffic)
