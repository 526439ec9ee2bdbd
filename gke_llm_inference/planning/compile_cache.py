"""Whether a pod finds the compile cache of an earlier one: what it writes itself goes with its volumes."""

from pathlib import PurePosixPath

from gke_llm_inference.catalog import InferenceServerFacts
from gke_llm_inference.planning.arguments import MODELS_DIRECTORY
from gke_llm_inference.settings import Finding, ServerSettings, VllmSettings

_VARIABLE = "VLLM_CACHE_ROOT"


def with_kept_cache(
    path: str, settings: ServerSettings, facts: InferenceServerFacts
) -> tuple[ServerSettings, list[Finding]]:
    """Settings with the state of the compile cache that a new pod finds, and what is to be said about it.

    The volumes of a pod are empty when it starts, or read-only. Only an image of one's own can bring a filled cache, in
    a directory over which no volume is mounted.
    """
    if not isinstance(settings, VllmSettings) or settings.compile_cache != "warm":
        return settings, []
    root = PurePosixPath(settings.extra_env.get(_VARIABLE, ""))
    mounted = (facts.home, MODELS_DIRECTORY)
    if settings.image is not None and root.is_absolute() and not any(root.is_relative_to(one) for one in mounted):
        return settings, []
    warning = Finding(
        path=f"{path}.compileCache",
        what="warm has no effect: nothing keeps the compile cache",
        why="the volumes of a pod are new when it starts, so every pod on a new node compiles and needs its memory",
        fix=f"remove it, or use an image of your own with a filled {_VARIABLE}, set in extraEnv, outside {facts.home}",
        severity="warning",
    )
    return settings.model_copy(update={"compile_cache": "cold"}), [warning]
