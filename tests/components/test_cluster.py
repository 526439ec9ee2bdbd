from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording, Severity
from tests.support import (
    CLUSTER,
    GKE_CLUSTER,
    KUBERNETES_PROVIDER,
    NETWORK,
    NODE_IDENTITY,
    NODE_POOL,
    children,
    find,
    names_of,
    shape,
)

UNKNOWN = "[unknown]"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
AUTOPILOT = ("autopilot", "autopilot-full")
STANDARD = ("standard", "standard-full")
CREATED = (*AUTOPILOT, *STANDARD)

# Whatever Google's provider calls a conflict with Autopilot as soon as it is set, and what it lets pass although
# every later update would then replace the cluster.
NOT_ON_AUTOPILOT = [
    "addonsConfig.networkPolicyConfig",
    "addonsConfig.dnsCacheConfig",
    "addonsConfig.statefulHaConfig",
    "clusterAutoscaling.enabled",
    "clusterAutoscaling.resourceLimits",
    "binaryAuthorization.enabled",
    "enableShieldedNodes",
    "enableIntranodeVisibility",
    "networkPolicy",
    "nodePools",
    "removeDefaultNodePool",
    "defaultMaxPodsPerNode",
    "nodeConfig",
    "initialNodeCount",
]

COMMON: dict[str, Any] = {
    "addonsConfig": {
        "gcePersistentDiskCsiDriverConfig": {"enabled": True},
        "gcsFuseCsiDriverConfig": {"enabled": True},
    },
    "controlPlaneEndpointsConfig": {
        "dnsEndpointConfig": {"allowExternalTraffic": True},
        "ipEndpointsConfig": {"enabled": False},
    },
    "costManagementConfig": {"enabled": True},
    "datapathProvider": "ADVANCED_DATAPATH",
    "deletionProtection": True,
    "gatewayApiConfig": {"channel": "CHANNEL_STANDARD"},
    "ipAllocationPolicy": {"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"},
    "location": "us-central1",
    "maintenancePolicy": {
        "recurringWindow": {
            "startTime": "2026-01-01T02:00:00Z",
            "endTime": "2026-01-01T08:00:00Z",
            "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU",
        }
    },
    "monitoringConfig": {"enableComponents": ["SYSTEM_COMPONENTS"], "managedPrometheus": {"enabled": True}},
    "name": "gke-llm-inference-test",
    "network": UNKNOWN,
    "networkingMode": "VPC_NATIVE",
    "privateClusterConfig": {"enablePrivateEndpoint": True, "enablePrivateNodes": True},
    "project": "my-project",
    "rbacBindingConfig": {
        "enableInsecureBindingSystemAuthenticated": False,
        "enableInsecureBindingSystemUnauthenticated": False,
    },
    "releaseChannel": {"channel": "REGULAR"},
    "secretManagerConfig": {"enabled": True},
    "secretSyncConfig": {"enabled": True},
    "subnetwork": UNKNOWN,
    "workloadIdentityConfig": {"workloadPool": "my-project.svc.id.goog"},
}
AUTOPILOT_ONLY: dict[str, Any] = {
    "enableAutopilot": True,
    "clusterAutoscaling": {"autoProvisioningDefaults": {"serviceAccount": UNKNOWN, "oauthScopes": SCOPES}},
}
STANDARD_ONLY: dict[str, Any] = {
    "removeDefaultNodePool": True,
    "initialNodeCount": 1,
    "nodeConfig": {"serviceAccount": UNKNOWN, "oauthScopes": SCOPES},
    "nodePoolDefaults": {"nodeConfigDefaults": {"gcfsConfig": {"enabled": True}}},
}
EXPECTED: dict[str, dict[str, Any]] = {
    "autopilot": {**COMMON, **AUTOPILOT_ONLY},
    "autopilot-full": {
        **COMMON,
        **AUTOPILOT_ONLY,
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {"allowExternalTraffic": True},
            "ipEndpointsConfig": {"enabled": True},
        },
        "privateClusterConfig": {"enablePrivateEndpoint": False, "enablePrivateNodes": True},
        "databaseEncryption": {
            "keyName": "projects/keys-of-acme/locations/europe-west4/keyRings/gke/cryptoKeys/secrets",
            "state": "ENCRYPTED",
        },
        "deletionProtection": False,
        "ipAllocationPolicy": {"clusterSecondaryRangeName": "p", "servicesSecondaryRangeName": "s"},
        "location": "europe-west4",
        "maintenancePolicy": {
            "recurringWindow": {
                "startTime": "2026-01-01T22:30:00Z",
                "endTime": "2026-01-02T06:30:00Z",
                "recurrence": "FREQ=WEEKLY;BYDAY=MO,SU",
            }
        },
        "masterAuthorizedNetworksConfig": {
            "cidrBlocks": [
                {"cidrBlock": "198.51.100.0/24"},
                {"cidrBlock": "203.0.113.0/24", "displayName": "office"},
            ]
        },
        "name": "chosen",
        "network": "vpc",
        "releaseChannel": {"channel": "RAPID"},
        "resourceLabels": {"cost-center": "42", "team": "serving"},
        "subnetwork": "subnet",
    },
    "standard": {**COMMON, **STANDARD_ONLY},
    "standard-full": {**COMMON, **STANDARD_ONLY, "resourceLabels": {"team": "serving"}},
}


