"""Decides on endpoint pickers: where the Inference Gateway can be used, and what chooses the pod of a request."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import ServerKind
from gke_llm_inference.catalog.metric_facts import Concept
from gke_llm_inference.planning.access.exposed import exposure_of, routing_of
from gke_llm_inference.planning.access.plan import PickerPlan
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.network_policy.pickers import plan_picker_policy
from gke_llm_inference.planning.plan import ClusterPlan, ServerPlan
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import (
    Finding,
    GatewaySettings,
    ServerSettings,
    StackSettings,
)

_CONFIG_DIRECTORY = "/config"
_CONFIG_FILE = "picker.yaml"
_PART_OF = "gke-llm-inference"
# Without these two a picker would choose blindly.
_NEEDED: tuple[Concept, ...] = ("waiting", "running")
# What Autopilot counts CPU by.
_CPU_STEP_MILLICORES = 250
# From the last answer to the end of the process.
_EXIT_SECONDS = 10


def picker_name(server: str) -> str:
    """Name of a picker's objects, by that of the server's."""
    return dns_label(f"{server}-picker")


def pool_name(server: str) -> str:
    """Name of the InferencePool and of the policies that hold for it, by that of the server's objects.

    It is not the server's own: policies of the Service stay until the route no longer leads there.
    """
    return dns_label(f"{server}-pool")


def picker_selector(server: str) -> Mapping[str, str]:
    """Labels of a picker's pods, and of no others."""
    return {"app.kubernetes.io/component": "endpoint-picker", "app.kubernetes.io/instance": server}


def plan_picker(
    server: ServerPlan,
    gateway: GatewaySettings,
    cluster: ClusterPlan,
    catalog: Catalog,
    *,
    drain_seconds: int,
    image: Callable[[str], str],
) -> PickerPlan:
    """The endpoint picker of a server.

    Args:
        server: the server.
        gateway: the stack's gateway, for the addresses of its proxies.
        cluster: the cluster.
        catalog: the facts to decide by.
        drain_seconds: how long answers may take that pass the picker while it ends.
        image: the name by which pods run an image.

    """
    facts, name = catalog.picker, picker_name(server.name)
    selector = picker_selector(server.name)
    requests = facts.requests
    cpu = requests.cpu_millicores + max(1, server.replicas) * requests.cpu_millicores_per_replica
    longest = catalog.gke.shutdown.gateway + drain_seconds + _EXIT_SECONDS
    return PickerPlan(
        name=name,
        pool=pool_name(server.name),
        image=image(facts.pinned_image),
        arguments=(
            f"--pool-name={pool_name(server.name)}",
            f"--pool-namespace={server.namespace}",
            f"--config-file={_CONFIG_DIRECTORY}/{_CONFIG_FILE}",
            f"--grpc-port={facts.ports.picks}",
            f"--grpc-health-port={facts.ports.health}",
            f"--refresh-metrics-interval={facts.metrics_interval_ms}ms",
            f"--drain-timeout={catalog.gke.shutdown.gateway}s",
            "--enable-pprof=false",
            "--tracing=false",
            "--zap-encoder=json",
        ),
        config_directory=_CONFIG_DIRECTORY,
        config_file=_CONFIG_FILE,
        configuration=_configuration(server.kind, server.version, catalog),
        labels={
            **selector,
            "app.kubernetes.io/managed-by": "pulumi",
            "app.kubernetes.io/name": "endpoint-picker",
            "app.kubernetes.io/part-of": _PART_OF,
            "app.kubernetes.io/version": facts.version,
        },
        selector=selector,
        server_selector=server.selector,
        user=facts.user,
        picks_port=facts.ports.picks,
        health_port=facts.ports.health,
        cpu_millicores=math.ceil(cpu / _CPU_STEP_MILLICORES) * _CPU_STEP_MILLICORES,
        memory_mib=requests.memory_mib,
        limits_cpu=cluster.profile == "autopilot",
        grace_seconds=min(longest, catalog.gke.shutdown.autoscaler),
        scorers=tuple((one.plugin, one.weight) for one in _scorers(server.kind, server.version, catalog)),
        network_policy=plan_picker_policy(
            catalog.network,
            selector=selector,
            ports=facts.ports,
            server=server.selector,
            server_port=server.port,
            proxy_range=gateway.proxy_subnet.cidr,
            cluster=cluster.settings,
        )
        if server.network_policy
        else None,
    )


