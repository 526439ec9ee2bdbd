"""What a server with the Inference Gateway consists of: pool, picker, and a route that leads there."""

import hashlib
from pathlib import Path

import pytest
import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.preview.recording import Recording, Resource
from tests.support import DEPLOYMENT, NETWORK_POLICY, SERVICE, Recordings, find, names_of, of_type

POOL = "kubernetes:inference.networking.k8s.io/v1:InferencePool"
ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
HEALTH = "kubernetes:networking.gke.io/v1:HealthCheckPolicy"
BACKEND = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
PICKER = "gateway-many-picker"
TARGET = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "many-pool"}


@pytest.fixture(scope="module")
def sample(recordings: Recordings) -> Recording:
    return recordings.program(Path(__file__).with_name("access_sample.py"))


def deployment(sample: Recording) -> Resource:
    return find(sample, DEPLOYMENT, f"{PICKER}-deployment")


def test_the_pool_has_the_servers_pods_and_fails_open(sample: Recording) -> None:
    (pool,) = of_type(sample, POOL)
    assert pool.inputs["metadata"]["name"] == "many-pool"
    server = find(sample, SERVICE, "many-service").inputs["spec"]
    assert pool.inputs["spec"] == {
        "selector": {"matchLabels": server["selector"]},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {
            "group": "",
            "kind": "Service",
            "name": "many-picker",
            "port": {"number": 9002},
            "failureMode": "FailOpen",
        },
    }
    picker = find(sample, SERVICE, f"{PICKER}-service").inputs
    assert picker["metadata"]["name"] == "many-picker"
    assert [(port["port"], port["appProtocol"]) for port in picker["spec"]["ports"]] == [(9002, "kubernetes.io/h2c")]


def test_the_route_leads_to_the_pool_with_the_same_paths_and_policies_of_its_own(sample: Recording) -> None:
    spec = find(sample, ROUTE, "gateway-many-route").inputs["spec"]
    (rule,) = spec["rules"]
    assert rule["backendRefs"] == [TARGET]
    (other,) = find(sample, ROUTE, "gateway-out-route").inputs["spec"]["rules"]
    assert rule["matches"] == other["matches"]
    health, backend = (
        find(sample, HEALTH, "gateway-many-pool-health"),
        find(sample, BACKEND, "gateway-many-pool-backend"),
    )
    for one in (health, backend):
        assert one.inputs["metadata"]["name"] == "many-pool"
        assert one.inputs["spec"]["targetRef"] == TARGET
    assert backend.inputs["spec"]["default"]["securityPolicy"] == "gke-llm-inference-test-rate"
    assert {f"{PICKER}-pool", f"{PICKER}-deployment"} <= set(
        names_of(find(sample, ROUTE, "gateway-many-route").dependencies)
    ), "requests come when the picker is ready"


def test_the_picker_runs_pinned_without_rights_on_its_node(sample: Recording) -> None:
    facts = load_catalog().picker
    spec = deployment(sample).inputs["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["replicas"], container["image"]) == (1, f"{facts.image}:{facts.version}@{facts.digest}")
    assert container["resources"] == {
        "requests": {"cpu": "750m", "memory": "1Gi"},
        "limits": {"cpu": "750m", "memory": "1Gi"},
    }
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (65532, True)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert {container[f"{kind}Probe"]["grpc"]["port"] for kind in ("startup", "readiness", "liveness")} == {9003}


def test_the_picker_reads_its_configuration_and_starts_again_with_another(sample: Recording) -> None:
    config = find(sample, CONFIG_MAP, f"{PICKER}-configuration").inputs
    digest = hashlib.sha256(config["data"]["picker.yaml"].encode()).hexdigest()
    assert config["metadata"]["name"] == f"many-picker-{digest[:8]}"
    read = yaml.safe_load(config["data"]["picker.yaml"])
    assert (read["apiVersion"], read["kind"]) == ("llm-d.ai/v1alpha1", "EndpointPickerConfig")
    template = deployment(sample).inputs["spec"]["template"]
    (mount,) = template["spec"]["containers"][0]["volumeMounts"]
    assert f"--config-file={mount['mountPath']}/picker.yaml" in template["spec"]["containers"][0]["args"]
    assert template["spec"]["volumes"] == [{"name": mount["name"], "configMap": {"name": config["metadata"]["name"]}}]


def test_the_picker_may_read_pods_and_its_pool_and_nothing_else(sample: Recording) -> None:
    rules = find(sample, ROLE, f"{PICKER}-role").inputs["rules"]
    assert {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]} == {
        ("", "pods"),
        ("inference.networking.k8s.io", "inferencepools"),
        ("inference.networking.x-k8s.io", "inferencemodelrewrites"),
        ("inference.networking.x-k8s.io", "inferenceobjectives"),
        ("llm-d.ai", "inferencemodelrewrites"),
        ("llm-d.ai", "inferenceobjectives"),
    }
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    binding = find(sample, BINDING, f"{PICKER}-role-binding").inputs
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", "many-picker")
    assert [(one["kind"], one["name"]) for one in binding["subjects"]] == [("ServiceAccount", "many-picker")]


def test_the_pod_comes_after_what_guards_it_and_what_it_waits_for(sample: Recording) -> None:
    policy = find(sample, NETWORK_POLICY, f"{PICKER}-network-policy").inputs
    selector = find(sample, SERVICE, f"{PICKER}-service").inputs["spec"]["selector"]
    assert policy["spec"]["podSelector"] == {"matchLabels": selector}
    assert {f"{PICKER}-{part}" for part in ("network-policy", "role-binding", "configuration", "pool")} <= set(
        names_of(deployment(sample).dependencies)
    )


def test_other_servers_have_none(sample: Recording) -> None:
    assert {one.inputs["metadata"]["name"] for one in of_type(sample, HEALTH)} == {"in", "many-pool", "one", "out"}
    assert len(of_type(sample, ROLE)) == 1
