"""Where a server keeps what it compiled, by its settings."""

import hashlib
import re

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import InferenceServerFacts
<<<<<<< HEAD
from gke_llm_inference.planning.capacity_tiers.pods import storage_class_for_tiers
=======
from gke_llm_inference.planning.cache_disks import cache_storage_class
from gke_llm_inference.planning.capacity_tiers.asked import all_gpus
>>>>>>> capacity
from gke_llm_inference.planning.compile_cache.plan import CACHE_VARIABLE, CacheBucket, CacheDisk, CompileCachePlan
from gke_llm_inference.planning.model_source.fuse import fuse_annotations, plan_writable_fuse
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import (
    CompileCacheInBucket,
    CompileCacheOnDisk,
    HuggingFaceSettings,
    SecretManagerToken,
    ServerSettings,
    VllmSettings,
)

_LONGEST_PART = 40


def kept_in_bucket(settings: ServerSettings) -> CompileCacheInBucket | None:
    """The bucket that a server keeps what it compiled in; None where it has none."""
    asked = settings.keep_compile_cache if isinstance(settings, VllmSettings) else None
    return asked if isinstance(asked, CompileCacheInBucket) else None


def project_number(asked: CompileCacheInBucket, token: HuggingFaceSettings) -> str | None:
    """Number of the cluster's project, from whichever setting has it."""
    if asked.project_number is not None:
        return asked.project_number
    return token.project_number if isinstance(token, SecretManagerToken) else None


def plan_compile_cache(
    settings: ServerSettings,
    facts: InferenceServerFacts,
    *,
    name: str,
    namespace: str,
    image: str,
    cluster: ClusterPlan,
    token: HuggingFaceSettings,
    catalog: Catalog,
) -> CompileCachePlan | None:
    """Where a server keeps what it compiled; None where nothing is kept, or something that it needs is missing.

    Args:
        settings: the server's settings.
        facts: what is known of such servers.
        name: name of its Kubernetes objects.
        namespace: its namespace.
        image: the image that it runs.
        cluster: the cluster.
        token: where the Hugging Face token comes from, which may know the project's number.
        catalog: the facts to decide by.

    """
    asked = settings.keep_compile_cache if isinstance(settings, VllmSettings) else None
    match asked:
        case CompileCacheOnDisk(size_gib=size):
<<<<<<< HEAD
            storage_class, _ = storage_class_for_tiers("", settings, catalog)
=======
            storage_class = cache_storage_class(all_gpus(settings, catalog), catalog)
>>>>>>> capacity
            if storage_class is None:
                return None
            # Another disk has another name: the old one cannot go before the pod that uses it.
            claim = f"{name}-compile-cache-{size}gi-{storage_class}"
            disk = CacheDisk(claim=claim, size_gib=size, storage_class=storage_class)
            return CompileCachePlan(key=cache_key(settings, image), disk=disk)
        case CompileCacheInBucket():
            number, project, region = project_number(asked, token), cluster.project, cluster.region
            if number is None or project is None or region is None:
                return None
            fuse = catalog.model_sources.gcsfuse
            user = (facts.user.uid, facts.user.gid) if facts.user else None
            volume = plan_writable_fuse(asked.name, user, cluster, fuse)
            bucket = CacheBucket(
                name=asked.name,
                project=project,
                location=region,
                member=f"principal://iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/"
                f"{project}.svc.id.goog/subject/ns/{namespace}/sa/{name}",
                roles=catalog.model_store.cache_roles,
                volume=volume,
                annotations=fuse_annotations(volume, fuse),
                labels=cluster.labels,
            )
            return CompileCachePlan(key=cache_key(settings, image), bucket=bucket)
        case None:
            return None


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
