"""What holds for every registration of every stack."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE
from tests.stacks.conftest import ALL, LONG_NAME, recording_of
from tests.support import (
    DEPLOYMENT,
    INFERENCE_SERVER,
    INFERENCE_STACK,
    KUBERNETES_PROVIDER,
    NAMESPACE,
    NODE_POOL,
    SECRET,
    Recordings,
    kubernetes_objects,
    of_type,
)

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

CANONICAL_TYPES = {
    INFERENCE_STACK,
    # This project's components; a changed token is another resource for every stack that is deployed.
    "gke-llm-inference:index:GkeCluster",
    "gke-llm-inference:index:GpuNodePool",
    "gke-llm-inference:index:HuggingFaceToken",
    "gke-llm-inference:index:InferenceServer",
    "gke-llm-inference:index:Network",
    "gke-llm-inference:index:NodeIdentity",
    "gke-llm-inference:index:Observability",
    # What they consist of.
    "gcp:compute/network:Network",
    "gcp:compute/router:Router",
    "gcp:compute/routerNat:RouterNat",
    "gcp:compute/subnetwork:Subnetwork",
    "gcp:container/cluster:Cluster",
    "gcp:container/nodePool:NodePool",
    "gcp:monitoring/alertPolicy:AlertPolicy",
    "gcp:monitoring/dashboard:Dashboard",
    "gcp:projects/iAMMember:IAMMember",
    "gcp:secretmanager/secretIamMember:SecretIamMember",
    "gcp:serviceaccount/account:Account",
    "kubernetes:apps/v1:Deployment",
    "kubernetes:core/v1:Namespace",
    "kubernetes:core/v1:Secret",
    "kubernetes:core/v1:Service",
    "kubernetes:core/v1:ServiceAccount",
    "kubernetes:monitoring.googleapis.com/v1:PodMonitoring",
    "kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    "kubernetes:policy/v1:PodDisruptionBudget",
    "kubernetes:secret-sync.gke.io/v1:SecretSync",
    "kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass",
    "pulumi:providers:kubernetes",
    "pulumi:pulumi:Stack",
}


def by_urn(recording: Recording) -> dict[str, Resource]:
    return {resource.urn: resource for resource in recording.resources}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def labels_in(value: Any) -> Iterator[tuple[str, str]]:
    """Keys and values of everything that Kubernetes takes for labels, anywhere inside."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("labels", "matchLabels", "nodeSelector") and isinstance(item, dict):
                yield from item.items()
            yield from labels_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from labels_in(item)


def test_every_parent_is_a_component_or_the_stack(recording: Recording) -> None:
    known = by_urn(recording)
    for resource in recording.resources:
        if resource.type == STACK_TYPE:
            assert resource.parent is None
            continue
        assert resource.parent is not None, resource.urn
        assert not known[resource.parent].custom, resource.urn


def test_urns_are_unique_and_spell_the_chain_of_types_of_all_ancestors(recording: Recording) -> None:
    known = by_urn(recording)
    assert len(known) == len(recording.resources)
    for resource in recording.resources:
        chain = [resource.type]
        parent = resource.parent
        while parent is not None and known[parent].type != STACK_TYPE:
            chain.insert(0, known[parent].type)
            parent = known[parent].parent
        assert resource.urn == (
            f"urn:pulumi:{recording.stack}::{recording.project}::{'$'.join(chain)}::{resource.name}"
        )


def test_the_children_of_a_component_carry_its_name(recording: Recording) -> None:
    known = by_urn(recording)
    for resource in recording.resources:
        parent = known.get(resource.parent or "")
        # The pieces of a whole stack have the same names wherever it is.
        if parent is not None and parent.type not in (STACK_TYPE, INFERENCE_STACK):
            assert resource.name == parent.name or resource.name.startswith(f"{parent.name}-"), resource.urn


def test_every_kubernetes_object_has_an_explicit_provider(recording: Recording) -> None:
    known = by_urn(recording)
    objects = kubernetes_objects(recording)
    assert objects
    for resource in objects:
        assert resource.provider is not None, resource.urn
        assert known[resource.provider].type == KUBERNETES_PROVIDER


def test_every_dependency_is_a_resource_of_the_same_stack(recording: Recording) -> None:
    known = by_urn(recording)
    for resource in recording.resources:
        named = {*resource.dependencies, *(urn for urns in resource.property_dependencies.values() for urn in urns)}
        assert named <= known.keys(), resource.urn


def test_everything_of_google_cloud_states_its_project(recording: Recording) -> None:
    for resource in recording.resources:
        if resource.type.startswith("gcp:") and not resource.options.get("external"):
            expected = "vault" if resource.name.startswith("from-other-project") else "my-project"
            assert resource.inputs["project"] == expected, resource.urn


