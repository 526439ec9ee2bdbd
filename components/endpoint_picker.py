"""An endpoint picker and the pool that it chooses from: what GKE's Inference Gateway asks where a request goes."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pulumi
import yaml
from pulumi_kubernetes import apiextensions, apps, core, meta, networking, rbac

from gke_llm_inference.planning.access.plan import PickerPlan
from gke_llm_inference.planning.pod.containers import format_cpu, format_memory

from .served_apis import ServedApis

INFERENCE_POOL = ("inference.networking.k8s.io/v1", "InferencePool")
"""API version and kind of the pool."""
_CONTAINER = "endpoint-picker"
_CONFIG_VOLUME = "configuration"
_READ = ("get", "list", "watch")
# Both groups of the objects that it reads where a cluster has their definitions; it waits for ever for what it may not.
_OWN_GROUPS = ("inference.networking.x-k8s.io", "llm-d.ai")


@dataclass(frozen=True, kw_only=True)
class EndpointPickerArgs:
    """What an endpoint picker needs.

    Attributes:
        plan: the picker, decided and checked.
        namespace: Kubernetes namespace of the server.
        pod_port: port of the server's pods.
        after: what must exist before, such as the namespace and the server's Service.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.
        served_apis: what the pool waits by; it is made at once if None.

    """

    plan: PickerPlan
    namespace: str
    pod_port: int
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class EndpointPicker(pulumi.ComponentResource):
    """An endpoint picker with its pool; pass the cluster's Kubernetes provider in the options."""

    TYPE = "gke-llm-inference:index:EndpointPicker"

    pool: apiextensions.CustomResource
    """The InferencePool: the pods, and whom the load balancer asks which of them gets a request."""
    deployment: apps.v1.Deployment
    """Runs the picker."""
    service: core.v1.Service
    """Where the load balancer finds it."""
    network_policy: networking.v1.NetworkPolicy | None
    """Denies the picker's pod all traffic but what it needs; None where the server has none either."""

    def __init__(self, name: str, args: EndpointPickerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        plan, self._args = args.plan, args
        account = core.v1.ServiceAccount(f"{name}-account", metadata=self._metadata(), opts=self._options())
        binding = self._rights(name, account)
        text = yaml.safe_dump(dict(plan.configuration), sort_keys=False)
        # Another name for another configuration: the picker reads it when it starts, and an old pod keeps its own.
        configuration_name = f"{plan.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        configuration = core.v1.ConfigMap(
            f"{name}-configuration",
            metadata=self._metadata(configuration_name),
            data={plan.config_file: text},
            opts=self._options(),
        )
        policy_spec: Any = plan.network_policy.spec if plan.network_policy else None
        self.network_policy = None
        if policy_spec:
            self.network_policy = networking.v1.NetworkPolicy(
                f"{name}-network-policy", metadata=self._metadata(), spec=policy_spec, opts=self._options()
            )
        self.service = core.v1.Service(
            f"{name}-service",
            # The Deployment's rollout is waited for already.
            metadata=self._metadata(annotations={"pulumi.com/skipAwait": "true"}),
            spec=core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector=plan.selector,
                ports=[
                    core.v1.ServicePortArgs(
                        name="grpc-ext-proc",
                        port=plan.picks_port,
                        protocol="TCP",
                        target_port=plan.picks_port,
                        app_protocol="kubernetes.io/h2c",
                    )
                ],
            ),
            opts=self._options(),
        )
        self.pool = apiextensions.CustomResource(
            f"{name}-pool",
            api_version=INFERENCE_POOL[0],
            kind=INFERENCE_POOL[1],
            metadata=self._metadata(
                args.served_apis.once_served(*INFERENCE_POOL, plan.pool) if args.served_apis else plan.pool
            ),
            spec=_pool_spec(plan, args.pod_port),
            opts=self._options(self.service),
        )
        guards = [self.network_policy] if self.network_policy else []
        self.deployment = apps.v1.Deployment(
            f"{name}-deployment",
            metadata=self._metadata(),
            spec=_deployment_spec(plan, configuration_name),
            # It is not well before it has found its pool.
            opts=self._options(account, binding, configuration, self.pool, *guards),
        )
        self.register_outputs({})

    @property
    def resources(self) -> list[pulumi.Resource]:
        """What a route to the pool comes after."""
        return [self.pool, self.deployment]

    def _rights(self, name: str, account: core.v1.ServiceAccount) -> rbac.v1.RoleBinding:
        """It reads its pool and the namespace's pods, and changes nothing."""
        role = rbac.v1.Role(
            f"{name}-role",
            metadata=self._metadata(),
            rules=[
                rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["pods"], verbs=_READ),
                rbac.v1.PolicyRuleArgs(
                    api_groups=[INFERENCE_POOL[0].partition("/")[0]], resources=["inferencepools"], verbs=_READ
                ),
                rbac.v1.PolicyRuleArgs(
                    api_groups=_OWN_GROUPS, resources=["inferencemodelrewrites", "inferenceobjectives"], verbs=_READ
                ),
            ],
            opts=self._options(),
        )
        return rbac.v1.RoleBinding(
            f"{name}-role-binding",
            metadata=self._metadata(),
            role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=self._args.plan.name),
            subjects=[
                rbac.v1.SubjectArgs(kind="ServiceAccount", name=self._args.plan.name, namespace=self._args.namespace)
            ],
            opts=self._options(role, account),
        )

    def _metadata(
        self, name: pulumi.Input[str] | None = None, annotations: dict[str, str] | None = None
    ) -> meta.v1.ObjectMetaArgs:
        plan = self._args.plan
        return meta.v1.ObjectMetaArgs(
            name=name or plan.name, namespace=self._args.namespace, labels=plan.labels, annotations=annotations
        )

    def _options(self, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        args = self._args
        return pulumi.ResourceOptions(
            parent=self, depends_on=[*args.after, *needs], replace_with=args.replace_with or None
        )


def _pool_spec(plan: PickerPlan, pod_port: int) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": dict(plan.server_selector)},
        "targetPorts": [{"number": pod_port}],
        "endpointPickerRef": {
            "group": "",
            "kind": "Service",
            "name": plan.name,
            "port": {"number": plan.picks_port},
            # Without the picker, the load balancer goes on by itself.
            "failureMode": "FailOpen",
        },
    }


