"""The Custom Metrics Stackdriver adapter: through it Kubernetes' autoscaler reads Cloud Monitoring.

Its objects are those of Google's own manifest, without the tolerations of accelerators: Autopilot rejects that of
nvidia.com/gpu of pods that ask for no GPU.
"""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp
from pulumi_kubernetes import apiregistration, apps, core, meta, rbac

from gke_llm_inference.planning.autoscaling.plan import MetricsAdapterPlan

_LABELS = {
    "app.kubernetes.io/managed-by": "pulumi",
    "app.kubernetes.io/name": "custom-metrics-stackdriver-adapter",
    "app.kubernetes.io/part-of": "gke-llm-inference",
}
_SYSTEM = "kube-system"
_RBAC = "rbac.authorization.k8s.io"
_PORT = 443
_EXTERNAL = "external.metrics.k8s.io"
_APIS = (
    ("custom.metrics.k8s.io", "v1beta1", 100),
    ("custom.metrics.k8s.io", "v1beta2", 200),
    (_EXTERNAL, "v1beta1", 100),
)


@dataclass(frozen=True, kw_only=True)
class MetricsAdapterArgs:
    """What the adapter needs.

    Attributes:
        plan: the adapter, decided.
        after: what must exist before, such as the repository of its image.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.

    """

    plan: MetricsAdapterPlan
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)


