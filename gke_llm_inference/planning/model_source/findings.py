"""What cannot work, and what may go wrong, where a server reads its model from the stack's store."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.model_source_facts import ModelSourceFacts
from gke_llm_inference.planning.extra import flags_of, read_extra
from gke_llm_inference.planning.model_source.source import why_not_streamed
from gke_llm_inference.planning.model_source.streamer import Streamer
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.planning.stages import ModeledServer
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings

# Flags that name something of Hugging Face, which a server with a store of models does not reach.
_OF_THE_HUB = ("--hf-config-path", "--tokenizer")
_LOADER_FLAGS = ("--load-format", "--model-loader-extra-config")


def source_findings(server: ModeledServer) -> Iterator[Finding]:
    """Problems and warnings of the way that the model takes; none for one from Hugging Face or a volume."""
    path, settings, version = server.path, server.settings, server.version
    source, cluster, catalog = server.source, server.stack.cluster, server.stack.catalog
    if settings.store_source is None:
        return
    facts = catalog.model_sources
    if source.path == "streamer":
        obstacle = why_not_streamed(settings, version, server.model.checkpoint, facts.streamer)
        if obstacle is not None:
            yield Finding(
                path=f"{path}.{obstacle.setting}",
                what=obstacle.what,
                why=obstacle.why,
                fix="remove it, or use by: gcsfuse" if obstacle.setting == "loadFormat" else "use by: gcsfuse",
            )
        yield from _streamer_findings(path, settings, version, catalog, facts)
    if source.path == "gcsfuse":
        yield from _version_findings(
            f"{path}.modelSource.by",
            cluster,
            facts.gcsfuse.buffered_read_since,
            why="before that, the driver does not read ahead into memory, and the model loads slowly",
            fix="upgrade the cluster, or use by: streamer with vLLM",
        )
    if source.path == "hyperdiskMl":
        disk = facts.hyperdisk_ml
        yield from _version_findings(
            f"{path}.modelSource.by",
            cluster,
            disk.auto_creation_since if cluster.profile == "standard" else disk.since,
            why="before that, GKE does not fill the volume by itself, and pods would wait for it forever",
            fix="upgrade the cluster, or use by: gcsfuse",
        )
    yield from _hub_findings(path, settings, version, catalog)


def memory_findings(path: str, settings: ServerSettings, streamer: Streamer | None) -> Iterator[Finding]:
    """The problem of a pod whose memory does not hold the largest tensor on its way through the streamer.

    Args:
        path: where the server stands in the configuration.
        settings: its settings.
        streamer: how its model is streamed; None where it is not.

    """
    stated = settings.resources.memory_gib
    if streamer is not None and stated is not None and stated < streamer.least_memory_gib:
        yield Finding(
            path=f"{path}.resources.memoryGib",
            what=f"{stated} GiB do not hold the streamer's buffer",
            why="the worker of each GPU needs room for the largest tensor twice, beside the server itself",
            fix=f"use {streamer.least_memory_gib} or more, or by: gcsfuse",
        )


def _streamer_findings(
    path: str, settings: ServerSettings, version: str, catalog: Catalog, facts: ModelSourceFacts
) -> Iterator[Finding]:
    for name in sorted(settings.extra_env):
        offline = name == "HF_HUB_OFFLINE" and version_parts(version) < version_parts(facts.streamer.offline_since)
        if offline:
            yield Finding(
                path=f"{path}.extraEnv.{name}",
                what=f"vLLM {version} does not find gs:// with it",
                why=f"before {facts.streamer.offline_since} it looks for the model among downloads of Hugging Face",
                fix="remove it",
            )
        if name in facts.streamer.variables:
            yield Finding(
                path=f"{path}.extraEnv.{name}",
                what="has no effect with the streamer",
                why="the plan bounds its memory and threads by --model-loader-extra-config, which vLLM puts over it",
                fix="remove it",
            )
    for one in read_extra(settings.extra_args, flags_of(settings, version, catalog)):
        if one.name in _LOADER_FLAGS:
            yield Finding(
                path=f"{path}.extraArgs[{one.index}]",
                what=f"{one.name} would take the place of the plan's own",
                why="the streamer's memory would not be bounded, and the pod killed for it",
                fix="remove it, or use by: gcsfuse",
            )


def _hub_findings(path: str, settings: ServerSettings, version: str, catalog: Catalog) -> Iterator[Finding]:
    for one in read_extra(settings.extra_args, flags_of(settings, version, catalog)):
        if one.name in _OF_THE_HUB and not (one.value or "").startswith(("/", "gs://")):
            yield Finding(
                path=f"{path}.extraArgs[{one.index}]",
                what=f"{one.name} names what lies at Hugging Face",
                why="a server that reads the store of models reaches Hugging Face neither by network nor by token",
                fix="remove it, or use a path",
            )


def _version_findings(path: str, cluster: ClusterPlan, since: str, *, why: str, fix: str) -> Iterator[Finding]:
    known = cluster.settings.gke_version
    if known is None:
        yield Finding(
            path=path,
            what=f"needs GKE {since} or later",
            why=f"the cluster's version is not known; {why}",
            fix="set cluster.gkeVersion to what the cluster runs",
            severity="warning",
        )
    elif version_parts(known) < version_parts(since):
        yield Finding(
            path=path,
            what=f"needs GKE {since} or later, and cluster.gkeVersion is {known}",
            why=why,
            fix=fix,
        )
