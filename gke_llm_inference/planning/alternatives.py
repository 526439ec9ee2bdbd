"""What to change where a server does not fit: every proposal is a plan of its own, cheapest first."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.planning.compatibility import request_problems
from gke_llm_inference.planning.groups.plan import MULTI_NODE_SINCE
from gke_llm_inference.planning.machines import candidates, gpu_counts
from gke_llm_inference.planning.memory.from_settings import served_weights_format
from gke_llm_inference.planning.memory.plan import plan_memory
from gke_llm_inference.planning.memory.request import MemoryRequest, kv_bytes, limits_of, vllm_version_facts
from gke_llm_inference.planning.memory.result import MemoryPlan
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import NodePoolSettings

if TYPE_CHECKING:
    from gke_llm_inference.planning.performance.plan import PerformancePlan

Kind = Literal[
    "lower utilization",
    "fewer sequences",
    "FP8 KV cache",
    "FP8 weights",
    "8-bit checkpoint",
    "4-bit checkpoint",
    "shorter context",
    "more GPUs",
    "larger GPU",
    "more nodes",
    "no compilation",
    "smaller steps",
    "another GPU",
    "none",
]

# At the same price, what costs nothing but batch size comes first, then accuracy, then context.
_ORDER: tuple[Kind, ...] = (
    "lower utilization",
    "fewer sequences",
    "FP8 KV cache",
    "8-bit checkpoint",
    "FP8 weights",
    "4-bit checkpoint",
    "shorter context",
    "no compilation",
    "more GPUs",
    "larger GPU",
    "more nodes",
    "smaller steps",
    "another GPU",
    "none",
)
# With these the model keeps its weights and its context on one machine.
_WHOLE: tuple[Kind, ...] = (
    "lower utilization",
    "fewer sequences",
    "FP8 KV cache",
    "no compilation",
    "more GPUs",
    "larger GPU",
)
_FASTER_TOKENS = (1024, 512)
_SEQUENCES = (128, 64, 32)
_UTILIZATIONS = (0.95, 0.9, 0.85, 0.8)
_SHORTEST_CONTEXT = 256
_CONTEXT_STEP = 64
_MOST_GPUS = 8
_MORE_NODES = (2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A change with which the server fits.

    Attributes:
        kind: what sort of change.
        what: the change in words.
        changes: settings of the server, by their names in the configuration.
        accelerator: GKE's name of the GPU; None where it is not known.
        gpus: GPUs of each replica.
        machine_type: cheapest machine with them; None where the catalog has none.
        usd_per_hour: its list price on demand; None where it is not known.
        plan: the memory plan with the change.
        node_pool: name and settings of a node pool that the stack would have to have as well; None if none.

    """

    kind: Kind
    what: str
    changes: tuple[tuple[str, str | int | float | bool], ...]
    accelerator: str | None
    gpus: int
    machine_type: str | None
    usd_per_hour: float | None
    plan: MemoryPlan
    node_pool: tuple[str, NodePoolSettings] | None = None


