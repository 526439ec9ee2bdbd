"""What each technique changes on each GPU: the same server planned without it and with it."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.preset_facts import Technique
from gke_llm_inference.planning.models import known_checkpoints
from gke_llm_inference.settings import Finding, Refusal
from tools.reference_servers import LIMITS, MODEL, Server, planned_server, requests_at_once, step_ms

_TGI_ALONE = "vLLM cannot do it, and what TGI's kernels and scheduler take was not measured"
_ALWAYS_ON = "there is no choice: every version has it always on, and there is no server without it to compare with"
NOT_PREDICTED = {
    "bitsandbytes-fp4": _TGI_ALONE,
    "chunked-prefill": """vLLM {version} chunks prompts unless it is told not to, so the preset changes nothing
        there, and the model of its scheduler knows no other way. How long the chunks are is `maxNumBatchedTokens`;
        what that changes was measured, against 2,048""",
    "eetq": _TGI_ALONE,
    "flash-attention": _ALWAYS_ON,
    "ngram-speculation": """how many of the speculated tokens are accepted depends on how much of the prompt the
        answers repeat, and steps that verify several tokens were not measured""",
    "paged-attention": _ALWAYS_ON,
    "prefix-caching": """vLLM {version} has it on unless it is told not to, so the preset changes nothing there;
        what it saves follows from how much of their beginnings prompts share, which a stack does not say. For a
        stated share it is predicted""",
    "squeezellm": "vLLM {version} cannot do it, and neither can TGI; the last version that can was not measured",
}
"""Why the effect of a technique is not predicted; `{version}` is the vLLM version that was measured."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A server without a technique and the same server with it, on one type of GPU."""

    gpu: str
    before: Server
    after: Server

    @property
    def batch(self) -> int:
        """Requests of the larger step: what the server without the technique holds."""
        return batch_of(self.before)


@cache
def reference(gpu: str) -> Server:
    """The server without presets."""
    return planned_server(accelerator={"type": gpu}, **LIMITS)


@cache
def effect(technique: str, gpu: str) -> Effect | Finding:
    """The effect on a GPU of a technique that can be predicted, or why the planner refuses it there."""
    settings = {"accelerator": {"type": gpu}, "presets": [technique], **_checkpoint(technique)}
    limits = {key: value for key, value in LIMITS.items() if key not in _decided(technique)}
    try:
        after = planned_server(**limits, **settings)
    except Refusal as refusal:
        return refusal.problems[0]
    return Effect(gpu=gpu, before=reference(gpu), after=after)


def techniques() -> tuple[str, ...]:
    """All techniques, sorted."""
    return tuple(name for name, preset in load_catalog().presets.items() if isinstance(preset, Technique))


def batch_of(server: Server) -> int:
    """The largest power of two of requests of the load that a server holds at once."""
    return 1 << requests_at_once(server).bit_length() - 1


@cache
def slower_from(found: Effect) -> int | None:
    """Requests from which a step takes longer than without the technique; None where it never does up to the limit."""
    counts = range(1, found.before.plan.limits.max_num_seqs + 1)
    return next((count for count in counts if step_ms(found.after, count) > step_ms(found.before, count)), None)


def _technique(name: str) -> Technique:
    preset = load_catalog().presets[name]
    assert isinstance(preset, Technique), "only techniques have effects"
    return preset


def _checkpoint(technique: str) -> dict[str, Any]:
    """The model in the form that a technique needs: a known checkpoint, or numbers with a format of their own."""
    formats = _technique(technique).needs.checkpoint
    if not formats:
        return {}
    known = known_checkpoints(MODEL, formats, load_catalog())
    if known:
        return {"model": known[0]}
    numbers = load_catalog().models[MODEL].described()
    return {"architecture": {**numbers, "checkpoint": formats[0]}}


def _decided(technique: str) -> set[str]:
    """Settings that a technique decides, by their keys."""
    return {key for rule in _technique(technique).rules("vllm") for key in rule.settings}
