"""Known vulnerabilities of the inference servers that run."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from gke_llm_inference.catalog import Catalog, InferenceServerFacts, ServerKind, load_catalog
from gke_llm_inference.catalog.vulnerability_facts import SEVERITIES, Severity
from gke_llm_inference.planning.vulnerabilities import known_vulnerabilities
from gke_llm_inference.policy.model import ResourcePolicy
from gke_llm_inference.policy.resources import Opaque, Resource, items
from gke_llm_inference.policy.workloads import Container, containers, labels_of, pod_template
from gke_llm_inference.settings.base import Settings

_VERSION = re.compile(r"[0-9]+\.[0-9]+(?:\.[0-9]+)*")
_NAME_LABEL = "app.kubernetes.io/name"
_VERSION_LABEL = "app.kubernetes.io/version"


class VulnerabilitySettings(Settings):
    """Settings of known-vulnerabilities."""

    at_least: Severity
    """Least severity that counts: `medium`, `high` or `critical`. What has none counts as `medium`."""
    accepted: Annotated[tuple[str, ...], Field(strict=False)]
    """Ids that were looked at and are lived with, such as `CVE-2026-48746`."""


def _vulnerabilities(resource: Resource, settings: VulnerabilitySettings) -> Iterator[str]:
    catalog = load_catalog()
    for container in containers(resource):
        server = _server(container, catalog) or (_labeled(resource) if container.wants_gpu else None)
        if server is None:
            continue
        kind, version = server
        given = container.at("args")
        arguments = [one for one in items(given) if isinstance(one, str)]
        # What is not known, the model among it, adds nothing.
        hidden = isinstance(given, Opaque) or len(arguments) < len(items(given))
        family = _family(arguments, catalog)
        found = [
            one.id
            for one in known_vulnerabilities(kind, version, catalog, family=family, arguments=arguments)
            if not (hidden and one.multimodal)
            and SEVERITIES.index(one.severity or "medium") >= SEVERITIES.index(settings.at_least)
            and one.id not in settings.accepted
        ]
        if found:
            yield f"{container.title}: {catalog.servers[kind].title} {version} has {', '.join(found)}"


def _server(container: Container, catalog: Catalog) -> tuple[ServerKind, str] | None:
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


def _family(arguments: Sequence[str], catalog: Catalog) -> str | None:
    """Family of the model that a command line names; None where the catalog does not have it."""
    named = (text.partition("=")[2] or text for text in arguments)
    return next((catalog.models[one].family for one in named if one in catalog.models), None)


def _version(tag: str, facts: InferenceServerFacts) -> str | None:
    """The version in a tag such as v0.26.0-cu129; None where there is none."""
    found = _VERSION.match(tag.removeprefix(facts.tag_prefix))
    return found[0] if found else None


KNOWN_VULNERABILITIES = ResourcePolicy(
    name="known-vulnerabilities",
    what="No inference server runs a version with known vulnerabilities.",
    why="They are published with the way to use them, and a server holds what its users write.",
    fix="use the version that the plan's warning names, or list what you live with under this policy's accepted",
    settings=VulnerabilitySettings,
    check=_vulnerabilities,
)
