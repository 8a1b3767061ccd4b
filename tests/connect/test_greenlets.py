"""Below gevent and eventlet: connects wait without the hub, share what they fetch, and end in time.

Each of the two has a process of its own, `patched_process`, in which it has replaced the modules.
Where a test asks for something else while a connect waits, it gets an answer only if the hub goes
on.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from docs_support import ROOT, Document
from faults_support import LIFE, Provider
from odd_servers import silent_server
from patience import DEADLINE, eventually, running
from rds_secret_support import USER
from redis_support import Server
from sqlalchemy import make_url

from sqlalchemy_rds_iam.testing import RdsEmulator

pytestmark = pytest.mark.server  # the fixture of its driver's family

CONNECTS = 20

LIBRARIES = ("gevent", "eventlet")
DRIVERS = {
    # psycopg waits for gevent only, as its documentation says.
    "gevent": ("postgresql+psycopg2", "postgresql+psycopg", "postgresql+pg8000"),
    "eventlet": ("postgresql+psycopg2", "postgresql+pg8000"),
}
EACH = [
    pytest.param((library, driver), id=f"{library}-{driver.partition('+')[2]}")
    for library in LIBRARIES
    for driver in DRIVERS[library]
]
OF_BOTH = [pytest.param((library, "postgresql+pg8000"), id=library) for library in LIBRARIES]
"""For what the driver has no part in."""
MYSQL = [pytest.param((each, "mysql+pymysql"), id=f"{each}-pymysql") for each in LIBRARIES]

_numbers = itertools.count()


class Process:
    """A process with greenlets, which does what it is asked for."""

    def __init__(self, port: int) -> None:
        self._port = port

    def begin(self, do: str, **arguments: Any) -> Callable[[], Any]:
        """Ask for something; what is returned waits for what comes of it."""
        connection = socket.create_connection(("127.0.0.1", self._port), DEADLINE)
        connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")

        def end() -> Any:
            with connection, connection.makefile() as lines:
                answer = json.loads(lines.readline())
            assert "error" not in answer, answer
            return answer["result"]

        return end

    def ask(self, do: str, **arguments: Any) -> Any:
        """Ask for something, and wait for it."""
        return self.begin(do, **arguments)()


class World(NamedTuple):
    """What a test has: the process, the emulator of its driver, and the one STS call it takes."""

    library: str
    process: Process
    rds: RdsEmulator
    sts: Provider
    driver: str

    def url(self, **options: str) -> str:
        """A URL of an identity of its own, for whom STS has to be asked."""
        name = f"test-{next(_numbers)}"
        role = {"rds_iam_role_arn": self.sts.role.arn, "rds_iam_role_session_name": name}
        return self.rds.url(self.driver, **role, **options).render_as_string()


@pytest.fixture(scope="module")
def processes() -> Iterator[Callable[[str, RdsEmulator], Process]]:
    """The process of a library, for an emulator; one for all tests here."""
    found: dict[tuple[str, int], Process] = {}
    stack = ExitStack()

    def process(library: str, rds: RdsEmulator) -> Process:
        if (library, id(rds)) not in found:
            command = [sys.executable, "-W", "error", "-m", "patched_process", library]
            path = os.pathsep.join(filter(None, sys.path))
            env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PG", "MYSQL"))}
            env |= rds.environ() | {"PYTHONPATH": path}
            alive = running(command, env=env, stdout=subprocess.PIPE, text=True)
            child = stack.enter_context(alive)
            assert child.stdout is not None
            found[library, id(rds)] = Process(int(child.stdout.readline()))
        return found[library, id(rds)]

    with stack:
        yield process


@pytest.fixture(params=EACH)
def world(
    request: pytest.FixtureRequest, processes: Callable[[str, RdsEmulator], Process]
) -> World:
    """Each library with the drivers that can wait below it."""
    library, driver = request.param
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    family, _, name = driver.partition("+")
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    kind = {"postgresql": "rds_iam_environment", "mysql": "rds_iam_mysql_environment"}[family]
    rds: RdsEmulator = request.getfixturevalue(kind)
    sts = Provider(rds, "assume-role", rds.aws.sts, "AWS_ENDPOINT_URL_STS")
    return World(library, processes(library, rds), rds, sts, driver)


@pytest.mark.parametrize("world", [*EACH, *MYSQL], indirect=True)
def test_one_fetch_for_all(world: World) -> None:
    """Connects that begin at once ask STS once, and nothing stands still until it answers."""
    _storm(world, world.url(), world.sts)


@pytest.mark.parametrize("world", OF_BOTH, indirect=True)
def test_one_secret_for_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a secret: those who log in with it ask Secrets Manager once."""
    rds, url = world.rds, world.rds.url(world.driver)
    monkeypatch.setitem(rds.secrets._instance, "host", url.host)
    options = {
        "plugin": "rds_secret",
        "rds_secret_id": rds.secrets.create(f"prod/{world.library}", USER).name,
        "rds_secret_host": str(url.query["rds_iam_host"]),
        "rds_secret_ca": str(rds.ca_file),
        "rds_secret_region": rds.endpoint.region,
    }
    manager = Provider(rds, "secret", rds.aws.secrets, "AWS_ENDPOINT_URL_SECRETS_MANAGER")
    _storm(world, f"{world.driver}://?{urlencode(options)}", manager)


