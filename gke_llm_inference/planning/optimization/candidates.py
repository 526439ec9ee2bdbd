"""Every way to serve a model that the memory of its GPUs allows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import Model
from gke_llm_inference.planning.machines import cheapest_machine, gpu_counts
from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest, plan_memory
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.planning.models import known_checkpoints
from gke_llm_inference.planning.pods import pod_request, pod_resources
from gke_llm_inference.settings import ResourceSettings

_FEWEST_CAPABILITY_FOR_FP8 = (8, 9)
_FOUR_BITS: Final = ("awq", "gptq")
_SEQUENCES = (64, 256)
_BATCHED_TOKENS = (2048, 8192)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights that a server may load, in order of preference: what loses no accuracy first.

    Attributes:
        title: in words.
        format: as the memory plan names it.
        model: Hugging Face id to load.
        quantization: setting of the server; None where the checkpoint says it.

    """

    title: str
    format: str
    model: str
    quantization: str | None
    preference: int


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to serve the model.

    Attributes:
        gpu: GKE's name of the GPU.
        gpus: of each replica.
        machine_type: cheapest machine with them.
        usd_per_hour: its price on demand.
        fp8_cache: whether the KV cache has 8 bits.
        plan: its memory.

    """

    gpu: str
    gpus: int
    machine_type: str
    usd_per_hour: float
    weights: Weights
    fp8_cache: bool
    sequences: int
    batched_tokens: int
    plan: MemoryPlan

    @property
    def name(self) -> str:
        """Short and unique."""
        cache = ", FP8 KV" if self.fp8_cache else ""
        return f"{self.gpus} × {self.gpu}, {self.weights.title}{cache}"

    @property
    def preference(self) -> tuple[int, bool, int, int, int]:
        """What comes first where two cost the same: accuracy, then few GPUs, then the server's defaults."""
        return (self.weights.preference, self.fp8_cache, self.gpus, -self.sequences, self.batched_tokens)


def candidates(model: str, gpus: tuple[str, ...], region: str, context: int, catalog: Catalog) -> Iterator[Candidate]:
    """Every candidate that fits its GPUs with that context, and has a price in the region."""
    architecture = catalog.models[model]
    for gpu in gpus:
        for count in gpu_counts(gpu, catalog):
            if not heads_divide(architecture, count) or not kv_heads_divide(architecture, count):
                continue
            resources = pod_resources(count, architecture.weights_gib, ResourceSettings(), catalog)
            machine = cheapest_machine(gpu, count, pod_request(resources), catalog)
            if machine is None or catalog.machine_types[machine].gpus != count:
                continue
            price, _ = catalog.price(machine, region)
            if price is None:
                continue
            for weights in _weights(model, architecture, gpu, catalog):
                for fp8_cache in (False, True) if _has_fp8(gpu, catalog) else (False,):
                    request = _request(architecture, gpu, count, weights, fp8_cache, context, catalog)
                    for sequences in _SEQUENCES:
                        for tokens in _BATCHED_TOKENS:
                            asked = replace(request, max_num_seqs=sequences, max_num_batched_tokens=tokens)
                            plan = plan_memory(asked, catalog.memory)
                            if plan.verdict == "fits":
                                yield Candidate(
                                    gpu=gpu,
                                    gpus=count,
                                    machine_type=machine,
                                    usd_per_hour=price.on_demand,
                                    weights=weights,
                                    fp8_cache=fp8_cache,
                                    sequences=sequences,
                                    batched_tokens=tokens,
                                    plan=plan,
                                )


def _weights(model: str, architecture: Model, gpu: str, catalog: Catalog) -> Iterator[Weights]:
    yield Weights(title=str(architecture.dtype), format="bf16", model=model, quantization=None, preference=0)
    if _has_fp8(gpu, catalog):
        yield Weights(title="FP8 on load", format="fp8", model=model, quantization="fp8", preference=1)
    for format_ in _FOUR_BITS:
        for checkpoint in known_checkpoints(model, (format_,), catalog):
            if catalog.checkpoints[checkpoint].bits in (None, 4):
                # Both run on the same kernels: one of them stands for the other.
                title = f"4-bit {format_.upper()}"
                yield Weights(title=title, format=format_, model=checkpoint, quantization=None, preference=2)
                return


def _has_fp8(gpu: str, catalog: Catalog) -> bool:
    major, _, minor = catalog.accelerators[gpu].compute_capability.partition(".")
    return (int(major), int(minor)) >= _FEWEST_CAPABILITY_FOR_FP8


def _request(
    architecture: Model,
    gpu: str,
    count: int,
    weights: Weights,
    fp8_cache: bool,
    context: int,
    catalog: Catalog,
) -> MemoryRequest:
    return MemoryRequest(
        architecture=architecture,
        family=architecture.family,
        gpu_memory_mib=float(catalog.memory.versions.visible_memory[gpu].mib),
        weights_format=weights.format,
        kv_cache_dtype="fp8" if fp8_cache else "auto",
        max_model_len=context,
        tensor_parallel=count,
        server="vllm",
        version=catalog.servers["vllm"].default_version,
        accelerator=gpu,
    )
