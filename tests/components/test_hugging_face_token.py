import json

import pytest

from gke_llm_inference.preview.recording import Recording, Severity
from tests.support import (
    HUGGING_FACE_TOKEN,
    KUBERNETES_PROVIDER,
    SECRET,
    SECRET_IAM_MEMBER,
    SERVICE_ACCOUNT,
    children,
    find,
    names_of,
    of_type,
    shape,
)

PROVIDER_CLASS = "kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass"
SYNC = "kubernetes:secret-sync.gke.io/v1:SecretSync"
LABELS = {"app.kubernetes.io/managed-by": "pulumi", "app.kubernetes.io/part-of": "gke-llm-inference"}


def metadata(name: str) -> dict[str, object]:
    return {"labels": LABELS, "name": name, "namespace": "llm-inference"}


@pytest.mark.parametrize(
    ("name", "secret", "key"),
    [("from-config", "hf-secret", "hf_api_token"), ("from-config-elsewhere", "hub", "api.key")],
)
def test_a_token_of_the_config_becomes_one_kubernetes_secret(
    gallery: Recording, name: str, secret: str, key: str
) -> None:
    assert shape(gallery, find(gallery, HUGGING_FACE_TOKEN, name)) == {(SECRET, f"{name}-secret")}
    resource = find(gallery, SECRET, f"{name}-secret")
    assert resource.inputs == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(secret),
        "stringData": {key: "[secret]"},
        "type": "Opaque",
    }
    assert names_of(resource.dependencies) == ["llm-inference"]


@pytest.mark.parametrize("name", ["from-config", "from-config-elsewhere"])
def test_a_token_that_arrives_as_plain_text_is_still_a_secret_on_the_wire(gallery: Recording, name: str) -> None:
    resource = find(gallery, SECRET, f"{name}-secret")
    assert len(resource.secret_inputs) == 1
    assert resource.secret_inputs[0].startswith("stringData")
    assert resource.options["additionalSecretOutputs"] == ["data", "stringData"]
    assert not [entry for entry in gallery.messages(Severity.WARNING) if entry.urn == resource.urn]


@pytest.mark.parametrize("name", ["from-existing", "from-nowhere"])
def test_a_token_that_is_there_already_or_not_needed_creates_nothing(gallery: Recording, name: str) -> None:
    assert children(gallery, find(gallery, HUGGING_FACE_TOKEN, name)) == []


@pytest.mark.parametrize("name", ["from-secret-manager", "from-other-project"])
def test_a_token_of_secret_manager_is_synchronized_by_exactly_four_resources(gallery: Recording, name: str) -> None:
    assert shape(gallery, find(gallery, HUGGING_FACE_TOKEN, name)) == {
        (SECRET_IAM_MEMBER, f"{name}-access"),
        (PROVIDER_CLASS, f"{name}-provider-class"),
        (SERVICE_ACCOUNT, f"{name}-reader"),
        (SYNC, f"{name}-sync"),
    }


@pytest.mark.parametrize(
    ("name", "account", "project", "secret"),
    [
        ("from-secret-manager", "hf-secret-reader", "my-project", "hf"),
        ("from-other-project", "hub-reader", "vault", "hf"),
    ],
)
def test_one_kubernetes_account_may_read_one_secret_through_workload_identity(
    gallery: Recording, name: str, account: str, project: str, secret: str
) -> None:
    assert find(gallery, SERVICE_ACCOUNT, f"{name}-reader").inputs == {
        "apiVersion": "v1",
        "automountServiceAccountToken": False,
        "kind": "ServiceAccount",
        "metadata": metadata(account),
    }
    assert find(gallery, SECRET_IAM_MEMBER, f"{name}-access").inputs == {
        # The pool is that of the cluster's project, wherever the secret is.
        "member": "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/"
        f"my-project.svc.id.goog/subject/ns/llm-inference/sa/{account}",
        "project": project,
        "role": "roles/secretmanager.secretAccessor",
        "secretId": secret,
    }


@pytest.mark.parametrize(
    ("name", "secret", "key", "version"),
    [
        ("from-secret-manager", "hf-secret", "hf_api_token", "projects/my-project/secrets/hf/versions/latest"),
        ("from-other-project", "hub", "api.key", "projects/vault/secrets/hf/versions/7"),
    ],
)
def test_the_synchronized_secret_has_the_name_and_key_that_servers_read(
    gallery: Recording, name: str, secret: str, key: str, version: str
) -> None:
    provider_class = find(gallery, PROVIDER_CLASS, f"{name}-provider-class").inputs
    assert (provider_class["apiVersion"], provider_class["kind"]) == (
        "secrets-store.csi.x-k8s.io/v1",
        "SecretProviderClass",
    )
    assert provider_class["metadata"] == metadata(secret)
    assert provider_class["spec"]["provider"] == "gke"
    assert json.loads(provider_class["spec"]["parameters"]["secrets"]) == [{"path": "token", "resourceName": version}]
    assert find(gallery, SYNC, f"{name}-sync").inputs == {
        "apiVersion": "secret-sync.gke.io/v1",
        "kind": "SecretSync",
        "metadata": metadata(secret),
        "spec": {
            "secretObject": {"data": [{"sourcePath": "token", "targetKey": key}], "type": "Opaque"},
            "secretProviderClassName": secret,
            "serviceAccountName": f"{secret}-reader",
        },
    }


def test_the_synchronization_comes_last(gallery: Recording) -> None:
    sync = find(gallery, SYNC, "from-secret-manager-sync")
    assert names_of(sync.dependencies) == [
        "from-secret-manager-access",
        "from-secret-manager-provider-class",
        "from-secret-manager-reader",
    ]


def test_no_secret_of_kubernetes_is_made_but_from_the_config(gallery: Recording) -> None:
    assert {secret.name for secret in of_type(gallery, SECRET)} == {
        "from-config-secret",
        "from-config-elsewhere-secret",
        "protected-token-secret",
    }


def test_a_config_token_without_a_token_is_refused_before_anything_is_registered(gallery: Recording) -> None:
    assert gallery.exports["missingToken"] == [{"property_path": "token", "reason": "pass the config's secret"}]
    assert not [resource.urn for resource in gallery.resources if "from-config-without-one" in resource.urn]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("from-config", "config"),
        ("from-existing", "existingSecret"),
        ("from-secret-manager", "secretManager"),
        ("from-nowhere", "none"),
    ],
)
def test_the_component_tells_the_source_and_nothing_of_the_token(gallery: Recording, name: str, source: str) -> None:
    assert find(gallery, HUGGING_FACE_TOKEN, name).outputs == {"source": source}


def test_everything_of_a_token_on_kubernetes_uses_the_callers_provider(gallery: Recording) -> None:
    provider = find(gallery, KUBERNETES_PROVIDER, "autopilot-kubernetes")
    below = children(gallery, find(gallery, HUGGING_FACE_TOKEN, "from-secret-manager"))
    on_kubernetes = [resource for resource in below if resource.type.startswith("kubernetes:")]
    assert len(on_kubernetes) == 3
    assert {resource.provider for resource in on_kubernetes} == {provider.urn}
