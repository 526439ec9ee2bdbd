"""Whether a server that is decided for its first tier runs on the GPU of another one: the same pod, as it is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gke_llm_inference.planning.compatibility import setting_problems
from gke_llm_inference.planning.memory import MemoryPlan, plan_memory
from gke_llm_inference.planning.stages import TimedServer
from gke_llm_inference.settings import Finding


@dataclass(frozen=True, kw_only=True)
class TierFit:
    """A server on a GPU.

    Attributes:
        memory: where the memory of the GPU goes; None where something else is wrong.
        findings: why it does not run there, or may not; their paths are those of the server.

    """

    memory: MemoryPlan | None
    findings: tuple[Finding, ...] = ()


def fit_on(server: TimedServer, gpu: str) -> TierFit:
    """A server on the GPU of one of its tiers; with that of its first tier it is as it was planned."""
    settings, catalog = server.settings, server.stack.catalog
    if gpu == settings.accelerator.type:
        return TierFit(memory=server.memory)
    visible = catalog.memory.versions.visible_memory.get(gpu)
    if visible is None:
        return TierFit(memory=None, findings=(_unknown_memory(server.path, gpu),))
    gpus = settings.accelerator.model_copy(update={"type": gpu, "memory_mib": None})
    there = settings.model_copy(update={"accelerator": gpus})
    # What is wrong with the first tier's GPU too is told there.
    own = (server.path, settings, server.version, server.model)
    other = (server.path, there, server.version, server.model)
    found = setting_problems(*other, catalog)
    known = {(one.path, one.what) for one in setting_problems(*own, catalog)} if found else set()
    problems = [one for one in found if (one.path, one.what) not in known]
    if problems or server.memory is None:
        return TierFit(memory=None, findings=tuple(problems))
    request = replace(server.request, accelerator=gpu, gpu_memory_mib=float(visible.mib))
    memory = plan_memory(request, catalog.memory)
    return TierFit(memory=memory, findings=tuple(_memory_findings(server, gpu, memory)))


def _memory_findings(server: TimedServer, gpu: str, memory: MemoryPlan) -> Iterator[Finding]:
    if memory.verdict in ("fits", "estimated"):
        return
    gpus = f"{server.settings.accelerator.count} × {gpu}"
    may_start = memory.verdict == "tight" or server.settings.allow_unfit or memory.is_near_miss
    yield Finding(
        path=server.path,
        what=f"the server {'does not fit' if memory.verdict == 'does not fit' else 'is tight on'} {gpus}",
        why=memory.reason,
        fix="remove the tier, or name a GPU with more memory",
        severity="warning" if may_start else "problem",
    )


def _unknown_memory(path: str, gpu: str) -> Finding:
    return Finding(
        path=path,
        what=f"the memory of {gpu} is not known",
        why="a plan divides what CUDA reports, which is less than the marketing size",
        fix="remove the tier, or name another GPU",
    )
