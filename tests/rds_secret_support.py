"""What tests of rds_secret look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worlds import Database

USER = "keeper"
"""The database user of the secret in the fixtures."""

LogIn = Callable[..., Database]

WHO = "select current_user || '@' || current_database()"


def soon(condition: Callable[[], Any]) -> None:
    """Do something again and again, up to 200 times, until it says that it is so."""
    assert any(condition() for _ in range(200))