def cluster_inputs(gallery: Recording, name: str) -> dict[str, Any]:
    return find(gallery, CLUSTER, f"{name}-cluster").inputs


def has_path(inputs: dict[str, Any], path: str) -> bool:
    value: Any = inputs
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


@pytest.mark.parametrize("name", CREATED)
def test_a_created_cluster_has_exactly_these_inputs(gallery: Recording, name: str) -> None:
    assert cluster_inputs(gallery, name) == EXPECTED[name]


@pytest.mark.parametrize("name", AUTOPILOT)
@pytest.mark.parametrize("path", NOT_ON_AUTOPILOT)
def test_an_autopilot_cluster_sets_nothing_that_conflicts_or_replaces_it(
    gallery: Recording, name: str, path: str
) -> None:
    assert not has_path(cluster_inputs(gallery, name), path)


@pytest.mark.parametrize("path", NOT_ON_AUTOPILOT)
def test_the_guard_against_autopilot_conflicts_would_notice_each_of_them(path: str) -> None:
    *parents, leaf = path.split(".")
    inputs: dict[str, Any] = {leaf: False}
    for parent in reversed(parents):
        inputs = {parent: inputs}
    assert has_path(inputs, path)


@pytest.mark.parametrize("name", STANDARD)
def test_a_standard_cluster_leaves_autopilot_unset_as_even_false_would_conflict(gallery: Recording, name: str) -> None:
    assert "enableAutopilot" not in cluster_inputs(gallery, name)


@pytest.mark.parametrize("name", AUTOPILOT)
def test_an_autopilot_cluster_ignores_no_change(gallery: Recording, name: str) -> None:
    assert "ignoreChanges" not in find(gallery, CLUSTER, f"{name}-cluster").options


@pytest.mark.parametrize("name", STANDARD)
def test_the_default_pool_that_is_gone_never_counts_as_a_change_of_the_cluster(gallery: Recording, name: str) -> None:
    options = find(gallery, CLUSTER, f"{name}-cluster").options
    assert options["ignoreChanges"] == ["initialNodeCount", "nodeConfig"]


@pytest.mark.parametrize(
    ("name", "below"),
    [
        (
            "autopilot",
            {CLUSTER: "cluster", KUBERNETES_PROVIDER: "kubernetes", NETWORK: "network", NODE_IDENTITY: "nodes"},
        ),
        ("autopilot-full", {CLUSTER: "cluster", KUBERNETES_PROVIDER: "kubernetes", NODE_IDENTITY: "nodes"}),
        (
            "standard",
            {
                CLUSTER: "cluster",
                KUBERNETES_PROVIDER: "kubernetes",
                NETWORK: "network",
                NODE_IDENTITY: "nodes",
                NODE_POOL: "system",
            },
        ),
        ("existing", {CLUSTER: "cluster", KUBERNETES_PROVIDER: "kubernetes"}),
        ("context", {KUBERNETES_PROVIDER: "kubernetes"}),
    ],
)
def test_a_cluster_consists_of_exactly_these_children(gallery: Recording, name: str, below: dict[str, str]) -> None:
    assert shape(gallery, find(gallery, GKE_CLUSTER, name)) == {
        (type_, f"{name}-{suffix}") for type_, suffix in below.items()
    }


@pytest.mark.parametrize("name", ["autopilot", "standard", "standard-full"])
def test_the_control_plane_waits_for_the_nat_and_for_the_roles_of_its_nodes(gallery: Recording, name: str) -> None:
    cluster = find(gallery, CLUSTER, f"{name}-cluster")
    assert names_of(cluster.dependencies) == [
        f"{name}-network-nat",
        f"{name}-network-subnetwork",
        f"{name}-network-vpc",
        f"{name}-nodes-account",
        f"{name}-nodes-artifactregistry-reader",
        f"{name}-nodes-container-defaultnodeserviceaccount",
        f"{name}-nodes-serviceusage-serviceusageconsumer",
    ]
    assert {key: names_of(urns) for key, urns in cluster.property_dependencies.items()} == {
        "network": [f"{name}-network-vpc"],
        "subnetwork": [f"{name}-network-subnetwork"],
        "clusterAutoscaling" if name == "autopilot" else "nodeConfig": [f"{name}-nodes-account"],
    }


def test_a_cluster_in_an_existing_network_waits_for_its_node_roles_alone(gallery: Recording) -> None:
    cluster = find(gallery, CLUSTER, "autopilot-full-cluster")
    assert names_of(cluster.dependencies) == [
        "autopilot-full-nodes-account",
        "autopilot-full-nodes-artifactregistry-reader",
        "autopilot-full-nodes-container-defaultnodeserviceaccount",
        "autopilot-full-nodes-serviceusage-serviceusageconsumer",
    ]


