"""The Kubernetes objects of a recording as YAML documents that `kubectl apply -f` takes."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import yaml

from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.terminal import SECRET, UNKNOWN

# Kinds of the groups that Kubernetes itself serves which live outside any namespace.
_CLUSTER_KINDS = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ComponentStatus",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IngressClass",
        "IPAddress",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "SelfSubjectReview",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "SubjectAccessReview",
        "TokenReview",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)
_ORDER = ("apiVersion", "kind", "metadata", "type", "immutable")
_LONGEST_NAME = 120


@dataclass(frozen=True)
class Manifest:
    """One Kubernetes object."""

    file_name: str
    urn: str
    text: str
    has_unknowns: bool
    """Whether some values are only known after a deployment, and stand as `[unknown]`."""


def manifests_of(recording: Recording) -> tuple[Manifest, ...]:
    """A manifest for every Kubernetes object, sorted by file name.

    Components of the Kubernetes package (charts, lists of files) and providers are not objects.
    """
    namespaces = {
        resource.urn: resource.inputs.get("namespace") for resource in recording.resources if resource.is_provider
    }
    objects: list[tuple[str, Resource, dict[str, Any]]] = []
    for resource in recording.resources:
        if not _is_object(resource):
            continue
        document = _document(resource, namespaces.get(resource.provider or ""))
        objects.append((_base_name(document), resource, document))
    taken: dict[str, int] = {}
    for base, _, _ in objects:
        taken[base] = taken.get(base, 0) + 1
    manifests = []
    for base, resource, document in objects:
        # The same object in two clusters: the URN tells them apart.
        suffix = f"-{hashlib.sha256(resource.urn.encode()).hexdigest()[:8]}" if taken[base] > 1 else ""
        manifests.append(
            Manifest(
                file_name=f"{base}{suffix}.yaml",
                urn=resource.urn,
                text=to_yaml(document),
                has_unknowns=_has_unknowns(document),
            )
        )
    return tuple(sorted(manifests, key=lambda manifest: manifest.file_name))


def _is_object(resource: Resource) -> bool:
    kind = resource.inputs.get("kind")
    return (
        resource.custom
        and resource.type.startswith("kubernetes:")
        and isinstance(resource.inputs.get("apiVersion"), str)
        and isinstance(kind, str)
        and not kind.endswith("List")
        and not resource.options.get("external")
    )


def _document(resource: Resource, provider_namespace: Any) -> dict[str, Any]:
    inputs = dict(resource.inputs)
    metadata = inputs.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    # Without a name, the provider would append random characters to the resource's name.
    if "name" not in metadata and "generateName" not in metadata:
        metadata["name"] = resource.name
    if (
        "namespace" not in metadata
        and isinstance(provider_namespace, str)
        and provider_namespace != UNKNOWN
        and _is_namespaced(str(inputs["apiVersion"]), str(inputs["kind"]))
    ):
        metadata["namespace"] = provider_namespace
    inputs["metadata"] = metadata
    if resource.type == "kubernetes:core/v1:Secret":
        _text_instead_of_base64(inputs)
    order = {key: position for position, key in enumerate(_ORDER)}
    return {key: inputs[key] for key in sorted(inputs, key=lambda key: (order.get(key, len(order)), key))}


def _text_instead_of_base64(inputs: dict[str, Any]) -> None:
    """Move masked values from `data` to `stringData`: `[secret]` is not base64, so kubectl would refuse it."""
    data = inputs.get("data")
    if isinstance(data, dict) and SECRET in data.values():
        masked = {key: value for key, value in data.items() if value == SECRET}
        kept = {key: value for key, value in data.items() if value != SECRET}
        text = inputs.get("stringData")
        inputs["stringData"] = dict(sorted({**masked, **(text if isinstance(text, dict) else {})}.items()))
        if kept:
            inputs["data"] = kept
        else:
            del inputs["data"]


def _is_namespaced(api_version: str, kind: str) -> bool:
    """Whether an object is known to live in a namespace; unknown for custom resources, which say False."""
    group = api_version.rpartition("/")[0]
    built_in = "." not in group or group.endswith(".k8s.io")
    return built_in and kind not in _CLUSTER_KINDS


def _base_name(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    kind = str(document["kind"])
    namespace = metadata.get("namespace")
    if namespace is None:
        namespace = "default" if _is_namespaced(str(document["apiVersion"]), kind) else "cluster"
    name = metadata.get("name") or metadata.get("generateName") or "object"
    full = "-".join(_slug(str(part)) for part in (namespace, kind, name))
    return full if len(full) <= _LONGEST_NAME else full[:_LONGEST_NAME].rstrip("-.")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "x"


def _has_unknowns(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_unknowns(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_unknowns(item) for item in value)
    return bool(value == UNKNOWN)


class _Dumper(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper):  # type: ignore[misc]
    """Block style, without anchors, texts of several lines as literal blocks."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Anchors save nothing here and hinder reading."""
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text and not re.search(r"[ \t]\n|\A[ \t\n]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def to_yaml(document: dict[str, Any]) -> str:
    """One YAML document, keys in the given order, lines never folded."""
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1_000_000,
    )
    return text