class MetricsAdapter(pulumi.ComponentResource):
    """The adapter, its rights in the cluster and in Google Cloud; pass the cluster's Kubernetes provider."""

    TYPE = "gke-llm-inference:index:MetricsAdapter"

    namespace: core.v1.Namespace
    """Where it runs."""
    account: gcp.serviceaccount.Account
    """What it acts as in Google Cloud: it may read metrics."""
    deployment: apps.v1.Deployment
    """Runs it."""

    def __init__(self, name: str, args: MetricsAdapterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self._prefix, self._plan = name, args.plan
        plan, together = args.plan, args.replace_with or None
        in_cloud = pulumi.ResourceOptions(parent=self)
        self._options = pulumi.ResourceOptions(parent=self, depends_on=args.after or None, replace_with=together)
        self.account = gcp.serviceaccount.Account(
            f"{name}-account",
            project=plan.project,
            account_id=plan.account_id,
            display_name="Reads metrics for autoscaling",
            opts=in_cloud,
        )
        gcp.projects.IAMMember(
            f"{name}-viewer",
            project=plan.project,
            role="roles/monitoring.viewer",
            member=self.account.member,
            opts=in_cloud,
        )
        identity = gcp.serviceaccount.IAMMember(
            f"{name}-identity",
            service_account_id=self.account.name,
            role="roles/iam.workloadIdentityUser",
            member=f"serviceAccount:{plan.project}.svc.id.goog[{plan.namespace}/{plan.name}]",
            opts=in_cloud,
        )
        self.namespace = core.v1.Namespace(
            f"{name}-namespace",
            metadata=meta.v1.ObjectMetaArgs(name=plan.namespace, labels=_LABELS),
            opts=self._options,
        )
        account = core.v1.ServiceAccount(
            f"{name}-service-account",
            metadata=self._metadata(plan.name, annotations={"iam.gke.io/gcp-service-account": self.account.email}),
            opts=self._after(self.namespace),
        )
        rights = self._rights(account)
        self.deployment = apps.v1.Deployment(
            f"{name}-deployment",
            metadata=self._metadata(plan.name),
            spec=self._deployment_spec(),
            opts=self._after(account, identity, *rights),
        )
        service = core.v1.Service(
            f"{name}-service",
            metadata=self._metadata(plan.name, annotations={"pulumi.com/skipAwait": "true"}),
            spec=core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector=self._selector,
                ports=[core.v1.ServicePortArgs(port=_PORT, protocol="TCP", target_port=_PORT)],
            ),
            opts=self._after(self.namespace),
        )
        for api in _APIS:
            # An API that nobody answers for stops others from listing the cluster's: the adapter is ready before.
            self._api(*api, self._after(service, self.deployment))
        self.register_outputs({})

    @property
    def _selector(self) -> dict[str, str]:
        return {"k8s-app": self._plan.name, "run": self._plan.name}

    def _metadata(
        self, name: str, *, annotations: dict[str, pulumi.Input[str]] | None = None
    ) -> meta.v1.ObjectMetaArgs:
        return meta.v1.ObjectMetaArgs(
            name=name,
            namespace=self._plan.namespace,
            labels={**_LABELS, **self._selector},
            annotations=annotations,
        )

    def _after(self, *needed: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(self._options, pulumi.ResourceOptions(depends_on=list(needed)))

    def _rights(self, account: core.v1.ServiceAccount) -> list[pulumi.Resource]:
        """What the adapter may do in the cluster, and that the autoscaler may read external metrics."""
        plan, name = self._plan, self._prefix
        adapter = rbac.v1.SubjectArgs(kind="ServiceAccount", name=plan.name, namespace=plan.namespace)
        scaler = rbac.v1.SubjectArgs(kind="ServiceAccount", name="horizontal-pod-autoscaler", namespace=_SYSTEM)
        reads = ["get", "list", "watch"]

        def role(suffix: str, role_name: str, group: str, resources: list[str]) -> rbac.v1.ClusterRole:
            return rbac.v1.ClusterRole(
                f"{name}-{suffix}",
                metadata=meta.v1.ObjectMetaArgs(name=role_name, labels=_LABELS),
                rules=[rbac.v1.PolicyRuleArgs(api_groups=[group], resources=resources, verbs=reads)],
                opts=self._options,
            )

        def binding(
            suffix: str, role_name: str, subject: rbac.v1.SubjectArgs, own_name: str, *needed: pulumi.Resource
        ) -> rbac.v1.ClusterRoleBinding:
            return rbac.v1.ClusterRoleBinding(
                f"{name}-{suffix}",
                metadata=meta.v1.ObjectMetaArgs(name=own_name, labels=_LABELS),
                role_ref=rbac.v1.RoleRefArgs(api_group=_RBAC, kind="ClusterRole", name=role_name),
                subjects=[subject],
                opts=self._after(*needed),
            )

        reader, external = "custom-metrics-resource-reader", "external-metrics-reader"
        pods = role("reader", reader, "", ["pods", "nodes", "nodes/stats"])
        metrics = role("external-reader", external, _EXTERNAL, ["*"])
        return [
            binding("delegator", "system:auth-delegator", adapter, "custom-metrics:system:auth-delegator", account),
            binding("reader-binding", reader, adapter, reader, pods, account),
            binding("external-reader-binding", external, scaler, external, metrics),
            rbac.v1.RoleBinding(
                f"{name}-authentication-reader",
                metadata=meta.v1.ObjectMetaArgs(name="custom-metrics-auth-reader", namespace=_SYSTEM, labels=_LABELS),
                role_ref=rbac.v1.RoleRefArgs(
                    api_group=_RBAC, kind="Role", name="extension-apiserver-authentication-reader"
                ),
                subjects=[adapter],
                opts=self._after(account),
            ),
        ]

    def _deployment_spec(self) -> apps.v1.DeploymentSpecArgs:
        plan = self._plan
        amount = {"cpu": "250m", "ephemeral-storage": "64Mi", "memory": "200Mi"}
        return apps.v1.DeploymentSpecArgs(
            replicas=1,
            selector=meta.v1.LabelSelectorArgs(match_labels=self._selector),
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels={**_LABELS, **self._selector}),
                spec=core.v1.PodSpecArgs(
                    service_account_name=plan.name,
                    security_context=core.v1.PodSecurityContextArgs(
                        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault")
                    ),
                    containers=[
                        core.v1.ContainerArgs(
                            name=f"pod-{plan.name}",
                            image=plan.image,
                            image_pull_policy="IfNotPresent",
                            command=[
                                "/adapter",
                                "--use-new-resource-model=true",
                                "--fallback-for-container-metrics=true",
                            ],
                            resources=core.v1.ResourceRequirementsArgs(requests=amount, limits=amount),
                            readiness_probe=core.v1.ProbeArgs(
                                http_get=core.v1.HTTPGetActionArgs(path="/healthz", port=_PORT, scheme="HTTPS"),
                                initial_delay_seconds=40,
                                period_seconds=10,
                                timeout_seconds=5,
                            ),
                        )
                    ],
                ),
            ),
        )

    def _api(self, group: str, version: str, priority: int, opts: pulumi.ResourceOptions) -> None:
        name = f"{version}.{group}"
        apiregistration.v1.APIService(
            f"{self._prefix}-{group.partition('.')[0]}-{version}",
            metadata=meta.v1.ObjectMetaArgs(name=name, labels=_LABELS),
            spec=apiregistration.v1.APIServiceSpecArgs(
                group=group,
                version=version,
                group_priority_minimum=100,
                version_priority=priority,
                # It signs its certificate itself at every start.
                insecure_skip_tls_verify=True,
                service=apiregistration.v1.ServiceReferenceArgs(
                    name=self._plan.name, namespace=self._plan.namespace, port=_PORT
                ),
            ),
            opts=opts,
        )
