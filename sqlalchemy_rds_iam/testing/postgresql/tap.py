"""What passes between clients and the server, seen message by message: counted, and forged."""

from __future__ import annotations

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError
from sqlalchemy_rds_iam.testing.database.traffic import Traffic
from sqlalchemy_rds_iam.testing.knobs import Knobs
from sqlalchemy_rds_iam.testing.postgresql import wire

# Each of these asks for an answer at once: Query, Sync, FunctionCall, Flush.
_REQUESTS = frozenset((b"Q", b"S", b"F", b"H"))


class MessageCutter:
    """Cuts a stream of bytes into whole messages."""

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """All messages that are complete by now; the first byte of each is its type."""
        self.rest += chunk
        found, at = [], 0
        while len(self.rest) >= at + 5:
            length = int.from_bytes(self.rest[at + 1 : at + 5], "big")
            if length < 4:  # noqa: PLR2004 - the length counts itself
                raise ProtocolError(f"a message of {length} bytes")
            if len(self.rest) < at + 1 + length:
                break
            found.append(bytes(self.rest[at : at + 1 + length]))
            at += 1 + length
        del self.rest[:at]
        return found


class Tap:
    """One session's messages, from its login on."""

    def __init__(self, traffic: Traffic, knobs: Knobs) -> None:
        """Count in `traffic`, and do what `knobs` say."""
        self._traffic = traffic
        self._knobs = knobs
        self._is_open = False
        self._said, self._heard = MessageCutter(), MessageCutter()

    def said(self, chunk: bytes) -> bytes:
        """What to pass on of a client's `chunk`."""
        for message in self._said.feed(chunk):
            kind = message[:1]
            self._traffic.messages[kind.decode("latin-1")] += 1
            self._traffic.round_trips += kind in _REQUESTS
        return chunk

    def heard(self, chunk: bytes) -> bytes:
        """What to pass on of the server's `chunk`."""
        return b"".join(self._passed_on(message) for message in self._heard.feed(chunk))

    def _passed_on(self, message: bytes) -> bytes:
        if message[:1] == b"Z" and not self._is_open:
            self._is_open = True
            self._traffic.logins += 1
        if message[:1] != b"S":
            return message
        name, value, _ = message[5:].split(b"\0", 2)
        forged = self._knobs.forged_status.get(name.decode(), value.decode())
        return b"" if forged is None else wire.parameter_status(name.decode(), forged)
