"""A Celery application without a server: messages and results are files.

``celery --app soak.tasks worker`` works; ``python -m soak.tasks SECONDS`` sends it tasks for so
long and prints the answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped]

from soak.web import engine, tell

_DIRECTORY = Path(os.environ["SOAK_DIRECTORY"])
_TIMEOUT = 20.0

app = Celery("tasks", broker="filesystem://", backend=(_DIRECTORY / "results").as_uri())
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(_DIRECTORY / "messages"),
        "data_folder_out": str(_DIRECTORY / "messages"),
        "control_folder": str(_DIRECTORY / "control"),
        "polling_interval": 0.02,
    },
    worker_prefetch_multiplier=1,
)


@app.task(name="ask")  # type: ignore[untyped-decorator]
def ask() -> dict[str, str]:
    """Ask the database something, and say who asked."""
    time.sleep(0.05)  # so that both children get something to do
    with engine.connect() as connection:
        return dict(json.loads(tell(connection)))


def main() -> None:
    """Send tasks and print what they answer, a line each."""
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        for result in [ask.delay() for _ in range(4)]:
            answer = result.get(timeout=_TIMEOUT, interval=0.02)
            sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
