"""What a podPatch overrides of a server's plan, as its Deployment says."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from gke_llm_inference.planning.pod.names import OVERRIDES_ANNOTATION
from gke_llm_inference.policy.model import ResourcePolicy
from gke_llm_inference.policy.resources import Resource
from gke_llm_inference.policy.workloads import is_workload
from gke_llm_inference.settings.base import Settings


class OverrideSettings(Settings):
    """Which overrides are allowed."""

    allowed: Annotated[tuple[str, ...], Field(strict=False)]
    """Paths in pod templates that a podPatch may change, each with what is below it."""


def _overrides(resource: Resource, settings: OverrideSettings) -> Iterator[str]:
    if not is_workload(resource):
        return
    listed = resource.at("metadata", "annotations", OVERRIDES_ANNOTATION)
    for path in listed.split(", ") if isinstance(listed, str) else ():
        if not any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in settings.allowed):
            yield f"overrides {path}, which the plan decided"


POD_OVERRIDES = ResourcePolicy(
    name="pod-overrides",
    what="No podPatch overrides what the plan of a server decided.",
    why="Memory, start, drain and cost are planned for what it decided, and nobody has looked at anything else.",
    fix="use the setting for it, or list the path under this policy's allowed",
    settings=OverrideSettings,
    check=_overrides,
)