def _storm(world: World, url: str, service: Provider) -> None:
    calls = service.calls
    with service.held() as gate:
        storm = world.process.begin("storm", url=url, connects=CONNECTS)
        assert gate.reached.wait(DEADLINE)
        assert world.process.ask("ping") == "pong"
        gate.open()
        assert storm() == [1] * CONNECTS
    assert service.calls == calls + 1


@pytest.mark.parametrize("world", OF_BOTH, indirect=True)
def test_renewed_ahead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connect that finds its credentials stale goes on; they are renewed behind it."""
    url = world.url()
    monkeypatch.setattr(world.rds.aws.sts, "lifetime", LIFE)
    world.process.ask("log_in", url=url)
    before = world.process.ask("key", url=url)
    world.process.ask("grow_stale", url=url)
    with world.sts.held() as gate:
        assert world.process.ask("log_in", url=url) == 1
        assert gate.reached.wait(DEADLINE)
        assert world.process.ask("log_in", url=url) == 1
        assert world.process.ask("key", url=url) == before
    eventually(lambda: world.process.ask("key", url=url) != before, "they are not renewed")


@pytest.mark.parametrize("storage", ["memory", "redis"])
@pytest.mark.parametrize("world", OF_BOTH, indirect=True)
def test_they_take_turns(world: World, storage: str, redis_server: Server) -> None:
    """Connects above the rate wait, in greenlets, and all get in; also with a fleet's rate."""
    shared = {"rds_iam_rate_storage": redis_server.url} if storage == "redis" else {}
    url = world.url(rds_iam_connect_rate="20", **shared)
    storm = world.process.begin("storm", url=url, connects=10)
    eventually(lambda: world.process.ask("waiting", url=url), "no connect waits for its turn")
    assert storm() == [1] * 10
    assert redis_server.calls("eval") > 0 or storage == "memory"


@pytest.mark.parametrize("world", OF_BOTH, indirect=True)
def test_no_credentials_in_time(world: World) -> None:
    """Connects give up while STS still says nothing."""
    url = world.url(rds_iam_timeout="0.3")
    with world.sts.held():
        results = world.process.ask("storm", url=url, connects=3)
    assert all(result.startswith("WaitTimeout: ") for result in results), results


@pytest.mark.parametrize("world", OF_BOTH, indirect=True)
def test_a_server_that_says_nothing(world: World) -> None:
    """No driver's connect waits for ever, and nothing else waits for it."""
    process = world.process
    process.ask("limit", seconds=1)
    with silent_server("127.0.0.1") as port:
        connects = []
        for driver in DRIVERS[world.library]:
            url = make_url(world._replace(driver=driver).url())
            process.ask("log_in", url=url.render_as_string())  # who it is, is known by now
            silent = {"rds_iam_timeout": "2", "rds_iam_port": str(world.rds.endpoint.port)}
            url = url.set(port=port).update_query_dict(silent)
            connects.append(process.begin("storm", url=url.render_as_string(), connects=1))
        assert process.ask("ping") == "pong"
        for connect in connects:
            [result] = connect()
            assert "within 2 s" in result or "timeout expired" in result, result


def test_a_refused_token(world: World) -> None:
    """A token that was good and is refused is replaced once."""
    url = world.url()
    world.process.ask("log_in", url=url)
    world.rds.gateway.refuse_next = 1
    assert world.process.ask("log_in", url=url) == 1
    assert [decision.granted for decision in world.rds.decisions] == [True, False, True]


