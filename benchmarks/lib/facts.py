"""What the numbers depend on: day, commit, processors, Python, versions. No names and no paths."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "sqlalchemy-rds-iam",
    "SQLAlchemy",
    "greenlet",
    "botocore",
    "aiobotocore",
    "psycopg",
    "psycopg2-binary",
    "asyncpg",
    "pg8000",
    "PyMySQL",
    "asyncmy",
    "aiomysql",
    "mysqlclient",
    "mysql-connector-python",
    "mariadb",
    "uvloop",
    "redis",
    "boto3",
    "aws-advanced-python-wrapper",
)
_MISSING = "not installed"
_UNKNOWN = "unknown"
_STARTED = time.monotonic()
_ROOT = Path(__file__).parents[2]


def found() -> dict[str, Any]:
    """The facts of this run: "seconds" are those since it began."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = _MISSING
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "seconds": round(time.monotonic() - _STARTED),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": versions,
    }


def said(facts: Mapping[str, Any]) -> str:
    """The same for people, but for how long it took."""
    packages = ", ".join(
        f"{name} {number}" for name, number in facts["packages"].items() if number != _MISSING
    )
    return (
        f"{facts['day']}, commit {facts.get('commit', _UNKNOWN)}, {facts['cpus']} CPUs "
        f"({facts['machine']}, {facts['system']}), Python {facts['python']},\n{packages}"
    )


def _commit() -> str:
    """The commit that is checked out, with "+" where what is measured differs from it."""
    measured = ("sqlalchemy_rds_iam", "benchmarks", ":!benchmarks/results")
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+" if _git("status", "--short", "--", *measured) else "")
    except (OSError, subprocess.SubprocessError):
        return _UNKNOWN


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ("git", *arguments), cwd=_ROOT, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
