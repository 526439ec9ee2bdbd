"""Programs in Python, YAML, Go and TypeScript in the real engine: what they register is the same."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gke_llm_inference.provider.arguments import SERVER_TYPE, STACK_TYPE
from gke_llm_inference.pulumi_project.project import load_project, load_stack
from local.binaries import ensure
from local.engine.command import EngineCommand, find_command
from local.engine.provider import NAME
from local.engine.stack import EngineStack
from tests.cluster.support import Cluster, plan_of_file, running_gke
from tests.languages.engine import STACK, Engine, NodeHost, outputs, registered
from tests.languages.support import SETTINGS, TOKEN, TypeScript, example_in, run
from tests.provider.support import running as running_provider
from tests.support import PROJECT, REPOSITORY

INLINE = Path(__file__).parent / "go" / "inline"
URL = "http://gemma.llm-inference.svc.cluster.local:8000"


@pytest.fixture(scope="module")
def command() -> EngineCommand:
    return find_command(print)


@pytest.fixture(scope="module")
def kubernetes() -> Path:
    return ensure([NAME], print)[NAME]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    for gke in running_gke("standard", tmp_path_factory.mktemp("gke")):
        cluster = Cluster(gke)
        gke.simulate(plan_of_file(REPOSITORY / "Pulumi.local.yaml"))
        yield cluster
        cluster.clear()


@pytest.fixture(scope="module")
def engine(
    cluster: Cluster, command: EngineCommand, kubernetes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    language = ensure(["pulumi-language-yaml"], print)["pulumi-language-yaml"]
    with running_provider() as provider:
        variables = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "PATH": f"{language.parent}:{Path(command.command).parent}:{os.environ['PATH']}",
            "PULUMI_DEBUG_PROVIDERS": f"{PROJECT}:{provider.port}",
        }
        yield Engine.at(tmp_path_factory.mktemp("engine"), Path(command.command), kubernetes, variables)


@pytest.fixture(scope="module")
def expected(
    cluster: Cluster, command: EngineCommand, kubernetes: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the program of this repository registers with the same settings."""
    directory = tmp_path_factory.mktemp("python")
    file = directory / f"Pulumi.{STACK}.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in SETTINGS.items()}}), "utf-8")
    project = load_project(REPOSITORY)
    stack = EngineStack(
        command=command,
        directory=directory / "state",
        project=project,
        config=load_stack(project, None, file),
        secrets={f"{PROJECT}:huggingFaceToken": TOKEN},
        provider=kubernetes,
        environment={"KUBECONFIG": str(cluster.kubeconfig)},
    )
    stack.up()
    try:
        state = stack.state()
    finally:
        stack.destroy()
    assert outputs(state)["servers"] == {"gemma": URL}
    return registered(state)


def assert_the_same(state: dict[str, Any], expected: dict[str, Any]) -> None:
    assert [
        resource["urn"].rpartition("::")[2] for resource in state["resources"] if resource["type"] == STACK_TYPE
    ] == ["chat"]
    assert registered(state) == expected
    assert len(expected) == 10
    assert outputs(state) == {"servers": {"gemma": URL}}
    assert TOKEN not in json.dumps(state)


def test_a_program_in_yaml(engine: Engine, expected: dict[str, Any], tmp_path: Path) -> None:
    project = example_in(tmp_path / "project", "yaml")
    with engine.stack(project):
        engine.pulumi(project, "up", "--yes", "--stack", STACK)
        assert_the_same(engine.state(project), expected)
        again = engine.pulumi(project, "preview", "--expect-no-changes", "--stack", STACK)
        assert "servers.gemma:" in again


def test_a_program_in_go(engine: Engine, expected: dict[str, Any], sdks: Path, tmp_path: Path) -> None:
    project = example_in(tmp_path / "project", "go", sdks / "go")
    for name in ("main.go", "go.mod", "go.sum"):
        shutil.copy(INLINE / name, project)
    run(["go", "build", "-o", "deploy", "."], project)
    with engine.stack(project):
        engine.run([project / "deploy", project, STACK], project)
        assert_the_same(engine.state(project), expected)


def test_a_program_in_typescript(engine: Engine, expected: dict[str, Any], typescript: TypeScript) -> None:
    with engine.stack(typescript.directory), NodeHost(typescript.directory).serving() as client:
        engine.pulumi(typescript.directory, "up", "--yes", "--exec-kind=auto.inline", client, "--stack", STACK)
        assert_the_same(engine.state(typescript.directory), expected)


