"""The steps of planning a server, each a plain function from one stage to the next.

model → presets → limits → arguments → memory → pod → machine → performance → capacity → rollout: `planning.stack`
takes all servers of a stack through them. A step adds what it finds to the list that travels along with the server.
"""

from collections.abc import Sequence
from dataclasses import replace

from gke_llm_inference.planning.accelerators import server_accelerator_findings
from gke_llm_inference.planning.access.exposed import exposure_of
from gke_llm_inference.planning.access.findings import server_access_findings
from gke_llm_inference.planning.adapters.decide import adapter_decisions, adapter_parts
from gke_llm_inference.planning.autopilot import autopilot_findings, raised_requests
from gke_llm_inference.planning.autoscaling.decide import plan_autoscaling
from gke_llm_inference.planning.boot_disks.decide import (
    held_images,
    not_held_warnings,
    server_boot_disk_findings,
)
from gke_llm_inference.planning.calibrations import calibration_decision, calibration_findings
from gke_llm_inference.planning.capacity_tiers.asked import makes_nodes, needs_class, with_first_tier
from gke_llm_inference.planning.capacity_tiers.classes import spot_shutdown_of_class
from gke_llm_inference.planning.capacity_tiers.decide import on_other_gpus, plan_capacity
from gke_llm_inference.planning.capacity_tiers.findings import has_several, of_first, of_tier
from gke_llm_inference.planning.capacity_tiers.pods import raised_for_tiers, storage_class_for_tiers
from gke_llm_inference.planning.capacity_tiers.pools import listed_pools, place_lists
from gke_llm_inference.planning.capacity_tiers.warnings import flex_start_warnings
from gke_llm_inference.planning.chat_features import chat_warnings
from gke_llm_inference.planning.command_line import command_line
from gke_llm_inference.planning.compatibility import setting_problems
from gke_llm_inference.planning.compile_cache.decide import kept_in_bucket
from gke_llm_inference.planning.compile_cache.state import cache_bucket_findings, cache_disk_findings, with_kept_cache
from gke_llm_inference.planning.extra import flags_of, overridden
from gke_llm_inference.planning.extra_arguments import environment_problems, flag_variable_problems
from gke_llm_inference.planning.fit import check_fit
from gke_llm_inference.planning.flow import Findings
from gke_llm_inference.planning.groups.decide import zone_findings
from gke_llm_inference.planning.groups.findings import group_findings, parallelism_findings
from gke_llm_inference.planning.images import image_findings
from gke_llm_inference.planning.lifecycle import PodEnd, plan_shutdown
from gke_llm_inference.planning.local_ssds import local_ssd_findings, local_ssd_gib
from gke_llm_inference.planning.media import media_warnings
from gke_llm_inference.planning.memory import memory_request, plan_memory
from gke_llm_inference.planning.model_revisions import at_recorded_revision
from gke_llm_inference.planning.model_source.decide import place_of, with_sidecar
from gke_llm_inference.planning.model_source.findings import memory_findings, source_findings
from gke_llm_inference.planning.model_source.placed import placed_findings
from gke_llm_inference.planning.model_volume import model_volume_problems
from gke_llm_inference.planning.models import served_model
from gke_llm_inference.planning.objectives import (
    asks_for_speed,
    assumed_workload,
    has_known_speed,
    speed_findings,
    workload_findings,
)
from gke_llm_inference.planning.observability.tracing import tracing_findings
from gke_llm_inference.planning.placement import place, unplaced
from gke_llm_inference.planning.plan import ServerPlan
from gke_llm_inference.planning.pod.decide import with_additions
from gke_llm_inference.planning.pod.findings import pod_findings
from gke_llm_inference.planning.pod.patch import patch_findings
from gke_llm_inference.planning.pod.spread import spread_findings
from gke_llm_inference.planning.pods import pod_resources, resource_problems
from gke_llm_inference.planning.pooling import pooling_arguments, pooling_decisions, pooling_settings
from gke_llm_inference.planning.presets import apply_presets, stated_with
from gke_llm_inference.planning.servers import plan_server, with_patch
from gke_llm_inference.planning.speculation import draft_of, token_problems
from gke_llm_inference.planning.speculation_decisions import speculation_decisions
from gke_llm_inference.planning.speed import performance_of
from gke_llm_inference.planning.stages import (
    AskedServer,
    CommandedServer,
    LimitedServer,
    ModeledServer,
    PlacedServer,
    Placement,
    PresetServer,
    SizedServer,
    StackFrame,
    TieredServer,
    TimedServer,
    WeighedServer,
)
from gke_llm_inference.planning.startup import streaming_warnings
from gke_llm_inference.planning.unplanned import kv_cache_mib, unplanned
from gke_llm_inference.planning.versions import full_version, maintenance_warnings, version_findings
from gke_llm_inference.planning.vulnerabilities import vulnerability_warnings
from gke_llm_inference.settings import Finding
from gke_llm_inference.settings.findings import problems_of
from gke_llm_inference.settings.servers import apart_with


