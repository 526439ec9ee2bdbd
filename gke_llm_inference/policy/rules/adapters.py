"""Adapters: which weights requests may choose from."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.policy.model import NoSettings, ResourcePolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, items
from gke_llm_inference.policy.workloads import Container, containers

_UPDATING = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
# What vLLM takes for yes, in any case (vllm/envs.py).
_TRUE = ("1", "TRUE")


def _client_adapters(resource: Resource, _: NoSettings) -> Iterator[str]:
    for container in containers(resource):
        if any(_lets_load(variable) for variable in _variables(container)):
            yield f"{container.title}: {_UPDATING} lets clients load adapters"


def _variables(container: Container) -> list[Any]:
    given = container.at("env")
    return [] if isinstance(given, Opaque) else items(given)


def _lets_load(variable: Any) -> bool:
    """Whether it says yes, or takes from elsewhere what it says."""
    if at(variable, "name") != _UPDATING:
        return False
    value = at(variable, "value")
    if at(variable, "valueFrom") is not None:
        return True
    return isinstance(value, str) and value.strip().upper() in _TRUE


CLIENT_ADAPTERS = ResourcePolicy(
    name="client-adapters",
    what="No server loads adapters that its clients name.",
    why="Whoever may call such a server can put other weights into it, or take adapters away from everybody else.",
    fix="remove VLLM_ALLOW_RUNTIME_LORA_UPDATING, and state adapters in the server's settings, each with its commit",
    check=_client_adapters,
)
