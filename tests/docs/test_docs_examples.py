"""docs/examples: files to copy, each shown on a page, of the right form and fit for the others."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from cli_support import COMMAND, shown
from docs_support import ROOT, Document
from docs_world import World
from patience import DEADLINE, eventually
from rds_api_support import served
from sqlalchemy import make_url

from sqlalchemy_rds_iam.testing import RdsEmulator

yaml = pytest.importorskip("yaml")

EXAMPLES = ROOT / "docs/examples"
PAGE = "configuration-files.md"
FILES = sorted(file for file in EXAMPLES.iterdir() if file.is_file())
TEXTS = {file.name: file.read_text("utf-8") for file in FILES}
YAML = {
    name: list(yaml.safe_load_all(text)) for name, text in TEXTS.items() if name.endswith(".yaml")
}
JSON = {name: json.loads(text) for name, text in TEXTS.items() if name.endswith(".json")}
ROLE = "arn:aws:iam::123456789012:role/orders"
VARIABLES = {"DATABASE_URL", "DATABASE_POOL_SIZE"}
"""What app.py reads, as `test_settings` says."""

ACCOUNT, [DEPLOYMENT] = YAML["kubernetes.yaml"][0], YAML["kubernetes.yaml"][1:]
[IRSA] = YAML["kubernetes-irsa.yaml"]
[COMPOSE] = YAML["compose.yaml"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
TASK = JSON["ecs-task-definition.json"]
CONTAINERS = {
    "kubernetes.yaml": {each["name"]: each["value"] for each in POD["containers"][0]["env"]},
    "ecs-task-definition.json": {
        each["name"]: each["value"] for each in TASK["containerDefinitions"][0]["environment"]
    },
}
EACH = pytest.mark.parametrize("variables", CONTAINERS.values(), ids=CONTAINERS)


@pytest.mark.parametrize("name", TEXTS)
def test_shown(name: str) -> None:
    """The page links to each file, and shows it as it is."""
    page = Document(f"docs/{PAGE}", (ROOT / "docs" / PAGE).read_text("utf-8"))
    assert f"examples/{name}" in page.links
    assert TEXTS[name] in [block.text for block in page.blocks]


@pytest.mark.parametrize("name", TEXTS)
def test_no_secret(name: str) -> None:
    """No file has a password or a key in it, nor a place for one."""
    for url in re.findall(r"\b\w+\+\w+://\S+[^\s\"]", TEXTS[name]):
        assert make_url(url).password is None
    assert not re.search(r"AKIA|ASIA|PASSWORD|SECRET|ACCESS_KEY|SESSION_TOKEN", TEXTS[name])


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


def _app(directory: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("pydantic_settings")
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "app.py")],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("in_file", [False, True], ids=["environment", "file"])
def test_settings(rds: RdsEmulator, tmp_path: Path, in_file: bool) -> None:
    """The application logs in with a URL from its environment, or from its file."""
    url = rds.url("postgresql+psycopg").render_as_string(hide_password=False)
    settings = {"DATABASE_URL": url, "DATABASE_POOL_SIZE": "1"}
    assert set(settings) == VARIABLES
    if in_file:
        lines = [f"{name}='{value}'\n" for name, value in settings.items()]
        (tmp_path / ".env").write_text("".join(lines), encoding="utf-8")
        settings = {}
    done = _app(tmp_path, rds.environ() | settings)
    assert (done.returncode, done.stdout) == (0, "app\n"), done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DATABASE_URL": "postgresql+psycopg://app:hunter2@localhost/app"}, "plugin=rds_iam"),
        ({"DATABASE_URL": "postgresql+psycopg://app:hunter2@x/app?plugin=rds"}, "plugin=rds_iam"),
        ({"DATABASE_POOL_SIZE": "5"}, "url"),
        ({"DATABASE_URL": "x://y/z?plugin=rds_iam", "DATABASE_POOL_SIZE": "0"}, "pool_size"),
    ],
)
def test_settings_refused(settings: dict[str, str], words: str, tmp_path: Path) -> None:
    """What cannot work is refused at the start, by its name and without a password."""
    done = _app(tmp_path, settings)
    assert done.returncode != 0
    assert words in done.stderr
    assert "hunter2" not in done.stderr


@pytest.fixture
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume of compose.yaml. Short, as a socket will be in it."""
    return tmp_path_factory.mktemp("v")


def _in_container(command: str, volume: Path) -> list[str]:
    """The words of a service's command, with the volume where it is here."""
    return shlex.split(command.replace("/emulator", str(volume)))


@pytest.mark.server
def test_compose(volume: Path) -> None:
    """The commands of the two services, without Docker: the application logs in to the emulator."""
    pytest.importorskip("pydantic_settings")
    database, app = COMPOSE["services"]["database"], COMPOSE["services"]["app"]
    words = _in_container(database["command"], volume)
    assert words[0] == "rds-iam"
    assert database["healthcheck"]["test"] == ["CMD", "test", "-f", "/emulator/env"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    moved = {name: str(volume) for name in database["environment"]}
    with subprocess.Popen(
        [*COMMAND, *words[1:]],
        env=environ | moved,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as emulator:
        try:
            eventually((volume / "env").exists, "the file of variables is not there")
            done = subprocess.run(
                _in_container(app["command"], volume),
                cwd=EXAMPLES,
                env=environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
            assert (done.returncode, done.stdout) == (0, "app\n"), done.stderr
        finally:
            emulator.terminate()
            emulator.communicate(timeout=DEADLINE)
    # As after `docker compose stop`: what is started next waits for a file of its own.
    assert not (volume / "env").exists()


def test_compose_form() -> None:
    """The two share volume, network and checkout, and the second waits for the first."""
    services = COMPOSE["services"]
    assert services["app"]["network_mode"] == "service:database"
    assert services["app"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name, service in services.items():
        [mount] = service["volumes"]
        assert mount.split(":")[:2] == [next(iter(COMPOSE["volumes"])), "/emulator"], name
        build = service["build"]
        assert (EXAMPLES / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).samefile(EXAMPLES / "Dockerfile")
        assert f" AS {build['target']}\n" in TEXTS["Dockerfile"]


def test_dockerfile() -> None:
    """What it copies is in the checkout, and the extras that it installs exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = ",".join(re.findall(r'"/src\[([\w,]+)\]"', TEXTS["Dockerfile"])).split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    copied = [
        word
        for line in re.findall(r"^COPY (.+) \S+$", TEXTS["Dockerfile"], re.MULTILINE)
        for word in line.split()
    ]
    assert set(copied) == {".", "docs/examples/app.py"}
    assert all((ROOT / word).exists() for word in copied)
    # The last user of each stage is not root.
    for stage in TEXTS["Dockerfile"].split("\nFROM ")[1:]:
        assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1] == "app"


def test_compose_schema() -> None:
    """compose.yaml is as the Compose specification has it."""
    pytest.importorskip("check_jsonschema")
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*tool, str(EXAMPLES / "compose.yaml")],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
    provider = trusted["irsa"]["Principal"]["Federated"].partition(":oidc-provider/")[2]
    assert trusted["irsa"]["Condition"]["StringEquals"] == {
        f"{provider}:aud": "sts.amazonaws.com",
        f"{provider}:sub": f"system:serviceaccount:{namespace}:{name}",
    }
    [ecs] = JSON["trust-ecs.json"]["Statement"]
    assert ecs["Condition"]["StringEquals"]["aws:SourceAccount"] == ROLE.split(":")[4]


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
