"""Servers on a cluster that another stack owns: offline with unknown outputs, deployed with that stack's outputs."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording, Severity
from gke_llm_inference.terminal import SECRET, UNKNOWN
from tests.stacks.engine import STACK_REFERENCE, Deployment, deploy, is_secret
from tests.support import (
    DEPLOYMENT,
    GKE_CLUSTER,
    KUBERNETES_PROVIDER,
    NODE_POOL,
    REPOSITORY,
    Recordings,
    find,
    of_type,
    preview_command,
)

EXAMPLES = REPOSITORY / "examples" / "platform-team"
OWNER = "my-org/gke-llm-inference/platform"
KUBECONFIG = json.dumps({"kind": "Config", "users": [{"user": {"token": "plantedCredential"}}]})
OUTPUTS = {"clusterName": "shared", "kubeconfig": KUBECONFIG, "nodeServiceAccount": "nodes@p.iam.gserviceaccount.com"}
REFERENCE = {"mode": "existing", "stackReference": OWNER}
SERVERS = {"qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 8192}}


@pytest.fixture(scope="module")
def chat(recordings: Recordings) -> Recording:
    """The product team's stack of the example."""
    return recordings.file(EXAMPLES / "Pulumi.chat.yaml")


def team(cluster: Mapping[str, Any] = REFERENCE, outputs: Mapping[str, Any] = OUTPUTS, **more: Any) -> Deployment:
    return deploy({"cluster": cluster, "servers": SERVERS, **more}, referenced=outputs)


def test_the_platform_team_has_a_cluster_and_pools_but_no_server(recordings: Recordings) -> None:
    platform = recordings.file(EXAMPLES / "Pulumi.platform.yaml")
    assert platform.messages(Severity.WARNING) == ()
    assert [pool.name for pool in of_type(platform, NODE_POOL)] == ["gke-system", "l4"]
    assert of_type(platform, DEPLOYMENT) == []
    assert {"clusterName", "kubeconfig", "nodeServiceAccount"} <= platform.exports.keys()
    (told,) = of_type(platform, "gcp:monitoring/alertPolicy:AlertPolicy")
    assert told.name == "observability-capacity"
    (driver,) = find(platform, NODE_POOL, "l4").inputs["nodeConfig"]["guestAccelerators"]
    assert driver["gpuDriverInstallationConfig"] == {"gpuDriverVersion": "LATEST"}


def test_the_product_team_reads_the_other_stack_and_makes_no_cluster(chat: Recording) -> None:
    reference = find(chat, STACK_REFERENCE, "gke-owner")
    assert reference.options == {"external": True, "id": OWNER}
    assert reference.inputs == {"name": OWNER}
    assert reference.parent == of_type(chat, GKE_CLUSTER)[0].urn
    in_google_cloud = {resource.type for resource in chat.resources if resource.type.startswith("gcp:")}
    assert in_google_cloud == {"gcp:monitoring/alertPolicy:AlertPolicy"}


def test_offline_the_other_stacks_outputs_are_unknown_and_the_preview_says_so(chat: Recording) -> None:
    provider = find(chat, KUBERNETES_PROVIDER, "gke-kubernetes")
    assert provider.inputs == {"clusterIdentifier": UNKNOWN, "enableSecretMutable": "true", "kubeconfig": SECRET}
    assert chat.exports["clusterName"] == UNKNOWN
    assert chat.exports["kubeconfig"] == SECRET
    about_alerts, about_outputs = (entry.message for entry in chat.messages(Severity.WARNING))
    assert about_alerts.startswith("observability.alerts.enabled: tells servers apart by namespace and name alone\n")
    assert about_outputs == f"a preview without a cloud cannot read the stack {OWNER}; its outputs are unknown"


def test_the_servers_of_the_product_team_are_planned_all_the_same(chat: Recording) -> None:
    (server,) = of_type(chat, DEPLOYMENT)
    assert server.provider == find(chat, KUBERNETES_PROVIDER, "gke-kubernetes").urn
    pod = server.inputs["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("name", ["platform", "chat"])
def test_the_example_previews_from_the_command_line(name: str) -> None:
    ended = preview_command(["--config-file", EXAMPLES / f"Pulumi.{name}.yaml", "--json"])
    assert (ended.returncode, ended.stderr) == (0, "")


def test_deployed_the_provider_gets_the_other_stacks_kubeconfig_as_a_secret() -> None:
    deployment = team()
    assert deployment.code == 0, deployment.logged
    provider = deployment.registered(KUBERNETES_PROVIDER)["gke-kubernetes"]
    assert provider["clusterIdentifier"] == f"{OWNER}/shared"
    assert is_secret(provider["kubeconfig"])
    assert json.loads(provider["kubeconfig"]["value"]) == json.loads(KUBECONFIG)
    assert deployment.exports["clusterName"] == "shared"
    assert is_secret(deployment.exports["kubeconfig"])
    # Everywhere, and so in every other request, the credential is inside a secret's envelope.
    for request in deployment.requests:
        assert "plantedCredential" not in json.dumps(_without_secrets(request.content))


def _without_secrets(value: Any) -> Any:
    if is_secret(value):
        return None
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def test_a_stack_may_add_pools_of_its_own_to_the_other_stacks_cluster() -> None:
    more: dict[str, Any] = {"gcp:project": "my-project", "nodePools": {"l4": {}}}
    deployment = team({**REFERENCE, "location": "us-central1"}, **more)
    assert deployment.code == 0, deployment.logged
    pool = deployment.registered(NODE_POOL)["l4"]
    assert (pool["cluster"], pool["location"], pool["project"]) == ("shared", "us-central1", "my-project")
    assert pool["nodeConfig"]["serviceAccount"] == OUTPUTS["nodeServiceAccount"]


def test_pools_need_the_location_before_the_other_stack_is_read() -> None:
    deployment = team(nodePools={"l4": {}})
    assert deployment.code == 32
    (message,) = deployment.logged
    assert "nodePools: need the cluster's location\n" in message


@pytest.mark.parametrize("missing", ["clusterName", "kubeconfig"])
def test_a_stack_that_exports_no_cluster_fails_the_deployment_and_is_named(missing: str) -> None:
    deployment = team(outputs={key: value for key, value in OUTPUTS.items() if key != missing})
    assert deployment.code != 0
    said = deployment.stderr + "".join(deployment.logged)
    assert f"cluster.stackReference: stack {OWNER} exports no {missing}" in said
    assert "plantedCredential" not in said
