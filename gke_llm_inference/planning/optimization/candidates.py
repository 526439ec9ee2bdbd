"""Every way to serve a model that the stack leaves open and the memory of the GPUs allows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from gke_llm_inference.planning.compatibility import request_problems, setting_problems
from gke_llm_inference.planning.extra import overridden
from gke_llm_inference.planning.given import current, flat, is_explicit, merged
from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest, memory_request, plan_memory
from gke_llm_inference.planning.memory.request import limits_of, weights_format
from gke_llm_inference.planning.memory.sharding import heads_divide, kv_heads_divide
from gke_llm_inference.planning.models import ServedModel, known_checkpoints
from gke_llm_inference.planning.optimization.offers import Offer
from gke_llm_inference.planning.stages import ModeledServer
from gke_llm_inference.planning.techniques import usable_rule
from gke_llm_inference.planning.unplanned import kv_cache_mib
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings

# What makes weights smaller: while loading, or as a checkpoint. Of those with 4 bits, which run on the same kernels,
# the first that there is stands for the others.
_ON_LOAD: Final = "fp8"
_CHECKPOINTS: Final = (("fp8", "compressed-tensors"), ("awq", "gptq", "compressed-tensors"))
# catalog/presets/fp8.yaml: before, the whole model is loaded first.
_IN_PARTS_FROM = (0, 19)
_FP8_CACHE: Final = "fp8-kv-cache-e4m3"
_SEQUENCES = (None, 256, 64)
_BATCHED_TOKENS = (None, 2048, 8192)
_TITLES = {
    "fp8": "FP8 on load",
    "ctfp8": "FP8 checkpoint",
    "ctw8a8": "W8A8 checkpoint",
    "ctw4a16": "4-bit checkpoint",
    "awq": "4-bit AWQ",
    "gptq": "4-bit GPTQ",
    "gptq8": "8-bit GPTQ",
}

Changes = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights that a server may load.

    Attributes:
        model: the model with them.
        changes: settings of the server that load them.
        preference: 0 for those that the stack asks for, then the more bits the better.

    """

    model: ServedModel
    changes: Changes
    preference: int


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to serve the model.

    Attributes:
        offer: its GPUs.
        weights: its weights.
        kv_cache: type of its KV cache, `auto` for the weights' own.
        changes: settings of the server beyond what the stack states, by key, sorted.
        limits_changed: how many limits of the server are not its defaults.
        plan: its memory.

    """

    offer: Offer
    weights: Weights
    kv_cache: str
    changes: Changes
    limits_changed: int
    plan: MemoryPlan

    @property
    def gpu(self) -> str:
        """GKE's name of the GPU."""
        return self.offer.gpu

    @property
    def gpus(self) -> int:
        """GPUs of each replica."""
        return self.offer.gpus

    @property
    def usd_per_hour(self) -> float:
        """Price of a replica."""
        return self.offer.usd_per_hour

    @property
    def sequences(self) -> int:
        """Most requests of a batch."""
        return self.plan.limits.max_num_seqs

    @property
    def batched_tokens(self) -> int:
        """Most tokens of a step."""
        return self.plan.limits.max_num_batched_tokens

    @cached_property
    def weights_title(self) -> str:
        """Its weights in words."""
        name = self.plan.request.weights_format
        return _TITLES.get(name, str(self.weights.model.architecture.dtype) if name == "bf16" else name)

    @cached_property
    def name(self) -> str:
        """GPUs and weights in words; those that differ in limits alone share it."""
        cache = "" if self.kv_cache == "auto" else ", FP8 KV"
        return f"{self.offer.name}, {self.weights_title}{cache}"

    @cached_property
    def preference(self) -> tuple[int, bool, int, int, float, str, int, int]:
        """What comes first where nothing else tells two apart.

        Accuracy, few GPUs, the server's own defaults, then the cheaper machine: an order that no prediction changes.
        """
        return (
            self.weights.preference,
            self.kv_cache != "auto",
            self.gpus,
            self.limits_changed,
            self.usd_per_hour,
            self.gpu,
            -self.sequences,
            self.batched_tokens,
        )


