"""``rds-iam policy`` and ``rds-iam grant``: what AWS and the database have to allow."""

from __future__ import annotations

import json

import typer

from sqlalchemy_rds_iam._tools.iam_policy import ACCOUNT, RESOURCE, connect_policy, look_up
from sqlalchemy_rds_iam.cli.common import (
    EXAMPLE,
    MYSQL_EXAMPLE,
    AsJson,
    Options,
    Profile,
    Region,
    Timeout,
    Url,
    access,
    told,
)
from sqlalchemy_rds_iam.cli.output import FAILED, document, note, out

POLICY_EPILOG = f"""
What an identity needs to connect as the user of this URL, which is the same with all databases:
$ rds-iam policy \\
    {EXAMPLE}
$ rds-iam policy \\
    {MYSQL_EXAMPLE}

Attached to a role, if it is complete:
$ rds-iam policy > policy.json && aws iam put-role-policy \\
    --role-name orders --policy-name orders-db \\
    --policy-document file://policy.json
"""
GRANT_EPILOG = f"""
What PostgreSQL has to allow, and what MySQL and MariaDB have to:
$ rds-iam grant \\
    {EXAMPLE}
$ rds-iam grant \\
    {MYSQL_EXAMPLE}

Run by the master user:
$ rds-iam grant | psql -U postgres \\
    -h mydb.abc123.eu-central-1.rds.amazonaws.com
$ rds-iam grant | mysql -u admin -p \\
    -h mydb.abc123.eu-central-1.rds.amazonaws.com
"""


def policy(
    url: Url = None,
    *,
    options: Options = None,
    profile: Profile = None,
    region: Region = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Print the IAM policy that lets an identity connect as the user of the URL alone.

    The resource id in it, which is no name, is looked up with the AWS credentials that are found:
    rds:DescribeDBInstances, rds:DescribeDBClusters or rds:DescribeDBProxies, by the kind of
    endpoint. Where AWS does not tell, ACCOUNT-ID and RESOURCE-ID stand in the policy, and how to
    fill them is said on standard error.

    The policy is attached by you: to the role or user that connects, in the account of the
    database. Nothing is changed. What is printed is the policy alone, fit for the AWS command line;
    with --json it is a part of a document that also says whether it is complete.

    Exits with 0 if the policy is complete; with 1 if placeholders are left; with 2 if called
    wrongly.
    """
    with told():
        found = access(url, options, timeout=timeout, profile=profile, region=region)
        findings = look_up(found)
        written = connect_policy(findings.resources, found.endpoint.user)
    for sentence in findings.notes:
        note(sentence)
    if as_json:
        document({"complete": findings.complete, "policy": written, "notes": findings.notes})
    else:
        out(json.dumps(written, indent=2))
    if not findings.complete:
        left = [each for each in (ACCOUNT, RESOURCE) if each in json.dumps(written)]
        note(f"the policy is not complete: fill in {' and '.join(left)}")
        raise typer.Exit(FAILED)


def grant(
    url: Url = None,
    *,
    options: Options = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Print the SQL that lets the user of the URL log in by token. Nothing is executed.

    It is to be run by the master user, at the writer. What the user may do with tables is not part
    of it. RDS Proxy is another matter, which the comments explain.

    Neither AWS nor the database is asked. Exits with 0; with 2 if called wrongly.
    """
    with told():
        found = access(url, options, timeout=timeout)
        database = found.cparams.get(found.driver.database)
        wanted = found.family.grants(found.endpoint.user, database, found.host)
    if as_json:
        document({"user": found.endpoint.user, **wanted._asdict()})
    else:
        out(wanted.script())