def model(server: AskedServer, findings: Findings) -> ModeledServer | None:
    """Which server, version and model; the end where the model is not known. Checks what is asked by itself."""
    path, catalog = server.path, server.stack.catalog
    settings, of_capacity = with_first_tier(path, server.settings, server.stack.cluster, catalog)
    facts = catalog.servers[settings.server]
    version = full_version(settings.version or facts.default_version)
    of_version = version_findings(path, version, facts)
    of_gpus = server_accelerator_findings(f"{path}.accelerator", settings.accelerator, server.stack.cluster, catalog)
    served, of_model = served_model(path, settings, catalog)
    settings, of_cache = with_kept_cache(path, settings, facts)
    findings += [
        *of_version,
        *maintenance_warnings(path, facts),
        *image_findings(path, settings, version, catalog.servers),
        *of_capacity,
        *of_gpus,
        *of_model,
        *of_cache,
        *environment_problems(
            path,
            settings.extra_env,
            catalog.effects.variables(settings.server),
            has_volume=not settings.downloads,
        ),
        *flag_variable_problems(path, settings, catalog),
        *model_volume_problems(path, settings),
        *cache_bucket_findings(path, settings, server.stack.cluster, server.stack.token),
        *local_ssd_findings(path, settings, server.stack.cluster, catalog),
        *server_boot_disk_findings(path, settings, server.stack.cluster, catalog.gke.secondary_boot_disk),
        *pod_findings(path, settings, facts, catalog),
        *(patch_findings(f"{path}.podPatch", settings.pod_patch, catalog.pod_fields) if settings.pod_patch else ()),
        *server_access_findings(path, settings, version, server.stack.gateway, server.stack.cluster.project, catalog),
        *parallelism_findings(path, settings, version, served, catalog),
        *group_findings(path, server.key, settings, server.stack.cluster, server.stack.gateway),
    ]
    if served is None:
        return None
    if served.gated and settings.downloads and not server.stack.has_token:
        findings.append(
            Finding(
                path=f"{path}.model",
                what=f"{settings.model} is gated and the stack has no Hugging Face token",
                why="the download would be refused and the pod restart forever",
                fix="set huggingFace.tokenSource, after accepting the model's license with that account",
            )
        )
    return ModeledServer(
        **{**vars(server), "settings": settings},
        facts=facts,
        version=version,
        model=served,
        version_is_known=not problems_of(of_version),
        gpus_are_known=not problems_of(of_gpus),
    )


def presets(server: ModeledServer, findings: Findings) -> PresetServer:
    """The settings with presets applied; for a version that is not known, what presets would give is not either."""
    if not server.version_is_known:
        return PresetServer(**vars(server), decisions=(), own=server.settings)
    asked = (server.path, server.settings, server.version, server.model)
    applied = apply_presets(*asked, server.stack.catalog)
    findings += applied.findings
    if server.settings.accelerator.choices and not applied.goals:
        findings.append(_no_goal_for_list(server.path))
    choose = server.stack.choose
    if not applied.goals or choose is None or not server.gpus_are_known or not _is_certain(server, findings):
        return PresetServer(
            **{**vars(server), "settings": applied.settings}, decisions=applied.decisions, own=server.settings
        )
    chosen = choose(server, applied)
    findings += chosen.findings
    return PresetServer(
        **{**vars(server), "settings": chosen.settings, "model": chosen.model},
        decisions=(*applied.decisions, *chosen.decisions),
        own=stated_with(server.settings, chosen.given, server.stack.catalog),
        choice=chosen.choice,
    )


def limits(server: PresetServer, findings: Findings) -> LimitedServer:
    """The memory request that the settings come to, checked against the rules of what goes together."""
    settings = pooling_settings(server.settings, server.model)
    decisions = (
        *server.decisions,
        *pooling_decisions(settings, server.model),
        *speculation_decisions(settings),
        *adapter_decisions(settings, server.stack.catalog),
    )
    server = replace(server, settings=settings, decisions=decisions)
    catalog = server.stack.catalog
    findings += setting_problems(server.path, settings, server.version, server.model, catalog)
    findings += token_problems(server.path, settings, catalog, has_token=server.stack.has_token)
    findings += chat_warnings(server.path, settings, server.model)
    findings += media_warnings(server.path, settings, server.model, server.stack.gateway)
    findings += source_findings(server)
    running = overridden(settings, server.version, catalog)
    request = replace(
        memory_request(server.path, running, server.version, server.model, catalog.memory),
        kv_cache_mib=kv_cache_mib(settings, server.version, catalog),
        unplanned=(
            *unplanned(server.path, settings, server.version, catalog),
            *adapter_parts(server.path, settings, server.model, catalog),
        ),
        draft=draft_of(settings, server.model, catalog),
    )
    return LimitedServer(**vars(server), request=request)


