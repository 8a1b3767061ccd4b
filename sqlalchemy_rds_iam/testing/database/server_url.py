"""The URL by which an existing server is named, of either family."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit


def read(url: str, schemes: tuple[str, ...], database: str | None, port: int) -> dict[str, Any]:
    """Read ``scheme://user:password@host:port/database``.

    Args:
        url: names the server and whom the emulator may log in as there.
        schemes: what it may begin with; the first one is named in errors.
        database: where it names none.
        port: where it names none.

    Returns:
        What a family's ``Backend`` is made from.

    Raises:
        ValueError: Another scheme, or no user.
    """
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.username:
        raise ValueError(
            f"server must look like {schemes[0]}://user:password@host:port/database, "
            f"not {parts.scheme}://{parts.hostname or ''}"
        )
    return {
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.lstrip("/")) or database,
        "host": parts.hostname or "127.0.0.1",
        "port": parts.port or port,
    }
