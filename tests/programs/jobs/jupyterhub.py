# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "jupyterhub", "jupyter-server", "configurable-http-proxy", "psycopg[binary]>=3.2"
# ]
#
# [tool.program]
# title = "JupyterHub"
# url = "https://jupyterhub.readthedocs.io/en/stable/explanation/database.html"
# group = "Notebooks"
# packages = ["jupyterhub"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL in `jupyterhub_config.py`:
#
# ```python
# c.JupyterHub.db_url = "postgresql+psycopg://…?plugin=rds_iam"
# ```
#
# The hub tests its connections by itself. Its users' servers do not use its database.
# '''
# databases = ["app"]
# minutes = 5
# ///
"""A hub that starts the server of a user, proxies to it, and stops it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from job import command, free_port, run, serve, url, wait_for

CONFIG = """
c.JupyterHub.db_url = {url!r}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.Spawner.args = ["--allow-root"]
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "job", "api_token": "a-token-of-the-job"}}]
c.JupyterHub.load_roles = [
    {{
        "name": "job",
        "services": ["job"],
        "scopes": ["admin:users", "admin:servers", "access:servers"],
    }}
]
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    port = free_port()
    text = CONFIG.format(url=url(), port=port, hub=free_port(), api=free_port())
    Path("jupyterhub_config.py").write_text(text)

    def ask(method: str, path: str) -> dict[str, object]:
        headers = {"Authorization": "token a-token-of-the-job"}
        request = Request(f"http://127.0.0.1:{port}/{path}", method=method, headers=headers)
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "{}")

    def is_ready() -> bool:
        return ask("GET", "hub/api/users/ada")["server"] == "/user/ada/"

    def is_stopped() -> bool:
        return not ask("GET", "hub/api/users/ada")["servers"]

    def work() -> None:
        ask("POST", "hub/api/users/ada")
        ask("POST", "hub/api/users/ada/server")
        wait_for(is_ready, 60)
        assert ask("GET", "user/ada/api/status")["kernels"] == 0
        ask("DELETE", "hub/api/users/ada/server")
        wait_for(is_stopped, 60)
        ask("DELETE", "hub/api/users/ada")

    command("jupyterhub", "upgrade-db")
    assert "(head)" in command(sys.executable, "-m", "jupyterhub.dbutil", "alembic", "current")
    with serve("jupyterhub", ready=lambda: ask("GET", "hub/api/"), seconds=90):
        yield work


if __name__ == "__main__":
    run(program)
