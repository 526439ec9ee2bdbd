"""The program as `pulumi up` runs it: with a decrypted token, and with answers from a cloud."""

import json
from typing import Any

import pytest

from tests.stacks.engine import Deployment, deploy, is_secret
from tests.support import DEPLOYMENT, IAM_MEMBER, KUBERNETES_PROVIDER, NODE_POOL, SECRET, Shared

TOKEN = "hf_plantedPlantedPlanted0123456789"
SERVERS = {
    "gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096, "presets": ["token-limits"]},
    "legacy": {"server": "tgi", "model": "google/gemma-7b-it", "maxModelLen": 3072},
}
ON_CONTEXT = {
    "cluster": {"mode": "existing", "kubeconfigContext": "kind-llm"},
    "huggingFace": {"tokenSource": "config"},
    "servers": SERVERS,
}
STANDARD = {
    "gcp:project": "my-project",
    "cluster": {"mode": "standard", "location": "us-central1"},
    "nodePools": {"l4": {"maxNodes": 2}},
    "huggingFace": {"tokenSource": "config"},
    "servers": SERVERS,
}
DNS_NAME = "gke-0a1b.us-central1.gke.goog"
CERTIFICATE = "Y2VydGlmaWNhdGU="


@pytest.fixture(scope="module")
def on_context(shared: Shared) -> Deployment:
    """vLLM and TGI on a cluster of a kubeconfig, the token decrypted."""
    return succeeded(shared.once("on_context", lambda: deploy(ON_CONTEXT, secrets={"huggingFaceToken": TOKEN})))


@pytest.fixture(scope="module")
def standard(shared: Shared) -> Deployment:
    """The same on a Standard cluster of its own."""
    return succeeded(
        shared.once(
            "standard",
            lambda: deploy(
                STANDARD,
                secrets={"huggingFaceToken": TOKEN},
                cluster={
                    "endpoint": "203.0.113.9",
                    "masterAuth": {"clusterCaCertificate": CERTIFICATE},
                    "controlPlaneEndpointsConfig": {
                        "dnsEndpointConfig": {"allowExternalTraffic": True, "endpoint": DNS_NAME}
                    },
                },
            ),
        )
    )


@pytest.fixture(scope="module")
def existing(shared: Shared) -> Deployment:
    """An older cluster that exists already and has no DNS endpoint."""
    return succeeded(
        shared.once(
            "existing",
            lambda: deploy(
                {
                    "gcp:project": "my-project",
                    "cluster": {"mode": "existing", "name": "shared", "location": "us-central1-b"},
                    "servers": {"qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}},
                },
                cluster={
                    "name": "shared",
                    "endpoint": "203.0.113.9",
                    "masterAuth": {"clusterCaCertificate": CERTIFICATE},
                },
            ),
        )
    )


def succeeded(deployment: Deployment) -> Deployment:
    assert deployment.code == 0, deployment.stderr
    return deployment


def kubeconfig(deployment: Deployment) -> dict[str, Any]:
    document = json.loads(deployment.exports["kubeconfig"])
    assert isinstance(document, dict)
    return document


def test_a_deployment_succeeds_and_prints_nothing(on_context: Deployment) -> None:
    assert (on_context.code, on_context.stdout, on_context.stderr) == (0, "", "")
    assert len(on_context.registered(DEPLOYMENT)) == 2


def test_the_token_reaches_one_property_of_one_resource_in_the_envelope_of_a_secret(on_context: Deployment) -> None:
    (secret,) = on_context.registered(SECRET).values()
    assert is_secret(secret["stringData"])
    assert secret["stringData"]["value"] == {"hf_api_token": TOKEN}
    carriers = [(request.call, request.type) for request in on_context.requests if TOKEN in request.text]
    assert carriers == [("RegisterResource", SECRET)]
    without = {key: value for key, value in secret.items() if key != "stringData"}
    assert TOKEN not in json.dumps(without)


def test_servers_are_told_the_secrets_name_instead_of_the_token(on_context: Deployment) -> None:
    for deployment in on_context.registered(DEPLOYMENT).values():
        assert not is_secret(deployment["spec"])
        text = json.dumps(deployment)
        assert TOKEN not in text
        assert text.count('"secretKeyRef"') == 2


def test_no_export_and_no_message_holds_the_token(on_context: Deployment) -> None:
    assert on_context.exports.keys() == {"clusterName", "namespace", "servers"}
    assert TOKEN not in json.dumps(on_context.exports)
    assert TOKEN not in "".join(on_context.logged)


def test_the_kubeconfig_reaches_the_cluster_by_its_dns_name_without_its_certificate(standard: Deployment) -> None:
    config = kubeconfig(standard)
    (cluster,) = config["clusters"]
    assert cluster == {"name": "gke-llm-inference-test", "cluster": {"server": f"https://{DNS_NAME}"}}
    assert config["current-context"] == cluster["name"]


def test_the_kubeconfig_of_a_cluster_without_dns_name_has_its_address_and_certificate(existing: Deployment) -> None:
    (cluster,) = kubeconfig(existing)["clusters"]
    assert cluster == {
        "name": "shared",
        "cluster": {"server": "https://203.0.113.9", "certificate-authority-data": CERTIFICATE},
    }


@pytest.mark.parametrize("name", ["standard", "existing"])
def test_a_kubeconfig_holds_no_credential_but_the_plugin_that_fetches_one(
    name: str, request: pytest.FixtureRequest
) -> None:
    config = kubeconfig(request.getfixturevalue(name))
    (user,) = config["users"]
    assert user["user"].keys() == {"exec"}
    assert user["user"]["exec"]["command"] == "gke-gcloud-auth-plugin"
    (context,) = config["contexts"]
    assert context["context"] == {"cluster": user["name"], "user": user["name"]}


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("standard", "my-project/us-central1/gke-llm-inference-test"),
        ("existing", "my-project/us-central1-b/shared"),
    ],
)
def test_the_kubernetes_provider_uses_this_kubeconfig(
    name: str, identifier: str, request: pytest.FixtureRequest
) -> None:
    deployment: Deployment = request.getfixturevalue(name)
    (provider,) = deployment.registered(KUBERNETES_PROVIDER).values()
    assert provider == {
        "clusterIdentifier": identifier,
        "enableSecretMutable": "true",
        "kubeconfig": deployment.exports["kubeconfig"],
    }