def _deployment_spec(plan: PickerPlan, configuration_name: str) -> apps.v1.DeploymentSpecArgs:
    return apps.v1.DeploymentSpecArgs(
        # One has seen every request, and so knows which pod has which prefix.
        replicas=1,
        revision_history_limit=3,
        selector=meta.v1.LabelSelectorArgs(match_labels=plan.selector),
        strategy=apps.v1.DeploymentStrategyArgs(
            type="RollingUpdate",
            rolling_update=apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
        ),
        template=core.v1.PodTemplateSpecArgs(
            metadata=meta.v1.ObjectMetaArgs(labels=plan.labels),
            spec=core.v1.PodSpecArgs(
                service_account_name=plan.name,
                enable_service_links=False,
                termination_grace_period_seconds=plan.grace_seconds,
                security_context=core.v1.PodSecurityContextArgs(
                    run_as_non_root=True,
                    run_as_user=plan.user,
                    run_as_group=plan.user,
                    seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
                ),
                containers=[_container(plan)],
                volumes=[
                    core.v1.VolumeArgs(
                        name=_CONFIG_VOLUME,
                        config_map=core.v1.ConfigMapVolumeSourceArgs(name=configuration_name),
                    )
                ],
            ),
        ),
    )


def _container(plan: PickerPlan) -> core.v1.ContainerArgs:
    cpu, memory = format_cpu(plan.cpu_millicores), format_memory(plan.memory_mib)
    return core.v1.ContainerArgs(
        name=_CONTAINER,
        image=plan.image,
        image_pull_policy="IfNotPresent",
        args=list(plan.arguments),
        ports=[
            core.v1.ContainerPortArgs(name="grpc", container_port=plan.picks_port, protocol="TCP"),
            core.v1.ContainerPortArgs(name="grpc-health", container_port=plan.health_port, protocol="TCP"),
        ],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": cpu, "memory": memory},
            limits={**({"cpu": cpu} if plan.limits_cpu else {}), "memory": memory},
        ),
        startup_probe=_probe(plan, period_seconds=5, failure_threshold=24),
        readiness_probe=_probe(plan, period_seconds=2, failure_threshold=3),
        liveness_probe=_probe(plan, period_seconds=10, failure_threshold=6, service="liveness"),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
            privileged=False,
            read_only_root_filesystem=True,
        ),
        volume_mounts=[core.v1.VolumeMountArgs(name=_CONFIG_VOLUME, mount_path=plan.config_directory, read_only=True)],
    )


def _probe(
    plan: PickerPlan, *, period_seconds: int, failure_threshold: int, service: str | None = None
) -> core.v1.ProbeArgs:
    return core.v1.ProbeArgs(
        grpc=core.v1.GRPCActionArgs(port=plan.health_port, service=service),
        period_seconds=period_seconds,
        failure_threshold=failure_threshold,
        timeout_seconds=2,
    )
