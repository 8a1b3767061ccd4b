"""The beginning of the URL: whether SQLAlchemy and the plugin know its dialect and its driver."""

from __future__ import annotations

import difflib
import importlib.util
from importlib.metadata import entry_points

from sqlalchemy import URL, dialects

from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.doctor.advice import shell
from sqlalchemy_rds_iam.doctor.findings import Finding, problem
from sqlalchemy_rds_iam.doctor.urls import instead

_OURS = sorted({driver.family.example.partition("+")[0] for driver in DRIVERS.values()})
# What other programs call PostgreSQL, the first one SQLAlchemy itself until 1.4.
_ALSO = {"postgres", "pg", "pgsql", "psql", "postgre", "postgresql"}
_CLOSE = 0.8


def unknown(url: URL) -> Finding | None:
    """What is wrong with the dialect; None if it is one of ours."""
    dialect = url.get_backend_name()
    if dialect in _OURS:
        return None
    if dialect.lower() in _ALSO or difflib.get_close_matches(dialect.lower(), _OURS, 1, _CLOSE):
        return problem(
            "dialect-unknown",
            f"SQLAlchemy does not know the dialect {dialect!r}: it is called {_OURS[0]!r}",
            fix="Use this URL",
            commands=(instead(with_driver(url)),),
        )
    known = {*dialects.__all__, "mariadb"}
    known |= {each.name.partition(".")[0] for each in entry_points(group="sqlalchemy.dialects")}
    if dialect in known:
        return problem(
            "driver-unknown",
            f"rds_iam and rds_secret log in to {' and '.join(_OURS)}, not to {dialect}",
            fix="Use the URL of a PostgreSQL database, or another package for this one",
        )
    return problem(
        "dialect-unknown",
        f"SQLAlchemy does not know the dialect {dialect!r}",
        fix="Correct the beginning of the URL; for PostgreSQL it is as here",
        commands=(instead(with_driver(url)),),
    )


def not_loaded(url: URL, error: ImportError | Exception) -> Finding:
    """Why SQLAlchemy cannot load the driver."""
    dialect, _, driver = url.drivername.partition("+")
    wanted = driver or "psycopg"
    missing = wanted in DRIVERS
    commands = [instead(with_driver(url))]
    if missing:
        commands.append(shell(f"pip install 'sqlalchemy-rds-iam[{wanted}]'"))
    return problem(
        "driver-missing",
        f"the driver {driver or 'of ' + dialect!r} is not installed"
        if missing
        else f"SQLAlchemy does not know the driver {driver!r} of {dialect}",
        evidence=(first_line(error),),
        fix="Use this URL, whose driver is installed"
        + (", or install the driver" if missing else ""),
        commands=tuple(commands),
    )


def corrected(url: URL) -> URL:
    """The URL with the dialect that is meant, where it has another name."""
    return with_driver(url) if url.get_backend_name() in _ALSO - {*_OURS} else url


def with_driver(url: URL) -> URL:
    """The URL with a driver that the plugin knows: the closest one that is installed."""
    _, _, driver = url.drivername.partition("+")
    there = [name for name in DRIVERS if importlib.util.find_spec(name) is not None]
    there = there or [*DRIVERS]
    close = difflib.get_close_matches(driver, there, 1, _CLOSE)
    return url.set(drivername=f"{_OURS[0]}+{(close or there)[0]}")
