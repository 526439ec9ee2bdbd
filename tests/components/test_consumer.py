"""A program of somebody else's that composes the components, as `consumer_sample.py` does."""

from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import (
    DEPLOYMENT,
    GKE_CLUSTER,
    GPU_NODE_POOL,
    HUGGING_FACE_TOKEN,
    INFERENCE_SERVER,
    KUBERNETES_PROVIDER,
    NAMESPACE,
    NODE_POOL,
    PROJECT,
    SECRET,
    Recordings,
    find,
    kubernetes_objects,
    names_of,
    shape,
)

PLATFORM = "acme:platform:ModelPlatform"


@pytest.fixture(scope="module")
def sample(recordings: Recordings) -> Recording:
    return recordings.program(Path(__file__).with_name("consumer_sample.py"))


def test_the_components_stand_below_the_callers_own(sample: Recording) -> None:
    assert shape(sample, find(sample, PLATFORM, "acme")) == {
        (GKE_CLUSTER, "acme-gke"),
        (NAMESPACE, "acme-namespace"),
        (HUGGING_FACE_TOKEN, "acme-token"),
        (GPU_NODE_POOL, "spot"),
        (INFERENCE_SERVER, "chat"),
        (INFERENCE_SERVER, "legacy"),
    }
    assert len(sample.resources) == 31


def test_a_urn_names_every_component_above_a_resource(sample: Recording) -> None:
    assert find(sample, DEPLOYMENT, "chat-deployment").urn == (
        f"urn:pulumi:test::{PROJECT}::{PLATFORM}${INFERENCE_SERVER}${DEPLOYMENT}::chat-deployment"
    )


def test_every_kubernetes_object_is_on_the_callers_cluster(sample: Recording) -> None:
    provider = find(sample, KUBERNETES_PROVIDER, "acme-gke-kubernetes")
    objects = kubernetes_objects(sample)
    assert len(objects) == 10
    assert {resource.provider for resource in objects} == {provider.urn}
    namespaces = {resource.inputs["metadata"].get("namespace") for resource in objects if resource.type != NAMESPACE}
    assert namespaces == {"acme-models"}


def test_pods_wait_for_namespace_token_and_nodes(sample: Recording) -> None:
    assert names_of(find(sample, DEPLOYMENT, "chat-deployment").dependencies) == [
        "acme-namespace",
        "acme-token-secret",
        "chat-account",
        "chat-network-policy",
        "spot",
    ]
    assert "acme-gke-system" in names_of(find(sample, NODE_POOL, "spot").dependencies)


def test_the_callers_secret_stays_one(sample: Recording) -> None:
    secret = find(sample, SECRET, "acme-token-secret")
    assert secret.inputs["stringData"] == {"hf_api_token": "[secret]"}
    assert secret.inputs["metadata"]["name"] == "hub"
    assert "theTokenOfAcme" not in str(sample.as_dict())


def test_plain_values_of_the_components_are_known_in_a_preview(sample: Recording) -> None:
    assert sample.exports == {
        "firstDeployment": "chat",
        "urls": {
            "chat": "http://chat.acme-models.svc.cluster.local:8000",
            "legacy": "http://legacy.acme-models.svc.cluster.local:8000",
        },
    }
