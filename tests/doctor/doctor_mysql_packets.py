"""Packets of a MySQL server, for the tests of what the doctor makes of them."""

from __future__ import annotations

from sqlalchemy_rds_iam.doctor.mysql import packets

SHA2 = "caching_sha2_password"


def greeting_of(plugin: str = SHA2, *, tls: bool = True) -> bytes:
    """A greeting of MySQL 8's, with the capabilities that matter here."""
    bits = packets.PROTOCOL_41 | packets.SECURE_CONNECTION | packets.PLUGIN_AUTH
    bits |= packets.SSL if tls else 0
    low, high = (bits & 0xFFFF).to_bytes(2, "little"), (bits >> 16).to_bytes(2, "little")
    payload = (
        b"\x0a8.0.39\0"
        + bytes(4)
        + b"saltsalt\0"
        + low
        + b"\x2d\x02\0"
        + high
        + b"\x15"
        + bytes(10)
    )
    return packets.framed(payload + b"saltsaltsalt\0" + plugin.encode() + b"\0", 0)


def error_of(number: int, words: str, sqlstate: str = "#28000") -> bytes:
    """An ERR_Packet, without its header."""
    return b"\xff" + number.to_bytes(2, "little") + sqlstate.encode() + words.encode()
