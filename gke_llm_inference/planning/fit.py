"""Whether a server fits its GPUs: its memory plan, and what is said where it does not."""

import re

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.alternatives import Alternative, alternatives
from gke_llm_inference.planning.memory import MemoryPlan, memory_request, plan_memory
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import Finding, Refusal, ServerSettings, VllmSettings

_PROPOSALS = 3
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


# Settings that decide on memory, by the flags with which extra arguments may override them.
_OVERRIDES = {
    "--max-model-len": "max_model_len",
    "--max-total-tokens": "max_model_len",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--cuda-memory-fraction": "cuda_memory_fraction",
    "--max-num-seqs": "max_num_seqs",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--max-batch-prefill-tokens": "max_batch_prefill_tokens",
}


def server_memory(path: str, settings: ServerSettings, version: str, model: ServedModel) -> MemoryPlan:
    """The memory plan of the server that will run: settings with presets applied, and what extra arguments override.

    Raises:
        Refusal: its memory cannot be planned; with every problem.

    """
    settings = _as_overridden(settings)
    return plan_memory(
        memory_request(
            path,
            settings,
            version,
            model,
            gpu_memory_mib=settings.accelerator.memory_mib,
            compile_cache=settings.compile_cache if isinstance(settings, VllmSettings) else None,
        )
    )


def _as_overridden(settings: ServerSettings) -> ServerSettings:
    update: dict[str, float] = {}
    for argument in settings.extra_args:
        flag, _, value = argument.replace("_", "-").partition("=")
        field = _OVERRIDES.get(flag)
        if field is not None and _NUMBER.fullmatch(value):
            update[field] = float(value) if "." in value else int(value)
    return settings.model_copy(update=update)


def check_fit(
    path: str, settings: ServerSettings, version: str, model: ServedModel, cluster: ClusterPlan, catalog: Catalog
) -> tuple[MemoryPlan | None, tuple[Alternative, ...], list[Finding], list[Finding]]:
    """The memory plan of a server, what would fit instead, and the problems and warnings of it.

    A server that does not fit is refused, unless the stack allows it, or the constants were not measured for its
    version and it misses by less than their error margin.

    Args:
        path: where the server stands in the configuration.
        settings: its settings with presets applied.
        version: version of the server.
        model: the model that it loads.
        cluster: the cluster's plan; what it does not offer is not proposed.
        catalog: the facts to decide by.

    """
    try:
        plan = server_memory(path, settings, version, model)
    except Refusal as refusal:
        return None, (), list(refusal.problems), []
    if plan.verdict == "fits":
        return plan, (), [], []
    # A model that lies on a volume is not exchanged for one to download.
    base = model.id if settings.model_volume is None else None
    found = tuple(one for one in alternatives(plan.request, catalog, model=base) if _offered(one, cluster, catalog))
    proposals = "; or ".join(one.what for one in found[:_PROPOSALS])
    finding = Finding(
        path,
        f"{plan.verdict} {_gpus(settings)}" if plan.verdict == "does not fit" else f"is tight on {_gpus(settings)}",
        plan.reason,
        proposals or "no change that is known here makes it fit; use a smaller model",
    )
    if plan.verdict == "tight" or settings.allow_unfit or _may_be_wrong(plan):
        return plan, found, [], [finding]
    return plan, found, [finding], []


def _may_be_wrong(plan: MemoryPlan) -> bool:
    """Whether the server misses its memory by less than an estimate's error, where nothing was measured."""
    missing = {
        "profile": plan.needed_mib - plan.state.kv_cache_mib,
        "runtime": plan.state.peak_mib - plan.total_mib,
    }.get(plan.state.cause)
    return not plan.calibrated and missing is not None and missing <= plan.error_margin_mib


def _offered(change: Alternative, cluster: ClusterPlan, catalog: Catalog) -> bool:
    """Whether the cluster may have the GPUs of a change, as far as that is known."""
    facts = catalog.accelerators.get(change.accelerator or "")
    if facts is None:
        return True
    in_region = cluster.region is None or bool(facts.zones_in(cluster.region))
    return in_region and (cluster.profile != "autopilot" or change.gpus in facts.autopilot_maxima)


def _gpus(settings: ServerSettings) -> str:
    return f"{settings.accelerator.count} × {settings.accelerator.type}"