def arguments(server: LimitedServer, findings: Findings) -> CommandedServer:
    """The command line, checked against the flags of the version."""
    if not server.version_is_known:
        return CommandedServer(**vars(server), arguments=())
    settings = at_recorded_revision(server.settings, server.stack.model_revisions)
    streamer = server.streamer
    place = place_of(settings, server.source, streamer)
    pooling = pooling_arguments(settings, server.version, server.model)
    line, overridden, problems = command_line(
        server.path, settings, server.version, server.stack.catalog, place, pooling
    )
    findings += memory_findings(server.path, settings, streamer)
    # What a preset or a rule says of a setting says more than that its flag is refused.
    told = {problem.path for problem in problems_of(findings)}
    findings += [problem for problem in problems if problem.path not in told]
    given = [argument.text for argument in line]
    catalog = server.stack.catalog
    findings += vulnerability_warnings(
        server.path, server.settings.server, server.version, server.model.family, given, catalog
    )
    findings += tracing_findings(
        server.path,
        server.settings,
        server.stack.observability.tracing,
        server.version,
        catalog.tracing[server.settings.server],
        flags_of(server.settings, server.version, catalog),
    )
    decisions = (*server.decisions, *overridden)
    return CommandedServer(**{**vars(server), "settings": settings, "decisions": decisions}, arguments=line)


def memory(server: CommandedServer, findings: Findings) -> WeighedServer:
    """The memory plan, and what would fit instead; none where the request makes no sense for another reason."""
    if not _is_certain(server, findings):
        return WeighedServer(**vars(server), memory=None, alternatives=())
    stack = server.stack
    plan = plan_memory(server.request, stack.catalog.memory)
    alternatives = stack.propose(server, plan) if stack.propose and plan.verdict in ("tight", "does not fit") else ()
    findings += check_fit(of_first(server.path, server.settings), server.settings, plan, alternatives)
    return WeighedServer(**vars(server), memory=plan, alternatives=alternatives)


def pod(server: WeighedServer, findings: Findings) -> SizedServer | None:
    """What a pod requests; the end where no node has such GPUs."""
    if not server.gpus_are_known:
        return None
    path, settings, stack = server.path, server.settings, server.stack
    host = server.host_gib
    on_ssds = local_ssd_gib(settings, stack)
    resources = pod_resources(
        settings.accelerator.count,
        server.stored_gib,
        settings.resources,
        stack.catalog,
        host,
        local_ssd_gib=on_ssds,
    )
    findings += cache_disk_findings(path, settings, stack.catalog)
    if resources.cache_on_disk:
        storage_class, found = storage_class_for_tiers(path, settings, stack.catalog)
        findings += found
        resources = replace(resources, cache_storage_class=storage_class)
    findings += resource_problems(path, resources, settings.resources, server.stored_gib, host)
    resources = with_sidecar(
        with_additions(resources, settings.pod),
        server.source,
        stack.catalog,
        keeps_in_bucket=kept_in_bucket(settings) is not None,
    )
    if stack.cluster.profile == "autopilot":
        findings += autopilot_findings(path, settings, stack.cluster, stack.catalog)
        resources, found = raised_requests(path, settings, resources, stack.catalog, local_ssd_gib=on_ssds)
        findings += found
        resources, found = raised_for_tiers(
            path, settings, resources, stack.cluster, stack.catalog, local_ssd_gib=on_ssds
        )
        findings += found
    elif settings.provisioning.model != "onDemand":
        findings.append(
            Finding(
                path=f"{path}.provisioning",
                what="belongs to the node pool on a Standard cluster",
                why="there the pool's machines are provisioned, not the pod's",
                fix="move it to nodePools",
            )
        )
    return SizedServer(**vars(server), resources=resources)


def machine(servers: Sequence[SizedServer], stack: StackFrame) -> Placement:
    """Where every server runs, and the machine of every node pool.

    Where a pool is wrong itself, that no server finds its place says nothing new, but of those that name a sound pool.
    """
    made = [server for server in servers if makes_nodes(server.settings, stack.cluster.profile)]
    listed = [server for server in servers if listed_pools(server.settings)]
    if made or listed:
        return _with_classes(servers, made, listed, stack)
    if stack.pools_are_sound:
        return place(servers, stack)
    certain = [server for server in servers if server.settings.node_pool in stack.sound_pools]
    pools = {key: pool for key, pool in stack.pools.items() if key in stack.sound_pools}
    judged = place(certain, replace(stack, pools=pools)) if certain else Placement(servers=())
    others = unplaced([server for server in servers if server not in certain])
    return Placement(servers=(*judged.servers, *others.servers), findings=judged.findings)


