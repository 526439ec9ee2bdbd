"""Where a server keeps what it compiled, by its settings."""

import hashlib
import re

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.cache_disks import cache_storage_class
from gke_llm_inference.planning.compile_cache.plan import CACHE_VARIABLE, CacheDisk, CompileCachePlan
from gke_llm_inference.settings import ServerSettings, VllmSettings

_LONGEST_PART = 40


def plan_compile_cache(settings: ServerSettings, *, name: str, image: str, catalog: Catalog) -> CompileCachePlan | None:
    """Where a server keeps what it compiled; None where nothing is kept.

    Args:
        settings: the server's settings.
        name: name of its Kubernetes objects.
        image: the image that it runs.
        catalog: the facts to decide by.

    """
    asked = settings.keep_compile_cache if isinstance(settings, VllmSettings) else None
    if asked is None:
        return None
    storage_class = cache_storage_class(settings.accelerator.type, catalog)
    if storage_class is None:
        return None
    disk = CacheDisk(claim=f"{name}-compile-cache", size_gib=asked.size_gib, storage_class=storage_class)
    return CompileCachePlan(key=cache_key(settings, image), disk=disk)


def cache_environment(plan: CompileCachePlan | None) -> dict[str, str]:
    """What tells vLLM where the cache is."""
    return {CACHE_VARIABLE: plan.directory} if plan else {}


def cache_key(settings: ServerSettings, image: str) -> str:
    """Name of the directory of what an image compiles for a model on GPUs.

    vLLM tells by hashes of its own whether what it finds still holds. The name is for people: it says what a directory
    was made by, so that those of earlier images and revisions are found and deleted. Its end is exact, the rest may be
    cut.
    """
    gpus = settings.accelerator
    revision = settings.revision or "main"
    exact = "\n".join([image, settings.model, revision, gpus.type, str(gpus.count)])
    made_by = image.rpartition("@")[2].removeprefix("sha256:")[:12] if "@" in image else image.rpartition(":")[2]
    parts = (made_by, revision[:12], f"{gpus.type}-{gpus.count}", hashlib.sha256(exact.encode()).hexdigest()[:8])
    return "_".join(re.sub(r"[^A-Za-z0-9.-]", "-", one)[:_LONGEST_PART] for one in parts)
