"""What the README tells to do before a deployment is what the stacks need."""

import re
import shlex
from collections.abc import Iterable

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import REPOSITORY, STACKS, Recordings

# The API that a module of Google Cloud's provider calls.
APIS = {
    "artifactregistry": "artifactregistry",
    "certificatemanager": "certificatemanager",
    "compute": "compute",
    "container": "container",
    "monitoring": "monitoring",
    "projects": "cloudresourcemanager",
    "secretmanager": "secretmanager",
    "serviceaccount": "iam",
    "storage": "storage",
}


def commands(start: str) -> list[list[str]]:
    """The commands of the README's blocks that begin like this, as a shell reads them."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith(start)]


def apis_of(recordings: Iterable[Recording]) -> set[str]:
    """The APIs that the resources of programs call."""
    modules = {
        resource.type.split(":")[1].partition("/")[0].lower()
        for recording in recordings
        for resource in recording.resources
        if resource.type.startswith("gcp:")
    }
    return {f"{APIS[module]}.googleapis.com" for module in modules}


def test_every_api_that_a_stack_calls_is_enabled(recordings: Recordings) -> None:
    always, *_ = commands("gcloud services enable")
    assert set(always[3:]) == apis_of(recordings.stack(stack) for stack in STACKS)


@pytest.mark.parametrize("sample", ["image_registry", "certificates", "access", "observability", "composition"])
def test_every_api_that_a_setting_needs_besides_is_named(recordings: Recordings, sample: str) -> None:
    program = REPOSITORY / "tests" / "components" / f"{sample}_sample.py"
    named = {api for command in commands("gcloud services enable") for api in command[3:]}
    assert apis_of([recordings.program(program)]) <= named


def test_the_api_of_buckets_is_named(recordings: Recordings) -> None:
    server = "{server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096, keepCompileCache: %s}"
    kept = '{storage: bucket, name: acme-chat, projectNumber: "123456789012"}'
    stack = (
        "config:\n  gcp:project: my-project\n"
        "  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}\n"
        f"  gke-llm-inference:servers: {{chat: {server % kept}}}\n"
    )
    named = {api for command in commands("gcloud services enable") for api in command[3:]}
    assert "storage.googleapis.com" in apis_of([recordings.config(stack)]) <= named


def test_the_api_that_streams_images_is_named_though_no_resource_calls_it() -> None:
    """Nodes call it: https://docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming."""
    (streaming,) = (one for one in commands("gcloud services enable") if "artifactregistry.googleapis.com" in one)
    assert "containerfilesystem.googleapis.com" in streaming


def test_every_configuration_key_exists_and_the_token_is_a_secret() -> None:
    words = commands("pulumi config set")
    assert [(command[-1] if "--secret" in command else command[3]) for command in words] == [
        "gcp:project",
        "huggingFaceToken",
    ]
    assert "--secret" in words[1]
