"""Load balancers, what they let through, and API keys that are nowhere in clear."""

import json
from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording, Resource
from tests.components.test_hugging_face_token import PROVIDER_CLASS, SYNC
from tests.support import DEPLOYMENT, SECRET, Recordings, find, names_of, of_type

GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
HEALTH = "kubernetes:networking.gke.io/v1:HealthCheckPolicy"
BACKEND = "kubernetes:networking.gke.io/v1:GCPBackendPolicy"
ADDRESS = "gcp:compute/address:Address"
SUBNET = "gcp:compute/subnetwork:Subnetwork"
POLICY = "gcp:compute/regionSecurityPolicy:RegionSecurityPolicy"
FILE = "/etc/llm-inference/api-keys/api-keys.yaml"


@pytest.fixture(scope="module")
def sample(recordings: Recordings) -> Recording:
    return recordings.program(Path(__file__).with_name("access_sample.py"))


def container(recording: Recording, server: str) -> dict[str, object]:
    (one,) = find(recording, DEPLOYMENT, f"{server}-deployment").inputs["spec"]["template"]["spec"]["containers"]
    assert isinstance(one, dict)
    return one


def test_each_exposure_has_a_gateway_that_speaks_tls_for_routes_of_its_own_namespace(sample: Recording) -> None:
    external = find(sample, GATEWAY, "gateway-external").inputs
    assert external["metadata"]["name"] == "llm-external"
    assert external["spec"] == {
        "addresses": [{"type": "NamedAddress", "value": "gke-llm-inference-test-external"}],
        "gatewayClassName": "gke-l7-regional-external-managed",
        "listeners": [
            {
                "name": "https",
                "port": 443,
                "protocol": "HTTPS",
                "allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}], "namespaces": {"from": "Same"}},
                "tls": {"mode": "Terminate", "options": {"networking.gke.io/cert-manager-certs": "llm,more"}},
            }
        ],
    }
    internal = find(sample, GATEWAY, "gateway-internal").inputs["spec"]
    assert internal["gatewayClassName"] == "gke-l7-rilb"
    assert internal["addresses"] == [{"type": "NamedAddress", "value": "mine"}]


def test_a_route_lets_through_exact_paths_and_nothing_else_and_has_no_timeouts(sample: Recording) -> None:
    route = find(sample, ROUTE, "gateway-out-route").inputs["spec"]
    assert (route["hostnames"], route["parentRefs"]) == (["out.example.com"], [{"name": "llm-external"}])
    (rule,) = route["rules"]
    assert sorted(rule) == ["backendRefs", "matches"]
    assert rule["backendRefs"] == [{"name": "out", "port": 8000}]
    assert [(one["method"], one["path"]) for one in rule["matches"]] == [
        ("POST", {"type": "Exact", "value": "/v1/chat/completions"}),
        ("POST", {"type": "Exact", "value": "/v1/completions"}),
        ("GET", {"type": "Exact", "value": "/v1/models"}),
        ("POST", {"type": "Exact", "value": "/v1/responses"}),
    ]
    assert {one.inputs["metadata"]["name"] for one in of_type(sample, ROUTE)} == {"in", "many", "one", "out"}


def test_health_and_timeouts_are_those_of_the_server(sample: Recording) -> None:
    health = find(sample, HEALTH, "gateway-out-health").inputs["spec"]
    assert health["targetRef"] == {"group": "", "kind": "Service", "name": "out"}
    assert health["default"]["config"]["httpHealthCheck"] == {
        "portSpecification": "USE_FIXED_PORT",
        "port": 8000,
        "requestPath": "/health",
    }
    out, inside = (find(sample, BACKEND, f"gateway-{name}-backend").inputs["spec"]["default"] for name in ("out", "in"))
    assert out["timeoutSec"] == out["connectionDraining"]["drainingTimeoutSec"] + 30
    assert (out["securityPolicy"], "securityPolicy" in inside) == ("gke-llm-inference-test-rate", False)


