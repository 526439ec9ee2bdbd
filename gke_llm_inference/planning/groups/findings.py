"""What stands against how a server spreads its model over GPUs and machines."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.access.exposed import routing_of
from gke_llm_inference.planning.given import asked_goals
from gke_llm_inference.planning.groups.plan import MULTI_NODE_SINCE, stage_layers
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.planning.speculation import speculation_of
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, GatewaySettings, ServerSettings

# A StatefulSet of workers is called after server and group, and its pods have its name and a hash in labels of 63.
_LONGEST_NAME = 45


def parallelism_findings(
    path: str, settings: ServerSettings, version: str, model: ServedModel | None, catalog: Catalog
) -> Iterator[Finding]:
    """Problems and warnings of stages, shares and machines with each other, the version and the model.

    Args:
        path: where the server stands in the configuration.
        settings: the settings as they are stated.
        version: version of the server.
        model: the model; None where it is not known.
        catalog: the facts to decide by.

    """
    stated = {"nodes": settings.nodes > 1} | {
        "pipelineParallelSize": settings.stages > 1 and settings.nodes == 1,
        "tensorParallelSize": settings.tensor_parallel_size is not None,
        "expertParallel": bool(settings.expert_parallel),
    }
    used = [name for name, is_used in stated.items() if is_used]
    if not used:
        return
    if settings.server == "tgi":
        for name in used:
            yield Finding(
                path=f"{path}.{name}",
                what="TGI has nothing like it",
                why="TGI splits every layer over the GPUs of one machine, and does nothing else",
                fix="use vllm, or remove it and set accelerator.count",
            )
        return
    if settings.nodes > 1 and version_parts(version) < version_parts(MULTI_NODE_SINCE):
        yield Finding(
            path=f"{path}.nodes",
            what=f"vLLM {version} cannot start on several machines by itself",
            why=f"it needs a Ray cluster before {MULTI_NODE_SINCE}, which this stack does not make",
            fix=f"use version {MULTI_NODE_SINCE} or later",
        )
    yield from _sizes(path, settings)
    yield from _goals(path, settings, used[0], catalog)
    if model is not None:
        yield from _stages(path, settings, model)
        yield from _experts(path, settings, model)


def group_findings(
    path: str, key: str, settings: ServerSettings, cluster: ClusterPlan, gateway: GatewaySettings
) -> Iterator[Finding]:
    """What a server of several machines cannot have beside, or what there is to know.

    Args:
        path: where the server stands in the configuration.
        key: its name there.
        settings: the settings as they are stated.
        cluster: the cluster.
        gateway: how servers are reached from outside of it.

    """
    if settings.nodes == 1:
        return
    many = f"with nodes: {settings.nodes}"
    if settings.autoscaling is not None:
        yield Finding(
            path=f"{path}.autoscaling",
            what=f"does not go {many}",
            why="a group comes only when all of its machines do, and what scales groups is not planned",
            fix="state replicas",
        )
    if settings.pod_patch is not None:
        yield Finding(
            path=f"{path}.podPatch",
            what=f"does not go {many}",
            why="a group has two pod templates, and a patch is checked against one",
            fix="remove it, and use settings of pod",
        )
    if settings.pod.topology_spread:
        yield Finding(
            path=f"{path}.pod.topologySpread",
            what=f"does not go {many}",
            why="the pods of a group belong together, and it would spread them",
            fix="remove it",
        )
    if settings.model_volume is not None and settings.model_volume.access_mode == "ReadWriteOnce":
        yield Finding(
            path=f"{path}.modelVolume.accessMode",
            what=f"{settings.nodes} machines cannot share a ReadWriteOnce volume",
            why="only one node can mount it; the other pods of the group would wait for it forever",
            fix="use a ReadOnlyMany volume",
        )
    if settings.server == "vllm" and settings.keep_compile_cache is not None:
        yield Finding(
            path=f"{path}.keepCompileCache",
            what=f"does not go {many}",
            why="every rank compiles its own layers, and whether their files can lie together is not known",
            fix="remove it",
        )
    if settings.capacity is not None:
        yield Finding(
            path=f"{path}.capacity",
            what=f"does not go {many}",
            why="the machines of a group would come from different tiers, in different zones",
            fix="use a node pool on Standard, or provisioning on Autopilot",
        )
    if settings.provisioning.model == "flexStart":
        yield Finding(
            path=f"{path}.provisioning.model",
            what=f"flexStart does not go {many}",
            why="each machine of the group would be waited for by itself, and paid for while the others wait",
            fix="use onDemand, spot or a reservation",
        )
    if routing_of(settings, gateway) == "inferenceGateway":
        yield Finding(
            path=f"{path}.routing",
            what=f"inferenceGateway does not go {many}",
            why="the endpoint picker would choose workers of a group too, which answer nobody",
            fix="use the default routing",
        )
    if len(dns_label(key)) > _LONGEST_NAME:
        yield Finding(
            path=path,
            what=f"has a name of more than {_LONGEST_NAME} characters",
            why="the pods of its groups have longer names and labels made of it, which Kubernetes rejects",
            fix="use a shorter name",
        )
    if cluster.profile == "autopilot":
        yield Finding(
            path=f"{path}.nodes",
            what=f"Autopilot makes the {settings.nodes} machines of a group one by one",
            why="where a zone has too few, those that came wait for the others, and are paid for",
            fix="use a reservation, or a Standard cluster with a node pool of as many minNodes",
            severity="warning",
        )


def _sizes(path: str, settings: ServerSettings) -> Iterator[Finding]:
    each, nodes, stages, shares = settings.accelerator.count, settings.nodes, settings.stages, settings.shares
    gpus = each * nodes
    if shares > each:
        yield Finding(
            path=f"{path}.tensorParallelSize" if settings.tensor_parallel_size else f"{path}.pipelineParallelSize",
            what=f"tensor parallelism over {shares} GPUs spans machines of {each}",
            why="every layer then waits for the network, and only a GPUDirect network is fast enough for that, which "
            "this stack does not make",
            fix=f"use pipelineParallelSize: {nodes} and tensorParallelSize: {each} or less",
        )
    elif shares * stages != gpus or each % shares:
        yield Finding(
            path=f"{path}.tensorParallelSize" if settings.tensor_parallel_size else f"{path}.pipelineParallelSize",
            what=f"{stages} stages of {shares} GPUs do not make up {nodes} × {each} GPUs",
            why="vLLM starts one process for each GPU, and no stage may lie on parts of two machines",
            fix=f"use pipelineParallelSize: {nodes} and tensorParallelSize: {each}, or leave both out",
        )


def _goals(path: str, settings: ServerSettings, used: str, catalog: Catalog) -> Iterator[Finding]:
    """What rests on a speed that is not predicted: that of stages, or of experts on GPUs of their own."""
    if used == "tensorParallelSize" and settings.stages == 1 and not settings.expert_parallel:
        return
    for key, is_asked in (("workload", settings.workload), ("objectives", settings.objectives)):
        if is_asked is not None:
            yield Finding(
                path=f"{path}.{key}",
                what=f"does not go with {used}",
                why="how fast pipeline stages and experts on several machines are is not predicted",
                fix="remove it, and measure the server",
            )
    for index, name in asked_goals(settings, catalog):
        yield Finding(
            path=f"{path}.presets[{index}]",
            what=f"{name} does not go with {used}",
            why="a goal chooses by speed, which is not predicted for it",
            fix="remove it",
        )


def _stages(path: str, settings: ServerSettings, model: ServedModel) -> Iterator[Finding]:
    layers, stages = model.architecture.layers, settings.stages
    if stages == 1 or stages > layers:
        return
    speculation = speculation_of(settings)
    if settings.speculative_tokens is not None or speculation is not None:
        yield Finding(
            path=f"{path}.{'speculation' if speculation is not None else 'speculativeTokens'}",
            what=f"does not go with {stages} pipeline stages",
            why="vLLM does not speculate over stages in most ways, and which of them work is not known",
            fix="remove it",
        )
    if layers % stages:
        each = stage_layers(layers, stages)
        yield Finding(
            path=f"{path}.pipelineParallelSize" if settings.pipeline_parallel_size else f"{path}.nodes",
            what=f"{stages} stages do not divide {layers} layers",
            why=f"vLLM gives them {' + '.join(map(str, each))}: the largest decides memory and speed, and others wait",
            fix="go on, or use a number of stages that divides the layers",
            severity="warning",
        )


def _experts(path: str, settings: ServerSettings, model: ServedModel) -> Iterator[Finding]:
    if not settings.expert_parallel:
        return
    experts = model.architecture.experts
    if experts is None:
        yield Finding(
            path=f"{path}.expertParallel",
            what=f"{settings.model} has no experts",
            why="every token visits all of its weights, and there is nothing to give to single GPUs",
            fix="remove it",
        )
    elif experts.count % settings.shares:
        yield Finding(
            path=f"{path}.expertParallel",
            what=f"{settings.shares} GPUs cannot share {experts.count} experts evenly",
            why="some GPUs would have one expert more, which the memory plan does not count",
            fix="remove it, or use a number of GPUs that divides the experts",
        )
