"""What to do, ready to paste: AWS commands, policies and SQL for what is being examined. Pure."""

from __future__ import annotations

import json
import re
import shlex

from sqlalchemy import make_url

from sqlalchemy_rds_iam._tools.iam_policy import Resource, connect_policy
from sqlalchemy_rds_iam._tools.rds_api import KINDS
from sqlalchemy_rds_iam.doctor.findings import Command, Kind
from sqlalchemy_rds_iam.doctor.state import State

_BOTH = "IAMDatabaseAuthenticationEnabled,VpcSecurityGroups"
_STATE = {
    "DescribeDBInstances": f"[DBInstanceStatus,Endpoint,DbiResourceId,{_BOTH}]",
    "DescribeDBClusters": f"[Status,Port,DbClusterResourceId,{_BOTH}]",
    "DescribeDBProxies": "[Status,DBProxyArn,Auth]",
}
_WHO = re.compile(r"arn:([^:]+):(?:iam|sts)::(\d+):(?:assumed-role/([^/]+)/.*|(.+))")
_PLACES = {"instance": "instance", "cluster": "cluster", "cluster-ro": "cluster"}
# Roles that IAM Identity Center makes of permission sets, and lets no one change.
_OF_PERMISSION_SET = "AWSReservedSSO_"


def look(text: str) -> Command:
    """A shell command that shows something."""
    return Command(Kind.LOOK, text)


def shell(text: str) -> Command:
    """A shell command that changes something."""
    return Command(Kind.SHELL, text)


def sql(text: str) -> Command:
    """SQL for the master user."""
    return Command(Kind.SQL, text)


def environment(text: str) -> Command:
    """A line for the environment of the application, in the shell's words."""
    return Command(Kind.ENVIRONMENT, text)


def option(text: str) -> Command:
    """An option for the URL, with a value that only the user knows."""
    return Command(Kind.OPTION, text)


CLOCK = (look("date -u"), look("timedatectl status"), shell("sudo chronyc makestep"))
"""Show the clock, and set it."""


def describe(state: State) -> tuple[Command, ...]:
    """Shows state, port, resource id and IAM setting of the endpoint."""
    target = state.target
    kind = KINDS.get(target.host.kind) if target is not None else None
    if target is None or kind is None:
        return ()
    shows = _STATE.get(kind.action)
    return (look(kind.command(target.host, target.endpoint.region, shows)),)


def enable(state: State) -> tuple[Command, ...]:
    """Switches IAM authentication on."""
    return modify(state, "--enable-iam-database-authentication")


def modify(state: State, change: str) -> tuple[Command, ...]:
    """Changes a setting of the instance or cluster."""
    target = state.target
    place = _PLACES.get(target.host.kind) if target is not None else None
    if target is None or place is None:
        return ()
    name = shlex.quote(target.host.host.partition(".")[0])
    return (
        shell(
            f"aws rds modify-db-{place} --region {target.endpoint.region} "
            f"--db-{place}-identifier {name} {change} --apply-immediately"
        ),
    )


def parameter(state: State, name: str, value: str) -> tuple[Command, ...]:
    """Sets a parameter of the server, in the parameter group that only the user knows."""
    target = state.target
    place = _PLACES.get(target.host.kind) if target is not None else None
    if target is None or place is None:
        return ()
    group = "cluster-parameter-group" if place == "cluster" else "parameter-group"
    return (
        shell(
            f"aws rds modify-db-{group} --region {target.endpoint.region} --db-{group}-name GROUP "
            f"--parameters ParameterName={name},ParameterValue={value},ApplyMethod=immediate"
        ),
    )


def policy(state: State) -> tuple[Command, ...]:
    """Lets the caller connect as this user: the command that attaches the policy, and the policy.

    The resource id is not in the endpoint's name; ``rds-iam policy`` asks RDS for it.
    """
    made = f"rds-iam policy {shlex.quote(make_url(state.given).render_as_string())}"
    document = connect_policy([_resource(state)], state.settled.endpoint.user)
    return (
        *_attach(state, made),
        look(made),
        Command(Kind.POLICY, json.dumps(document)),
    )


def _attach(state: State, made: str) -> tuple[Command, ...]:
    who = principal(state.caller) or state.config.role_arn or ""
    found = re.fullmatch(r"arn:[^:]+:iam::\d+:(user|role)/(?:.*/)?([^/]+)", who)
    if found is None or found[2].startswith(_OF_PERMISSION_SET):
        return ()
    kind, name = found[1], shlex.quote(found[2])
    return (
        shell(
            f"aws iam put-{kind}-policy --{kind}-name {name} --policy-name rds-iam-connect "
            f'--policy-document "$({made})"'
        ),
    )


def simulate(state: State) -> tuple[Command, ...]:
    """Asks IAM whether the caller may connect, for users who may ask that."""
    caller = principal(state.caller)
    if caller is None:
        return ()
    resource = shlex.quote(_resource(state).arn(state.settled.endpoint.user))
    command = "aws iam simulate-principal-policy --action-names rds-db:connect"
    return (
        look(f"{command} --policy-source-arn {shlex.quote(caller)} --resource-arns {resource}"),
    )


def principal(caller: str | None) -> str | None:
    """The IAM user or role behind the ARN of a session."""
    match = _WHO.fullmatch(caller or "")
    if match is None:
        return None
    partition, account, role, rest = match.groups()
    return f"arn:{partition}:iam::{account}:{f'role/{role}' if role else rest}"


def metric(state: State, name: str) -> Command:
    """Shows one of CloudWatch's counters of IAM authentication."""
    endpoint, host = state.settled.endpoint, state.settled.host
    name = shlex.quote(host.host.partition(".")[0])
    dimension = "DBInstanceIdentifier" if host.kind == "instance" else "DBClusterIdentifier"
    return look(
        f"aws cloudwatch get-metric-statistics --region {endpoint.region} --namespace AWS/RDS "
        f"--metric-name {name} --dimensions Name={dimension},Value={name} "
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
