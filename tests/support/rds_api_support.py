"""The Describe… actions of the Amazon RDS API on loopback, for clients that sign requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws import rds_api
from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.aws.service import Call


class RdsApi(rds_api.RdsApi):
    """Remembers the regions that it was asked in."""

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.regions: list[str] = []

    def answer(self, call: Call) -> web.Response:
        """Answer a request."""
        answer = super().answer(call)
        self.regions.append(str(call.header("Authorization")).split("/")[2])
        return answer


@contextmanager
def served(rds: RdsEmulator) -> Iterator[RdsApi]:
    """An RDS API of the emulator's account, beside its own."""
    api = RdsApi(rds.identities)
    rds._call(api.start())
    try:
        yield api
    finally:
        rds._call(api.stop())
