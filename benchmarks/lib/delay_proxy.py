"""A network with a round trip, between a client and a server on the same machine.

A proxy in a process of its own passes every chunk on after half of the round trip, in its order and
at any rate. It counts what no noise of the machine moves: the round trips of each connection, by
how often the client was answered before it sent something again. What a client sends unasked while
an answer is on its way counts for none, as over a network, if there is a delay at all.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from benchmarks.lib.command_process import CommandProcess


class Passage(NamedTuple):
    """What was seen of one connection so far.

    Attributes:
        round_trips: those that the client has waited for, that of TCP's handshake included.
        hello_retries: how many of them are TLS's HelloRetryRequest (RFC 8446, section 4.1.4).
    """

    round_trips: int
    hello_retries: int


class DelayProxy:
    """The proxy, seen from another process, while the block lasts.

    Args:
        host: IP address of the server, where the proxy listens as well.
        port: the server's.

    Attributes:
        port: where the proxy listens.
    """

    port: int

    def __init__(self, host: str, port: int) -> None:
        self._process = CommandProcess(
            "benchmarks.lib.delay_proxy_process", host, str(port), name="the delay proxy"
        )

    def __enter__(self) -> Self:
        self._process.__enter__()
        try:
            self.port = self._process.answer()["port"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def start_over(self, round_trip: float) -> None:
        """Forget what was seen; new connections have a round trip of so many seconds."""
        self._process.ask("start_over", round_trip)

    def seen(self) -> list[Passage]:
        """What was seen of each connection since then, in the order they came."""
        return [Passage(*each) for each in self._process.ask("seen")["connections"]]

    def round_trips(self) -> int:
        """Those of all connections since then."""
        return sum(each.round_trips for each in self.seen())
