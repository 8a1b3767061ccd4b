"""Reads what a packet of MySQL holds, part by part. Pure.

See "Protocol Data Types" in the MySQL Internals Manual.
"""

from __future__ import annotations

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError


class Cursor:
    """Reads the parts of a payload one after the other; each raises ProtocolError at its end."""

    def __init__(self, payload: bytes, at: int = 0) -> None:
        self._payload = payload
        self._at = at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if self._at + count > len(self._payload):
            raise ProtocolError("a packet ends too early")
        self._at += count
        return self._payload[self._at - count : self._at]

    def text(self, *, cut: bool = False) -> bytes:
        """Bytes up to a zero, or, if it may be `cut`, to the end."""
        end = self._payload.find(b"\0", self._at)
        if end < 0:
            if cut:
                return self.rest()
            raise ProtocolError("a packet ends within a string")
        found = self._payload[self._at : end]
        self._at = end + 1
        return found

    def number(self) -> int:
        """A length-encoded integer."""
        first = self.take(1)[0]
        size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
        if size is not None:
            return int.from_bytes(self.take(size), "little")
        if first > 0xFA:  # noqa: PLR2004
            raise ProtocolError("a packet holds a length that is none")
        return first

    def value(self) -> bytes | None:
        """A length-encoded string, or NULL."""
        if self._payload[self._at : self._at + 1] == b"\xfb":
            self._at += 1
            return None
        return self.take(self.number())

    def rest(self) -> bytes:
        """What is left."""
        return self.take(len(self._payload) - self._at)
