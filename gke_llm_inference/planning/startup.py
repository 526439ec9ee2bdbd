"""What a server's start consists of, from no node at all to the first answer, and how long each part takes.

Figures and their sources are facts in `catalog/startup.yaml`.
"""

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import Duration, ImagePull, ModelStorage, ServerKind, StartupFacts
from gke_llm_inference.planning.boot_disks.plan import HeldImages
from gke_llm_inference.planning.image_names import host_of
from gke_llm_inference.planning.model_source.source import ModelPath
from gke_llm_inference.planning.plan import ClusterPlan, NodePoolPlan, StartPart, StartPartName, StartPlan
from gke_llm_inference.settings import ExistingCluster, Finding, ServerSettings, VllmSettings

_STORAGE: dict[ModelPath, ModelStorage] = {
    "hub": "nodeDisk",
    "streamer": "streamer",
    "gcsfuse": "gcsfuse",
    "hyperdiskMl": "hyperdiskMl",
}


def plan_start(
    settings: ServerSettings,
    image: str,
    checkpoint_gib: float,
    *,
    pool: NodePoolPlan | None,
    cluster: ClusterPlan,
    facts: StartupFacts,
    held: HeldImages | None = None,
    upstream: str | None = None,
    path: ModelPath = "hub",
) -> StartPlan:
    """The start of a server.

    Args:
        settings: the server's settings with presets applied.
        image: the image that it runs.
        checkpoint_gib: size of the checkpoint.
        pool: the node pool that it runs on, where the stack has one.
        cluster: the cluster's plan.
        facts: what the parts of a start take.
        held: what the disk holds that its nodes start with; None where they have no such disk.
        upstream: registry that the image's repository fetches it from at first; None where it has every image.
        path: the way that the model takes.

    """
    pull, why = image_pull(image, pool, cluster, facts, held)
    if upstream is not None and pull == "streamed":
        why = f"{why}, which fetches it from {upstream} the first time"
    storage: ModelStorage = settings.model_volume.storage if settings.model_volume else _STORAGE[path]
    return StartPlan(
        parts=(
            _once("node", facts.node, "a machine from the autoscaler, and its driver"),
            _once("imagePull", facts.image[pull], why),
            *_model_parts(checkpoint_gib, storage, facts),
            *_server_parts(settings, facts),
        ),
        first_image_seconds=facts.image["whole"].seconds if upstream is not None else 0,
    )


def image_pull(
    image: str,
    pool: NodePoolPlan | None,
    cluster: ClusterPlan,
    facts: StartupFacts,
    held: HeldImages | None = None,
) -> tuple[ImagePull, str]:
    """How the image comes to a node that does not have it, and why so."""
    if held is not None and held.holds(image):
        return "preloaded", f"on {held.title}" + ("" if held.images else ", if its image was made with this one")
    streams = nodes_stream(pool, cluster)
    if streams is None:
        return "whole", "pulled whole: whether the cluster's nodes stream images is not known"
    location = repository_location(image, facts)
    if location is None:
        return "whole", f"pulled whole: GKE does not stream from {host_of(image)}"
    if not streams_to(location, cluster.region):
        return "whole", f"pulled whole: GKE does not stream from {location} to {cluster.region}"
    return "streamed", "streamed from Artifact Registry"


def nodes_stream(pool: NodePoolPlan | None, cluster: ClusterPlan) -> bool | None:
    """Whether nodes stream images: those of this project's pools and of Autopilot do; None where it is not known."""
    if pool is None and isinstance(cluster.settings, ExistingCluster) and cluster.profile == "standard":
        return None
    return True


def repository_location(image: str, facts: StartupFacts) -> str | None:
    """Location of the repository in Artifact Registry that an image is in; None where it is elsewhere."""
    host = host_of(image)
    ending = next((one for one in facts.streaming_hosts if host.endswith(one)), None)
    return None if ending is None else host.removesuffix(ending)


def streams_to(location: str, region: str | None) -> bool:
    """Whether GKE streams from a repository to nodes of a region: from that region, or a multi-region around it.

    Where the region is not known, it is taken to be the right one.
    """
    return region is None or location == region or region.startswith(f"{location}-")


