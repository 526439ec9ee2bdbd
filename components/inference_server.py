"""An inference server on Kubernetes: Deployment, Service, ServiceAccount, network policies and disruption budget."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, apps, core, meta, networking, policy

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.planning import ServerPlan
from gke_llm_inference.planning.pod.names import (
    API_KEYS_VOLUME,
    CACHE_VOLUME,
    MODEL_VOLUME,
    OWN_ANNOTATIONS,
    SERVER_CONTAINER,
    SERVER_PORT,
    SHARED_MEMORY_PATH,
    SHARED_MEMORY_VOLUME,
    TOKEN_VARIABLES,
)

from .autoscaling import Autoscaler, autoscaler
from .network_policy import fqdn_network_policy, network_policy
from .pod_extras import extra_containers, extra_mounts, extra_sources, extra_variables, extra_volumes, format_cpu
from .served_apis import ServedApis

_SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
_TOKEN_VERSION = f"{OWN_ANNOTATIONS}token-version"
_API_KEYS_VERSION = f"{OWN_ANNOTATIONS}api-keys-version"


@dataclass(frozen=True, kw_only=True)
class InferenceServerArgs:
    """What an inference server needs.

    Attributes:
        plan: the server, decided and checked.
        after: what must exist before pods can run: namespace, token, node pool.
        token_version: another one for every Hugging Face token, so that a new token restarts the pods: they read it
            when they start. Never the token, nor anything computed from it.
        api_keys_version: likewise for the server's API keys.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.
        served_apis: what custom resources wait by; they are made at once if None.

    """

    plan: ServerPlan
    after: list[pulumi.Resource] = field(default_factory=list)
    token_version: pulumi.Input[str] | None = None
    api_keys_version: pulumi.Input[str] | None = None
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class InferenceServer(pulumi.ComponentResource):
    """A vLLM or TGI server; pass the cluster's Kubernetes provider in the options."""

    TYPE = "gke-llm-inference:index:InferenceServer"

    url: str
    """Address of the server inside the cluster."""
    service_account: core.v1.ServiceAccount
    """What the pods run as; it has no rights."""
    deployment: apps.v1.Deployment
    """Runs the pods."""
    service: core.v1.Service
    """What `url` names."""
    network_policy: networking.v1.NetworkPolicy | None
    """Denies the pods all traffic but what they need; None where the settings turn it off."""
    fqdn_network_policy: apiextensions.CustomResource | None
    """Allows the pods hosts by their names; None where no policy names one."""
    autoscaler: Autoscaler | None
    """What scales the pods; None where their number is fixed."""
    outputs: dict[str, Any]
    """What the component tells Pulumi of itself."""
    disruption_budget: policy.v1.PodDisruptionBudget | None
    """Lets voluntary disruptions take one pod at a time; None where there is one pod only."""

    def __init__(self, name: str, args: InferenceServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        plan, together = args.plan, args.replace_with or None
        self.service_account = account = core.v1.ServiceAccount(
            f"{name}-account",
            metadata=_metadata(plan),
            # The server never speaks to the Kubernetes API.
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, replace_with=together),
        )
        guarded = pulumi.ResourceOptions(parent=self, depends_on=args.after, replace_with=together)
        self.network_policy = network_policy(name, plan, guarded)
        self.fqdn_network_policy = fqdn_network_policy(name, plan, args.served_apis, guarded)
        guards = [one for one in (self.network_policy, self.fqdn_network_policy) if one is not None]
        create = f"{plan.rollout.progress_deadline_seconds + 60}s"
        update = f"{plan.rollout.longest_seconds + 60}s"
        self.deployment = apps.v1.Deployment(
            f"{name}-deployment",
            metadata=_metadata(plan),
            spec=_deployment_spec(plan, args),
            opts=pulumi.ResourceOptions(
                parent=self,
                # No pod is there before what guards it, and none is left when that goes.
                depends_on=[account, *guards, *args.after],
                replace_with=together,
                # Pulumi would give up after ten minutes, before a large model is loaded.
                custom_timeouts=pulumi.CustomTimeouts(create=create, update=update),
                # Where something scales the pods, a number that was stated before must not be taken back to 1.
                ignore_changes=["spec.replicas"] if plan.autoscaling else None,
            ),
        )
        self.autoscaler = autoscaler(
            name,
            plan,
            args.served_apis,
            pulumi.ResourceOptions(parent=self, depends_on=[self.deployment, *args.after], replace_with=together),
        )
        self.service = core.v1.Service(
            f"{name}-service",
            # The Deployment's rollout is waited for already; a Service without replicas would never be ready.
            metadata=_metadata(plan, annotations={"pulumi.com/skipAwait": "true"}),
            spec=core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector=plan.selector,
                ports=[
                    core.v1.ServicePortArgs(
                        name=SERVER_PORT, port=plan.service_port, protocol="TCP", target_port=SERVER_PORT
                    )
                ],
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, replace_with=together),
        )
        self.disruption_budget = None
        if plan.rollout.disruption_budget:
            self.disruption_budget = policy.v1.PodDisruptionBudget(
                f"{name}-disruption-budget",
                metadata=_metadata(plan),
                spec=policy.v1.PodDisruptionBudgetSpecArgs(
                    max_unavailable=1,
                    selector=meta.v1.LabelSelectorArgs(match_labels=plan.selector),
                    # A pod that never gets ready must not hold up the upgrade of its node.
                    unhealthy_pod_eviction_policy="AlwaysAllow",
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, replace_with=together),
            )
        self.url = f"http://{plan.name}.{plan.namespace}.svc.cluster.local:{plan.service_port}"
        self.outputs = {
            "server": plan.kind,
            "version": plan.version,
            "model": plan.model,
            "image": plan.image,
            "args": list(plan.all_arguments),
            "gpuType": plan.gpu_type,
            "gpuCount": plan.gpu_count,
            "machineType": plan.machine_type,
            "replicas": plan.replicas,
            "url": self.url,
        }
        self.register_outputs(self.outputs)


