"""An inference server on Kubernetes: Deployment, Service, ServiceAccount, network policies and disruption budget."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, apps, core, meta, networking, policy

from gke_llm_inference.planning import ServerPlan
from gke_llm_inference.planning.pod.names import OVERRIDES_ANNOTATION, OWN_ANNOTATIONS, SERVER_CONTAINER, SERVER_PORT
from gke_llm_inference.planning.pod.template import pod_template

from .autoscaling import Autoscaler, autoscaler
from .compile_cache import compile_cache
from .leader_worker_set import leader_worker_set, marked
from .model_disk import ModelDisk, model_disk
from .network_policy import fqdn_network_policy, group_network_policies, network_policy
from .served_apis import ServedApis

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
    deployment: apps.v1.Deployment | None
    """Runs the pods; None where each replica is a group of them."""
    groups: apiextensions.CustomResource | None
    """The LeaderWorkerSet that runs groups of pods; None where a replica is one pod."""
    service: core.v1.Service
    """What `url` names."""
    network_policy: networking.v1.NetworkPolicy | None
    """Denies the pods all traffic but what they need; None where the settings turn it off."""
    group_network_policies: list[networking.v1.NetworkPolicy]
    """Lets the pods of each group talk to each other; none where a replica is one pod."""
    fqdn_network_policy: apiextensions.CustomResource | None
    """Allows the pods hosts by their names; None where no policy names one."""
    autoscaler: Autoscaler | None
    """What scales the pods; None where their number is fixed."""
    model_disk: ModelDisk | None
    """A volume that is filled with the model from a bucket; None without one."""
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
        self.model_disk = model_disk(name, plan, args.served_apis, guarded)
        disk = [self.model_disk.claim] if self.model_disk else []
        self.group_network_policies = group_network_policies(name, plan, guarded)
        guards = [one for one in (self.network_policy, self.fqdn_network_policy) if one is not None]
        guards += self.group_network_policies
        kept = compile_cache(name, plan, guarded)
        create = f"{plan.rollout.progress_deadline_seconds + 60}s"
        update = f"{plan.rollout.longest_seconds + 60}s"
        running = pulumi.ResourceOptions(
            parent=self,
            # No pod is there before what guards it, and none is left when that goes.
            depends_on=[account, *guards, *disk, *kept, *args.after],
            replace_with=together,
            # Pulumi would give up after ten minutes, before a large model is loaded.
            custom_timeouts=pulumi.CustomTimeouts(create=create, update=update),
            # Where something scales the pods, a number that was stated before must not be taken back to 1.
            ignore_changes=["spec.replicas"] if plan.autoscaling else None,
        )
        self.deployment = self.groups = None
        if plan.group is None:
            self.deployment = apps.v1.Deployment(
                f"{name}-deployment",
                metadata=_metadata(plan, annotations=_overrides(plan)),
                spec=_deployment_spec(plan, args),
                opts=running,
            )
        else:
            marks = _marks(plan, args)
            self.groups = leader_worker_set(name, plan, marks, args.served_apis, running)
        self.autoscaler = autoscaler(
            name,
            plan,
            args.served_apis,
            pulumi.ResourceOptions(parent=self, depends_on=[self.workload, *args.after], replace_with=together),
        )
        self.service = core.v1.Service(
            f"{name}-service",
            # The Deployment's rollout is waited for already; a Service without replicas would never be ready.
            metadata=_metadata(plan, annotations={"pulumi.com/skipAwait": "true"}),
            spec=core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector=plan.served_selector,
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
        container = _server_container(pod_template(plan))
        self.url = f"http://{plan.name}.{plan.namespace}.svc.cluster.local:{plan.service_port}"
        self.outputs = {
            "server": plan.kind,
            "version": plan.version,
            "model": plan.model,
            "image": container["image"],
            "args": container.get("args", []),
            "gpuType": plan.gpu_type,
            "gpuCount": plan.gpu_count,
            "machineType": plan.machine_type,
            "replicas": plan.replicas,
            "url": self.url,
        }
        self.register_outputs(self.outputs)

    @property
    def workload(self) -> pulumi.Resource:
        """What runs the pods: the Deployment, or the LeaderWorkerSet."""
        found = self.deployment or self.groups
        assert found is not None, "nothing runs the pods"
        return found


def _metadata(plan: ServerPlan, annotations: dict[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(name=plan.name, namespace=plan.namespace, labels=plan.labels, annotations=annotations)


def _overrides(plan: ServerPlan) -> dict[str, str] | None:
    """What policies look at: where the stack's patch overrides the plan."""
    overrides = plan.pod_patch.overrides if plan.pod_patch else ()
    return {OVERRIDES_ANNOTATION: ", ".join(one.path for one in overrides)} if overrides else None


def _server_container(template: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in template["spec"]["containers"] if one["name"] == SERVER_CONTAINER)


def _deployment_spec(plan: ServerPlan, args: InferenceServerArgs) -> apps.v1.DeploymentSpecArgs:
    rollout = plan.rollout
    template: Any = _pod_template(plan, args)
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
        template=template,
    )


def _pod_template(plan: ServerPlan, args: InferenceServerArgs) -> dict[str, Any]:
    template = pod_template(plan)
    marked(template, _marks(plan, args))
    return template


def _marks(plan: ServerPlan, args: InferenceServerArgs) -> dict[str, pulumi.Input[str]]:
    """Annotations of the pods that only a deployment knows: versions of the Secrets that they read when they start."""
    marks: dict[str, pulumi.Input[str]] = {}
    if plan.uses_token and args.token_version is not None:
        marks[_TOKEN_VERSION] = args.token_version
    if plan.api_keys and args.api_keys_version is not None:
        marks[_API_KEYS_VERSION] = args.api_keys_version
    return marks
