"""A world for the documents: every RDS endpoint and identity that they name exists in the emulator.

Nothing of a document's text is changed before it runs. Instead a connection is led to a gateway of
the emulator that accepts only tokens for the endpoint this one was signed for, and that has a
certificate for its name. So hosts, ports and regions count as they do on RDS.
"""

from __future__ import annotations

import asyncio
import configparser
import gc
import inspect
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from docs_support import Block, Document, variables
from sqlalchemy import Connection, Engine, engine_from_config, event, make_url, text
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncEngine, async_engine_from_config

from sqlalchemy_rds_iam import plugin
from sqlalchemy_rds_iam._databases import dialing, mysql_dialing
from sqlalchemy_rds_iam._endpoints.hostname import HostName, parse_host
from sqlalchemy_rds_iam._passwords.password import MaskedStr
from sqlalchemy_rds_iam.testing import Decision, RdsEmulator, SignedEndpoint
from sqlalchemy_rds_iam.testing.database.secrets import Secrets

_LOOPBACK = "127.0.0.1"
_PROFILE = re.compile(r"(?:rds_iam_profile|source_profile|AWS_PROFILE)['\"]?\s*=\s*['\"]?([\w.-]+)")
_SECRET = re.compile(r"\b([a-z]+)\+\w+://(?:(?!://).)*?rds_secret_id=([\w/]+)", re.DOTALL)
_SECRETS_HOST = "mydb.abc123.eu-central-1.rds.amazonaws.com"
_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")