def test_every_gpu_container_has_limits_probes_a_node_selector_and_the_toleration(recording: Recording) -> None:
    deployments = of_type(recording, DEPLOYMENT)
    assert len(deployments) == len(of_type(recording, INFERENCE_SERVER))
    for resource in deployments:
        pod = resource.inputs["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        limits = container["resources"]["limits"]
        assert {"memory", "ephemeral-storage", "nvidia.com/gpu"} <= limits.keys()
        assert limits["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        assert "cloud.google.com/gke-accelerator" in pod["nodeSelector"]
        assert "nvidia.com/gpu" in [toleration["key"] for toleration in pod["tolerations"]]
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_every_name_on_kubernetes_is_a_dns_label(recording: Recording) -> None:
    for resource in kubernetes_objects(recording):
        metadata = resource.inputs.get("metadata", {"name": resource.name})
        assert DNS_LABEL.fullmatch(metadata["name"]), metadata["name"]
        assert DNS_LABEL.fullmatch(metadata.get("namespace", "none"))


def test_every_label_is_one_that_kubernetes_takes(recording: Recording) -> None:
    found = [pair for resource in recording.resources for pair in labels_in(resource.inputs)]
    assert found
    for key, value in found:
        assert LABEL_KEY.fullmatch(key), key
        assert isinstance(value, str)
        assert LABEL_VALUE.fullmatch(value), f"{key}: {value}"


def test_every_namespaced_object_stands_in_the_namespace_of_its_stack(recording: Recording) -> None:
    (namespace,) = of_type(recording, NAMESPACE)
    objects = [resource for resource in kubernetes_objects(recording) if resource.type != NAMESPACE]
    assert {resource.inputs["metadata"]["namespace"] for resource in objects} == {namespace.name}


@pytest.mark.parametrize("name", [name for name in ALL if name != "gallery"])
def test_no_two_objects_of_a_stack_have_one_name(recordings: Recordings, name: str) -> None:
    objects = kubernetes_objects(recording_of(recordings, name))
    identities = Counter((resource.inputs["kind"], resource.inputs["metadata"]["name"]) for resource in objects)
    assert identities.most_common(1)[0][1] == 1


@pytest.mark.parametrize("name", [name for name in ALL if name != "gallery"])
def test_every_server_finds_the_pool_that_it_selects(recordings: Recordings, name: str) -> None:
    recording = recording_of(recordings, name)
    known = {pool.inputs["nodeConfig"]["labels"]["llm-inference/node-pool"] for pool in pools(recording)}
    for deployment in of_type(recording, DEPLOYMENT):
        selected = deployment.inputs["spec"]["template"]["spec"]["nodeSelector"].get("llm-inference/node-pool")
        assert selected in (known or {None})


def pools(recording: Recording) -> list[Resource]:
    return [pool for pool in of_type(recording, NODE_POOL) if "guestAccelerators" in pool.inputs["nodeConfig"]]


def test_gpu_pools_take_zones_of_the_region_and_scale_over_all_of_them(recording: Recording) -> None:
    for pool in pools(recording):
        zones = pool.inputs.get("nodeLocations", [])
        assert all(zone.startswith("us-central1-") for zone in zones)
        assert zones == sorted(set(zones))
        assert pool.inputs["autoscaling"].keys() == {"locationPolicy", "totalMaxNodeCount", "totalMinNodeCount"}


def test_aliases_are_only_the_older_types_that_the_sdk_itself_knows(recording: Recording) -> None:
    for resource in recording.resources:
        if resource.custom:
            assert all(isinstance(alias, dict) and alias.keys() == {"type"} for alias in resource.aliases)


def test_every_value_of_a_secret_is_masked_and_marked(recording: Recording) -> None:
    for secret in of_type(recording, SECRET):
        assert set(texts(secret.inputs["stringData"])) == {"[secret]"}
        assert "data" not in secret.inputs
        assert any(path.startswith("stringData") for path in secret.secret_inputs)


def test_nothing_but_secrets_is_secret(recording: Recording) -> None:
    for resource in recording.resources:
        if resource.type != SECRET:
            assert resource.secret_inputs == (), resource.urn
            assert "[secret]" not in set(texts(resource.inputs))


def test_no_value_is_a_python_object_turned_into_text(recording: Recording) -> None:
    for resource in recording.resources:
        for text in texts(resource.inputs):
            assert not re.search(r"\bNone\b|<[\w.]+ object at|Output\[", text), f"{resource.urn}: {text}"


def test_names_that_need_shortening_stay_apart_and_keep_what_can_be_kept(recordings: Recordings) -> None:
    recording = recording_of(recordings, "long-names")
    names = [deployment.inputs["metadata"]["name"] for deployment in of_type(recording, DEPLOYMENT)]
    assert len(names) == len(set(names)) == 5
    long = [name for name in names if name.startswith(LONG_NAME[:50])]
    assert len(long) == 2
    assert all(len(name) <= 63 for name in names)
    assert sum(name.startswith("gemma-7b-") for name in names) == 1
    assert sum(name.startswith("n-7b-") for name in names) == 1


def test_pool_names_leave_room_for_what_pulumi_appends(recordings: Recordings) -> None:
    names = [pool.name for pool in pools(recording_of(recordings, "long-names"))]
    assert len(set(names)) == 2
    assert all(len(name) <= 32 and DNS_LABEL.fullmatch(name) for name in names)


def test_types_are_the_canonical_ones_and_all_of_them_occur(recordings: Recordings) -> None:
    found = {resource.type for name in ALL for resource in recording_of(recordings, name).resources}
    assert found == CANONICAL_TYPES
