"""Connections to the server that carry no token: as the options ask for, or to look closer."""

from __future__ import annotations

import ssl
from typing import Any

from sqlalchemy import make_url

from sqlalchemy_rds_iam._tls import contexts
from sqlalchemy_rds_iam.doctor import certificate, manners
from sqlalchemy_rds_iam.doctor.certificate import Certificate
from sqlalchemy_rds_iam.doctor.findings import Command
from sqlalchemy_rds_iam.doctor.server_answers import database
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import instead
from sqlalchemy_rds_iam.doctor.wire import Door

FIRST, SECOND = 0.6, 0.5
"""Of the time that is left: for the first connection, and for one that looks closer."""


def context(state: State) -> ssl.SSLContext:
    """What the plugin has the driver verify the server with."""
    target = state.settled
    for value in target.arguments.values():
        if isinstance(value, ssl.SSLContext):
            return value
    mode, ca = verification(state)
    full, alpn = mode == "verify-full", target.driver.family.alpn
    found: ssl.SSLContext = contexts.context(mode, ca, target.host, check_name=full, alpn=alpn)
    return found


def verification(state: State) -> tuple[str, str | None]:
    """How much the driver verifies, and with which CA file; a context has its own."""
    arguments = state.settled.arguments
    if any(isinstance(value, ssl.SSLContext) for value in arguments.values()):
        return state.config.tls, None
    return manners.of(state).verification(arguments)


def knock(state: State, seconds: float, port: int | None = None) -> Door:
    """A connection to the address that answers, at another port if need be.

    It is the one that is open already, if there is one: a server counts against this machine what
    connects and goes away.

    Raises:
        OSError: there is none.
    """
    assert state.address is not None
    host, usual = state.address
    connection = None
    if port is None:
        connection, state.connection = state.connection, None
    return manners.of(state).door((host, port or usual), seconds, connection)


def open_door(state: State, seconds: float) -> Door:
    """A connection with TLS as the options ask for it: the one that is open already, or a new one.

    Raises:
        OSError: there is none; `DeclinedError` and `ssl.SSLError` among them.
    """
    door, state.door = state.door, None
    if door is not None:
        if door.renew(seconds):
            return door
        door.close()
    door = knock(state, seconds)
    try:
        door.encrypt(context(state), state.dialled.strip("[]"))
    except BaseException:
        door.close()
        raise
    return door


def in_clear(state: State) -> tuple[str, ...]:
    """What a server without TLS says of itself; only a user's name is sent."""
    try:
        with knock(state, state.schedule.left("TLS", SECOND)) as door:
            reply = door.ask(state.settled.endpoint.user, database(state))
    except OSError:
        return ()
    if reply.refused:
        return (f"without TLS it says: {reply.words} ({reply.code})",)
    return (f"without TLS it {reply.asks}",)


def right_port(state: State) -> tuple[Command, ...]:
    """The URL with the family's own port, if the right server answers there."""
    port = state.usual_port
    if state.address is None or state.port == port:
        return ()
    try:
        with knock(state, state.schedule.left("TLS", SECOND), port) as door:
            door.encrypt(context(state), state.dialled.strip("[]"))
    except OSError:
        return ()
    return (instead(make_url(state.given).set(port=port)),)


def shown_certificate(state: State) -> Certificate | None:
    """The server's certificate, from a connection that trusts any server and carries nothing."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    if alpn := state.driver.family.alpn:
        trusting.set_alpn_protocols([alpn])
    try:
        with knock(state, state.schedule.left("TLS", SECOND)) as door:
            return read(door.encrypt(trusting, state.settled.endpoint.host))
    except OSError:
        return None


def read(encrypted: ssl.SSLSocket) -> Certificate | None:
    """The certificate of a connection; None if it cannot be read."""
    der: Any = encrypted.getpeercert(binary_form=True)
    try:
        return certificate.read(der or b"")
    except (ImportError, ValueError):
        return None