def test_what_the_load_balancers_need_in_google_cloud_comes_first(sample: Recording) -> None:
    subnet = find(sample, SUBNET, "gateway-proxies").inputs
    assert (subnet["purpose"], subnet["role"], subnet["ipCidrRange"]) == (
        "REGIONAL_MANAGED_PROXY",
        "ACTIVE",
        "10.21.0.0/23",
    )
    (address,) = of_type(sample, ADDRESS)
    assert (address.inputs["addressType"], address.inputs["networkTier"]) == ("EXTERNAL", "STANDARD")
    assert {"gateway-proxies", "gateway-external-address"} <= set(
        names_of(find(sample, GATEWAY, "gateway-external").dependencies)
    )
    assert "gateway-rate-limit" in names_of(find(sample, BACKEND, "gateway-out-backend").dependencies)
    throttle, rest = find(sample, POLICY, "gateway-rate-limit").inputs["rules"]
    assert (throttle["action"], rest["action"], rest["priority"]) == ("throttle", "allow", 2147483647)
    assert throttle["rateLimitOptions"] == {
        "conformAction": "allow",
        "enforceOnKey": "IP",
        "exceedAction": "deny(429)",
        "rateLimitThreshold": {"count": 600, "intervalSec": 60},
    }


def test_one_key_is_a_variable_from_the_secret(sample: Recording) -> None:
    variables = {one["name"]: one for one in container(sample, "one")["env"]}  # type: ignore[attr-defined]
    assert variables["VLLM_API_KEY"] == {
        "name": "VLLM_API_KEY",
        "valueFrom": {"secretKeyRef": {"name": "one-api-keys", "key": "api_key"}},
    }
    assert "--config" not in container(sample, "one")["args"]  # type: ignore[operator]


def test_two_keys_are_a_file_from_the_secret(sample: Recording) -> None:
    made = container(sample, "out")
    assert made["args"][-2:] == ["--config", FILE]  # type: ignore[index]
    assert "VLLM_API_KEY" not in json.dumps(made)
    spec = find(sample, DEPLOYMENT, "out-deployment").inputs["spec"]["template"]["spec"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == "api-keys"]
    assert volume["secret"] == {
        "secretName": "out-api-keys",
        "defaultMode": 0o440,
        "items": [{"key": "api-keys.yaml", "path": "api-keys.yaml"}],
    }
    (mount,) = [one for one in made["volumeMounts"] if one["name"] == "api-keys"]  # type: ignore[attr-defined]
    assert (mount["mountPath"], mount["readOnly"]) == (FILE.rpartition("/")[0], True)


def test_pods_come_after_their_keys_and_restart_with_new_ones(sample: Recording) -> None:
    def deployment(server: str) -> Resource:
        return find(sample, DEPLOYMENT, f"{server}-deployment")

    assert "one-api-keys-secret" in names_of(deployment("one").dependencies)
    assert "in-api-keys-sync" in names_of(deployment("in").dependencies)
    annotations = deployment("one").inputs["spec"]["template"]["metadata"]["annotations"]
    assert list(annotations) == ["llm-inference/api-keys-version"]


def test_keys_of_secret_manager_are_copied_by_gke(sample: Recording) -> None:
    (provider_class,) = of_type(sample, PROVIDER_CLASS)
    (sync,) = of_type(sample, SYNC)
    assert "projects/my-project/secrets/keys/versions/latest" in str(provider_class.inputs["spec"])
    assert sync.inputs["metadata"]["name"] == "in-api-keys"
    assert sync.inputs["spec"]["secretObject"]["data"] == [{"sourcePath": "api-key", "targetKey": "api_key"}]


def test_no_key_is_anywhere_in_the_recording(sample: Recording) -> None:
    made = [one for one in of_type(sample, SECRET) if one.name.endswith("api-keys-secret")]
    assert {one.name for one in made} == {"one-api-keys-secret", "out-api-keys-secret"}
    assert all(set(one.inputs["stringData"].values()) == {"[secret]"} for one in made)
    assert "planted" not in json.dumps([one.as_dict() for one in sample.resources])
    assert "planted" not in f"{sample.logs}{sample.exports}{sample.program_stdout}{sample.program_stderr}"
    assert sample.exports["missing"][0]["reason"] == "pass the config's secrets apiKey2"
