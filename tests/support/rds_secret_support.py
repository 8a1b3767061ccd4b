"""What tests of rds_secret look at."""

from __future__ import annotations

from collections.abc import Callable

from worlds import Database

USER = "keeper"
"""The database user of the secret in the fixtures."""

LogIn = Callable[..., Database]
