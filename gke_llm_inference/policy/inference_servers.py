"""Which inference server a container runs, by its image or by the labels of its pods."""

import re

from gke_llm_inference.catalog import Catalog, InferenceServerFacts, ServerKind
from gke_llm_inference.policy.resources import Resource
from gke_llm_inference.policy.workloads import Container, labels_of, pod_template

_VERSION = re.compile(r"[0-9]+\.[0-9]+(?:\.[0-9]+)*")
_NAME_LABEL = "app.kubernetes.io/name"
_VERSION_LABEL = "app.kubernetes.io/version"


def server_of(container: Container, resource: Resource, catalog: Catalog) -> tuple[ServerKind, str] | None:
    """The server and version that a container of a workload runs; None where neither image nor labels say."""
    return _by_image(container, catalog) or (_labeled(resource) if container.wants_gpu else None)


def _by_image(container: Container, catalog: Catalog) -> tuple[ServerKind, str] | None:
    """The server and version that a container runs, by its image's name and tag; None where they do not say."""
    image = container.at("image")
    if not isinstance(image, str):
        return None
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    for kind, facts in catalog.servers.items():
        if name in facts.image_names:
            version = _version(tag, facts)
            return (kind, version) if version else None
    return None


def _labeled(resource: Resource) -> tuple[ServerKind, str] | None:
    """The server and version that the labels of the pods state, for images of other names."""
    labels = labels_of(pod_template(resource))
    kind, version = labels.get(_NAME_LABEL), labels.get(_VERSION_LABEL)
    if kind in ("vllm", "tgi") and isinstance(version, str) and _VERSION.fullmatch(version):
        return kind, version
    return None


def _version(tag: str, facts: InferenceServerFacts) -> str | None:
    """The version in a tag such as v0.26.0-cu129; None where there is none."""
    found = _VERSION.match(tag.removeprefix(facts.tag_prefix))
    return found[0] if found else None
