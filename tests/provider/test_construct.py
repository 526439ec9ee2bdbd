"""What the provider registers is what a program in Python registers, below a component."""

from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import resource_pb2

from gke_llm_inference.preview.monitor import RecordingMonitor
from gke_llm_inference.provider.arguments import SERVER_TYPE, STACK_TYPE
from tests.provider.support import TOKEN, Provider, below, output, registrations, secret, settings_in
from tests.support import PROJECT, REPOSITORY, STACKS, Recordings, find

pytestmark = pytest.mark.processes

ID = "12345678-1234-1234-1234-123456789012"
EXAMPLES = REPOSITORY / "examples"
FILES = [
    *(REPOSITORY / f"Pulumi.{stack}.yaml" for stack in STACKS),
    # Another stack's cluster, and presets, which what a program states itself wins over.
    EXAMPLES / "platform-team" / "Pulumi.chat.yaml",
    EXAMPLES / "guide" / "Pulumi.vllm-7b-awq.yaml",
]
SERVER = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 8192}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_whole_stack_differs_from_that_of_the_program_by_its_parent_alone(
    provider: Provider, recordings: Recordings, file: Path
) -> None:
    stack = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    settings, config = settings_in(file)
    made = provider.construct(STACK_TYPE, settings, stack=stack, config=config)
    program = recordings.stack(stack) if stack in STACKS else recordings.file(file)
    assert made.urn == f"urn:pulumi:{stack}::{PROJECT}::{STACK_TYPE}::chat"
    component, pieces = find(made.recording, STACK_TYPE, "chat"), made.recording.resources
    assert component.outputs == program.exports
    assert registrations([one for one in pieces if one is not component]) == below(program, made.urn, STACK_TYPE)
    assert len(pieces) == len(program.resources)


def test_numbers_of_other_languages_are_whole_where_they_can_be(provider: Provider) -> None:
    made = provider.construct(SERVER_TYPE, {"server": {**SERVER, "maxModelLen": 8192.0, "replicas": 2.0}})
    assert made.state["replicas"] == 2
    assert "--max-model-len=8192" in made.state["args"]


def test_a_server_is_what_the_component_of_the_same_type_is_in_python(provider: Provider) -> None:
    made = provider.construct(
        SERVER_TYPE,
        {"server": SERVER, "profile": "autopilot", "namespace": "chat"},
        name="qwen",
    )
    assert made.urn == f"urn:pulumi:test::{PROJECT}::{SERVER_TYPE}::qwen"
    assert sorted(resource.name for resource in made.recording.resources) == [
        "qwen",
        "qwen-account",
        "qwen-deployment",
        "qwen-network-policy",
        "qwen-service",
    ]
    assert {resource.inputs["metadata"]["namespace"] for resource in made.recording.resources if resource.custom} == {
        "chat"
    }
    component = find(made.recording, SERVER_TYPE, "qwen")
    assert made.state == component.outputs
    assert made.state["url"] == "http://qwen.chat.svc.cluster.local:8000"


def test_a_token_stays_a_secret(provider: Provider) -> None:
    settings, config = settings_in(REPOSITORY / "Pulumi.local.yaml")
    for wire in (secret(TOKEN), output(TOKEN, secret=True)):
        made = provider.construct(STACK_TYPE, {**settings, "huggingFaceToken": wire}, config=config)
        held = find(made.recording, "kubernetes:core/v1:Secret", "hugging-face-secret")
        assert held.inputs["stringData"] == {"hf_api_token": "[secret]"}
        assert held.secret_inputs == ("stringData",)
        assert TOKEN not in str(made)


def test_a_token_may_be_unknown_in_a_preview(provider: Provider) -> None:
    settings, config = settings_in(REPOSITORY / "Pulumi.local.yaml")
    token = output(secret=True, known=False)
    made = provider.construct(STACK_TYPE, {**settings, "huggingFaceToken": token}, config=config)
    held = find(made.recording, "kubernetes:core/v1:Secret", "hugging-face-secret")
    assert held.inputs["stringData"] == "[secret]"


def test_the_version_of_a_token_may_come_from_another_resource(provider: Provider) -> None:
    arguments = {
        "server": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096},
        "huggingFace": {"tokenSource": "existingSecret", "secretName": "hub"},
    }
    for version, annotation in (("7", "7"), (output("7"), "7"), (output(known=False), "[unknown]")):
        made = provider.construct(SERVER_TYPE, {**arguments, "tokenVersion": version})
        deployment = find(made.recording, "kubernetes:apps/v1:Deployment", "chat-deployment")
        pod = deployment.inputs["spec"]["template"]
        assert pod["metadata"]["annotations"] == {"llm-inference/token-version": annotation}


def test_options_reach_the_component(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_resource(self: object, request: Any, context: object) -> resource_pb2.ResourceInvokeResponse:
        assert request.tok == "pulumi:pulumi:getResource"
        answer = resource_pb2.ResourceInvokeResponse()
        getattr(answer, "return").update({"urn": request.args["urn"], "id": ID, "state": {}})
        return answer

    # What an engine knows of the provider that the program made.
    monkeypatch.setattr(RecordingMonitor, "Invoke", get_resource)
    kubernetes = f"urn:pulumi:test::{PROJECT}::pulumi:providers:kubernetes::mine"
    made = provider.construct(
        SERVER_TYPE,
        {"server": SERVER},
        protect=True,
        providers={"kubernetes": f"{kubernetes}::{ID}"},
    )
    assert {resource.provider for resource in made.recording.resources if resource.custom} == {kubernetes}
    assert all(resource.protect for resource in made.recording.resources)


def test_decisions_and_warnings_reach_the_user(provider: Provider) -> None:
    settings, config = settings_in(REPOSITORY / "Pulumi.local.yaml")
    messages = [entry.message for entry in provider.construct(STACK_TYPE, settings, config=config).recording.logs]
    assert [message.splitlines()[0] for message in messages] == [
        "servers.gemma:",
        "huggingFaceToken: is missing",
    ]


def test_the_project_comes_from_the_argument_or_the_configuration(provider: Provider) -> None:
    made = provider.construct(STACK_TYPE, settings_in(FILES[0])[0], config={"gcp:project": "first-project"})
    again = provider.construct(STACK_TYPE, {**settings_in(FILES[0])[0], "gcpProject": "other-project"})
    for one, project in ((made, "first-project"), (again, "other-project")):
        cluster = find(one.recording, "gcp:container/cluster:Cluster", "gke-cluster")
        assert cluster.inputs["project"] == project