@pytest.mark.parametrize("name", CREATED)
def test_nothing_of_a_cluster_is_marked_secret_and_the_cluster_alone_protected(gallery: Recording, name: str) -> None:
    for resource in children(gallery, find(gallery, GKE_CLUSTER, name)):
        assert resource.secret_inputs == ()
        assert resource.protect is (resource.type == CLUSTER and EXPECTED[name]["deletionProtection"])


NODE_DEFAULTS: dict[str, Any] = {
    "gcfsConfig": {"enabled": True},
    "gvnic": {"enabled": True},
    "imageType": "COS_CONTAINERD",
    "metadata": {"disable-legacy-endpoints": "true"},
    "oauthScopes": SCOPES,
    "serviceAccount": UNKNOWN,
    "shieldedInstanceConfig": {"enableIntegrityMonitoring": True, "enableSecureBoot": True},
    "workloadMetadataConfig": {"mode": "GKE_METADATA"},
}


def test_a_system_pool_has_exactly_these_inputs(gallery: Recording) -> None:
    pool = find(gallery, NODE_POOL, "standard-system")
    assert pool.inputs == {
        "autoscaling": {"locationPolicy": "BALANCED", "totalMinNodeCount": 2, "totalMaxNodeCount": 6},
        "cluster": "gke-llm-inference-test",
        "initialNodeCount": 1,
        "location": "us-central1",
        "management": {"autoRepair": True, "autoUpgrade": True},
        "nodeConfig": {
            **NODE_DEFAULTS,
            "diskSizeGb": 100,
            "diskType": "pd-balanced",
            "machineType": "e2-standard-4",
        },
        "project": "my-project",
        "upgradeSettings": {"maxSurge": 1, "maxUnavailable": 0},
    }
    assert pool.options["ignoreChanges"] == ["initialNodeCount"]
    assert names_of(pool.dependencies) == ["standard-cluster", "standard-nodes-account"]


def test_a_system_pool_takes_machine_sizes_zones_and_labels_from_the_settings(gallery: Recording) -> None:
    inputs = find(gallery, NODE_POOL, "standard-full-system").inputs
    assert inputs["autoscaling"] == {"locationPolicy": "BALANCED", "totalMinNodeCount": 3, "totalMaxNodeCount": 9}
    assert inputs["nodeLocations"] == ["us-central1-a", "us-central1-c"]
    assert inputs["nodeConfig"] == {
        **NODE_DEFAULTS,
        "diskSizeGb": 150,
        "diskType": "pd-balanced",
        "machineType": "e2-standard-8",
        "resourceLabels": {"team": "serving"},
    }


@pytest.mark.parametrize("name", CREATED)
def test_the_kubernetes_provider_has_the_clusters_kubeconfig_and_an_identity_that_outlives_certificates(
    gallery: Recording, name: str
) -> None:
    provider = find(gallery, KUBERNETES_PROVIDER, f"{name}-kubernetes")
    expected = EXPECTED[name]
    assert provider.inputs == {
        "clusterIdentifier": f"my-project/{expected['location']}/{expected['name']}",
        "enableSecretMutable": "true",
        "kubeconfig": UNKNOWN,
    }
    assert {key: names_of(urns) for key, urns in provider.property_dependencies.items()} == {
        "kubeconfig": [f"{name}-cluster"]
    }


def test_an_existing_cluster_is_read_by_its_id_and_never_created(gallery: Recording) -> None:
    cluster = find(gallery, CLUSTER, "existing-cluster")
    assert cluster.options == {"external": True, "id": "projects/my-project/locations/europe-west4/clusters/shared"}
    assert cluster.inputs == {}
    provider = find(gallery, KUBERNETES_PROVIDER, "existing-kubernetes")
    assert provider.inputs == {
        "clusterIdentifier": "my-project/europe-west4/shared",
        "enableSecretMutable": "true",
        "kubeconfig": UNKNOWN,
    }
    read = [cluster.urn, find(gallery, CLUSTER, "existing-nodes-cluster").urn]
    assert [entry.urn for entry in gallery.messages(Severity.WARNING)] == read


def test_a_kubeconfig_context_needs_no_google_cloud_at_all(gallery: Recording) -> None:
    provider = find(gallery, KUBERNETES_PROVIDER, "context-kubernetes")
    assert provider.inputs == {"clusterIdentifier": "kind-llm", "context": "kind-llm", "enableSecretMutable": "true"}
    assert provider.dependencies == ()


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        (
            "standard",
            {"clusterName": "gke-llm-inference-test", "kubeconfig": UNKNOWN, "nodeServiceAccount": UNKNOWN},
        ),
        ("existing", {"clusterName": UNKNOWN, "kubeconfig": UNKNOWN}),
        (
            "existing-nodes",
            {
                "clusterName": UNKNOWN,
                "kubeconfig": UNKNOWN,
                "nodeServiceAccount": "nodes@my-project.iam.gserviceaccount.com",
            },
        ),
        ("context", {"clusterName": "kind-llm"}),
    ],
)
def test_a_cluster_registers_these_outputs(gallery: Recording, name: str, outputs: dict[str, str]) -> None:
    assert find(gallery, GKE_CLUSTER, name).outputs == outputs