def test_nodes_run_as_the_account_that_was_made_for_them(standard: Deployment) -> None:
    email = "gke-llm-inference-test-nodes@my-project.iam.gserviceaccount.com"
    pools = standard.registered(NODE_POOL)
    assert {name: pool["nodeConfig"]["serviceAccount"] for name, pool in pools.items()} == {
        "gke-system": email,
        "l4": email,
    }
    assert {binding["member"] for binding in standard.registered(IAM_MEMBER).values()} == {f"serviceAccount:{email}"}


def test_an_existing_cluster_is_read_and_nothing_of_google_cloud_is_made(existing: Deployment) -> None:
    assert not [type_ for type_ in existing.types if type_.startswith("gcp:")]
    assert [request.name for request in existing.requests if request.call == "ReadResource"] == ["gke-cluster"]
    assert existing.exports["clusterName"] == "shared"


def test_a_deployment_says_what_was_decided_as_the_preview_does(on_context: Deployment) -> None:
    warning, gemma, legacy = on_context.logged
    assert warning.startswith("servers.legacy.server: Text Generation Inference is in maintenance mode\n")
    assert gemma == (
        "servers.gemma:\n"
        "  fits: a KV cache of 2.79 GiB per GPU holds 6,528 tokens; longest context 6,528, "
        "1.5 requests of 4,096 tokens at once\n"
        "  start: 288 s expected, 600 s allowed; 1008 s on a new node, "
        "with the image pulled whole: whether the cluster's nodes stream images is not known\n"
        "  token-limits: maxOutputTokens: 1024 (a limit on input and output tokens, so that a smaller GPU holds them)"
    )
    assert legacy == (
        "servers.legacy:\n"
        "  fits: a KV cache of 3.08 GiB per GPU holds 7,197 tokens; longest context 6,799, "
        "2.3 requests of 3,072 tokens at once; estimated, not measured\n"
        "  start: 218 s expected, 600 s allowed; 938 s on a new node, "
        "with the image pulled whole: whether the cluster's nodes stream images is not known"
    )


def test_a_deployment_without_the_token_that_its_settings_promise_is_refused_before_anything_is_made() -> None:
    deployment = deploy(STANDARD)
    assert deployment.code == 32
    (message,) = deployment.logged
    assert "huggingFaceToken: is not set" in message
    assert "pulumi config set --secret huggingFaceToken" in message
    assert deployment.types == ["pulumi:pulumi:Stack"]