@pytest.mark.parametrize("bad", ["expired", "other_host", "unrelated"])
@pytest.mark.parametrize("world", EACH, indirect=True)
def test_a_bad_certificate(world: World, bad: str) -> None:
    """What has replaced Python's TLS checks certificates, too: no token leaves."""
    world.rds.gateway.certificate = getattr(world.rds.certificates, bad)()
    [result] = world.process.ask("storm", url=world.url(), connects=1)
    assert "certificate" in result, result
    assert not world.rds.decisions


def test_dispose(world: World) -> None:
    """A pool that is disposed of is filled anew."""
    assert world.process.ask("dispose", url=world.url()) == [2, 0, 1]


def test_fork(world: World) -> None:
    """A forked process logs in with credentials of its own, and its parent goes on."""
    url, calls = world.url(), world.sts.calls
    world.process.ask("log_in", url=url)
    assert world.process.ask("fork", url=url) == 0
    assert world.process.ask("log_in", url=url) == 1
    assert world.sts.calls == calls + 2


_APPLICATION = """
import os
from sqlalchemy import create_engine, text
engine = create_engine(os.environ["DATABASE_URL"])

def application(environ, start_response):
    answer = b"alive"
    if environ["PATH_INFO"] == "/user":
        with engine.connect() as connection:
            answer = connection.scalar(text("select current_user")).encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["imported", "preloaded"])
def test_gunicorn(rds_iam_environment: RdsEmulator, tmp_path: Path, preload: list[str]) -> None:
    """With the file of the documentation a worker answers while another request waits for STS."""
    pytest.importorskip("gunicorn")
    pytest.importorskip("gevent")
    rds, page = rds_iam_environment, ROOT / "docs/gunicorn-celery.md"
    blocks = Document("docs/gunicorn-celery.md", page.read_text("utf-8")).blocks
    [settings] = [
        block.text
        for block in blocks
        if "monkey.patch_all" in block.text and "post_fork" in block.text
    ]
    (tmp_path / "gunicorn.conf.py").write_text(settings)
    (tmp_path / "shop.py").write_text(_APPLICATION)
    sts = Provider(rds, "assume-role", rds.aws.sts, "AWS_ENDPOINT_URL_STS")
    url = rds.url("postgresql+psycopg2", rds_iam_role_arn=sts.role.arn).render_as_string()
    command = [sys.executable, "-m", "gunicorn", "--bind", "unix:socket", *preload]
    path = os.pathsep.join(filter(None, sys.path))
    environ = os.environ | rds.environ() | {"DATABASE_URL": url, "PYTHONPATH": path}
    with (
        (tmp_path / "log").open("wb") as log,
        running([*command, "shop:application"], cwd=tmp_path, env=environ, stderr=log),
    ):
        eventually((tmp_path / "socket").exists, "Gunicorn does not listen")
        with sts.held() as gate:
            user = _request(tmp_path, "/user")
            assert gate.reached.wait(DEADLINE), (tmp_path / "log").read_text()
            assert _request(tmp_path, "/")().endswith("alive")
        assert user().endswith("app")
    assert "had been imported" not in (tmp_path / "log").read_text()


def _request(directory: Path, path: str) -> Callable[[], str]:
    """Begin a request; what is returned waits for the whole of the answer."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE)
    connection.connect(str(directory / "socket"))
    connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())

    def answer() -> str:
        with connection, connection.makefile() as lines:
            return lines.read()

    return answer


_LATE = """
import {module}
from sqlalchemy import create_engine
host = "db.abc123.eu-west-1.rds.amazonaws.com"
url = f"postgresql+pg8000://app@127.0.0.1:1/?plugin=rds_iam&rds_iam_host={{host}}"
engine = create_engine(url)
{call}
import logging
logging.basicConfig(format="%(message)s")
for _ in range(2):
    try:
        engine.connect()
    except BaseException:
        pass
"""


@pytest.mark.parametrize(
    ("library", "module", "call"),
    [
        ("gevent", "gevent.monkey", "gevent.monkey.patch_all()"),
        ("eventlet", "eventlet", "eventlet.monkey_patch()"),
    ],
    ids=LIBRARIES,
)
def test_patched_too_late(ca: str, library: str, module: str, call: str) -> None:
    """Modules that are replaced after the package was imported are warned of, once."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    command = [sys.executable, "-W", "ignore", "-c", _LATE.format(module=module, call=call)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stderr.count(f"{call} was called after sqlalchemy_rds_iam had been imported") == 1
