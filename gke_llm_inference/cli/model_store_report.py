"""The store of models, for people and programs."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning import ModelCopy, ModelStorePlan, StoredModel


def model_store_document(plan: ModelStorePlan | None) -> dict[str, Any] | None:
    """The store as plain data for JSON; None without one."""
    if plan is None:
        return None
    copies = {copy.model: copy for copy in plan.copies}
    return {
        "bucket": plan.bucket.name,
        "creates": plan.bucket.creates,
        "location": plan.bucket.location,
        "crossesTo": plan.bucket.crosses_to,
        "models": [_model_document(one, plan, copies.get(one)) for one in plan.models],
    }


def model_store_lines(plan: ModelStorePlan | None) -> Iterator[str]:
    """The store as lines of the plan's text; none without one."""
    if plan is None:
        return
    made = ", made by the stack" if plan.bucket.creates else ""
    yield f"Models lie in gs://{plan.bucket.name} in {plan.bucket.location}{made}"
    copies = {copy.model: copy for copy in plan.copies}
    for one in plan.models:
        size = "size not known" if one.gib is None else f"{one.gib:.1f} GiB"
        readers = ", ".join(_readers(one, plan)) or "nobody"
        yield f"  {one.prefix}: {size}, read by {readers}{_copied(copies.get(one))}"


def _copied(copy: ModelCopy | None) -> str:
    if copy is None:
        return ""
    expected = "" if copy.expected_seconds is None else f" in {copy.expected_seconds} s expected,"
    return f"; copied once by Job {copy.name}{expected} {copy.deadline_seconds} s allowed"


def _readers(model: StoredModel, plan: ModelStorePlan) -> list[str]:
    return [reader.server for reader in plan.readers if reader.model == model]


def _model_document(model: StoredModel, plan: ModelStorePlan, copy: ModelCopy | None) -> dict[str, Any]:
    return {
        "model": model.model,
        "revision": model.revision,
        "uri": model.uri,
        "gib": None if model.gib is None else round(model.gib, 2),
        "readers": _readers(model, plan),
        "copy": copy
        and {
            "job": copy.name,
            "expectedSeconds": copy.expected_seconds,
            "deadlineSeconds": copy.deadline_seconds,
        },
    }
