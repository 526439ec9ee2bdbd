"""Known vulnerabilities of the inference servers that run."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.vulnerability_facts import SEVERITIES, Severity
from gke_llm_inference.planning.vulnerabilities import known_vulnerabilities
from gke_llm_inference.policy.inference_servers import server_of
from gke_llm_inference.policy.model import ResourcePolicy
from gke_llm_inference.policy.resources import Opaque, Resource, items
from gke_llm_inference.policy.workloads import containers
from gke_llm_inference.settings.base import Settings


class VulnerabilitySettings(Settings):
    """Settings of known-vulnerabilities."""

    at_least: Severity
    """Least severity that counts: `medium`, `high` or `critical`. What has none counts as `medium`."""
    accepted: Annotated[tuple[str, ...], Field(strict=False)]
    """Ids that were looked at and are lived with, such as `CVE-2026-48746`."""


def _vulnerabilities(resource: Resource, settings: VulnerabilitySettings) -> Iterator[str]:
    catalog = load_catalog()
    for container in containers(resource):
        server = server_of(container, resource, catalog)
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


def _family(arguments: Sequence[str], catalog: Catalog) -> str | None:
    """Family of the model that a command line names; None where the catalog does not have it."""
    named = (text.partition("=")[2] or text for text in arguments)
    return next((catalog.models[one].family for one in named if one in catalog.models), None)


KNOWN_VULNERABILITIES = ResourcePolicy(
    name="known-vulnerabilities",
    what="No inference server runs a version with known vulnerabilities.",
    why="They are published with the way to use them, and a server holds what its users write.",
    fix="use the version that the plan's warning names, or list what you live with under this policy's accepted",
    settings=VulnerabilitySettings,
    check=_vulnerabilities,
)