def streaming_warnings(
    path: str,
    settings: ServerSettings,
    image: str,
    *,
    pool: NodePoolPlan | None,
    cluster: ClusterPlan,
    catalog: Catalog,
    held: HeldImages | None = None,
) -> list[Finding]:
    """A warning if nodes stream images but not the one that the stack chose.

    That a server's own image is not streamed is no surprise of a stack's making, and part of the plan of its start.

    Args:
        path: where the server stands in the configuration.
        settings: its settings.
        image: the image as its pods run it.
        pool: the node pool that it runs on, where the stack has one.
        cluster: the cluster's plan.
        catalog: the facts to decide by.
        held: what the disk holds that its nodes start with; None where they have no such disk.

    """
    facts = catalog.startup
    if (
        settings.image is None
        or not nodes_stream(pool, cluster)
        or image_pull(image, pool, cluster, facts, held)[0] != "whole"
    ):
        return []
    host = host_of(image)
    if repository_location(image, facts) is not None:
        limit = "from a repository in the nodes' region only, or in a multi-region around it"
        fix = f"set image to the same image in a repository in {cluster.region}"
    else:
        limit = "from Artifact Registry only"
        fix = (
            "set imageRegistry: {mode: create}, so that it comes through Artifact Registry"
            if host in catalog.registries.upstreams
            else f"make a remote repository for {host} in Artifact Registry and set image to the same image at "
            f"{cluster.region or 'REGION'}-docker.pkg.dev"
        )
    setting = f"nodePools.{pool.key}.secondaryBootDisks" if pool else f"{path}.secondaryBootDisk"
    preload = "" if pool is None and cluster.profile == "standard" else f", or preload it with {setting}"
    return [
        Finding(
            path=f"{path}.image",
            what=f"the image is not streamed from {host}",
            why=f"image streaming is on, but GKE streams {limit}: a new node pulls the whole "
            f"image, about {facts.image['whole'].seconds} s instead of {facts.image['streamed'].seconds}",
            fix=f"{fix}{preload}",
            severity="warning",
        )
    ]


def _model_parts(checkpoint_gib: float, storage: ModelStorage, facts: StartupFacts) -> tuple[StartPart, ...]:
    rate = facts.storage[storage]
    load = checkpoint_gib / rate.gib_per_second
    parts = [
        StartPart(
            key="load",
            seconds=load,
            restart_seconds=load,
            why=f"{checkpoint_gib:.1f} GiB from {rate.title}",
            basis=rate.basis,
            source=rate.source,
        )
    ]
    if storage == "nodeDisk":
        download = StartPart(
            key="download",
            seconds=checkpoint_gib / facts.download.gib_per_second,
            restart_seconds=0,
            why=f"{checkpoint_gib:.1f} GiB from Hugging Face, once for each pod",
            basis=facts.download.basis,
            source=facts.download.source,
        )
        parts.insert(0, download)
    return tuple(parts)


def _server_parts(settings: ServerSettings, facts: StartupFacts) -> tuple[StartPart, ...]:
    kind: ServerKind = settings.server
    process = _always("process", facts.process, f"{kind} starts and answers")
    graphs = _always("graphs", facts.graphs, "memory profile and CUDA graphs")
    if not isinstance(settings, VllmSettings) or settings.enforce_eager:
        return process, graphs
    cached, kept = settings.compile_cache == "warm", settings.keep_compile_cache is not None
    first = facts.compile_cached if cached else facts.compile
    why = f"torch.compile with {'a filled' if cached else 'an empty'} cache"
    compilation = StartPart(
        key="compile",
        seconds=first.seconds,
        restart_seconds=facts.compile_cached.seconds,
        later_seconds=facts.compile_cached.seconds if kept else None,
        why=f"{why}, which later pods find filled" if kept else why,
        basis=first.basis,
        source=first.source,
    )
    return process, compilation, graphs


def _once(key: StartPartName, duration: Duration, why: str) -> StartPart:
    return _part(key, duration, 0, why)


def _always(key: StartPartName, duration: Duration, why: str) -> StartPart:
    return _part(key, duration, duration.seconds, why)


def _part(key: StartPartName, duration: Duration, restart: float, why: str) -> StartPart:
    return StartPart(
        key=key,
        seconds=duration.seconds,
        restart_seconds=restart,
        why=why,
        basis=duration.basis,
        source=duration.source,
    )
