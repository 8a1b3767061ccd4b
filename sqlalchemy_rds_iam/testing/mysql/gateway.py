"""The gateway in front of a MariaDB: the part of MySQL's protocol that comes before a session."""

from __future__ import annotations

import socket
from asyncio import StreamWriter
from contextlib import ExitStack
from typing import Any

from sqlalchemy_rds_iam.testing.database.gateway import Gateway, Words
from sqlalchemy_rds_iam.testing.database.relay import relay
from sqlalchemy_rds_iam.testing.database.streams import (
    ProtocolError,
    RefusedError,
    Stream,
    closed_on_failure,
)
from sqlalchemy_rds_iam.testing.database.traffic import Traffic
from sqlalchemy_rds_iam.testing.database.users import ServerError
from sqlalchemy_rds_iam.testing.mysql import wire
from sqlalchemy_rds_iam.testing.mysql.backend import Backend
from sqlalchemy_rds_iam.testing.mysql.handshake import Client, receive, send, shown
from sqlalchemy_rds_iam.testing.mysql.login import log_in, read_greeting, read_packet
from sqlalchemy_rds_iam.testing.mysql.tap import Tap
from sqlalchemy_rds_iam.testing.mysql.users import Accounts

_ENDS = (bytes([wire.OK]), bytes([wire.ERROR]))


class MySqlGateway(Gateway[Client, Stream, Accounts]):
    """Listens like an RDS for MySQL or MariaDB with IAM database authentication."""

    not_accepting = (1053, "08S01", "Server shutdown in progress")

    def __init__(self, backend: Backend, accounts: Accounts, *more: Any, **options: Any) -> None:
        """Stand in front of `backend`, whose users are `accounts`; for the rest see `Gateway`."""
        super().__init__(accounts, *more, **options)
        self._backend = backend

    async def _receive(self, sock: socket.socket) -> Client:
        with ExitStack() as undo:
            with closed_on_failure(sock):
                try:
                    server, greeting = await self._greeted(undo)
                except ServerError as error:
                    words = error.number or 0, error.sqlstate, error.text
                    await send(sock, wire.error(*words))
                    raise ProtocolError(f"refused in place of a greeting: {error}") from None
            tells = shown(greeting, self.default_plugin, tls=not self.decline_tls)
            without = self.decline_tls or self.asks_before_tls
            context = None if without else self.certificate
            client = await receive(sock, server, greeting, tells, context)
            undo.pop_all()
        return client

    async def _greeted(self, undo: ExitStack) -> tuple[Stream, wire.Greeting]:
        if self.greeting_error is not None:
            number, sqlstate, text = self.greeting_error
            raise ServerError(sqlstate, text, number)
        server = await self._backend.connect()
        undo.callback(server[1].transport.abort)
        return server, await read_greeting(server[0])

    async def _admit(self, client: Client) -> Stream | None:
        with ExitStack() as undo:
            undo.callback(client.server[1].transport.abort)
            client.expect(2 if client.encrypted else 1)
            response = await self._response(client)
            if response is None:
                outcome = await self._ask(self._relay_login(client))
            elif await self._ask(self._users.uses_iam(response.name)):
                await self._judge(client, response.name, await self._token(client, response))
                outcome = await self._open_session(client, response)
            else:
                outcome = await self._log_in_with_password(client, response)
            client.writer.write(client.packet(outcome))
            if outcome[:1] == bytes([wire.ERROR]):
                return None
            undo.pop_all()
        return client.server

    async def _pass_on(self, client: Client, session: Stream, traffic: Traffic | None) -> None:
        tap = None if traffic is None else Tap(traffic)
        await relay((client.reader, client.writer), session, tap, self.reachable)

    def _leave(self, session: Stream) -> StreamWriter | None:
        return session[1]

    def _denied(self, client: Client, user: str) -> Words:
        text = f"Access denied for user '{user}'@'{client.address}' (using password: YES)"
        return 1045, "28000", text

    async def _response(self, client: Client) -> wire.Response | None:
        """Who the client says it is; None if only the real server can say what it has sent."""
        if self.asks_before_tls and wire.is_ssl_request(client.payload):
            # What is answered in clear after that has been given away, whatever it is.
            answer = await client.answer(wire.switch(wire.CLEAR_PASSWORD))
            self._authenticate(client, "", answer.removesuffix(b"\0"))
        try:
            return wire.parse_response(client.payload)
        except ProtocolError:
            return None

    async def _token(self, client: Client, response: wire.Response) -> bytes:
        """What the client sends as its password: at once, or when it is asked for that."""
        at_once = response.plugin == wire.CLEAR_PASSWORD.encode() and response.password
        if at_once and self.switch_to is None:
            return response.password.removesuffix(b"\0")
        if self.switch_to is None:
            answer = await client.answer(wire.switch(wire.CLEAR_PASSWORD))
        else:
            data = client.greeting.salt + b"\0"
            answer = await client.answer(wire.switch(self.switch_to, data))
        return answer.removesuffix(b"\0")

    async def _open_session(self, client: Client, response: wire.Response) -> bytes:
        secret = self._backend.secret_of(response.name)
        return await self._ask(log_in(client.server, client.greeting, response, secret))

    async def _log_in_with_password(self, client: Client, response: wire.Response) -> bytes:
        """Let the real server decide: both talk as if there were nothing in between."""
        await self._delay()
        if self.refuse_next > 0:
            self.refuse_next -= 1
            self._record_password(response.name, "refuse_next said so")
            raise RefusedError(*self._denied(client, response.name))
        outcome = await self._ask(self._relay_login(client))
        refusal = None
        if outcome[:1] == bytes([wire.ERROR]):
            number, sqlstate, refusal = wire.parse_error(outcome)
            # The server has the gateway for its client.
            text = refusal.replace("@'localhost'", f"@'{client.address}'")
            outcome = wire.error(number, sqlstate, text)
        # Before the client learns of it, so that no caller sees a login without its decision.
        self._record_password(response.name, refusal)
        return outcome

    @staticmethod
    async def _relay_login(client: Client) -> bytes:
        reader, writer = client.server
        answer, number = wire.without_tls(client.payload), 1
        while True:
            writer.write(wire.packet(number, answer))
            number, payload = await read_packet(reader)
            if payload[:1] in _ENDS:
                return payload
            answer, number = await client.answer(payload), number + 1
