"""Repositories that images come through: what they fetch from, as whom, and who may read them."""

from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import DEPLOYMENT, SECRET_IAM_MEMBER, Recordings, find, names_of, of_type

REPOSITORY = "gcp:artifactregistry/repository:Repository"
READER = "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"
AGENT = "gcp:projects/serviceIdentity:ServiceIdentity"
ADDRESS = "us-central1-docker.pkg.dev/my-project/gke-llm-inference-test"
STACK = """\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1, labels: {team: ml}}
  gke-llm-inference:imageRegistry: {mode: create}
  gke-llm-inference:servers:
    chat: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096}
"""


@pytest.fixture(scope="module")
def anothers(recordings: Recordings) -> Recording:
    return recordings.program(Path(__file__).with_name("image_registry_sample.py"))


@pytest.fixture(scope="module")
def own(recordings: Recordings) -> Recording:
    return recordings.config(STACK)


def test_each_upstream_has_a_remote_repository(anothers: Recording) -> None:
    assert find(anothers, REPOSITORY, "images-docker-hub").inputs == {
        "description": "Images of docker.io for GKE's image streaming",
        "format": "DOCKER",
        "location": "us-central1",
        "mode": "REMOTE_REPOSITORY",
        "project": "my-project",
        "remoteRepositoryConfig": {
            "description": "docker.io",
            "dockerRepository": {"publicRepository": "DOCKER_HUB"},
            "upstreamCredentials": {
                "usernamePasswordCredentials": {
                    "passwordSecretVersion": "projects/vault/secrets/docker-hub/versions/3",
                    "username": "acme",
                }
            },
        },
        "repositoryId": "gke-llm-inference-test-docker-hub",
    }
    assert find(anothers, REPOSITORY, "images-ghcr").inputs["remoteRepositoryConfig"] == {
        "description": "ghcr.io",
        "commonRepository": {"uri": "https://ghcr.io"},
    }
    assert len(of_type(anothers, REPOSITORY)) == 2


def test_artifact_registry_may_read_the_one_secret_before_the_repository_is_made(anothers: Recording) -> None:
    (access,) = [one for one in of_type(anothers, SECRET_IAM_MEMBER) if one.inputs["secretId"] == "docker-hub"]
    assert (access.inputs["project"], access.inputs["role"]) == ("vault", "roles/secretmanager.secretAccessor")
    (agent,) = of_type(anothers, AGENT)
    assert agent.inputs == {"project": "my-project", "service": "artifactregistry.googleapis.com"}
    assert names_of(access.dependencies) == [agent.name]
    assert access.name in names_of(find(anothers, REPOSITORY, "images-docker-hub").dependencies)
    assert access.name not in names_of(find(anothers, REPOSITORY, "images-ghcr").dependencies)


def test_the_nodes_of_anothers_cluster_are_let_read_each_repository(anothers: Recording) -> None:
    readers = of_type(anothers, READER)
    assert [one.inputs["member"] for one in readers] == [
        "serviceAccount:nodes@my-project.iam.gserviceaccount.com",
    ] * 2
    assert {one.inputs["role"] for one in readers} == {"roles/artifactregistry.reader"}
    assert {one.inputs["repository"] for one in readers} == {
        "gke-llm-inference-test-docker-hub",
        "gke-llm-inference-test-ghcr",
    }


def test_pods_come_after_the_repositories_and_run_their_images(anothers: Recording) -> None:
    chat = find(anothers, DEPLOYMENT, "chat-deployment")
    image = chat.inputs["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"{ADDRESS}-docker-hub/vllm/vllm-openai:v")
    assert {"images-docker-hub", "images-docker-hub-reader"} <= set(names_of(chat.dependencies))
    old = find(anothers, DEPLOYMENT, "old-deployment")
    image = old.inputs["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"{ADDRESS}-ghcr/huggingface/text-generation-inference:")


def test_nodes_of_the_stacks_own_have_the_role_already_and_repositories_their_labels(own: Recording) -> None:
    (repository,) = of_type(own, REPOSITORY)
    assert repository.inputs["repositoryId"] == "gke-llm-inference-test-docker-hub"
    assert repository.inputs["labels"] == {"team": "ml"}
    assert (of_type(own, READER), of_type(own, AGENT)) == ([], [])


def test_without_the_setting_there_is_no_repository(recordings: Recordings) -> None:
    direct = recordings.config(STACK.replace("  gke-llm-inference:imageRegistry: {mode: create}\n", ""))
    assert of_type(direct, REPOSITORY) == []