def _metadata(plan: ServerPlan, annotations: dict[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(name=plan.name, namespace=plan.namespace, labels=plan.labels, annotations=annotations)


def _deployment_spec(plan: ServerPlan, args: InferenceServerArgs) -> apps.v1.DeploymentSpecArgs:
    rollout = plan.rollout
    return apps.v1.DeploymentSpecArgs(
        replicas=None if plan.autoscaling else plan.replicas,
        progress_deadline_seconds=rollout.progress_deadline_seconds,
        revision_history_limit=3,
        selector=meta.v1.LabelSelectorArgs(match_labels=plan.selector),
        strategy=apps.v1.DeploymentStrategyArgs(
            type=rollout.strategy,
            rolling_update=apps.v1.RollingUpdateDeploymentArgs(
                max_surge=rollout.max_surge, max_unavailable=rollout.max_unavailable
            ),
        ),
        template=core.v1.PodTemplateSpecArgs(
            metadata=meta.v1.ObjectMetaArgs(labels=plan.labels, annotations=_pod_annotations(plan, args)),
            spec=_pod_spec(plan),
        ),
    )


def _pod_annotations(plan: ServerPlan, args: InferenceServerArgs) -> dict[str, pulumi.Input[str]] | None:
    annotations: dict[str, pulumi.Input[str]] = {**plan.pod.annotations}
    if plan.model_volume:
        annotations |= plan.model_volume.annotations
    if plan.uses_token and args.token_version is not None:
        annotations[_TOKEN_VERSION] = args.token_version
    if plan.api_keys and args.api_keys_version is not None:
        annotations[_API_KEYS_VERSION] = args.api_keys_version
    return annotations or None


def _pod_spec(plan: ServerPlan) -> core.v1.PodSpecArgs:
    user = plan.user
    return core.v1.PodSpecArgs(
        service_account_name=plan.name,
        automount_service_account_token=False,
        # A Service's variables read like the server's own: VLLM_PORT=tcp://... stops vLLM.
        enable_service_links=False,
        host_ipc=plan.host_ipc or None,
        priority_class_name=plan.priority_class,
        runtime_class_name=plan.pod.runtime_class,
        image_pull_secrets=[core.v1.LocalObjectReferenceArgs(name=name) for name in plan.pod.image_pull_secrets]
        or None,
        termination_grace_period_seconds=plan.shutdown.grace_seconds,
        node_selector=plan.node_selector,
        tolerations=[
            core.v1.TolerationArgs(
                key=toleration.key, operator="Equal", value=toleration.value, effect=toleration.effect
            )
            if toleration.value
            else core.v1.TolerationArgs(key=toleration.key, operator="Exists", effect=toleration.effect)
            for toleration in plan.tolerations
        ],
        security_context=core.v1.PodSecurityContextArgs(
            run_as_non_root=True if user else None,
            run_as_user=user[0] if user else None,
            run_as_group=user[1] if user else None,
            fs_group=user[1] if user else None,
            seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        init_containers=extra_containers(plan.pod) or None,
        containers=[_container(plan)],
        topology_spread_constraints=[_spread(key, plan) for key in _SPREAD_OVER],
        volumes=[
            _cache_volume(plan),
            _shared_memory_volume(plan),
            *_model_volumes(plan),
            *_api_key_volumes(plan),
            *extra_volumes(plan.pod),
        ],
    )


def _spread(topology_key: str, plan: ServerPlan) -> core.v1.TopologySpreadConstraintArgs:
    """Replicas apart where there is room: GPUs are scarce, so that a pod is never left waiting for the right place."""
    return core.v1.TopologySpreadConstraintArgs(
        topology_key=topology_key,
        max_skew=1,
        when_unsatisfiable="ScheduleAnyway",
        label_selector=meta.v1.LabelSelectorArgs(match_labels=plan.selector),
        # A rollout counts its own pods alone, or those that go would decide where the new ones run.
        match_label_keys=["pod-template-hash"],
    )


def _container(plan: ServerPlan) -> core.v1.ContainerArgs:
    resources = plan.resources
    cpu = format_cpu(resources.cpu_millicores)
    limits = {
        "ephemeral-storage": f"{resources.ephemeral_storage_gib}Gi",
        "memory": f"{resources.memory_gib}Gi",
        GPU_RESOURCE: str(plan.gpu_count),
    }
    if plan.profile == "autopilot":
        limits["cpu"] = cpu
    return core.v1.ContainerArgs(
        name=SERVER_CONTAINER,
        image=plan.image,
        image_pull_policy="IfNotPresent",
        command=list(plan.command) or None,
        args=list(plan.all_arguments),
        # The image's own directory belongs to root.
        working_dir=plan.home if plan.user else plan.model_volume.working_directory if plan.model_volume else None,
        env=_environment(plan),
        env_from=extra_sources(plan.pod) or None,
        ports=[core.v1.ContainerPortArgs(name=SERVER_PORT, container_port=plan.port, protocol="TCP")],
        resources=core.v1.ResourceRequirementsArgs(
            requests=dict(sorted({**limits, "cpu": cpu}.items())), limits=dict(sorted(limits.items()))
        ),
        startup_probe=_probe(plan, plan.probes.startup_period_seconds, plan.probes.startup_failures),
        readiness_probe=_probe(plan, plan.probes.readiness_period_seconds, plan.probes.readiness_failures),
        liveness_probe=_probe(plan, plan.probes.liveness_period_seconds, plan.probes.liveness_failures),
        lifecycle=core.v1.LifecycleArgs(
            # The kubelet sleeps itself; the image needs no shell for it.
            pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=plan.shutdown.sleep_seconds))
        ),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
            privileged=False,
            read_only_root_filesystem=plan.read_only_root_filesystem,
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name=CACHE_VOLUME, mount_path=plan.home),
            core.v1.VolumeMountArgs(name=SHARED_MEMORY_VOLUME, mount_path=SHARED_MEMORY_PATH),
            *(
                [
                    core.v1.VolumeMountArgs(
                        name=MODEL_VOLUME,
                        mount_path=plan.model_volume.mount_path,
                        sub_path=plan.model_volume.sub_path or None,
                        read_only=True,
                    )
                ]
                if plan.model_volume
                else []
            ),
            *_api_key_mounts(plan),
            *extra_mounts(plan.pod),
        ],
    )


