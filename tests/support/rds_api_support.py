"""The Describe… actions of the Amazon RDS API on loopback, for clients that sign requests."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws.identities import ACCOUNT_ID, Identities
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call, Service
from sqlalchemy_rds_iam.testing.aws.sigv4 import authenticate

# What an action's answer is a list of, and the parameter that names one of them.
_ACTIONS = {
    "DescribeDBInstances": ("DBInstances", "DBInstance", "DBInstanceIdentifier"),
    "DescribeDBClusters": ("DBClusters", "DBCluster", "DBClusterIdentifier"),
    "DescribeDBClusterEndpoints": (
        "DBClusterEndpoints",
        "DBClusterEndpointList",
        "DBClusterEndpointIdentifier",
    ),
    "DescribeDBShardGroups": ("DBShardGroups", "DBShardGroup", "DBShardGroupIdentifier"),
    "DescribeDBProxies": ("DBProxies", "member", "DBProxyName"),
    "DescribeDBProxyEndpoints": ("DBProxyEndpoints", "member", "DBProxyEndpointName"),
    "DescribeGlobalClusters": ("GlobalClusters", "GlobalClusterMember", "GlobalClusterIdentifier"),
}


class RdsApi(Service):
    """Knows what it is told: by action and name, an answer's fields."""

    name = "RDS"

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.known: dict[tuple[str, str], dict[str, Any]] = {}
        self.regions: list[str] = []

    def operation(self, call: Call) -> str:
        """The Action asked for."""
        return dict(parse_qsl(call.body.decode())).get("Action", "Unknown")

    def answer(self, call: Call) -> web.Response:
        """Answer a request that is signed for RDS."""
        authenticate(call, self._identities, service="rds", clock_skew=300.0)
        self.regions.append(str(call.header("Authorization")).split("/")[2])
        parameters = dict(parse_qsl(call.body.decode()))
        action = parameters["Action"]
        answer, item, key = _ACTIONS[action]
        known = self.known.get((action, parameters[key]))
        if known is None:
            raise AwsError(404, f"{answer}NotFound", f"{parameters[key]} not found.")
        content = f"<{answer}><{item}>{_xml(known)}</{item}></{answer}>"
        return _document(
            f"<{action}Response><{action}Result>{content}</{action}Result></{action}Response>"
        )

    def refusal(self, error: AwsError) -> web.Response:
        """The XML of the Query protocol's errors."""
        fields = {"Type": "Sender", "Code": error.code, "Message": error.message}
        document = _document(f"<ErrorResponse><Error>{_xml(fields)}</Error></ErrorResponse>")
        document.set_status(error.status)
        return document

    def instance(self, endpoint: str, **more: Any) -> None:
        """There is an instance at this endpoint."""
        name = endpoint.partition(".")[0]
        self.known["DescribeDBInstances", name] = {
            "DBInstanceArn": f"arn:aws:rds:{_region(endpoint)}:{ACCOUNT_ID}:db:{name}",
            "DbiResourceId": f"db-{name.upper()}",
            "Endpoint": {"Address": endpoint, "Port": "5432"},
            "IAMDatabaseAuthenticationEnabled": "true",
            **more,
        }

    def cluster(self, endpoint: str, *custom: str) -> None:
        """There is a cluster with this writer endpoint, and custom ones."""
        name = endpoint.partition(".")[0]
        self.known["DescribeDBClusters", name] = {
            "DBClusterArn": f"arn:aws:rds:{_region(endpoint)}:{ACCOUNT_ID}:cluster:{name}",
            "DbClusterResourceId": f"cluster-{name.upper()}",
            "DBClusterIdentifier": name,
            "Endpoint": endpoint,
            "ReaderEndpoint": endpoint.replace(".cluster-", ".cluster-ro-"),
            "IAMDatabaseAuthenticationEnabled": "true",
        }
        for each in custom:
            self.known["DescribeDBClusterEndpoints", each.partition(".")[0]] = {
                "DBClusterIdentifier": name,
                "Endpoint": each,
            }

    def proxy(self, endpoint: str, *others: str) -> None:
        """There is a proxy at this endpoint, and at others."""
        name = endpoint.partition(".")[0]
        arn = f"arn:aws:rds:{_region(endpoint)}:{ACCOUNT_ID}:db-proxy:prx-{name.upper()}"
        self.known["DescribeDBProxies", name] = {
            "DBProxyName": name,
            "DBProxyArn": arn,
            "Endpoint": endpoint,
        }
        for each in others:
            self.known["DescribeDBProxyEndpoints", each.partition(".")[0]] = {
                "DBProxyName": name,
                "Endpoint": each,
            }


@contextmanager
def served(rds: RdsEmulator) -> Iterator[RdsApi]:
    """An RDS API of the emulator's account."""
    api = RdsApi(rds.identities)
    rds._call(api.start())
    try:
        yield api
    finally:
        rds._call(api.stop())


def _region(endpoint: str) -> str:
    return endpoint.split(".")[-4]


def _document(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")


def _xml(fields: dict[str, Any]) -> str:
    return "".join(
        f"<{tag}>{_value(tag, value)}</{tag}>" for tag, value in fields.items() if value is not None
    )


def _value(tag: str, value: Any) -> str:
    if isinstance(value, dict):
        return _xml(value)
    if isinstance(value, list):
        return "".join(f"<{tag[:-1]}>{_xml(each)}</{tag[:-1]}>" for each in value)
    return html.escape(str(value))