SERVER = """\
name: chat
runtime: yaml
config:
  secretName: {type: string, default: hub}
resources:
  cluster:
    type: pulumi:providers:kubernetes
    properties: {context: local}
  namespace:
    type: kubernetes:core/v1:Namespace
    properties: {metadata: {name: chat}}
    options: {provider: "${cluster}"}
  hub:
    type: kubernetes:core/v1:Secret
    properties:
      metadata: {name: "${secretName}", namespace: "${namespace.metadata.name}"}
      stringData: {token: {"fn::secret": hf_notARealTokenNotARealToken00}}
    options: {provider: "${cluster}"}
  gemma:
    type: gke-llm-inference:InferenceServer
    properties:
      namespace: chat
      huggingFace: {tokenSource: existingSecret, secretName: "${secretName}", secretKey: token}
      server: {server: vllm, model: google/gemma-7b-it, maxModelLen: 4096}
      tokenVersion: ${hub.metadata.resourceVersion}
    options: {providers: ["${cluster}"], dependsOn: ["${namespace}"]}
outputs: {url: "${gemma.url}", machine: "${gemma.machineType}"}
"""


def test_one_server_on_the_cluster_of_a_program(engine: Engine, cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(SERVER, "utf-8")
    with engine.stack(tmp_path):
        engine.pulumi(tmp_path, "up", "--yes", "--stack", STACK)
        state = engine.state(tmp_path)
        assert outputs(state)["url"] == "http://gemma.chat.svc.cluster.local:8000"
        made = registered(state)
        parent = f"{SERVER_TYPE}::gemma"
        children = {urn for urn, resource in made.items() if resource.get("parent") == parent}
        names = {"gemma-account", "gemma-deployment", "gemma-network-policy", "gemma-service"}
        assert {urn.rpartition("::")[2] for urn in children} == names
        assert {made[urn]["provider"] for urn in children} == {"pulumi:providers:kubernetes::cluster"}
        deployment = cluster.apps.read_namespaced_deployment("gemma", "chat")
        assert deployment.status.ready_replicas == 1
        annotations = deployment.spec.template.metadata.annotations
        assert annotations["llm-inference/token-version"].isdigit()


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        pytest.param(
            "maxModelLen: 4096",
            "maxModelLen: 200000",
            "property servers.gemma.maxModelLen  has a problem: 200000 tokens are more than the model's 8192",
            id="plan",
        ),
        pytest.param(
            "kubeconfigContext: local",
            "kubeconfigContext: ${huggingFaceToken}",
            "property cluster.kubeconfigContext  has a problem: is a secret",
            id="secret",
        ),
        pytest.param(
            "tokenSource: config",
            "tokenSource: existingSecret",
            "property huggingFaceToken  has a problem: is set, but huggingFace.tokenSource is not config",
            id="unread token",
        ),
        pytest.param(
            "maxModelLen: 4096",
            f"extraArgs: [--api-key={TOKEN}]",
            "property servers.gemma.extraArgs[0]  has a problem: holds a Hugging Face token in clear text",
            id="token elsewhere",
        ),
        pytest.param("maxModelLen: 4096", "maxModelLenn: 4096", "maxModelLenn", id="misspelled"),
    ],
)
def test_a_problem_is_shown_at_its_property_without_the_value(
    engine: Engine, tmp_path: Path, old: str, new: str, shown: str
) -> None:
    project = example_in(tmp_path / "project", "yaml")
    path = project / "Pulumi.yaml"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
    with engine.stack(project):
        printed = engine.pulumi(project, "preview", "--stack", STACK, fails=True)
    assert shown in printed
    assert TOKEN not in printed


def test_the_cli_adds_the_package(engine: Engine, tmp_path: Path) -> None:
    if shutil.which("pulumi-language-python") is None:
        pytest.skip("pulumi-language-python is not on PATH")
    (tmp_path / "Pulumi.yaml").write_text("name: chat\nruntime: yaml\n", "utf-8")
    provider = REPOSITORY / "provider"
    engine.pulumi(tmp_path, "package", "add", provider)
    added = yaml.safe_load((tmp_path / "Pulumi.yaml").read_text("utf-8"))
    assert list(added["packages"]) == [PROJECT]
    assert json.loads(engine.pulumi(tmp_path, "package", "get-schema", provider))["name"] == PROJECT
