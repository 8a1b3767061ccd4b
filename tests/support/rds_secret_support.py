"""What tests of rds_secret look at."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import URL
from worlds import Database

from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

USER = "keeper"
"""The database user of the secret in the fixtures."""

LogIn = Callable[..., Database]


def secret_url(rds: RdsEmulator, secret: Secret | str, drivername: str, **more: str | None) -> URL:
    """A URL that says which secret, what the certificate names, and no more than is needed.

    Args:
        rds: the emulator.
        secret: it, or its name.
        drivername: dialect and driver.
        more: options besides, or in place of these; None leaves one out.
    """
    query = {
        "plugin": "rds_secret",
        "rds_secret_id": secret if isinstance(secret, str) else secret.name,
        "rds_secret_host": rds.endpoint.host,
        "rds_secret_ca": str(rds.ca_file),
        "rds_secret_region": rds.endpoint.region,
    }
    said = {name: value for name, value in (query | more).items() if value is not None}
    return URL.create(drivername, query=said)
