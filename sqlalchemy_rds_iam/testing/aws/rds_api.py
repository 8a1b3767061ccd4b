"""Amazon RDS's API: the Describe… actions that tell which resource an endpoint belongs to.

Source: the Amazon RDS API Reference. Any principal of the account may call them.
"""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sqlalchemy_rds_iam.testing.aws.identities import ACCOUNT_ID, Identities
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call, Service
from sqlalchemy_rds_iam.testing.aws.sigv4 import authenticate, claimed_key

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
_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_CLOCK_SKEW = 300.0


class RdsApi(Service):
    """Knows the databases that it is told of.

    Attributes:
        known: The fields of each answer, by action and name.
    """

    name = "RDS"

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.known: dict[tuple[str, str], dict[str, Any]] = {}

    def operation(self, call: Call) -> str:
        """The Action asked for, or Unknown."""
        action = _parameters(call).get("Action", "")
        return action if action in _ACTIONS else "Unknown"

    def caller(self, call: Call) -> str | None:
        """The access key id in the Authorization header."""
        return claimed_key(call)

    def answer(self, call: Call) -> web.Response:
        """Answer a request that is signed for RDS."""
        authenticate(call, self._identities, service="rds", clock_skew=_CLOCK_SKEW)
        parameters = _parameters(call)
        action = parameters.get("Action", "")
        if action not in _ACTIONS:
            raise AwsError(400, "InvalidAction", f"Could not find operation {action}")
        answer, item, key = _ACTIONS[action]
        named = parameters.get(key)
        found = [
            fields
            for (known, name), fields in self.known.items()
            if known == action and named in {None, name}
        ]
        if named is not None and not found:
            raise AwsError(404, f"{answer.removesuffix('s')}NotFound", f"{named} not found.")
        items = "".join(f"<{item}>{_xml(fields)}</{item}>" for fields in found)
        return _document(
            f"<{action}Response><{action}Result><{answer}>{items}</{answer}></{action}Result>"
            f"</{action}Response>"
        )

    def refusal(self, error: AwsError) -> web.Response:
        """The XML of the Query protocol's errors."""
        fields = {"Type": "Sender", "Code": error.code, "Message": error.message}
        document = _document(f"<ErrorResponse><Error>{_xml(fields)}</Error></ErrorResponse>")
        document.set_status(error.status)
        return document

    def add(self, endpoint: str, region: str) -> None:
        """Make known whatever the name of an endpoint says that it belongs to."""
        kind = endpoint.partition(".")[2]
        if kind.startswith(("proxy-", "endpoint.proxy-")):
            self.proxy(endpoint, region=region)
        elif kind.startswith("cluster-custom-"):
            writer = endpoint.replace(".cluster-custom-", ".cluster-")
            self.cluster(writer, endpoint, region=region)
        elif kind.startswith("cluster-"):
            self.cluster(endpoint.replace(".cluster-ro-", ".cluster-"), region=region)
        else:
            self.instance(endpoint, region=region)

    def instance(self, endpoint: str, *, region: str | None = None, **more: Any) -> None:
        """There is an instance at this endpoint."""
        name = endpoint.partition(".")[0]
        self.known["DescribeDBInstances", name] = {
            "DBInstanceIdentifier": name,
            "DBInstanceArn": _arn(endpoint, region, f"db:{name}"),
            "DbiResourceId": f"db-{_unique(name)}",
            "Endpoint": {"Address": endpoint, "Port": "5432"},
            "IAMDatabaseAuthenticationEnabled": "true",
            **more,
        }

    def cluster(self, endpoint: str, *custom: str, region: str | None = None) -> None:
        """There is a cluster with this writer endpoint, and custom ones."""
        name = endpoint.partition(".")[0]
        self.known["DescribeDBClusters", name] = {
            "DBClusterArn": _arn(endpoint, region, f"cluster:{name}"),
            "DbClusterResourceId": f"cluster-{_unique(name)}",
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

    def proxy(self, endpoint: str, *others: str, region: str | None = None) -> None:
        """There is a proxy at this endpoint, and at others."""
        name = endpoint.partition(".")[0]
        self.known["DescribeDBProxies", name] = {
            "DBProxyName": name,
            "DBProxyArn": _arn(endpoint, region, f"db-proxy:prx-{_unique(name)}"),
            "Endpoint": endpoint.replace(".endpoint.", "."),
        }
        for each in (endpoint, *others):
            if ".endpoint.proxy-" in each:
                self.known["DescribeDBProxyEndpoints", each.partition(".")[0]] = {
                    "DBProxyName": name,
                    "Endpoint": each,
                }


def _arn(endpoint: str, region: str | None, resource: str) -> str:
    region = region or endpoint.split(".")[-4]
    partition = next(
        (found for prefix, found in _PARTITIONS.items() if region.startswith(prefix)), "aws"
    )
    return f"arn:{partition}:rds:{region}:{ACCOUNT_ID}:{resource}"


def _unique(name: str) -> str:
    """What stands in for the letters and digits that RDS makes up."""
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def _parameters(call: Call) -> dict[str, str]:
    text = call.query if call.method == "GET" else call.body.decode(errors="replace")
    return dict(parse_qsl(text, keep_blank_values=True))


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
