"""A database of an account that does not exist, for what is measured without any server."""

from __future__ import annotations

import os

from sqlalchemy import URL

from benchmarks.lib.drivers import drivername
from sqlalchemy_rds_iam._databases import known

HOST, USER, REGION = "app-db.c0ffee123456.us-east-1.rds.amazonaws.com", "app", "us-east-1"

CONNECTION = object()
"""What connecting there returns."""


def url(driver: str, query: dict[str, str]) -> URL:
    """A database of an account that does not exist."""
    port = known.driver(driver).family.port
    return URL.create(drivername(driver), USER, host=HOST, port=port, database="app", query=query)


def own_environment() -> None:
    """Nothing of the machine's AWS settings; keys that open nothing."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "PG"))]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
