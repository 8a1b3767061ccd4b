"""Asking the agent that has a container's credentials, once, within one deadline.

Source: ``ContainerMetadataFetcher`` of botocore; "Amazon ECS task IAM role" in the ECS Developer
Guide; "EKS Pod Identity" in the EKS User Guide.
"""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy_rds_iam._aws.key_check import refuse_malformed
from sqlalchemy_rds_iam._aws.sessions import imported
from sqlalchemy_rds_iam._aws.sigv4 import Credentials

DEADLINE = 2.0
"""Seconds from connecting to the last byte of an answer. botocore waits as long for each part."""

_LARGEST = 1 << 16
"""Bytes of a token, or an answer."""

_OK = 200
_METHOD = "container-role"
_HEADER = r"[!-~](?:[ -~]*[!-~])?"
_MOMENT = r"(?a)20\d\d-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?Z"


@dataclass(frozen=True, slots=True)
class Agent:
    """The endpoint of a container, and what authorizes the container there.

    Attributes:
        token: the authorization token.
        token_file: the path of a file with it, which comes first, and is read each time.
    """

    host: str
    port: int
    path: str
    token: str | None = field(repr=False)
    token_file: str | None

    def ask(self) -> tuple[Credentials, float]:
        """Ask once.

        Returns:
            The credentials, and the seconds they have left.

        Raises:
            Exception: no answer in time, or another than usual.
        """
        headers = {"Accept": "application/json"}
        if (token := self._authorization()) is not None:
            headers["Authorization"] = token
        # No part of a start with other credentials.
        connection = imported("http.client").HTTPConnection(self.host, self.port)
        connection.set_debuglevel(0)  # the application's may be to print headers
        connection.sock = _connected(self.host, self.port, time.monotonic() + DEADLINE)
        try:
            connection.request("GET", self.path, headers=headers)
            with connection.getresponse() as response:
                body = response.read(_LARGEST)  # what is cut off cannot be parsed
        finally:
            connection.close()
        if response.status != _OK:
            raise ValueError("another answer than usual")
        return _understood(json.loads(body.decode()), time.time())

    def _authorization(self) -> str | None:
        token = self.token
        if self.token_file is not None:
            file = Path(self.token_file)
            if not file.is_file():  # reading a pipe may take for ever
                raise ValueError("no regular file")
            with file.open("rb") as content:
                token = content.read(_LARGEST + 1).decode("ascii")
        if token is not None and (len(token) > _LARGEST or not re.fullmatch(_HEADER, token)):
            raise ValueError("no value of a header")
        return token


class _Socket(socket.socket):
    """A connection all of whose reading ends at one deadline, however little comes at a time."""

    deadline: float

    def recv_into(self, *arguments: Any) -> int:
        """Receive what is there, or wait for it.

        Raises:
            TimeoutError: the time is over.
        """
        self.settimeout(_left(self.deadline))
        return super().recv_into(*arguments)


def _connected(host: str, port: int, deadline: float) -> _Socket:
    made = socket.create_connection((host, port), _left(deadline))
    connected = _Socket(fileno=made.detach())
    connected.deadline = deadline
    connected.settimeout(DEADLINE)  # for sending, which takes all of it at once
    return connected


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _understood(document: Any, now: float) -> tuple[Credentials, float]:
    access_key, secret_key, token = map(document.get, ("AccessKeyId", "SecretAccessKey", "Token"))
    moment = document["Expiration"]
    if not token or not re.fullmatch(_MOMENT, moment):
        raise ValueError("another answer than usual")
    refuse_malformed((access_key, secret_key, token), _METHOD)
    expires_at = datetime.fromisoformat(moment).timestamp()
    found = Credentials(access_key, secret_key, token, expires_at, _METHOD)
    return found, expires_at - now
