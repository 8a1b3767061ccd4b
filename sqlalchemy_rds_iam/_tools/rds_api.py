"""Which instance, cluster or proxy an endpoint name belongs to, as the API of Amazon RDS tells it.

Source: the Describe… actions in the Amazon RDS API reference. An endpoint's first label is the name
by which the API knows it; names repeat from account to account, so the whole endpoint is compared.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._endpoints.hostname import HostName


class Found(NamedTuple):
    """What an endpoint belongs to.

    Attributes:
        arn: its ARN, of the account and region it is in.
        id: its resource id.
        off: whether IAM database authentication is switched off for it.
    """

    arn: str
    id: str
    off: bool


class MismatchError(Exception):
    """There is something of that name, with another endpoint."""


class Kind(NamedTuple):
    """How the API calls what endpoints of a kind stand for."""

    action: str
    parameter: str
    answer: str
    shows: str

    def command(self, host: HostName, region: str, shows: str | None = None) -> str:
        """The command that shows a person the resource id of `host`, or whose it is.

        Args:
            host: the endpoint.
            region: where it is.
            shows: what to show instead.
        """
        return (
            f"aws rds {_dashed(self.action)} --region {region} "
            f"--{_dashed(self.parameter)} {shlex.quote(_name(host))} "
            f"--query '{self.answer}[0].{shows or self.shows}'"
        )


_CLUSTER = Kind("DescribeDBClusters", "DBClusterIdentifier", "DBClusters", "DbClusterResourceId")
_PROXY = Kind("DescribeDBProxies", "DBProxyName", "DBProxies", "DBProxyArn")
KINDS = {
    "instance": Kind(
        "DescribeDBInstances",
        "DBInstanceIdentifier",
        "DBInstances",
        "[DbiResourceId,DBClusterIdentifier]",
    ),
    "cluster": _CLUSTER,
    "cluster-ro": _CLUSTER,
    "cluster-custom": Kind(
        "DescribeDBClusterEndpoints",
        "DBClusterEndpointIdentifier",
        "DBClusterEndpoints",
        "DBClusterIdentifier",
    ),
    "limitless": Kind(
        "DescribeDBShardGroups",
        "DBShardGroupIdentifier",
        "DBShardGroups",
        "DBClusterIdentifier",
    ),
    "proxy": _PROXY,
    "proxy-endpoint": Kind(
        "DescribeDBProxyEndpoints", "DBProxyEndpointName", "DBProxyEndpoints", "DBProxyName"
    ),
    "global-writer": Kind(
        "DescribeGlobalClusters",
        "GlobalClusterIdentifier",
        "GlobalClusters",
        "GlobalClusterMembers[].DBClusterArn",
    ),
}
"""Every kind of endpoint that the API can be asked about."""


class Rds:
    """Asks the API.

    Args:
        client: makes a botocore client of RDS for a region.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client

    def find(self, host: HostName, region: str) -> list[Found]:
        """What `host` belongs to; more than one for a global database, whose writer may move.

        Raises:
            MismatchError: there is something of that name with another endpoint.
            Exception: botocore's, for what AWS refuses or does not know.
        """
        known = self._ask(region, KINDS[host.kind], _name(host))
        _compare(host, known)
        if host.kind == "global-writer":
            arns = [str(member["DBClusterArn"]) for member in known["GlobalClusterMembers"]]
            return [self._cluster(arn.split(":")[3], arn.rpartition(":")[2]) for arn in arns]
        if host.kind == "proxy-endpoint":
            known = self._ask(region, _PROXY, known["DBProxyName"])
        if host.is_proxy:
            arn = str(known["DBProxyArn"])
            return [Found(arn, arn.rpartition(":")[2], off=False)]
        if host.kind in {"cluster", "cluster-ro"}:
            return [_cluster(known)]
        # In a cluster it is the cluster's own id that counts, whichever endpoint is connected to.
        if cluster := known.get("DBClusterIdentifier"):
            return [self._cluster(region, cluster)]
        return [Found(str(known["DBInstanceArn"]), str(known["DbiResourceId"]), _is_off(known))]

    def _cluster(self, region: str, name: str) -> Found:
        return _cluster(self._ask(region, _CLUSTER, name))

    def _ask(self, region: str, kind: Kind, name: str) -> Any:
        client = self._client(region)
        try:
            answer = getattr(client, _dashed(kind.action).replace("-", "_"))(
                **{kind.parameter: name}
            )
        finally:
            client.close()
        return answer[kind.answer][0]


def _cluster(known: dict[str, Any]) -> Found:
    return Found(str(known["DBClusterArn"]), str(known["DbClusterResourceId"]), _is_off(known))


def _is_off(known: dict[str, Any]) -> bool:
    return known.get("IAMDatabaseAuthenticationEnabled") is False


def _name(host: HostName) -> str:
    return host.host.partition(".")[0]


def _compare(host: HostName, known: dict[str, Any]) -> None:
    endpoint = known.get("Endpoint")
    if isinstance(endpoint, dict):
        endpoint = endpoint.get("Address")
    told = {str(each).lower() for each in (endpoint, known.get("ReaderEndpoint")) if each}
    told |= {str(each).lower() for each in known.get("CustomEndpoints", ())}
    if told and host.host not in told:
        raise MismatchError(
            f"this account has a database called {_name(host)!r} with another "
            f"endpoint, {min(told)}: the one of the URL belongs to another account or was replaced"
        )


def _dashed(name: str) -> str:
    """A name of the API as the command line has it: DBProxyName is db-proxy-name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=DB)(?=[A-Z])", "-", name).lower()