class World:
    """Runs documents, between `entered` and its end, which puts everything back.

    Args:
        rds: what the gateways belong to, and the account.
        directory: for files.
        provides: whether a database user that connects, and its database, are made if need be.
        mysql: starts what gateways for MySQL and MariaDB belong to, or returns it.
    """

    def __init__(
        self,
        rds: RdsEmulator,
        monkeypatch: pytest.MonkeyPatch,
        directory: Path,
        *,
        provides: bool = True,
        mysql: Callable[[], RdsEmulator] | None = None,
    ) -> None:
        self._rds = rds
        self._provides = provides
        self._mysql = mysql
        self._patch = monkeypatch
        self._directory = directory
        self._gateways: dict[SignedEndpoint, Any] = {}
        self._closing = ExitStack()
        self._routes: dict[tuple[str, int], tuple[str, int]] = {}
        self._engines: list[Engine | AsyncEngine] = []
        self._used: set[Engine] = set()
        self._look_up = socket.getaddrinfo
        self._dial = DefaultDialect.connect

    @property
    def logins(self) -> list[Decision]:
        """The decisions of all gateways."""
        return [each for gateway in self._gateways.values() for each in gateway.records.decisions]

    @property
    def endpoints(self) -> set[SignedEndpoint]:
        """What tokens were signed for."""
        return set(self._gateways)

    def run(self, document: Document) -> int:
        """Run a document's blocks of Python and ini in order, in one namespace; how many they were.

        A block of `env` sets variables for those after it. Blocks for pytest are left out. Every
        engine that a block leaves behind unused is connected through once.
        """
        whole = "\n".join(block.text for block in document.blocks)
        self._set_up_aws(document, whole)
        environment = dict(os.environ)
        namespace: dict[str, Any] = {"__name__": "__main__"}
        count = 0
        for block in document.blocks:
            # Each block begins with what the document says, whatever the ones before it did.
            os.environ.clear()
            os.environ.update(environment)
            plugin._identities.clear()
            if block.language == "env":
                environment |= variables(block.text)
            elif block.runs and not block.is_test_module:
                count += 1
                try:
                    self._run(block, namespace)
                except Exception as error:
                    error.add_note(f"in {block.place}; mark it: <!-- not run: why -->")
                    raise
        return count

    def _run(self, block: Block, namespace: dict[str, Any]) -> None:
        if block.language == "ini":
            self._load(block)
            return
        before = dict(namespace)
        # Line numbers as in the document.
        code = compile(
            "\n" * (block.line - 1) + block.text, block.document, "exec", dont_inherit=True
        )
        exec(code, namespace)
        for name, value in namespace.items():
            if value is not before.get(name):
                self._try_out(value)

    def _try_out(self, value: Any) -> None:
        """Connect through an engine, or a pair of them, unless the block has done so."""
        if isinstance(value, AsyncEngine):
            if value.sync_engine not in self._used:
                asyncio.run(_connect(value))
        elif isinstance(value, Engine):
            self._engines.append(value)
            if value not in self._used:
                with value.connect() as connection:
                    connection.execute(text("SELECT 1"))
        elif not isinstance(value, type):
            for name in ("writer", "reader"):
                if isinstance(engine := getattr(value, name, None), Engine | AsyncEngine):
                    self._try_out(engine)

    def _load(self, block: Block) -> None:
        """Make an engine of every URL in an ini file."""
        ini = _parse(block)
        found = False
        for section in [ini.default_section, *ini.sections()]:
            options = dict(ini[section])
            for key in [key for key in options if key.split(".")[-1] == "url"]:
                found = True
                is_async = make_url(options[key]).get_dialect().is_async
                from_config = async_engine_from_config if is_async else engine_from_config
                self._try_out(from_config(options, key.removesuffix("url")))
        assert found or _is_aws(ini), f"{block.place}: neither a URL nor AWS profiles"

    def _set_up_aws(self, document: Document, whole: str) -> None:
        """Write the document's own AWS profiles, and give those it only names the account's key."""
        config = configparser.RawConfigParser()
        for block in document.blocks:
            if block.language == "ini" and block.runs and _is_aws(found := _parse(block)):
                config.read_dict(found)
        key = self._rds.key
        for profile in _PROFILE.findall(whole):
            section = "default" if profile == "default" else f"profile {profile}"
            if not config.has_section(section):
                config.add_section(section)
                config.set(section, "aws_access_key_id", key.access_key)
                config.set(section, "aws_secret_access_key", key.secret_key)
        file = self._directory / "aws-config"
        with file.open("w") as stream:
            config.write(stream)
        for role in _ROLE.findall(whole):
            self._rds.identities._add(role, None, None)
        self._rds.secrets.clear()
        for backend, secret in {*_SECRET.findall(whole)}:
            self._keep_secret(secret, self._of(backend))
        self._patch.setenv("AWS_CONFIG_FILE", str(file))
        # The first two are for RDS itself, the other for RDS Proxy, which has public certificates.
        self._patch.setenv("PGSSLROOTCERT", str(self._rds.ca_file))
        self._patch.setenv("XDG_CACHE_HOME", str(self._directory))
        bundle = self._directory / "sqlalchemy-rds-iam" / "global-bundle.pem"
        bundle.parent.mkdir(exist_ok=True)
        bundle.write_bytes(self._rds.ca_file.read_bytes())
        self._patch.setenv("SSL_CERT_FILE", str(self._rds.ca_file))

    def _keep_secret(self, name: str, rds: RdsEmulator) -> None:
        """Make a secret, of a user and a database of its own."""
        store, roles, background = self._rds.aws.secrets.store, rds._running_roles, rds._background
        assert background is not None
        address = _SECRETS_HOST, rds.engine.port
        endpoint = SignedEndpoint(*address, "eu-central-1")
        keeper = Secrets(background, store, roles, endpoint, address, engine=rds.engine)
        user = name.rpartition("/")[2]
        # Another document may have it log in with tokens.
        rds.create_user(user, iam=False)
        keeper.create(name, user, database=user)

    def _of(self, backend: str) -> RdsEmulator:
        if backend == self._rds.engine.name or self._mysql is None:
            return self._rds
        return self._mysql()

    def lead(self, cparams: dict[str, Any], backend: str = "postgresql") -> None:
        """Lead a connection that carries a token of the account to the gateway it is signed for.

        One that carries the password of a secret is led by its host.

        Args:
            cparams: the connect arguments, which are changed.
            backend: SQLAlchemy's name of the dialect.
        """
        rds = self._of(backend)
        if isinstance(cparams.get("password"), MaskedStr) and "X-Amz" not in cparams["password"]:
            name = parse_host(cparams["host"])
            endpoint = SignedEndpoint(name.host, int(cparams["port"]), str(name.region))
            self._route(cparams, name, self._gateway(endpoint, rds).address)
            return
        signed = urlsplit("https://" + str(cparams.get("password")))
        query = parse_qs(signed.query)
        access_key, _, region = (*query.get("X-Amz-Credential", ["//"])[0].split("/"), "", "")[:3]
        if self._rds.identities.find(access_key) is None or signed.hostname is None:
            return
        name = parse_host(signed.hostname)
        assert name.partition, f"{name.host!r} gets signed, which RDS accepts for no database"
        endpoint = SignedEndpoint(name.host, signed.port or 443, name.region or region)
        address = self._gateway(endpoint, rds).address
        if self._provides:
            names = (cparams.get(name) for name in ("dbname", "database", "db"))
            user, database = cparams["user"], next(filter(None, names))
            rds.create_user(user)
            rds._call(rds._running_roles.create_database(database, user))
        self._route(cparams, name, address)

    def _route(self, cparams: dict[str, Any], name: HostName, address: tuple[str, int]) -> None:
        if "sslmode" in cparams:
            cparams |= {"hostaddr": address[0], "port": address[1]}
            cparams["host"] = cparams["host"].partition(",")[0]
        elif cparams["host"] == name.host:
            # The drivers check the certificate against the name that they look up.
            self._routes[name.host, int(cparams["port"])] = address
        else:
            cparams["host"], cparams["port"] = address

    def resolve(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        """Look up a name; none of them leads out of this machine."""
        if route := self._routes.get((host, port)):
            host, port = route
        elif isinstance(host, str) and "." in host and parse_host(host).kind != "ip":
            host = _LOOPBACK
        return self._look_up(host, port, *args, **kwargs)

    def _gateway(self, endpoint: SignedEndpoint, rds: RdsEmulator) -> Any:
        if endpoint not in self._gateways:
            roles, account = rds._running_roles, self._rds
            certificate = account.certificates.other_host(endpoint.host)
            gateway = rds.engine.gateway(
                roles._backend, roles, endpoint, account.identities, certificate
            )
            rds._call(gateway.start())
            self._gateways[endpoint] = gateway
            self._closing.callback(lambda: rds._call(gateway.stop()))
        return self._gateways[endpoint]

    @contextmanager
    def entered(self) -> Iterator[World]:
        """This world instead of the real one, until the block ends."""
        environment = dict(os.environ)

        def connect(dialect: Any, *cargs: Any, **cparams: Any) -> Any:
            self.lead(cparams, dialect.name)
            return self._dial(dialect, *cargs, **cparams)

        def reach(make: Any, place: dialing.Place, **more: Any) -> Any:
            # The socket is made before the driver is called, with the arguments that it will get.
            arguments = inspect.getclosurevars(make).nonlocals
            dialect, cparams = arguments.get("dialect"), arguments["cparams"]
            self.lead(cparams, dialect.name if dialect else "postgresql")
            place = place._replace(host=cparams["host"], port=cparams["port"])
            return connected(make, place, **more)

        def reach_by(
            dialect: Any, creator: Any, cargs: tuple[Any, ...], cparams: dict[str, Any]
        ) -> Any:
            # With an old SQLAlchemy this does not come by the dialect.
            self.lead(cparams, dialect.name)
            return by(dialect, creator, cargs, cparams)

        connected, by = dialing.connected, mysql_dialing._by

        def note(connection: Connection) -> None:
            self._used.add(connection.engine)

        with _collected(), self._patch.context() as patch:
            patch.setattr(DefaultDialect, "connect", connect)
            for module in (dialing, mysql_dialing):
                patch.setattr(module, "connected", reach)
            patch.setattr(mysql_dialing, "_by", reach_by)
            patch.setattr(socket, "getaddrinfo", self.resolve)
            patch.chdir(self._directory)
            event.listen(Engine, "engine_connect", note)
            try:
                yield self
            finally:
                event.remove(Engine, "engine_connect", note)
                os.environ.clear()
                os.environ.update(environment)
                for engine in self._engines:
                    if isinstance(engine, Engine):
                        engine.dispose()
                self._closing.close()


@contextmanager
def _collected() -> Iterator[None]:
    """What the block leaves open is to be seen at its end and not in another test.

    What there was before is not looked at: that would take longer than most examples.
    """
    gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()


async def _connect(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    # Its connections belong to this event loop.
    await engine.dispose()


def _parse(block: Block) -> configparser.RawConfigParser:
    # Alembic reads its file with interpolation, where a percent sign is written twice.
    kind = configparser.ConfigParser if "[alembic]" in block.text else configparser.RawConfigParser
    parser = kind()
    headless = not re.search(r"^\[", block.text, re.MULTILINE)
    parser.read_string(f"[{parser.default_section}]\n{block.text}" if headless else block.text)
    return parser


def _is_aws(ini: configparser.RawConfigParser) -> bool:
    return bool(ini.sections()) and all(
        re.match(r"default$|(profile|sso-session|services) ", section) for section in ini.sections()
    )
