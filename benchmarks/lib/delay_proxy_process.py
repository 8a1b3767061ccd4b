"""The process of the delay proxy: see `delay_proxy` and `command_process`.

The kernel greets a client at once, so that the proxy has to make up for the round trip of TCP's
handshake: the server hears of the client a round trip and a half after it came, as it would over
such a network, and what the client sends first takes as long.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from typing import Any

from benchmarks.lib.command_process import say, serve

_HELLO_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that asks for another ClientHello (RFC 8446, section 4.1.3)."""


class _Passage:
    """One client's connection, and what has been seen of it where the client is.

    Args:
        one_way: seconds that every chunk takes.
    """

    def __init__(self, one_way: float) -> None:
        self.one_way = one_way
        self.answers = 0
        self.hello_retries = 0
        self._is_answered = False
        self._tail = b""

    def sent(self) -> None:
        """The client has sent something."""
        self._is_answered = False

    def received(self, data: bytes) -> None:
        """The client receives something: an answer if it is the first since it has sent."""
        self.answers += not self._is_answered
        self._is_answered = True
        seen = self._tail + data
        self.hello_retries += seen.count(_HELLO_RETRY)
        self._tail = seen[1 - len(_HELLO_RETRY) :]


class _End(asyncio.Protocol):
    """One of the two connections of a passage; what comes in here goes out at the other one, late.

    Every chunk waits for itself, so that nothing limits how much is under way.
    """

    peer: _End

    def __init__(self, passage: _Passage, *, of_client: bool) -> None:
        self._passage, self._of_client = passage, of_client
        self._transport: asyncio.Transport | None = None
        self._under_way: deque[bytes | None] = deque()
        self._early: list[bytes | None] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        for data in self._early:
            self.put(data)

    def data_received(self, data: bytes) -> None:
        if self._of_client:
            self._passage.sent()
        self._send(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._send(None)

    def _send(self, data: bytes | None) -> None:
        self._under_way.append(data)
        # One after the other, even if two are due at the same time.
        asyncio.get_running_loop().call_later(
            self._passage.one_way, lambda: self.peer.put(self._under_way.popleft())
        )

    def put(self, data: bytes | None) -> None:
        """Write what has come from the other end; None is its end."""
        if self._transport is None:
            self._early.append(data)
        elif data is None:
            self._transport.close()
        elif not self._transport.is_closing():
            if self._of_client:
                self._passage.received(data)
            self._transport.write(data)


class _Commands:
    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._one_way = 0.0
        self._passages: list[_Passage] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()

    def listen(self) -> int:
        """Accept connections for the rest of the process's life; the answer is the port."""
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def start_over(self, round_trip: float) -> None:
        self._one_way = round_trip / 2
        self._passages = []

    def seen(self) -> dict[str, Any]:
        # The round trip of TCP's handshake is not among the answers.
        found = [(1 + each.answers, each.hello_retries) for each in self._passages]
        return {"connections": found}

    async def _listen(self) -> int:
        server = await self._loop.create_server(self._accept, self._server[0], 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def _accept(self) -> _End:
        passage = _Passage(self._one_way)
        self._passages.append(passage)
        client, server = _End(passage, of_client=True), _End(passage, of_client=False)
        client.peer, server.peer = server, client
        task = self._loop.create_task(self._reach(server, 3 * passage.one_way))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return client

    async def _reach(self, server: _End, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            await self._loop.create_connection(lambda: server, *self._server)
        except OSError:
            server.peer.put(None)


def _serve() -> None:
    commands = _Commands(sys.argv[1], int(sys.argv[2]))
    say({"port": commands.listen()})
    serve(commands)


if __name__ == "__main__":
    _serve()
