"""One fresh process of ``cold_start.py``: from an application without AWS to its first token.

Writes what each step took, what this process's memory grew by, and how many modules were imported,
to standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import greenlet_spawn

STATUS = Path("/proc/self/status")
CONNECTION = object()
HOST, PORT, USER, REGION = (
    "app-db.c0ffee123456.us-east-1.rds.amazonaws.com",
    5432,
    "app",
    "us-east-1",
)
SYNC = URL.create("postgresql+psycopg", USER, host=HOST, port=PORT, database="app")
ASYNC = SYNC.set(drivername="postgresql+asyncpg")


class Steps:
    """The time and the memory of one step after the other, and what they import."""

    def __init__(self) -> None:
        self._cpu: dict[str, float] = {}
        self._before = memory()
        self._modules = len(sys.modules)
        self._began = time.perf_counter()
        self._at = time.process_time()

    def done(self, step: str) -> None:
        """Say that `step` ends here."""
        now = time.process_time()
        self._cpu[step] = now - self._at
        self._at = now

    def result(self) -> dict[str, Any]:
        """CPU seconds of all threads by step, seconds, bytes grown by, and modules imported."""
        seconds, after = time.perf_counter() - self._began, memory()
        return {
            "cpu": self._cpu,
            "seconds": seconds,
            "bytes": {name: after[name] - before for name, before in self._before.items()},
            "modules": len(sys.modules) - self._modules,
        }


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
    """This project, with a sync engine."""
    create_engine(SYNC)  # the application is there already, driver and all
    steps = Steps()
    _import_plugin(steps)
    engine = create_engine(SYNC.update_query_dict({"plugin": "rds_iam", "rds_iam_ca": ca}))
    steps.done("engine")
    _connect(engine)
    steps.done("token")
    return steps


def _on_loop(**options: str) -> Callable[[str], Steps]:
    """This project, with an async engine."""

    async def run(ca: str) -> Steps:
        await greenlet_spawn(create_async_engine, ASYNC)
        steps = Steps()
        _import_plugin(steps)
        query = {"plugin": "rds_iam", "rds_iam_ca": ca, **options}
        engine = create_async_engine(ASYNC.update_query_dict(query)).sync_engine
        steps.done("engine")
        await greenlet_spawn(_connect, engine)
        steps.done("token")
        return steps

    return lambda ca: asyncio.run(run(ca))


def _import_plugin(steps: Steps) -> None:
    import sqlalchemy_rds_iam.plugin  # noqa: F401  (create_engine() would import it)

    steps.done("import")


def botocore(ca: str) -> Steps:
    """generate_db_auth_token() of the client that runs inside of boto3's."""
    create_engine(SYNC)
    steps = Steps()
    import botocore.session

    steps.done("import")
    client = botocore.session.Session().create_client("rds", region_name=REGION)
    return _recipe(steps, client, ca)


def boto3(ca: str) -> Steps:
    """generate_db_auth_token() of boto3's client."""
    create_engine(SYNC)
    steps = Steps()
    import boto3

    steps.done("import")
    return _recipe(steps, boto3.client("rds", region_name=REGION), ca)


def only_botocore(_: str) -> Steps:
    """The import of botocore, and nothing else."""
    create_engine(SYNC)
    steps = Steps()
    import botocore.session  # noqa: F401

    for step in ("import", "engine", "token"):
        steps.done(step)
    return steps


def _recipe(steps: Steps, client: Any, ca: str) -> Steps:
    arguments = {"sslmode": "verify-full", "sslrootcert": ca}
    engine = create_engine(SYNC, connect_args=arguments)

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


WAYS: dict[str, Callable[[str], Steps]] = {
    "plugin": plugin,
    "plugin async": _on_loop(),
    "plugin aiobotocore": _on_loop(rds_iam_credentials="aiobotocore"),
    "botocore": botocore,
    "boto3": boto3,
    "import botocore": only_botocore,
}


if __name__ == "__main__":
    json.dump(WAYS[sys.argv[1]](sys.argv[2]).result(), sys.stdout)
