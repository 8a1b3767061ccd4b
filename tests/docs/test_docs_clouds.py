"""docs/examples for Kubernetes, ECS and IAM: of the right form, and fit for each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from cli_support import shown
from docs_support import Document
from docs_world import World
from examples_support import JSON, VARIABLES, YAML
from rds_api_support import served
from sqlalchemy import make_url

from sqlalchemy_rds_iam.testing import RdsEmulator

ACCOUNT, DEPLOYMENT = YAML["kubernetes.yaml"]
[IRSA] = YAML["kubernetes-irsa.yaml"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
TASK = JSON["ecs-task-definition.json"]
ROLE = "arn:aws:iam::123456789012:role/orders"
CONTAINERS = {
    "kubernetes.yaml": {each["name"]: each["value"] for each in POD["containers"][0]["env"]},
    "ecs-task-definition.json": {
        each["name"]: each["value"] for each in TASK["containerDefinitions"][0]["environment"]
    },
}
EACH = pytest.mark.parametrize("variables", CONTAINERS.values(), ids=CONTAINERS)


@EACH
def test_variables(variables: Mapping[str, str]) -> None:
    """A container is given what the application reads, and nothing of AWS's."""
    assert set(variables) == VARIABLES


@EACH
def test_urls_log_in(variables: Mapping[str, str], documented: World) -> None:
    """The URL makes an engine with the plugin, which logs in to that endpoint as that user."""
    url = variables["DATABASE_URL"]
    text = f"from sqlalchemy import create_engine\nengine = create_engine({url!r})"
    assert documented.run(Document("x.md", f"```python\n{text}\n```")) == 1
    [login] = documented.logins
    assert (login.db_user, login.granted) == ("app", True)
    assert [each.host for each in documented.endpoints] == [make_url(url).host]


def test_kubernetes() -> None:
    """The parts of the manifest name each other, and IRSA's account stands for the plain one."""
    spec, labels = DEPLOYMENT["spec"], DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert (ACCOUNT["apiVersion"], ACCOUNT["kind"]) == ("v1", "ServiceAccount")
    assert (DEPLOYMENT["apiVersion"], DEPLOYMENT["kind"]) == ("apps/v1", "Deployment")
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert POD["serviceAccountName"] == ACCOUNT["metadata"]["name"]
    assert DEPLOYMENT["metadata"]["namespace"] == ACCOUNT["metadata"]["namespace"]
    [container] = POD["containers"]
    assert [each["name"] for each in container["volumeMounts"]] == [
        each["name"] for each in POD["volumes"]
    ]
    assert all(isinstance(each["value"], str) for each in container["env"])
    metadata = dict(IRSA["metadata"])
    assert metadata.pop("annotations") == {"eks.amazonaws.com/role-arn": ROLE}
    assert {**IRSA, "metadata": metadata} == ACCOUNT


@pytest.mark.parametrize("name", [name for name in YAML if name.startswith("kubernetes")])
def test_kubernetes_schema(name: str) -> None:
    """The manifests are as Kubernetes' own types have them, with no field beside those."""
    codecs = pytest.importorskip("lightkube.codecs")
    for manifest in YAML[name]:
        assert codecs.from_dict(manifest).to_dict() == manifest


@pytest.mark.parametrize(
    ("service", "operation", "name"),
    [
        ("ecs", "RegisterTaskDefinition", "ecs-task-definition.json"),
        ("eks", "CreatePodIdentityAssociation", "pod-identity-association.json"),
    ],
)
def test_requests(service: str, operation: str, name: str) -> None:
    """What the AWS CLI is given is a request as AWS's model of the service has it."""
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    assert ParamValidator().validate(JSON[name], shape).generate_report() == ""
    assert set(JSON[name]) <= set(shape.members)


def test_ecs() -> None:
    """It is the task's role that connects, and Fargate gets what it asks for."""
    assert TASK["taskRoleArn"] == ROLE != TASK["executionRoleArn"]
    assert {"cpu", "memory"} <= set(TASK)
    assert TASK["networkMode"] == "awsvpc"


def test_roles() -> None:
    """Each way of a role trusts what it should, for this service account or account alone."""
    name, namespace = (ACCOUNT["metadata"][key] for key in ("name", "namespace"))
    association = JSON["pod-identity-association.json"]
    assert (association["serviceAccount"], association["namespace"]) == (name, namespace)
    assert association["roleArn"] == ROLE
    trusted = {key: JSON[f"trust-{key}.json"]["Statement"][0] for key in ("pod-identity", "irsa")}
    assert trusted["pod-identity"]["Condition"]["StringEquals"] == {
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": name,
    }
    assert trusted["pod-identity"]["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert trusted["pod-identity"]["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    provider = trusted["irsa"]["Principal"]["Federated"].partition(":oidc-provider/")[2]
    assert trusted["irsa"]["Condition"]["StringEquals"] == {
        f"{provider}:aud": "sts.amazonaws.com",
        f"{provider}:sub": f"system:serviceaccount:{namespace}:{name}",
    }
    assert trusted["irsa"]["Action"] == "sts:AssumeRoleWithWebIdentity"
    [ecs] = JSON["trust-ecs.json"]["Statement"]
    assert ecs["Condition"]["StringEquals"] == {"aws:SourceAccount": ROLE.split(":")[4]}
    assert (ecs["Action"], ecs["Principal"]) == (
        "sts:AssumeRole",
        {"Service": "ecs-tasks.amazonaws.com"},
    )
    statements = [statement for key in JSON for statement in JSON[key].get("Statement", ())]
    assert [each["Effect"] for each in statements] == ["Allow"] * 4


@pytest.fixture
def policy(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What `rds-iam policy` prints for the URL of the examples, with RDS's answer."""
    url = CONTAINERS["kubernetes.yaml"]["DATABASE_URL"]
    with served(rds) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", api.url)
        api.instance(str(make_url(url).host), DbiResourceId="db-ABCDEFGHIJKL01234")
        printed = shown("policy", url)
        assert printed.code == 0, printed.err
        yield json.loads(printed.out)


def test_policy(policy: Any) -> None:
    """The policy is that of the command."""
    assert JSON["policy.json"] == policy


def test_one_database() -> None:
    """All containers are led to the same database by the same user."""
    assert len({each["DATABASE_URL"] for each in CONTAINERS.values()}) == 1