@dataclass(frozen=True, kw_only=True)
class FasterAlternative:
    """A change with which the server meets its objectives.

    Attributes:
        what: the change in words.
        changes: settings of the server, by their names in the configuration; its replicas are as many as it needs.
        accelerator: GKE's name of the GPU.
        gpus: GPUs of each replica.
        machine_type: machine that it is planned for; None where the nodes are not known.
        usd_per_hour: list price of all replicas; None where it is not known.
        performance: the performance plan with the change.
        node_pool: name and settings of a node pool that the stack would have to have as well; None if none.
        max_nodes: name of a pool of the stack and the `maxNodes` that it would have to have; None if what it has.

    """

    what: str
    changes: tuple[tuple[str, str | int | float | bool], ...]
    accelerator: str
    gpus: int
    machine_type: str | None
    usd_per_hour: float | None
    performance: "PerformancePlan"
    node_pool: tuple[str, NodePoolSettings] | None = None
    max_nodes: tuple[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A change that may help, and the memory request that it comes to."""

    kind: Kind
    what: str
    changes: tuple[tuple[str, str | int | float | bool], ...]
    request: MemoryRequest


def alternatives(request: MemoryRequest, catalog: Catalog, *, model: str | None = None) -> tuple[Alternative, ...]:
    """Changes with which the server fits, cheapest first; none of those that the planner itself does not pass.

    Args:
        request: what does not fit.
        catalog: the facts to decide by.
        model: Hugging Face id of the model or of a checkpoint, for which other checkpoints are proposed.

    """
    facts = catalog.memory
    found = []
    for candidate in _candidates(request, catalog, model, facts):
        plan = _planned(candidate.request, facts)
        if plan is not None and plan.starts:
            found.append(_alternative(candidate, plan, catalog))
    return tuple(sorted(found, key=lambda one: rank(one, request)))


def on_more_nodes(request: MemoryRequest, catalog: Catalog, found: Iterable[Alternative]) -> tuple[Alternative, ...]:
    """Machines over which the model fits as it is; none where it does so on one.

    Args:
        request: what does not fit.
        catalog: the facts to decide by.
        found: changes with which it fits on one machine.

    """
    if any(one.plan.request.weights_format == request.weights_format and one.kind in _WHOLE for one in found):
        return ()
    return tuple(
        _alternative(candidate, plan, catalog)
        for candidate in _more_nodes(request, catalog)
        if (plan := _planned(candidate.request, catalog.memory)) is not None
    )


def rank(found: Alternative, asked: MemoryRequest) -> tuple[float, bool, int, str]:
    """By what proposals are sorted: price, then how sure they are, then what they cost otherwise."""
    # Where prices are not known, the GPUs that the server has already are the cheapest.
    same = (found.accelerator, found.gpus) == (asked.accelerator, asked.tensor_parallel * asked.pipeline_parallel)
    price = found.usd_per_hour if found.usd_per_hour is not None else 0.0 if same else float("inf")
    return (price, found.plan.verdict == "tight", _ORDER.index(found.kind), found.what)


def _alternative(candidate: Candidate, plan: MemoryPlan, catalog: Catalog) -> Alternative:
    asked = candidate.request
    gpus = asked.tensor_parallel * asked.pipeline_parallel
    nodes = asked.pipeline_parallel if candidate.kind == "more nodes" else 1
    machines = candidates(asked.accelerator, gpus // nodes, catalog) if asked.accelerator else []
    machine = machines[0] if machines else None
    price = catalog.machine_types[machine].usd_per_hour if machine else None
    return Alternative(
        kind=candidate.kind,
        what=candidate.what,
        changes=candidate.changes,
        accelerator=asked.accelerator,
        gpus=gpus,
        machine_type=machine,
        usd_per_hour=nodes * price.on_demand if price else None,
        plan=plan,
    )


def _candidates(request: MemoryRequest, catalog: Catalog, model: str | None, facts: MemoryFacts) -> Iterator[Candidate]:
    if request.server == "vllm":
        yield from _same_weights(request, facts)
    yield from _fp8_cache(request)
    weights = list(_other_weights(request, catalog, model))
    for candidate in weights:
        if _starts(candidate.request, facts):
            yield candidate
        else:
            yield from _more_gpus(candidate.request, catalog, facts, candidate)
    shorter = _shorter(request, facts)
    if shorter is not None:
        yield shorter
    yield from _more_gpus(request, catalog, facts, None)
    yield from _larger_gpus(request, catalog, facts)


def faster_candidates(request: MemoryRequest, catalog: Catalog, model: str | None) -> Iterator[Candidate]:
    """Changes that may make a server faster, whether it fits with them or not: batches, weights, GPUs; first none.

    Args:
        request: the server, on a GPU that the catalog has.
        catalog: the facts to decide by; GPUs without roofs are left out.
        model: Hugging Face id of the model or of a checkpoint, for which other checkpoints are proposed.

    """
    yield Candidate(kind="none", what="", changes=(), request=request)
    limits = limits_of(request, catalog.memory)
    for tokens in _FASTER_TOKENS:
        if request.server == "vllm" and limits.max_num_seqs <= tokens < limits.max_num_batched_tokens:
            yield Candidate(
                kind="smaller steps",
                what=f"at most {tokens:,} tokens in a step",
                changes=(("maxNumBatchedTokens", tokens),),
                request=replace(request, max_num_batched_tokens=tokens),
            )
    yield from _fp8_cache(request)
    yield from _other_weights(request, catalog, model)
    for name in sorted(catalog.performance.gpus):
        visible = catalog.memory.versions.visible_memory.get(name)
        if visible is None or name not in catalog.accelerators:
            continue
        own = name == request.accelerator
        for gpus in gpu_counts(name, catalog):
            if gpus <= request.tensor_parallel and own:
                continue
            memory = request.gpu_memory_mib if own else float(visible.mib)
            yield Candidate(
                kind="more GPUs" if own else "another GPU",
                what=f"{gpus} GPUs" if own else f"{gpus} × {name}",
                changes=(*(() if own else (("accelerator.type", name),)), ("accelerator.count", gpus)),
                request=replace(request, accelerator=name, gpu_memory_mib=memory, tensor_parallel=gpus),
            )


def passing(candidate: Candidate, catalog: Catalog) -> MemoryPlan | None:
    """The memory plan of a candidate that starts; None of one that does not, or is not possible."""
    plan = _planned(candidate.request, catalog.memory)
    return plan if plan is not None and plan.starts else None


def _fp8_cache(request: MemoryRequest) -> Iterator[Candidate]:
    if kv_bytes(request.kv_cache_dtype) != 1:
        yield Candidate(
            kind="FP8 KV cache",
            what="an FP8 KV cache (fp8_e4m3)",
            changes=(("kvCacheDtype", "fp8_e4m3"),),
            request=replace(request, kv_cache_dtype="fp8_e4m3"),
        )


def _same_weights(request: MemoryRequest, facts: MemoryFacts) -> Iterator[Candidate]:
    """What changes neither weights nor context."""
    cold = request.compile_cache != "warm" and not request.enforce_eager
    if cold and vllm_version_facts(request.version, facts).cold_peak:
        yield Candidate(
            kind="no compilation",
            what="neither compilation nor CUDA graphs: the first start is like every other, and output is slower",
            changes=(("enforceEager", True),),
            request=replace(request, enforce_eager=True),
        )
    plan = _planned(request, facts)
    if plan is not None and plan.judged.cause in ("start", "runtime"):
        yield from _lower_utilization(request, plan, facts)
    for sequences in _SEQUENCES:
        if request.max_num_seqs is not None and request.max_num_seqs <= sequences:
            continue
        changed = replace(request, max_num_seqs=sequences)
        if _starts(changed, facts):
            yield Candidate(
                kind="fewer sequences",
                what=f"at most {sequences} requests in a batch",
                changes=(("maxNumSeqs", sequences),),
                request=changed,
            )
            return


def _lower_utilization(request: MemoryRequest, plan: MemoryPlan, facts: MemoryFacts) -> Iterator[Candidate]:
    """The largest round share of the GPU, below the asked one, with which it starts: what it lacks lies outside."""
    for share in _UTILIZATIONS:
        changed = replace(request, gpu_memory_utilization=share)
        if share < plan.limits.utilization and _starts(changed, facts):
            yield Candidate(
                kind="lower utilization",
                what=f"gpuMemoryUtilization {share:g}",
                changes=(("gpuMemoryUtilization", share),),
                request=changed,
            )
            return


def _other_weights(request: MemoryRequest, catalog: Catalog, model: str | None) -> Iterator[Candidate]:
    base = model
    if model in catalog.checkpoints:
        base = catalog.checkpoints[model].base
    for name, checkpoint in sorted(catalog.checkpoints.items()):
        if name == model or not _same_model(checkpoint.base, base, catalog):
            continue
        form = served_weights_format(checkpoint.format, checkpoint.bits, None, request.server)
        if form == request.weights_format:
            continue
        yield Candidate(
            kind="8-bit checkpoint" if form in ("ctfp8", "ctw8a8", "gptq8") else "4-bit checkpoint",
            what=f"the checkpoint {name}",
            changes=(("model", name),),
            request=replace(request, weights_format=form),
        )
    if request.weights_format == "bf16":
        yield Candidate(
            kind="FP8 weights",
            what="FP8 weights, quantized on load",
            changes=(("quantization", "fp8"),),
            request=replace(request, weights_format="fp8"),
        )


def _same_model(base: str, model: str | None, catalog: Catalog) -> bool:
    """Whether a checkpoint's base is the model itself. An instruction-tuned model is not swapped for its base."""
    return model is not None and base == model and base in catalog.models


def _shorter(request: MemoryRequest, facts: MemoryFacts) -> Candidate | None:
    plan = _planned(request, facts)
    if plan is None:
        return None
    longest = min(plan.comfortable_context or plan.largest_context, plan.limits.max_model_len - 1)
    if longest > _CONTEXT_STEP:
        longest -= longest % _CONTEXT_STEP
    if longest < _SHORTEST_CONTEXT:
        return None
    return Candidate(
        kind="shorter context",
        what=f"a context of {longest} tokens",
        changes=(("maxModelLen", longest),),
        request=replace(request, max_model_len=longest),
    )


def _more_gpus(
    request: MemoryRequest, catalog: Catalog, facts: MemoryFacts, also: Candidate | None
) -> Iterator[Candidate]:
    """The fewest more GPUs of the same model that hold it, with other weights as well where they are given."""
    for gpus in _counts(request.accelerator, catalog):
        if gpus <= request.tensor_parallel:
            continue
        changed = replace(request, tensor_parallel=gpus)
        if _starts(changed, facts):
            yield Candidate(
                kind="more GPUs",
                what=f"{gpus} GPUs{f' and {also.what}' if also else ''}",
                changes=(("accelerator.count", gpus), *(also.changes if also else ())),
                request=changed,
            )
            return


def _larger_gpus(request: MemoryRequest, catalog: Catalog, facts: MemoryFacts) -> Iterator[Candidate]:
    for name, visible in sorted(facts.versions.visible_memory.items()):
        if visible.mib <= request.gpu_memory_mib or name == request.accelerator:
            continue
        for gpus in _counts(name, catalog):
            changed = replace(request, accelerator=name, gpu_memory_mib=float(visible.mib), tensor_parallel=gpus)
            if _starts(changed, facts):
                yield Candidate(
                    kind="larger GPU",
                    what=f"{gpus} {name}",
                    changes=(("accelerator.type", name), ("accelerator.count", gpus)),
                    request=changed,
                )
                break


def _more_nodes(request: MemoryRequest, catalog: Catalog) -> Iterator[Candidate]:
    """The fewest machines of each GPU, with as many GPUs as there are, over whose pipeline stages the model fits."""
    spans = version_parts(request.version) >= version_parts(MULTI_NODE_SINCE)
    if request.server != "vllm" or not spans or request.pipeline_parallel > 1 or request.accelerator is None:
        return
    for name, visible in sorted(catalog.memory.versions.visible_memory.items()):
        known = gpu_counts(name, catalog)
        for nodes in _MORE_NODES if known else ():
            changed = replace(
                request,
                accelerator=name,
                gpu_memory_mib=float(visible.mib),
                tensor_parallel=known[-1],
                pipeline_parallel=nodes,
            )
            if _starts(changed, catalog.memory):
                yield Candidate(
                    kind="more nodes",
                    what=f"{nodes} machines with {known[-1]} × {name} (nodes: {nodes})",
                    changes=(
                        *(() if name == request.accelerator else (("accelerator.type", name),)),
                        ("accelerator.count", known[-1]),
                        ("nodes", nodes),
                    ),
                    request=changed,
                )
                break


def _counts(accelerator: str | None, catalog: Catalog) -> list[int]:
    """How many GPUs of that model a machine may have, fewest first; powers of two where the model is not known."""
    known = gpu_counts(accelerator, catalog) if accelerator else []
    return known or [1, 2, 4, _MOST_GPUS]


def _starts(request: MemoryRequest, facts: MemoryFacts) -> bool:
    plan = _planned(request, facts)
    return plan is not None and plan.starts


def _planned(request: MemoryRequest, facts: MemoryFacts) -> MemoryPlan | None:
    """The plan, or None where the change is not possible, as with GPUs that cannot share the heads."""
    return None if request_problems(request, facts) else plan_memory(request, facts)