def candidates(
    server: ModeledServer, given: ServerSettings, taken: frozenset[str], offers: Sequence[Offer], context: int
) -> tuple[Candidate, ...]:
    """Every candidate that goes together and fits its GPUs; those that fit tightly where none else does.

    Args:
        server: the server.
        given: its settings with techniques applied; what they state stays.
        taken: what techniques decide on, such as `weights`.
        offers: GPUs to choose from.
        context: tokens that a request of the workload may have; what the stack states for it if it does.

    """
    work = _Work(server, given, taken, context)
    found = [candidate for offer in offers for candidate in work.on(offer)]
    fitting = tuple(candidate for candidate in found if candidate.plan.has_room)
    return fitting or tuple(found)


class _Work:
    """What candidates of a server have in common."""

    def __init__(self, server: ModeledServer, given: ServerSettings, taken: frozenset[str], context: int) -> None:
        self._server, self._given, self._taken, self._context = server, given, taken, context
        self._catalog = server.stack.catalog
        self._running = overridden(given, server.version, self._catalog)
        self._known = set(self._problems(server.model, given))
        self._pool_mib = kv_cache_mib(given, server.version, self._catalog)

    def on(self, offer: Offer) -> Iterator[Candidate]:
        """Candidates on some GPUs."""
        architecture = self._server.model.architecture
        if not heads_divide(architecture, offer.gpus) or not kv_heads_divide(architecture, offer.gpus):
            return
        asked = self._given.accelerator
        gpus: dict[str, Any] = {}
        if offer.gpu != asked.type or asked.choices or not is_explicit(self._given, "accelerator.type"):
            gpus["accelerator.type"] = offer.gpu
        if offer.gpus != asked.count or not is_explicit(self._given, "accelerator.count"):
            gpus["accelerator.count"] = offer.gpus
        for weights in self._weights(offer.gpu):
            for cache in self._caches(weights, offer.gpu):
                yield from self._with_limits(offer, weights, {**gpus, **dict(weights.changes), **cache})

    def _weights(self, gpu: str) -> Iterator[Weights]:
        """The weights that the stack asks for, and others where it leaves them open."""
        model, settings = self._server.model, self._given
        decided = "weights" in self._taken or self._states("quantization")
        if decided:
            yield Weights(model=model, changes=(), preference=0)
            return
        # TGI is told the format of a checkpoint.
        own = self._method(model.checkpoint, model, gpu) if model.checkpoint != "none" else ()
        yield Weights(model=model, changes=own or (), preference=0)
        if model.checkpoint != "none":
            return
        if (on_load := self._method(_ON_LOAD, model, gpu)) is not None:
            yield Weights(model=model, changes=on_load, preference=1)
        if settings.revision or settings.architecture or settings.config_file or not settings.downloads:
            return  # they are those of the model that the stack names
        for preference, formats in enumerate(_CHECKPOINTS, start=2):
            if preference == 2 and on_load is not None and self._quantizes_in_parts:
                continue  # as fast as those that are quantized on load, and somebody else's
            found = (self._checkpoint(name, gpu, 8 if preference == 2 else 4) for name in self._known_in(formats))
            weights = next((one for one in found if one is not None), None)
            if weights is not None:
                yield replace(weights, preference=preference)

    @property
    def _quantizes_in_parts(self) -> bool:
        """Whether weights that are quantized on load never take more room than quantized ones."""
        return self._given.server == "vllm" and version_parts(self._server.version) >= _IN_PARTS_FROM

    def _known_in(self, formats: Sequence[Any]) -> Iterator[str]:
        for name in formats:
            yield from known_checkpoints(self._server.model.id, (name,), self._catalog)

    def _checkpoint(self, name: str, gpu: str, bits: int) -> Weights | None:
        """Weights of a checkpoint, under the name that clients know."""
        catalog, base = self._catalog, self._server.model
        facts = catalog.checkpoints[name]
        if (facts.bits or (8 if facts.format == "fp8" else 4)) != bits:
            return None
        model = replace(
            base,
            id=name,
            gated=facts.gated,
            checkpoint=facts.format,
            checkpoint_bits=facts.bits,
            checkpoint_blockwise=facts.blockwise,
            stated_gib=None,
        )
        method = self._method(facts.format, model, gpu)
        if method is None:
            return None
        served = self._given.server == "vllm" and not self._states("servedModelName")
        called: Changes = (("servedModelName", base.id),) if served else ()
        return Weights(model=model, changes=(("model", name), *called, *method), preference=0)

    def _method(self, technique: str, model: ServedModel, gpu: str) -> Changes | None:
        """Settings of a technique that the stack leaves open; None where it cannot be used."""
        rule = usable_rule(technique, self._given.server, self._server.version, model, gpu, self._catalog)
        if rule is None:
            return None
        return tuple((key, value) for key, value in flat(rule.settings).items() if not self._states(key))

    def _caches(self, weights: Weights, gpu: str) -> Iterator[dict[str, Any]]:
        yield {}
        if "kvCache" in self._taken or self._states("kvCacheDtype"):
            return
        method = self._method(_FP8_CACHE, weights.model, gpu)
        if method:
            yield dict(method)

    def _with_limits(self, offer: Offer, weights: Weights, changes: dict[str, Any]) -> Iterator[Candidate]:
        facts = self._catalog.memory
        found = self._fitting(weights, changes)
        if found is None:
            return
        changes, request, plan = found
        kv_cache = request.kv_cache_dtype if request.kv_cache_dtype != "auto" else "auto"
        seen: set[tuple[int, int]] = set()
        for sequences in self._open("maxNumSeqs", _SEQUENCES):
            for tokens in self._open("maxNumBatchedTokens", _BATCHED_TOKENS):
                limits = {
                    key: value
                    for key, value in (("maxNumSeqs", sequences), ("maxNumBatchedTokens", tokens))
                    if value is not None
                }
                asked = replace(
                    request,
                    max_num_seqs=sequences or request.max_num_seqs,
                    max_num_batched_tokens=tokens or request.max_num_batched_tokens,
                )
                filled = limits_of(asked, facts)
                effective = (filled.max_num_seqs, filled.max_num_batched_tokens)
                if effective in seen:
                    continue
                seen.add(effective)
                if limits:
                    if request_problems(asked, facts) or self._breaks(weights.model, {**changes, **limits}):
                        continue
                    plan = plan_memory(asked, facts)
                    if not plan.starts:
                        continue
                yield Candidate(
                    offer=offer,
                    weights=weights,
                    kv_cache=kv_cache,
                    changes=tuple(sorted({**changes, **limits}.items())),
                    limits_changed=len(limits) + ("maxModelLen" in changes),
                    plan=plan,
                )

    def _fitting(
        self, weights: Weights, changes: dict[str, Any]
    ) -> tuple[dict[str, Any], MemoryRequest, MemoryPlan] | None:
        """The candidate with the server's own limits and the first context that holds the workload and fits."""
        facts = self._catalog.memory
        near = None
        for context in (None,) if self._states("maxModelLen") else (None, self._context):
            asked = changes if context is None else {**changes, "maxModelLen": context}
            if self._breaks(weights.model, asked):
                continue
            request = self._request(weights.model, asked)
            if request_problems(request, facts):
                continue
            plan = plan_memory(request, facts)
            if not self._states("maxModelLen") and plan.limits.max_model_len < self._context:
                continue
            if plan.has_room:
                return asked, request, plan
            if plan.starts:
                near = near or (asked, request, plan)
        return near

    def _open(self, key: str, values: Sequence[int | None]) -> Sequence[int | None]:
        """Values to try of a limit: its own where the server has no such setting, or the stack states it."""
        return (None,) if self._given.server != "vllm" or self._states(key) else values

    def _states(self, key: str) -> bool:
        """Whether the stack, a technique or an extra argument states a key."""
        outer = key.partition(".")[0]
        if is_explicit(self._given, key) and current(self._given, key) is not None:
            return True
        return self._running is not self._given and current(self._running, outer) != current(self._given, outer)

    def _breaks(self, model: ServedModel, changes: Mapping[str, Any]) -> bool:
        """Whether changes bring a problem that is not there without them."""
        return not set(self._problems(model, merged(self._given, changes))) <= self._known

    def _problems(self, model: ServedModel, settings: ServerSettings) -> list[Finding]:
        return setting_problems(self._server.path, settings, self._server.version, model, self._catalog)

    def _request(self, model: ServedModel, changes: Mapping[str, Any]) -> MemoryRequest:
        settings = overridden(merged(self._given, changes), self._server.version, self._catalog)
        request = memory_request(self._server.path, settings, self._server.version, model, self._catalog.memory)
        return replace(request, kv_cache_mib=self._pool_mib)


def is_smaller(candidate: Candidate) -> bool:
    """Whether its weights or its KV cache have fewer bits than those that the stack asks for."""
    own = candidate.weights.preference == 0 and candidate.kv_cache == "auto"
    return not own and (
        candidate.kv_cache != "auto" or weights_format(candidate.plan.request.weights_format).precision < 16
    )
