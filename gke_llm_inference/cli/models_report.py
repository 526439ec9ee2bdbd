"""Which models run on given GPUs: each model of the catalog in each format, with context, concurrency and price."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gke_llm_inference.catalog import Catalog, Model
from gke_llm_inference.planning.loading import class_of
from gke_llm_inference.planning.machines import cheapest_machine
from gke_llm_inference.planning.memory.from_settings import served_weights_format
from gke_llm_inference.planning.memory.of_catalog import memory_request_of, plan_with_longest_context
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.planning.pods import pod_request, pod_resources
from gke_llm_inference.settings import ResourceSettings
from gke_llm_inference.terminal import wrapped

_FORMATS = (("bf16", "own precision"), ("fp8", "FP8 on load"), ("awq", "4-bit AWQ"))
_TASKS = {"embed": "embeds", "rerank": "ranks"}
_BILLION = 10**9


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model in one format on given GPUs.

    Attributes:
        kind: dense, MoE, or what it is for where it does not generate; with `sees` where it has a vision tower.
        parameters: all that a server loads.
        active_parameters: what one token visits.
        license: as its page names it; None where that is not known.
        gated: whether its files need a token.
        checkpoints: formats of its known quantized checkpoints, sorted.
        since: smallest vLLM version that is known to load it.
        context: longest context in tokens with which it starts; 0 if it does not.
        concurrency: requests of that context, or of the asked one, at once; 0 of a model that embeds or ranks.
        usd_per_hour: list price of the cheapest machine; None if unknown.

    """

    model: str
    kind: str
    parameters: int
    active_parameters: int
    license: str | None
    gated: bool
    checkpoints: tuple[str, ...]
    since: str | None
    weights: str
    verdict: str
    context: int
    kv_cache_tokens: int
    concurrency: float
    machine_type: str | None
    usd_per_hour: float | None


def model_rows(accelerator: str, count: int, catalog: Catalog) -> Iterator[ModelRow]:
    """Rows for every model of the catalog, by model and format. The GPU must be in the catalog.

    A model that embeds or ranks has one row, at its own precision, and no KV cache.
    """
    formats = _formats_by_model(catalog)
    for name, model in catalog.models.items():
        if not heads_divide(model, count) or not kv_heads_divide(model, count):
            continue
        resources = pod_resources(count, model.weights_gib, ResourceSettings(), catalog)
        machine = cheapest_machine(accelerator, count, pod_request(resources), catalog)
        price = catalog.machine_types[machine].usd_per_hour if machine else None
        for weights, title in _weights_of(model):
            request = memory_request_of(model, weights, accelerator, count, catalog)
            plan = plan_with_longest_context(request, catalog.memory)
            yield replace(
                _row(name, model, formats, catalog, weights=title, verdict=plan.verdict),
                context=plan.largest_context,
                kv_cache_tokens=plan.state.kv_cache_tokens,
                concurrency=plan.state.max_concurrency,
                machine_type=machine,
                usd_per_hour=price.on_demand if price else None,
            )


def models_text(rows: Sequence[ModelRow]) -> str:
    """The rows as a table; models that do not fit are left out, and counted.

    A model has a line of what it is, and one for each of its weights.
    """
    lines = [_cells("model and weights", "context", "at once", "USD/h", "verdict")]
    told = ""
    for row in rows:
        if not row.context:
            continue
        if row.model != told:
            told = row.model
            lines += wrapped(f"{row.model}: {_described(row)}", rest="    ")
        price = f"{row.usd_per_hour:.2f}" if row.usd_per_hour is not None else "?"
        at_once = f"{row.concurrency:.1f}" if row.kv_cache_tokens else "-"
        lines.append(_cells(f"  {row.weights}", f"{row.context:,}", at_once, price, row.verdict))
    left_out = sum(not row.context for row in rows)
    lines.append(f"{left_out} combination{'s do' if left_out != 1 else ' does'} not fit.")
    return "".join(f"{line}\n" for line in lines)


def _cells(weights: str, context: str, at_once: str, price: str, verdict: str) -> str:
    return f"{weights:<28}{context:>12}{at_once:>10}{price:>9}  {verdict}"


def _described(row: ModelRow) -> str:
    size = f"{row.parameters / _BILLION:.1f}B"
    if row.active_parameters != row.parameters and "MoE" in row.kind:
        size += f", {row.active_parameters / _BILLION:.1f}B active"
    parts = [
        f"{row.kind}, {size}",
        (row.license or "license not known") + (", gated" if row.gated else ""),
        ", ".join(row.checkpoints),
        f"vLLM {row.since}" if row.since else "",
    ]
    return "; ".join(part for part in parts if part)


def _row(
    name: str, model: Model, formats: dict[str, set[str]], catalog: Catalog, *, weights: str, verdict: str
) -> ModelRow:
    """What is known of a model before it is planned."""
    known = class_of(catalog.loading["vllm"], model.loaded_as, model.family)
    return ModelRow(
        model=name,
        kind=_kind(model),
        parameters=model.parameters,
        active_parameters=model.active_parameters or model.parameters,
        license=model.license,
        gated=model.gated,
        checkpoints=tuple(sorted(formats.get(name, ()))),
        since=known.since if known else None,
        weights=weights,
        verdict=verdict,
        context=0,
        kv_cache_tokens=0,
        concurrency=0.0,
        machine_type=None,
        usd_per_hour=None,
    )


def _kind(model: Model) -> str:
    kind = _TASKS.get(model.task) or ("MoE" if model.experts else "dense")
    return f"{kind}, sees" if model.vision_parameters else kind


def _formats_by_model(catalog: Catalog) -> dict[str, set[str]]:
    """Formats of the known checkpoints of each model."""
    found: dict[str, set[str]] = {}
    for checkpoint in catalog.checkpoints.values():
        found.setdefault(checkpoint.base, set()).add(checkpoint.format)
    return found


def _weights_of(model: Model) -> tuple[tuple[str, str], ...]:
    """Formats to plan a model in; its own alone where its repository is quantized."""
    if model.task != "generate":
        return _FORMATS[:1]
    if model.checkpoint == "none":
        return _FORMATS
    return ((served_weights_format(model.checkpoint, None, None, "vllm"), f"its own {model.checkpoint}"),)
