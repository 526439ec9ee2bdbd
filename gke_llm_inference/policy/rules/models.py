"""Models: which weights and code run."""

import re
from collections.abc import Iterator
from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.policy.inference_servers import server_of
from gke_llm_inference.policy.model import NoSettings, ResourcePolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, items
from gke_llm_inference.policy.workloads import Container, containers

_COMMIT = "[0-9a-f]{40}"
# A commit as the revision, in one argument or in two, or a directory of a store that has its name.
_PINNED = re.compile(rf"(^| )--revision[= ]{_COMMIT}( |$)|/{_COMMIT}(/| |$)")
_OFFLINE = "HF_HUB_OFFLINE"
# What huggingface_hub takes for yes, in any case.
_TRUE = ("1", "ON", "TRUE", "YES")


def _revisions(resource: Resource, _: NoSettings) -> Iterator[str]:
    catalog = load_catalog()
    for container in containers(resource):
        if server_of(container, resource, catalog) is None or _downloads_nothing(container):
            continue
        given = container.at("args")
        arguments = [one for one in items(given) if isinstance(one, str)]
        # What is not known may be the revision.
        if isinstance(given, Opaque) or len(arguments) < len(items(given)):
            continue
        if not _PINNED.search(" ".join(arguments)):
            yield f"{container.title}: its model is not pinned to a commit"


def _downloads_nothing(container: Container) -> bool:
    """Whether it reads its model from a volume, or may, as far as is known."""
    variables = container.at("env")
    return isinstance(variables, Opaque) or any(map(_says_offline, items(variables)))


def _says_offline(variable: Any) -> bool:
    if isinstance(variable, Opaque):
        return True
    name, value = at(variable, "name"), at(variable, "value")
    may_be = isinstance(name, Opaque) or name == _OFFLINE
    return may_be and (isinstance(value, Opaque) or str(value).upper() in _TRUE)


MODEL_REVISIONS = ResourcePolicy(
    name="model-revisions",
    what="Every model that is downloaded, or read from a store, is pinned to a commit.",
    why="A branch of a repository can come to hold other weights and code; only a commit says what was reviewed.",
    fix="record the commits: gke-llm-inference models --stack NAME --record",
    check=_revisions,
)
