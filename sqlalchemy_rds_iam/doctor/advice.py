"""What to do, ready to copy: AWS commands, policies and SQL for what is being examined. Pure."""

from __future__ import annotations

import json
import re
import shlex

from sqlalchemy import make_url

from sqlalchemy_rds_iam._databases.grants import membership
from sqlalchemy_rds_iam._tools.iam_policy import Resource, connect_policy
from sqlalchemy_rds_iam._tools.rds_api import KINDS
from sqlalchemy_rds_iam.doctor.state import State

SESSIONS = (
    "SELECT usename, application_name, state, count(*) FROM pg_stat_activity "
    "GROUP BY 1, 2, 3 ORDER BY 4 DESC;"
)
"""The SQL that shows who has taken the connections."""

_BOTH = "IAMDatabaseAuthenticationEnabled,VpcSecurityGroups"
_STATE = {
    "DescribeDBInstances": f"[DBInstanceStatus,Endpoint,DbiResourceId,{_BOTH}]",
    "DescribeDBClusters": f"[Status,Port,DbClusterResourceId,{_BOTH}]",
    "DescribeDBProxies": "[Status,DBProxyArn,Auth]",
}
_WHO = re.compile(r"arn:([^:]+):(?:iam|sts)::(\d+):(?:assumed-role/([^/]+)/.*|(.+))")


def describe(state: State) -> tuple[str, ...]:
    """The AWS command that shows state, port, resource id and IAM setting of the endpoint."""
    target = state.target
    kind = KINDS.get(target.host.kind) if target is not None else None
    if target is None or kind is None:
        return ()
    return (kind.command(target.host, target.endpoint.region, _STATE.get(kind.action)),)


def policy(state: State) -> tuple[str, ...]:
    """The policy that lets the caller connect as this user, and the command that completes it."""
    url = shlex.quote(make_url(state.given).render_as_string())
    document = connect_policy([_resource(state)], state.settled.endpoint.user)
    return f"rds-iam policy {url}", json.dumps(document)


def simulate(state: State) -> tuple[str, ...]:
    """The command that asks IAM whether the caller may connect, for users who may ask that."""
    caller = principal(state.caller)
    if caller is None:
        return ()
    resource = shlex.quote(_resource(state).arn(state.settled.endpoint.user))
    command = "aws iam simulate-principal-policy --action-names rds-db:connect"
    return (f"{command} --policy-source-arn {caller} --resource-arns {resource}",)


def principal(caller: str | None) -> str | None:
    """The IAM user or role behind the ARN of a session."""
    match = _WHO.fullmatch(caller or "")
    if match is None:
        return None
    partition, account, role, rest = match.groups()
    return f"arn:{partition}:iam::{account}:{f'role/{role}' if role else rest}"


def grant(user: str) -> str:
    """The SQL that lets a user log in by token."""
    return f"{membership(user)};"


def metric(state: State, name: str) -> str:
    """The command that shows one of CloudWatch's counters of IAM authentication."""
    endpoint, host = state.settled.endpoint, state.settled.host
    dimension = "DBInstanceIdentifier" if host.kind == "instance" else "DBClusterIdentifier"
    return (
        f"aws cloudwatch get-metric-statistics --region {endpoint.region} --namespace AWS/RDS "
        f"--metric-name {name} --dimensions Name={dimension},Value={host.host.partition('.')[0]} "
        "--statistics Sum --period 60 --start-time $(date -u -d '-15 min' +%FT%TZ) "
        "--end-time $(date -u +%FT%TZ)"
    )


def log_group(state: State) -> str | None:
    """Where CloudWatch keeps the server's reasons, once they are exported."""
    host = state.settled.host
    if host.kind not in {"instance", "cluster"}:
        return None  # a reader's or a proxy's name is not that of the cluster
    return f"/aws/rds/{host.kind}/{host.host.partition('.')[0]}/iam-db-auth-error"


def _resource(state: State) -> Resource:
    target = state.settled
    unknown = Resource(target.host.partition or "aws", target.endpoint.region)
    return unknown.within(state.caller, state.config.role_arn)
