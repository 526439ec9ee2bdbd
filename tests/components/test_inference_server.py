import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gke_llm_inference.preview.recording import Recording
from tests.support import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    FQDN_NETWORK_POLICY,
    INFERENCE_SERVER,
    NETWORK_POLICY,
    SERVICE,
    SERVICE_ACCOUNT,
    children,
    expect_golden,
    find,
    names_of,
    shape,
)

GOLDEN = Path(__file__).with_name("golden")
SERVERS = ["crowd", "large", "mounted", "named", "open", "paused", "spot", "tgi", "vllm"]
ON_AUTOPILOT = {"named", "open", "spot", "vllm"}
WITH_TOKEN = {"large": ("hf-secret", "hf_api_token"), "tgi": ("hub", "api.key"), "vllm": ("hf-secret", "hf_api_token")}
SEVERAL_REPLICAS = {"crowd", "large"}
UNITS = {"Gi": 2**30, "m": 0.001, "": 1}


def deployment(gallery: Recording, name: str) -> dict[str, Any]:
    return find(gallery, DEPLOYMENT, f"{name}-deployment").inputs


def pod(gallery: Recording, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(gallery, name)["spec"]["template"]["spec"]
    return spec


def container(gallery: Recording, name: str) -> dict[str, Any]:
    (only,) = pod(gallery, name)["containers"]
    assert isinstance(only, dict)
    return only


def volumes(gallery: Recording, name: str) -> dict[str, Any]:
    return {volume["name"]: volume for volume in pod(gallery, name)["volumes"]}


def quantity(text: str) -> float:
    match = re.fullmatch(r"([0-9.]+)(\D*)", text)
    assert match, text
    return float(match[1]) * UNITS[match[2]]


@pytest.mark.parametrize("name", ["large", "mounted", "named", "spot", "tgi", "vllm"])
def test_a_server_registers_exactly_these_manifests(gallery: Recording, name: str) -> None:
    objects = children(gallery, find(gallery, INFERENCE_SERVER, name))
    documents = sorted((resource.inputs for resource in objects), key=lambda document: str(document["kind"]))
    text = yaml.safe_dump_all(documents, sort_keys=True, default_flow_style=False, width=200)
    expect_golden(GOLDEN / f"{name}.yaml", text)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_has_a_disruption_budget_only_with_several_replicas(gallery: Recording, name: str) -> None:
    expected = {
        (DEPLOYMENT, f"{name}-deployment"),
        (SERVICE, f"{name}-service"),
        (SERVICE_ACCOUNT, f"{name}-account"),
        *guards(name),
    }
    if name in SEVERAL_REPLICAS:
        expected.add((DISRUPTION_BUDGET, f"{name}-disruption-budget"))
    assert shape(gallery, find(gallery, INFERENCE_SERVER, name)) == expected


def guards(name: str) -> list[tuple[str, str]]:
    """The network policies of a server of the gallery."""
    if name == "open":
        return []
    by_name = [(FQDN_NETWORK_POLICY, f"{name}-fqdn-network-policy")] if name == "named" else []
    return [(NETWORK_POLICY, f"{name}-network-policy"), *by_name]


@pytest.mark.parametrize("name", SERVERS)
def test_pods_wait_for_account_policies_and_whatever_the_caller_says(gallery: Recording, name: str) -> None:
    own = [policy for _, policy in guards(name)]
    assert names_of(find(gallery, DEPLOYMENT, f"{name}-deployment").dependencies) == sorted(
        [f"{name}-account", "llm-inference", *own]
    )
    for type_, child in (
        (SERVICE, f"{name}-service"),
        (SERVICE_ACCOUNT, f"{name}-account"),
        *guards(name),
    ):
        assert names_of(find(gallery, type_, child).dependencies) == ["llm-inference"]


@pytest.mark.parametrize("name", SERVERS)
def test_shared_memory_is_bounded_and_counts_inside_the_memory_limit(gallery: Recording, name: str) -> None:
    shared = volumes(gallery, name)["shared-memory"]["emptyDir"]
    assert shared["medium"] == "Memory"
    assert 0 < quantity(shared["sizeLimit"]) < quantity(container(gallery, name)["resources"]["limits"]["memory"]) / 2
    assert {"mountPath": "/dev/shm", "name": "shared-memory"} in container(gallery, name)["volumeMounts"]


@pytest.mark.parametrize("name", sorted(set(SERVERS) - {"large"}))
def test_a_cache_on_the_boot_disk_fits_into_the_requested_storage(gallery: Recording, name: str) -> None:
    cache = volumes(gallery, name)["cache"]["emptyDir"]
    assert cache.keys() == {"sizeLimit"}
    requested = container(gallery, name)["resources"]["requests"]["ephemeral-storage"]
    assert quantity(cache["sizeLimit"]) < quantity(requested)


def test_a_model_on_a_volume_is_mounted_to_be_read_with_what_its_driver_needs(gallery: Recording) -> None:
    assert volumes(gallery, "mounted")["model"] == {
        "name": "model",
        "persistentVolumeClaim": {"claimName": "models", "readOnly": True},
    }
    mount = {"name": "model", "mountPath": "/models", "readOnly": True}
    assert mount in container(gallery, "mounted")["volumeMounts"]
    assert container(gallery, "mounted")["args"][0] == "/models/qwen/7b"
    template = deployment(gallery, "mounted")["spec"]["template"]
    assert template["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}
    assert "annotations" not in deployment(gallery, "vllm")["spec"]["template"]["metadata"]
    assert "model" not in volumes(gallery, "vllm")


def test_a_model_too_large_for_the_boot_disk_gets_a_disk_of_its_own(gallery: Recording) -> None:
    claim = volumes(gallery, "large")["cache"]["ephemeral"]["volumeClaimTemplate"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["spec"]["storageClassName"] == "premium-rwo"
    weights = 2 * 70553706496  # bfloat16
    assert weights < quantity(claim["spec"]["resources"]["requests"]["storage"]) < 1.5 * weights
    assert claim["metadata"]["labels"] == deployment(gallery, "large")["metadata"]["labels"]
    assert quantity(container(gallery, "large")["resources"]["requests"]["ephemeral-storage"]) < weights


@pytest.mark.parametrize("name", SERVERS)
def test_requests_equal_limits_except_for_cpu_on_standard_nodes(gallery: Recording, name: str) -> None:
    resources = container(gallery, name)["resources"]
    requests, limits = dict(resources["requests"]), dict(resources["limits"])
    assert requests.keys() == {"cpu", "ephemeral-storage", "memory", "nvidia.com/gpu"}
    assert ("cpu" in limits) is (name in ON_AUTOPILOT)
    limits.setdefault("cpu", requests["cpu"])
    assert limits == requests


@pytest.mark.parametrize(
    ("name", "cpu", "memory", "gpus"),
    [("vllm", "4", "14Gi", "1"), ("large", "20500m", "200Gi", "8"), ("crowd", "4", "14Gi", "1")],
)
def test_requests_are_the_planned_or_the_chosen_ones(
    gallery: Recording, name: str, cpu: str, memory: str, gpus: str
) -> None:
    requests = container(gallery, name)["resources"]["requests"]
    assert (requests["cpu"], requests["memory"], requests["nvidia.com/gpu"]) == (cpu, memory, gpus)


@pytest.mark.parametrize("name", SERVERS)
def test_every_probe_asks_the_health_path_of_the_named_port(gallery: Recording, name: str) -> None:
    spec = container(gallery, name)
    (port,) = spec["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert spec[probe]["httpGet"] == {"path": "/health", "port": port["name"]}
        assert spec[probe]["timeoutSeconds"] == 5
        assert "initialDelaySeconds" not in spec[probe]


@pytest.mark.parametrize("name", SERVERS)
def test_a_slow_start_is_no_failure_until_the_rollout_and_pulumi_give_up_in_this_order(
    gallery: Recording, name: str
) -> None:
    startup = container(gallery, name)["startupProbe"]
    budget = startup["failureThreshold"] * startup["periodSeconds"]
    deadline = deployment(gallery, name)["spec"]["progressDeadlineSeconds"]
    timeouts = find(gallery, DEPLOYMENT, f"{name}-deployment").options["customTimeouts"]
    replicas = deployment(gallery, name)["spec"]["replicas"]
    assert timeouts == {"create": f"{deadline + 60}s", "update": f"{max(1, replicas) * deadline + 60}s"}
    assert 600 <= budget <= 3600
    assert budget + 600 < deadline


@pytest.mark.parametrize("name", SERVERS)
def test_a_pod_leaves_the_endpoints_before_it_stops_and_within_its_grace_period(gallery: Recording, name: str) -> None:
    drain = container(gallery, name)["lifecycle"]["preStop"]
    assert drain.keys() == {"sleep"}
    grace = pod(gallery, name)["terminationGracePeriodSeconds"]
    assert 0 < drain["sleep"]["seconds"] < grace
    waits = [argument.rpartition("=")[2] for argument in container(gallery, name)["args"] if "-timeout=" in argument]
    assert drain["sleep"]["seconds"] + int(waits[0]) < grace
    # Of the thirty seconds that a Spot machine gives, the kubelet keeps half.
    assert grace == 15 if name == "spot" else grace > 85


@pytest.mark.parametrize("name", SERVERS)
def test_a_pod_gets_neither_service_variables_nor_an_api_token(gallery: Recording, name: str) -> None:
    spec = pod(gallery, name)
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    account = find(gallery, SERVICE_ACCOUNT, f"{name}-account").inputs
    assert account["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == account["metadata"]["name"]


@pytest.mark.parametrize("name", sorted(set(SERVERS) - {"tgi"}))
def test_vllm_runs_as_an_ordinary_user_from_its_own_home(gallery: Recording, name: str) -> None:
    assert pod(gallery, name)["securityContext"] == {
        "fsGroup": 0,
        "runAsGroup": 0,
        "runAsNonRoot": True,
        "runAsUser": 2000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = container(gallery, name)
    environment = {variable["name"]: variable.get("value", "") for variable in spec["env"]}
    assert spec["workingDir"] == environment["HOME"] == "/home/vllm"
    assert environment["HF_HOME"].startswith("/home/vllm/")
    assert {"mountPath": "/home/vllm", "name": "cache"} in spec["volumeMounts"]


def test_tgi_runs_as_root_as_its_image_needs_with_its_own_entry_point(gallery: Recording) -> None:
    assert pod(gallery, "tgi")["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    spec = container(gallery, "tgi")
    assert not {"command", "workingDir"} & spec.keys()
    assert {"mountPath": "/data", "name": "cache"} in spec["volumeMounts"]


@pytest.mark.parametrize("name", SERVERS)
def test_no_container_can_gain_privileges(gallery: Recording, name: str) -> None:
    assert container(gallery, name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": False,
    }


@pytest.mark.parametrize("name", SERVERS)
def test_the_token_comes_under_both_names_from_the_secret_or_not_at_all(gallery: Recording, name: str) -> None:
    variables = {variable["name"]: variable for variable in container(gallery, name)["env"]}
    found = {key: variables[key] for key in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if key in variables}
    if name not in WITH_TOKEN:
        assert found == {}
        return
    secret, key = WITH_TOKEN[name]
    reference = {"secretKeyRef": {"name": secret, "key": key}}
    assert found == {
        "HF_TOKEN": {"name": "HF_TOKEN", "valueFrom": reference},
        "HUGGING_FACE_HUB_TOKEN": {"name": "HUGGING_FACE_HUB_TOKEN", "valueFrom": reference},
    }


@pytest.mark.parametrize("name", SERVERS)
def test_variables_are_sorted_and_given_once(gallery: Recording, name: str) -> None:
    names = [variable["name"] for variable in container(gallery, name)["env"]]
    assert names == sorted(set(names))


@pytest.mark.parametrize("name", SERVERS)
def test_the_selector_is_a_part_of_the_labels_that_no_update_changes(gallery: Recording, name: str) -> None:
    spec = deployment(gallery, name)["spec"]
    selector = spec["selector"]["matchLabels"]
    assert selector == {
        "app.kubernetes.io/component": "inference-server",
        "app.kubernetes.io/instance": name,
    }
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()
    assert find(gallery, SERVICE, f"{name}-service").inputs["spec"]["selector"] == selector
    if name in SEVERAL_REPLICAS:
        budget = find(gallery, DISRUPTION_BUDGET, f"{name}-disruption-budget").inputs["spec"]
        assert budget == {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }


@pytest.mark.parametrize(
    ("name", "kind", "google", "model", "version", "more"),
    [
        ("vllm", "vllm", "vllm", "gemma-7b-it", "0.26.0", {}),
        # Google's own samples spell it out.
        ("tgi", "tgi", "text-generation-inference", "gemma-7b-it", "3.3.7", {}),
        ("spot", "vllm", "vllm", "Qwen2.5-7B-Instruct", "0.26.0", {"app": "1", "team": "serving"}),
    ],
)
def test_every_object_carries_the_recommended_labels(
    gallery: Recording, name: str, kind: str, google: str, model: str, version: str, more: dict[str, str]
) -> None:
    labels = {
        "ai.gke.io/inference-server": google,
        "ai.gke.io/model": model,
        "app.kubernetes.io/component": "inference-server",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/managed-by": "pulumi",
        "app.kubernetes.io/name": kind,
        "app.kubernetes.io/part-of": "gke-llm-inference",
        "app.kubernetes.io/version": version,
        **more,
    }
    for resource in children(gallery, find(gallery, INFERENCE_SERVER, name)):
        assert resource.inputs["metadata"]["labels"] == labels
    assert deployment(gallery, name)["spec"]["template"]["metadata"]["labels"] == labels


@pytest.mark.parametrize(("name", "port"), [("vllm", 8000), ("tgi", 8080)])
def test_the_service_maps_port_8000_to_the_servers_own(gallery: Recording, name: str, port: int) -> None:
    service = find(gallery, SERVICE, f"{name}-service").inputs
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP", "targetPort": "http"}]
    assert container(gallery, name)["ports"] == [{"containerPort": port, "name": "http", "protocol": "TCP"}]
    assert f"--port={port}" in container(gallery, name)["args"]
    assert gallery.exports["urls"][name] == f"http://{name}.llm-inference.svc.cluster.local:8000"


def test_pulumi_does_not_wait_for_a_service_without_pods(gallery: Recording) -> None:
    assert deployment(gallery, "paused")["spec"]["replicas"] == 0
    service = find(gallery, SERVICE, "paused-service").inputs
    assert service["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("vllm", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        ("tgi", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        ("crowd", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
    ],
    ids=["no spare gpu is promised", "one gpu is spare", "no gpu is spare"],
)
def test_an_update_never_waits_for_a_gpu_that_is_not_there(
    gallery: Recording, name: str, strategy: dict[str, Any]
) -> None:
    assert deployment(gallery, name)["spec"]["strategy"] == strategy


@pytest.mark.parametrize(
    ("name", "selector"),
    [
        (
            "vllm",
            {
                "cloud.google.com/gke-accelerator": "nvidia-l4",
                "cloud.google.com/gke-accelerator-count": "1",
                "cloud.google.com/gke-gpu-driver-version": "latest",
            },
        ),
        (
            "spot",
            {
                "cloud.google.com/gke-accelerator": "nvidia-l4",
                "cloud.google.com/gke-accelerator-count": "1",
                "cloud.google.com/gke-gpu-driver-version": "latest",
                "cloud.google.com/gke-spot": "true",
            },
        ),
        ("tgi", {"cloud.google.com/gke-accelerator": "nvidia-l4", "llm-inference/node-pool": "l4"}),
        ("paused", {"cloud.google.com/gke-accelerator": "nvidia-l4"}),
    ],
)
def test_pods_select_nodes_as_their_kind_of_cluster_knows_them(
    gallery: Recording, name: str, selector: dict[str, str]
) -> None:
    assert pod(gallery, name)["nodeSelector"] == selector


@pytest.mark.parametrize("name", ["vllm", "tgi", "paused"])
def test_replicas_are_apart_where_there_is_room_and_never_wait_for_it(gallery: Recording, name: str) -> None:
    selector = deployment(gallery, name)["spec"]["selector"]
    assert pod(gallery, name)["topologySpreadConstraints"] == [
        {
            "labelSelector": selector,
            "matchLabelKeys": ["pod-template-hash"],
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


GPU_TAINT = {"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}


@pytest.mark.parametrize(
    ("name", "tolerations"),
    [
        ("tgi", [GPU_TAINT]),
        (
            "spot",
            [
                {"effect": "NoSchedule", "key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"},
                GPU_TAINT,
            ],
        ),
        (
            "large",
            [
                {"effect": "NoSchedule", "key": "any", "operator": "Exists"},
                GPU_TAINT,
                {"effect": "NoSchedule", "key": "team", "operator": "Equal", "value": "serving"},
            ],
        ),
    ],
)
def test_pods_tolerate_the_taints_of_their_nodes_in_a_fixed_order(
    gallery: Recording, name: str, tolerations: list[dict[str, str]]
) -> None:
    assert pod(gallery, name)["tolerations"] == tolerations


def test_an_image_of_ones_own_is_taken_as_it_is(gallery: Recording) -> None:
    spec = container(gallery, "spot")
    assert spec["image"] == "europe-docker.pkg.dev/my-project/images/vllm:v0.26.0"
    assert spec["imagePullPolicy"] == "IfNotPresent"


def test_the_component_tells_what_it_runs(gallery: Recording) -> None:
    assert find(gallery, INFERENCE_SERVER, "vllm").outputs == {
        "args": [
            "google/gemma-7b-it",
            "--port=8000",
            "--tensor-parallel-size=1",
            "--max-model-len=4096",
            "--shutdown-timeout=570",
        ],
        "gpuCount": 1,
        "gpuType": "nvidia-l4",
        "image": "docker.io/vllm/vllm-openai:v0.26.0",
        "machineType": "g2-standard-8",
        "model": "google/gemma-7b-it",
        "replicas": 1,
        "server": "vllm",
        "url": "http://vllm.llm-inference.svc.cluster.local:8000",
        "version": "0.26.0",
    }
    assert find(gallery, INFERENCE_SERVER, "vllm").outputs["args"] == container(gallery, "vllm")["args"]  # type: ignore[index]
