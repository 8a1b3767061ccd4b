# /// script
# requires-python = ">=3.11"
# dependencies = ["mlflow[auth]", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "MLflow"
# url = "https://mlflow.org"
# group = "Machine learning"
# packages = ["mlflow"]
# drivers = ["postgresql+psycopg"]
# databases = ["app", "auth"]
# minutes = 15
# write = '''
# The URL for the server and for its migrations:
#
# ```sh
# export MLFLOW_BACKEND_STORE_URI='postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam'
# mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
# mlflow server --app-name basic-auth
# ```
#
# In the file that `MLFLOW_AUTH_CONFIG_PATH` names, the URL for users and permissions, a `%` in it
# doubled:
#
# ```ini
# [mlflow]
# database_uri = postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/auth?plugin=rds_iam
# ```
#
# MLflow sets `pool_pre_ping` itself.
# '''
# ///
"""The tracking server with basic-auth: each has a database; a run is logged over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, free_port, get, run, serve, url

ADDRESS = f"http://127.0.0.1:{free_port()}"
AUTH = """
[mlflow]
default_permission = READ
database_uri = {}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    auth = Path("auth.ini").absolute()
    auth.write_text(AUTH.format(url(database="auth").replace("%", "%%")))
    os.environ |= {
        "MLFLOW_BACKEND_STORE_URI": url(),
        "MLFLOW_AUTH_CONFIG_PATH": str(auth),
        "MLFLOW_AUTH_ADMIN_PASSWORD": "correct-horse-battery",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "known-to-this-server-only",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_TRACKING_URI": ADDRESS,
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": "correct-horse-battery",
    }
    command("mlflow", "db", "upgrade", url(), seconds=300)
    port = ADDRESS.rpartition(":")[2]
    with serve(
        *("mlflow", "server", "--app-name", "basic-auth", "--port", port, "--workers", "1"),
        ready=lambda: get(f"{ADDRESS}/health"),
        seconds=300,
    ):
        yield work


def work() -> None:
    import mlflow
    from mlflow.server import get_app_client

    experiment = mlflow.set_experiment("study")
    with mlflow.start_run() as started:
        mlflow.log_param("depth", 3)
        mlflow.log_metric("loss", 0.25)
    found = mlflow.get_run(started.info.run_id)
    assert found.data.metrics == {"loss": 0.25}
    assert found.info.status == "FINISHED"
    assert mlflow.search_runs([experiment.experiment_id])["params.depth"].iloc[0] == "3"

    users = get_app_client("basic-auth", tracking_uri=ADDRESS)
    users.create_user("ada", "a-password-of-adas")
    assert users.get_user("ada").username == "ada"
    users.delete_user("ada")


if __name__ == "__main__":
    run(program)
