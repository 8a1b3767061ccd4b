"""What clients say to the server, seen command by command: counted."""

from __future__ import annotations

from sqlalchemy_rds_iam.testing.database.traffic import Traffic
from sqlalchemy_rds_iam.testing.mysql import wire

# COM_QUIT, COM_STMT_SEND_LONG_DATA and COM_STMT_CLOSE, which are not answered.
_NOT_ANSWERED = frozenset((0x01, 0x18, 0x19))
_NAMES = {0x01: "quit", 0x03: "query", 0x0E: "ping"}


class CommandFinder:
    """Finds the commands in a stream of packets: those that are numbered zero."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._begins = False

    def feed(self, chunk: bytes) -> list[int]:
        """The first bytes, which say what is wanted, of all commands that begin in `chunk`."""
        found: list[int] = []
        while chunk:
            if self._left:
                if self._begins:
                    found.append(chunk[0])
                    self._begins = False
                taken = min(self._left, len(chunk))
                self._left -= taken
            else:
                taken = wire.HEADER - len(self._header)
                self._header += chunk[:taken]
                if len(self._header) == wire.HEADER:
                    self._left, number = wire.header(self._header)
                    self._begins, self._header = number == 0, b""
            chunk = chunk[taken:]
        return found


class Tap:
    """One session's commands, from its login on."""

    def __init__(self, traffic: Traffic) -> None:
        """Count in `traffic`."""
        self._traffic = traffic
        self._commands = CommandFinder()
        traffic.logins += 1

    def said(self, chunk: bytes) -> bytes:
        """What to pass on of a client's `chunk`: all of it."""
        for command in self._commands.feed(chunk):
            self._traffic.messages[_NAMES.get(command, f"{command:#04x}")] += 1
            self._traffic.round_trips += command not in _NOT_ANSWERED
        return chunk

    def heard(self, chunk: bytes) -> bytes:
        """What to pass on of the server's `chunk`: all of it."""
        return chunk
