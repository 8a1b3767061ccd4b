"""TCP to all addresses of a name at once: the first that answers counts, and none is waited for."""

from __future__ import annotations

import errno
import ipaddress
import os
import selectors
import socket
import time
from typing import NamedTuple

_NO_ROUTE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EHOSTUNREACH}

Address = tuple[str, int]


class Dialled(NamedTuple):
    """What came of it.

    Attributes:
        address: the one that took the connection; None if none did.
        failed: why the others did not, in the order of DNS.
        connection: to that address, for the caller to close.
    """

    address: Address | None
    failed: dict[Address, OSError]
    connection: socket.socket | None = None


def dial(addresses: list[Address], seconds: float) -> Dialled:
    """Connect to all `addresses` at once, and close all connections but the first again.

    Args:
        addresses: IP addresses and ports.
        seconds: how long to wait for an answer of any.
    """
    end = time.monotonic() + seconds
    found: Address | None = None
    connection: socket.socket | None = None
    failed: dict[Address, OSError] = {}
    with selectors.DefaultSelector() as selector:
        for address in addresses:
            try:
                selector.register(_begin(address), selectors.EVENT_WRITE, address)
            except OSError as error:
                failed[address] = error
        try:
            while found is None and selector.get_map():
                ready = selector.select(max(0.0, end - time.monotonic()))
                if not ready and time.monotonic() >= end:
                    break
                for key, _ in ready:
                    refusal = _end(key)
                    if refusal is None and found is None:
                        selector.unregister(key.fileobj)
                        assert isinstance(key.fileobj, socket.socket)
                        found, connection = key.data, key.fileobj
                        continue
                    _close(selector, key)
                    if refusal is not None:
                        failed[key.data] = refusal
        finally:
            for key in list(selector.get_map().values()):
                if found is None:
                    failed[key.data] = TimeoutError("timed out")
                _close(selector, key)
    return Dialled(found, {each: failed[each] for each in addresses if each in failed}, connection)


def _begin(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setblocking(False)
    code = one.connect_ex(address)
    if code not in {0, errno.EINPROGRESS, errno.EWOULDBLOCK}:
        one.close()
        raise OSError(code, os.strerror(code))
    return one


def _end(key: selectors.SelectorKey) -> OSError | None:
    code = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # type: ignore[union-attr]
    return OSError(code, os.strerror(code)) if code else None


def _close(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    selector.unregister(key.fileobj)
    key.fileobj.close()  # type: ignore[union-attr]


def without_ipv6(failed: dict[Address, OSError]) -> bool:
    """Whether a name has IPv6 addresses only, and this machine has no way to them."""
    only = bool(failed) and all(
        ipaddress.ip_address(host.partition("%")[0]).version == 6  # noqa: PLR2004
        and not ipaddress.ip_address(host.partition("%")[0]).is_loopback
        for host, _ in failed
    )
    return only and all(
        error.errno in _NO_ROUTE or not _has_route(address) for address, error in failed.items()
    )


def own_address(address: Address) -> str | None:
    """The address that this machine has towards another one; None without a route to it."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            # Nothing is sent: a datagram socket only looks the route up.
            one.connect((address[0], address[1] or 9))
            return str(one.getsockname()[0])
    except OSError:
        return None


def _has_route(address: Address) -> bool:
    return own_address(address) is not None
