"""One fresh process of ``cold_start.py``: from an application without AWS to its first token.

Writes what each step took, and what this process's memory grew by, to standard output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

STATUS = Path("/proc/self/status")
CONNECTION = object()
HOST, PORT, USER, REGION = (
    "app-db.c0ffee123456.us-east-1.rds.amazonaws.com",
    5432,
    "app",
    "us-east-1",
)
PLAIN = URL.create("postgresql+psycopg", USER, host=HOST, port=PORT, database="app")


class Steps:
    """The time and the memory of one step after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before = memory()
        self._at = time.perf_counter()

    def done(self, step: str) -> None:
        """Say that `step` ends here."""
        now = time.perf_counter()
        self.seconds[step] = now - self._at
        self._at = time.perf_counter()

    def result(self) -> dict[str, Any]:
        """Seconds by step, and the bytes that memory and its highest mark have grown by."""
        after = memory()
        grown = {name: after[name] - before for name, before in self._before.items()}
        return {"seconds": self.seconds, "bytes": grown}


def memory() -> dict[str, int]:
    """Resident memory now and at its highest, in bytes; only the latter where there is no /proc."""
    if STATUS.exists():
        # Not getrusage(), whose highest mark a child inherits from its parent.
        fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        names = {"now": "VmRSS", "highest": "VmHWM"}
        return {name: int(fields[field].split()[0]) * 1024 for name, field in names.items()}
    import resource  # not on every platform

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"highest": highest * (1 if sys.platform == "darwin" else 1024)}


def plugin(ca: str) -> Steps:
    """This project."""
    steps = Steps()
    import sqlalchemy_rds_iam.plugin  # noqa: F401  (create_engine() would import it)

    steps.done("import")
    query = {"plugin": "rds_iam", "rds_iam_ca": ca}
    engine = create_engine(PLAIN.update_query_dict(query))
    steps.done("engine")
    _connect(engine)
    steps.done("token")
    return steps


def botocore(ca: str) -> Steps:
    """generate_db_auth_token() of the client that runs inside of boto3's."""
    steps = Steps()
    import botocore.session

    steps.done("import")
    client = botocore.session.Session().create_client("rds", region_name=REGION)
    return _recipe(steps, client, ca)


def boto3(ca: str) -> Steps:
    """generate_db_auth_token() of boto3's client."""
    steps = Steps()
    import boto3

    steps.done("import")
    return _recipe(steps, boto3.client("rds", region_name=REGION), ca)


def _recipe(steps: Steps, client: Any, ca: str) -> Steps:
    arguments = {"sslmode": "verify-full", "sslrootcert": ca}
    engine = create_engine(PLAIN, connect_args=arguments)

    @event.listens_for(engine, "do_connect")
    def _provide(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        cparams["password"] = client.generate_db_auth_token(HOST, PORT, USER)

    steps.done("engine")
    _connect(engine)
    steps.done("token")
    return steps


def _connect(engine: Engine) -> None:
    """What the pool does for a new connection, up to the driver, which is given a token."""
    given: list[dict[str, Any]] = []

    def connect(*_: Any, **cparams: Any) -> object:
        given.append(cparams)
        return CONNECTION

    engine.dialect.connect = connect  # type: ignore[method-assign,assignment]
    engine.pool._invoke_creator(None)  # type: ignore[arg-type]  # noqa: SLF001
    assert "X-Amz-Signature=" in given[0]["password"]


WAYS: dict[str, Callable[[str], Steps]] = {"plugin": plugin, "botocore": botocore, "boto3": boto3}


if __name__ == "__main__":
    create_engine(PLAIN)  # the application is there already, driver and all
    json.dump(WAYS[sys.argv[1]](sys.argv[2]).result(), sys.stdout)
