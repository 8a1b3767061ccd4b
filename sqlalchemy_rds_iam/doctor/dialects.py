"""The beginning of the URL: whether SQLAlchemy and the plugin know its dialect and its driver."""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points

from sqlalchemy import URL, dialects

from sqlalchemy_rds_iam._databases.known import DRIVERS, FAMILIES, module_of
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam._requirements import install, missing
from sqlalchemy_rds_iam.doctor.advice import shell
from sqlalchemy_rds_iam.doctor.findings import Finding, problem
from sqlalchemy_rds_iam.doctor.urls import instead

_ALSO = {
    **dict.fromkeys(
        ("postgres", "pg", "pgsql", "psql", "postgre", "aurora-postgresql"), "postgresql"
    ),
    **dict.fromkeys(("aurora", "aurora-mysql", "mysql8"), "mysql"),
    "maria": "mariadb",
}
"""What other programs call the databases; the first one SQLAlchemy itself until 1.4."""
_CLOSE = 0.8
_OURS = ", ".join(dict.fromkeys(each.title for each in FAMILIES.values()))


def unknown(url: URL) -> Finding | None:
    """What is wrong with the dialect; None if it is one of ours."""
    dialect = url.get_backend_name()
    if dialect in FAMILIES:
        return _of_another_family(url)
    if (meant := _meant(dialect)) is not None:
        return problem(
            "dialect-unknown",
            f"SQLAlchemy does not know the dialect {dialect!r}: it is called {meant!r}",
            fix="Use this URL",
            commands=(instead(with_driver(url, meant)),),
        )
    known = {*dialects.__all__, "mariadb"}
    known |= {each.name.partition(".")[0] for each in entry_points(group="sqlalchemy.dialects")}
    if dialect in known:
        return problem(
            "driver-unknown",
            f"rds_iam and rds_secret log in to {_OURS}, not to {dialect}",
            fix="Use the URL of such a database, or another package for this one",
        )
    return problem(
        "dialect-unknown",
        f"SQLAlchemy does not know the dialect {dialect!r}",
        fix="Correct the beginning of the URL; it is one of these",
        commands=tuple(instead(with_driver(url, each)) for each in FAMILIES),
    )


def _meant(dialect: str) -> str | None:
    """The dialect that is meant by a name that SQLAlchemy does not know."""
    name = dialect.lower()
    close = difflib.get_close_matches(name, FAMILIES, 1, _CLOSE)
    return _ALSO.get(name) or next(iter(close), None)


def _of_another_family(url: URL) -> Finding | None:
    """What is wrong with a driver that is for another dialect than the one before it."""
    dialect, _, name = url.drivername.partition("+")
    row = DRIVERS.get(name)
    if row is None or dialect in row.family.backends:
        return None
    # The port is what tells whose URL it was to be.
    servers = url.port == row.family.port
    backends = (
        [*row.family.backends[:1], dialect] if servers else [dialect, *row.family.backends[:1]]
    )
    return problem(
        "driver-unknown",
        f"{name} is a driver of {row.family.title}, and the URL begins with {dialect!r}",
        fix="Use the URL of the database that it is; the other one is for the other family",
        commands=tuple(instead(with_driver(url, each)) for each in backends),
    )


def not_loaded(url: URL, error: ImportError | Exception) -> Finding:
    """Why SQLAlchemy cannot load the driver."""
    dialect, _, driver = url.drivername.partition("+")
    wanted = driver or _default(dialect)
    missing = wanted in DRIVERS
    commands = [instead(with_driver(url))]
    if missing:
        commands.append(shell(install(module_of(wanted))))
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


def _default(dialect: str) -> str:
    """The driver of a URL that names none, or the one that we would take."""
    return {"postgresql": "psycopg"}.get(dialect, "mysqldb")


def corrected(url: URL) -> URL:
    """The URL with the dialect that is meant, where it has another name."""
    return with_driver(url) if url.get_backend_name() in _ALSO else url


def with_driver(url: URL, backend: str | None = None, *, tunnels: bool = False) -> URL:
    """The URL with a driver that the plugin knows: the closest one that is installed.

    Args:
        url: any URL.
        backend: SQLAlchemy's name of the dialect; that of the URL unless it is said.
        tunnels: whether it has to verify another name than the one that it connects to.
    """
    named, _, driver = url.drivername.partition("+")
    backend = backend or (named if named in FAMILIES else _meant(named)) or next(iter(FAMILIES))
    ours = [
        name
        for name, each in DRIVERS.items()
        if backend in each.family.backends and (each.tunnels or not tunnels)
    ]
    there = [name for name in ours if not missing(module_of(name))] or ours
    close = difflib.get_close_matches(driver, there, 1, _CLOSE)
    return url.set(drivername=f"{backend}+{(close or there)[0]}")