def _environment(plan: ServerPlan) -> list[core.v1.EnvVarArgs]:
    plain = {name: core.v1.EnvVarArgs(name=name, value=value) for name, value in plan.environment}
    if plan.uses_token:
        plain |= {
            name: core.v1.EnvVarArgs(
                name=name,
                value_from=core.v1.EnvVarSourceArgs(
                    secret_key_ref=core.v1.SecretKeySelectorArgs(name=plan.secret_name, key=plan.secret_key)
                ),
            )
            for name in TOKEN_VARIABLES
        }
    keys = plan.api_keys
    if keys and keys.variable:
        plain[keys.variable] = core.v1.EnvVarArgs(
            name=keys.variable,
            value_from=core.v1.EnvVarSourceArgs(
                secret_key_ref=core.v1.SecretKeySelectorArgs(name=keys.secret_name, key=keys.secret_key)
            ),
        )
    plain |= extra_variables(plan.pod.variables)
    return [variable for _, variable in sorted(plain.items())]


def _probe(plan: ServerPlan, period: int, failures: int) -> core.v1.ProbeArgs:
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=plan.probes.path, port=SERVER_PORT),
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=plan.probes.timeout_seconds,
    )


def _cache_volume(plan: ServerPlan) -> core.v1.VolumeArgs:
    resources = plan.resources
    if not resources.cache_on_disk:
        return core.v1.VolumeArgs(
            name=CACHE_VOLUME, empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit=f"{resources.cache_gib}Gi")
        )
    return core.v1.VolumeArgs(
        name=CACHE_VOLUME,
        ephemeral=core.v1.EphemeralVolumeSourceArgs(
            volume_claim_template=core.v1.PersistentVolumeClaimTemplateArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=plan.labels),
                spec=core.v1.PersistentVolumeClaimSpecArgs(
                    access_modes=["ReadWriteOnce"],
                    storage_class_name=resources.cache_storage_class,
                    resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{resources.cache_gib}Gi"}),
                ),
            )
        ),
    )