def picker_findings(
    path: str, settings: ServerSettings, version: str, gateway: GatewaySettings, catalog: Catalog
) -> Iterator[Finding]:
    """Problems of a server that an endpoint picker is asked for.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        version: its version.
        gateway: the stack's gateway.
        catalog: the facts to decide by.

    """
    if settings.pools and settings.routing == "inferenceGateway":
        yield Finding(
            path=f"{path}.routing",
            what="is inferenceGateway, while the server generates nothing",
            why="its endpoint picker goes by KV caches and by what generating servers measure",
            fix="use service",
        )
        return
    if exposure_of(settings, gateway) == "none":
        if settings.routing == "inferenceGateway":
            yield Finding(
                path=f"{path}.routing",
                what="is inferenceGateway, while the server's exposure is none",
                why="the load balancer asks the endpoint picker, and no load balancer leads to this server",
                fix="set exposure, or remove routing",
            )
        return
    if routing_of(settings, gateway) != "inferenceGateway":
        return
    if settings.most_replicas == 1:
        yield Finding(
            path=f"{path}.routing",
            what="is inferenceGateway, while the server has one replica",
            why="an endpoint picker would choose among one, and every request would pass it for nothing",
            fix="set replicas to 2 or more, or routing: service",
        )
    missing = [one for one in _NEEDED if _metric(settings.server, version, one, catalog) is None]
    if missing:
        yield Finding(
            path=f"{path}.routing",
            what=f"needs metrics that {catalog.servers[settings.server].title} {version} does not have: "
            f"{', '.join(missing)}",
            why="the endpoint picker chooses by how many requests wait and run in each pod",
            fix="use another version, or routing: service",
        )


def stack_picker_findings(settings: StackSettings, cluster: ClusterPlan, catalog: Catalog) -> Iterator[Finding]:
    """Problems of a stack with endpoint pickers: its cluster, and names that two objects would have."""
    gateway = settings.gateway
    picked = sorted(key for key, one in settings.servers.items() if routing_of(one, gateway) == "inferenceGateway")
    if not picked:
        return
    known, since = cluster.settings.gke_version, catalog.picker.gke_since
    if known is not None and version_parts(known) < version_parts(since):
        yield Finding(
            path="cluster.gkeVersion",
            what=f"{known} is before {since}, from which GKE has InferencePool",
            why=f"servers.{picked[0]} has routing: inferenceGateway, which needs it",
            fix="upgrade the cluster, or use routing: service",
        )
    names = {dns_label(key): key for key in settings.servers}
    for key in picked:
        for name in (picker_name(dns_label(key)), pool_name(dns_label(key))):
            if name in names:
                yield Finding(
                    path=f"servers.{key}.routing",
                    what=f"gets objects with the name that those of servers.{names[name]} have: {name}",
                    why="Kubernetes objects are found by name",
                    fix="rename one of them",
                )


def _configuration(kind: ServerKind, version: str, catalog: Catalog) -> dict[str, Any]:
    """What the picker reads when it starts."""
    facts = catalog.picker
    named = {
        field: metric
        for concept, field in facts.metrics.items()
        if (metric := _metric(kind, version, concept, catalog))
    }
    scorers = _scorers(kind, version, catalog)
    return {
        "apiVersion": facts.config_version,
        "kind": "EndpointPickerConfig",
        "plugins": [
            *({"type": one.plugin} for one in scorers),
            {"type": "metrics-data-source", "parameters": {"scheme": "http", "path": catalog.metrics[kind].path}},
            {
                "type": "core-metrics-extractor",
                "parameters": {"defaultEngine": kind, "engineConfigs": [{"name": kind, **named}]},
            },
            {"type": "openai-parser"},
            # Paths that are not OpenAI's, such as TGI's own: the pod is chosen without a look at the request.
            {"type": "passthrough-parser"},
        ],
        "schedulingProfiles": [
            {"name": "default", "plugins": [{"pluginRef": one.plugin, "weight": one.weight} for one in scorers]}
        ],
        "requestHandler": {"parsers": [{"pluginRef": "openai-parser"}, {"pluginRef": "passthrough-parser"}]},
    }


def _scorers(kind: ServerKind, version: str, catalog: Catalog) -> list[Any]:
    """What a picker goes by, as far as a version's metrics tell."""
    return [
        one
        for one in catalog.picker.scorers
        if one.needs is None or _metric(kind, version, one.needs, catalog) is not None
    ]


def _metric(kind: ServerKind, version: str, concept: Concept, catalog: Catalog) -> str | None:
    """The name of a metric at a version; None where it has none."""
    metric = catalog.metrics[kind].metric(concept, version)
    return metric.name if metric else None