def _with_classes(
    servers: Sequence[SizedServer], made: Sequence[SizedServer], listed: Sequence[SizedServer], stack: StackFrame
) -> Placement:
    """Where servers run of which some have nodes that a compute class makes, or pools that they try in order."""
    special = {server.key for server in (*made, *listed)}
    others = [server for server in servers if server.key not in special]
    lists = place_lists(listed, others, stack) if stack.pools_are_sound else unplaced(listed)
    taken = {key for server in listed for key in listed_pools(server.settings)}
    rest = replace(stack, pools={key: pool for key, pool in stack.pools.items() if key not in taken})
    placed = machine(others, rest) if others or rest.pools else Placement(servers=())
    found = {one.key: one for one in (*unplaced(made).servers, *lists.servers, *placed.servers)}
    return Placement(
        servers=tuple(found[server.key] for server in servers if server.key in found),
        pools=tuple(sorted((*lists.pools, *placed.pools), key=lambda pool: pool.key)),
        findings=(*lists.findings, *placed.findings),
    )


def performance(server: PlacedServer, findings: Findings) -> TimedServer:
    """How fast the server is under its workload, and what would meet its objectives; none where it states neither."""
    found = [*(workload_findings(server) if asks_for_speed(server) else []), *calibration_findings(server)]
    findings += found
    if not asks_for_speed(server) or problems_of(found) or not has_known_speed(server):
        return TimedServer(**vars(server), performance=None)
    stack = server.stack
    plan = performance_of(server)
    faster = stack.propose_faster(server, plan) if stack.propose_faster and plan.verdict == "misses" else ()
    of_speed = speed_findings(server.path, server.settings, plan, faster)
    findings += of_tier(server.path, 0, of_speed) if has_several(server.settings) else of_speed
    assumed = None if server.settings.workload else assumed_workload(plan)
    decided = tuple(filter(None, (assumed, calibration_decision(server))))
    return TimedServer(**{**vars(server), "decisions": (*server.decisions, *decided)}, performance=plan, faster=faster)


def capacity(server: TimedServer, findings: Findings) -> TieredServer:
    """Its tiers, each checked like the first."""
    plan, found = plan_capacity(server)
    findings += found
    return TieredServer(**vars(server), capacity=plan)


def rollout(server: TieredServer, findings: Findings) -> ServerPlan:
    """The plan of the server: how it starts, is probed, updated, scaled and stopped."""
    stack = server.stack
    held = held_images(server.path, server.settings, server.pool)
    findings += not_held_warnings(held, server.image)
    findings += streaming_warnings(
        server.path,
        server.settings,
        server.image,
        pool=server.pool,
        cluster=stack.cluster,
        catalog=stack.catalog,
        held=held,
    )
    shutdown, found = plan_shutdown(
        server,
        PodEnd(
            spot=server.on_spot,
            extended=server.pool is not None or needs_class(server.settings, stack.cluster.profile),
            longer=spot_shutdown_of_class(server) is not None,
            gateway=exposure_of(server.settings, server.stack.gateway) != "none",
        ),
        on_other_gpus(server),
    )
    findings += found
    findings += spread_findings(server.path, server.settings, server.pool)
    findings += placed_findings(server)
    findings += zone_findings(server.path, server.settings, server.pool)
    plan = plan_server(server, shutdown)
    findings += flex_start_warnings(server.path, server.settings, plan.start)
    autoscaling, found = plan_autoscaling(server, plan.start, stack.sources, port=plan.service_port)
    findings += found
    plan, found = with_patch(server, plan if autoscaling is None else replace(plan, autoscaling=autoscaling))
    findings += found
    return plan


def _no_goal_for_list(path: str) -> Finding:
    return Finding(
        path=f"{path}.accelerator",
        what="is a list, and no goal chooses from it",
        why="every replica runs on GPUs of one type",
        fix="add a goal such as cost to presets, or name one GPU",
    )


def _is_certain(server: ModeledServer, findings: Findings) -> bool:
    """Whether what is wrong leaves the memory as it is: access to the model, its volume, what stands apart from it."""
    path = server.path
    return all(
        problem.path.startswith(
            (f"{path}.keepCompileCache", f"{path}.modelSource", f"{path}.modelVolume", f"{path}.secondaryBootDisk")
        )
        or apart_with(problem.path.removeprefix(f"{path}.").partition(".")[0].partition("[")[0])
        or (problem.path == f"{path}.model" and server.model.gated)
        for problem in problems_of(findings)
    )
