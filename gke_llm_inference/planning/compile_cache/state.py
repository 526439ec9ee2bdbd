"""Whether a pod finds the compile cache of an earlier one: what it writes itself goes with its volumes."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from gke_llm_inference.catalog import Catalog, InferenceServerFacts
from gke_llm_inference.planning.arguments import MODELS_DIRECTORY
<<<<<<< HEAD
from gke_llm_inference.planning.capacity_tiers.pods import storage_class_for_tiers
=======
from gke_llm_inference.planning.cache_disks import cache_storage_class
from gke_llm_inference.planning.capacity_tiers.asked import all_gpus
>>>>>>> capacity
from gke_llm_inference.planning.compile_cache.decide import kept_in_bucket, project_number
from gke_llm_inference.planning.compile_cache.plan import CACHE_VARIABLE
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import (
    CompileCacheOnDisk,
    Finding,
    HuggingFaceSettings,
    ServerSettings,
    StackSettings,
    VllmSettings,
)


def with_kept_cache(
    path: str, settings: ServerSettings, facts: InferenceServerFacts
) -> tuple[ServerSettings, list[Finding]]:
    """Settings with the state of the compile cache that the first pod finds, and what is to be said about it.

    The volumes of a pod are empty when it starts, or read-only, unless the stack keeps the cache. An image of one's own
    can bring a filled one, in a directory over which no volume is mounted.
    """
    if not isinstance(settings, VllmSettings):
        return settings, []
    if settings.keep_compile_cache is not None:
        return settings, list(_kept_findings(path, settings))
    if settings.compile_cache != "warm":
        return settings, []
    root = PurePosixPath(settings.extra_env.get(CACHE_VARIABLE, ""))
    mounted = (facts.home, MODELS_DIRECTORY)
    if settings.image is not None and root.is_absolute() and not any(root.is_relative_to(one) for one in mounted):
        return settings, []
    warning = Finding(
        path=f"{path}.compileCache",
        what="warm has no effect: nothing keeps the compile cache",
        why="the volumes of a pod are new when it starts, so every pod on a new node compiles and needs its memory",
        fix=f"set keepCompileCache, or use an image of your own with a filled {CACHE_VARIABLE}, set in extraEnv, "
        f"outside {facts.home}",
        severity="warning",
    )
    return settings.model_copy(update={"compile_cache": "cold"}), [warning]


def cache_disk_findings(path: str, settings: ServerSettings, catalog: Catalog) -> Iterator[Finding]:
    """A problem where the cache is to be on a disk, and the server's machines attach none that GKE makes."""
    asked = settings.keep_compile_cache if isinstance(settings, VllmSettings) else None
<<<<<<< HEAD
    if isinstance(asked, CompileCacheOnDisk) and storage_class_for_tiers(path, settings, catalog)[0] is None:
=======
    if isinstance(asked, CompileCacheOnDisk) and cache_storage_class(all_gpus(settings, catalog), catalog) is None:
>>>>>>> capacity
        yield Finding(
            path=f"{path}.keepCompileCache.storage",
            what="no StorageClass of GKE's own makes a disk that its machines can attach",
            why="they attach Hyperdisk only; the pod would wait for its disk forever",
            fix="use storage: bucket, or remove keepCompileCache",
        )


def cache_bucket_findings(
    path: str, settings: ServerSettings, cluster: ClusterPlan, token: HuggingFaceSettings
) -> Iterator[Finding]:
    """Problems where the cache is to be in a bucket, and what it takes is not known."""
    asked = kept_in_bucket(settings)
    if asked is None:
        return
    where = f"{path}.keepCompileCache"
    if cluster.project is None or cluster.region is None:
        yield Finding(
            path=f"{where}.storage",
            what="needs the project and the region of the cluster",
            why="the bucket is made in both, and IAM knows the server by the cluster's project",
            fix="use storage: disk, or state the cluster by its name and location, with gcp:project",
        )
    if project_number(asked, token) is None:
        yield Finding(
            path=f"{where}.projectNumber",
            what="is missing",
            why="IAM knows Kubernetes service accounts by the number of the cluster's project",
            fix="set it to what this prints: gcloud projects describe PROJECT --format 'value(projectNumber)'",
        )


def bucket_clashes(settings: StackSettings) -> Iterator[Finding]:
    """Problems of buckets that two servers, or a server and the store of models, would have."""
    store = settings.model_store.bucket.name if settings.model_store else None
    users = {store: "modelStore.bucket"} if store else {}
    for key, server in sorted(settings.servers.items()):
        asked = kept_in_bucket(server)
        if asked is None:
            continue
        if asked.name in users:
            yield Finding(
                path=f"servers.{key}.keepCompileCache.name",
                what=f"{asked.name} is the bucket of {users[asked.name]} too",
                why="whoever may write there runs code in the server, so that the bucket is the server's alone",
                fix="use a name of its own",
            )
        users.setdefault(asked.name, f"servers.{key}")


def _kept_findings(path: str, settings: VllmSettings) -> Iterator[Finding]:
    where = f"{path}.keepCompileCache"
    if settings.compile_cache == "warm":
        yield Finding(
            path=f"{path}.compileCache",
            what="is warm, while keepCompileCache keeps what the server compiles itself",
            why="the first pod finds nothing there, and must have the memory that compiling takes",
            fix="remove compileCache",
        )
    if CACHE_VARIABLE in settings.extra_env:
        yield Finding(
            path=f"{path}.extraEnv.{CACHE_VARIABLE}",
            what="is decided by keepCompileCache",
            why="vLLM would keep what it compiles in another place, which goes with the pod",
            fix="remove it, or keepCompileCache",
        )
    if settings.enforce_eager:
        yield Finding(
            path=where,
            what="has no effect with enforceEager",
            why="nothing is compiled",
            fix="remove one of the two",
            severity="warning",
        )
    if isinstance(settings.keep_compile_cache, CompileCacheOnDisk) and settings.most_replicas > 1:
        yield Finding(
            path=f"{where}.storage",
            what=f"{settings.most_replicas} replicas cannot share a disk that is written to",
            why="only one node can mount it; pods on others would wait for it forever",
            fix="use storage: bucket, or one replica",
        )
