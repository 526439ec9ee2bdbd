"""Which models run on given GPUs: each model of the catalog in each format, with context, concurrency and price."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.planning.machines import cheapest_machine
from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest, plan_memory
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.planning.pods import pod_request, pod_resources
from gke_llm_inference.settings import ResourceSettings
from gke_llm_inference.terminal import rendered

_FORMATS = (("bf16", "own precision"), ("fp8", "FP8 on load"), ("awq", "4-bit AWQ"))


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model in one format on given GPUs.

    Attributes:
        context: longest context in tokens with which it starts; 0 if it does not.
        concurrency: requests of that context, or of the asked one, at once.
        usd_per_hour: list price of the cheapest machine; None if unknown.

    """

    model: str
    weights: str
    verdict: str
    context: int
    kv_cache_tokens: int
    concurrency: float
    machine_type: str | None
    usd_per_hour: float | None


def model_rows(accelerator: str, count: int, catalog: Catalog) -> Iterator[ModelRow]:
    """Rows for every model of the catalog, by model and format. The GPU must be in the catalog."""
    facts = catalog.memory
    for name, model in catalog.models.items():
        if not heads_divide(model, count) or not kv_heads_divide(model, count):
            continue
        resources = pod_resources(count, model.weights_gib, ResourceSettings(), catalog)
        machine = cheapest_machine(accelerator, count, pod_request(resources), catalog)
        price = catalog.machine_types[machine].usd_per_hour if machine else None
        for weights, title in _FORMATS:
            request = MemoryRequest(
                architecture=model,
                family=model.family,
                gpu_memory_mib=float(facts.versions.visible_memory[accelerator].mib),
                weights_format=weights,
                tensor_parallel=count,
                accelerator=accelerator,
            )
            plan = _with_its_longest_context(request, facts)
            yield ModelRow(
                model=name,
                weights=title,
                verdict=plan.verdict,
                context=plan.largest_context,
                kv_cache_tokens=plan.state.kv_cache_tokens,
                concurrency=plan.state.max_concurrency,
                machine_type=machine,
                usd_per_hour=price.on_demand if price else None,
            )


def models_text(rows: Sequence[ModelRow]) -> str:
    """The rows as a table; models that do not fit are left out, and counted."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model", overflow="fold")
    table.add_column("weights", no_wrap=True)
    for name in ("context", "at once", "USD/h"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row.context:
            price = f"{row.usd_per_hour:.2f}" if row.usd_per_hour is not None else "?"
            table.add_row(row.model, row.weights, f"{row.context:,}", f"{row.concurrency:.1f}", price)
    left_out = sum(not row.context for row in rows)
    return rendered(table, f"{left_out} combination{'s do' if left_out != 1 else ' does'} not fit.")


def _with_its_longest_context(request: MemoryRequest, facts: MemoryFacts) -> MemoryPlan:
    plan = plan_memory(request, facts)
    if plan.starts or not plan.largest_context:
        return plan
    return plan_memory(replace(request, max_model_len=plan.largest_context), facts)
