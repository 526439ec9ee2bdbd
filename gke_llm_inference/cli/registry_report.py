"""The repositories that a stack's images come through, for people and programs."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning import ImageRegistryPlan


def registry_document(plan: ImageRegistryPlan | None) -> dict[str, Any] | None:
    """The repositories as plain data for JSON; None where images are pulled from their own registries."""
    if plan is None:
        return None
    return {
        "project": plan.project,
        "location": plan.location,
        "creates": plan.creates,
        "repositories": {
            one.upstream: {"address": one.address, "username": one.credentials.username if one.credentials else None}
            for one in plan.repositories
        },
    }


def registry_lines(plan: ImageRegistryPlan | None) -> Iterator[str]:
    """The repositories as lines of the plan's text; none without any."""
    for one in plan.repositories if plan else ():
        account = f", as {one.credentials.username}" if one.credentials else ""
        made = f", made by the stack{account}" if plan and plan.creates else ""
        yield f"Images of {one.upstream} come through {one.address}{made}"
