# /// script
# requires-python = ">=3.11"
# dependencies = ["prefect>=3"]
#
# [tool.program]
# title = "Prefect"
# url = "https://www.prefect.io"
# group = "Orchestration"
# packages = ["prefect"]
# drivers = ["postgresql+asyncpg"]
# minutes = 8
# write = '''
# The URL for the server and for its migrations:
#
# ```sh
# export PREFECT_SERVER_DATABASE_CONNECTION_URL='postgresql+asyncpg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam'
# prefect server database upgrade --yes
# prefect server start
# ```
#
# Prefect sets `pool_pre_ping` itself.
# '''
# limits = '''
# The service `triggers` opens one connection with asyncpg itself, beside SQLAlchemy, for `LISTEN`.
# It has no token and fails once, with "Failed to establish raw asyncpg connection for
# LISTEN/NOTIFY" in the log. The service reads the changes of automations every five seconds as
# well, so there is nothing to do: a change takes effect some seconds later.
# '''
# ///
"""Migration and server; a flow with tasks is run, and a new automation is triggered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, free_port, get, post, run, serve, url, wait_for

PORT = str(free_port())
API = f"http://127.0.0.1:{PORT}/api"


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    os.environ |= {
        "PREFECT_HOME": str(Path("prefect").absolute()),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": url("postgresql+asyncpg"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    command("prefect", "server", "database", "upgrade", "--yes", seconds=240)
    with serve(
        *("prefect", "server", "start", "--port", PORT),
        ready=lambda: get(f"{API}/ready"),
        seconds=240,
    ) as server:
        os.environ["PREFECT_API_URL"] = API
        yield work
        assert "Failed to establish raw asyncpg connection for LISTEN/NOTIFY" in server.log


def work() -> None:
    from prefect import flow, get_client, task

    @task
    def double(number: int) -> int:
        return 2 * number

    @flow
    def notes() -> int:
        return sum(double.map([1, 2, 3]).result())

    state = notes(return_state=True)
    assert state.result() == 12
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(state.state_details.flow_run_id)
        assert found.state_name == "Completed"
        assert len(client.read_task_runs()) >= 3
    trigger_automation()


def trigger_automation() -> None:
    """Without `LISTEN`, too, a new one takes effect; events of before that do not trigger it."""
    from prefect.automations import Automation
    from prefect.events import emit_event
    from prefect.events.actions import DoNothing
    from prefect.events.schemas.automations import EventTrigger, Posture

    added = f"note-{time.time_ns()}.added"
    trigger = EventTrigger(expect={added}, posture=Posture.Reactive, threshold=1)
    created = Automation(name=added, trigger=trigger, actions=[DoNothing()]).create()
    resource = {"prefect.resource.id": "note"}
    wanted = {
        "event": {"name": ["prefect.automation.triggered"]},
        "any_resource": {"id": [f"prefect.automation.{created.id}"]},
    }

    def triggered() -> bool:
        emit_event(added, resource=resource)
        time.sleep(1)
        found = json.loads(post(f"{API}/events/filter", {"filter": wanted}))
        return bool(found["events"])

    wait_for(triggered, 120)


if __name__ == "__main__":
    run(program)