def _shared_memory_volume(plan: ServerPlan) -> core.v1.VolumeArgs:
    return core.v1.VolumeArgs(
        name=SHARED_MEMORY_VOLUME,
        empty_dir=core.v1.EmptyDirVolumeSourceArgs(medium="Memory", size_limit=f"{plan.resources.shared_memory_gib}Gi"),
    )


def _model_volumes(plan: ServerPlan) -> list[core.v1.VolumeArgs]:
    if plan.model_volume is None:
        return []
    claim = core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=plan.model_volume.claim, read_only=True)
    return [core.v1.VolumeArgs(name=MODEL_VOLUME, persistent_volume_claim=claim)]


def _api_key_volumes(plan: ServerPlan) -> list[core.v1.VolumeArgs]:
    keys = plan.api_keys
    if keys is None or keys.file is None:
        return []
    file = keys.file.rpartition("/")[2]
    return [
        core.v1.VolumeArgs(
            name=API_KEYS_VOLUME,
            secret=core.v1.SecretVolumeSourceArgs(
                secret_name=keys.secret_name,
                # For the user and group of the pod alone.
                default_mode=0o440,
                items=[core.v1.KeyToPathArgs(key=keys.secret_key, path=file)],
            ),
        )
    ]


def _api_key_mounts(plan: ServerPlan) -> list[core.v1.VolumeMountArgs]:
    keys = plan.api_keys
    if keys is None or keys.file is None:
        return []
    return [core.v1.VolumeMountArgs(name=API_KEYS_VOLUME, mount_path=keys.file.rpartition("/")[0], read_only=True)]
