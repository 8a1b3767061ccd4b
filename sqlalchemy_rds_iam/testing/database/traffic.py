"""What has come by an endpoint, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Traffic:
    """What has come by one endpoint. It counts before it passes on, so nothing is seen too early.

    Attributes:
        connects: Connections that were accepted.
        logins: Sessions that the server opened.
        round_trips: Requests that a client waits for the answer of, without those of its login.
        messages: The messages of clients by type, as in the chapter "Message Formats": ``Q`` is a
            simple query, ``P`` Parse, ``S`` Sync, ``X`` a goodbye. With MySQL the commands, as in
            "Command Phase": ``query``, ``ping``, ``quit``, and others by their number.
    """

    connects: int = 0
    logins: int = 0
    round_trips: int = 0
    messages: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Begin to count anew."""
        self.connects = self.logins = self.round_trips = 0
        self.messages.clear()
