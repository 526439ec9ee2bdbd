"""A GKE cluster for inference: Autopilot, Standard, or one that exists already."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning import ClusterPlan
from gke_llm_inference.settings import AutopilotCluster, CreatedNetwork, ExistingCluster, Maintenance, StandardCluster

from .kubeconfig import kubeconfig_of
from .network import Network, NetworkArgs
from .node_identity import CLOUD_PLATFORM_SCOPE, NodeIdentity, NodeIdentityArgs
from .served_apis import ServedApis


@dataclass(frozen=True, kw_only=True)
class GkeClusterArgs:
    """What a cluster needs.

    Attributes:
        plan: the cluster, decided and checked.

    """

    plan: ClusterPlan


class GkeCluster(pulumi.ComponentResource):
    """A GKE cluster and a Kubernetes provider for it."""

    TYPE = "gke-llm-inference:index:GkeCluster"

    cluster_name: pulumi.Output[str]
    """Name in Google Cloud, or the kubeconfig's context."""
    location: str | None
    """Region or zone; None for a kubeconfig context, and for another stack's cluster unless settings name it."""
    kubeconfig: pulumi.Output[str] | None
    """Kubeconfig without credentials, or another stack's as a secret; None for a kubeconfig context."""
    provider: kubernetes.Provider
    """Kubernetes provider; pass it to the components that run on the cluster."""
    cluster: gcp.container.Cluster | None
    """The cluster in Google Cloud; None for a kubeconfig context and for another stack's cluster."""
    network: Network | None
    """The VPC; None unless it is made for the cluster."""
    vpc: pulumi.Input[str] | None
    """Name or id of the VPC that the cluster is made in; None for an existing cluster."""
    node_identity: NodeIdentity | None
    """The nodes' service account; None for an existing cluster."""
    system_pool: gcp.container.NodePool | None
    """The pool for everything without a GPU; None unless the cluster is Standard and made here."""
    owner: pulumi.StackReference | None
    """The stack that made the cluster; None unless the settings refer to one."""
    node_service_account: pulumi.Output[str] | None
    """Email that nodes run as; None for an existing cluster whose settings name none."""
    before_gpu_pools: list[pulumi.Resource]
    """What must exist before a GPU node pool: GKE taints GPU nodes only where a CPU pool exists already."""
    served_apis: ServedApis
    """What custom resources wait by until the cluster serves their API."""

    def __init__(self, name: str, args: GkeClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self._prefix = name
        plan = args.plan
        self.location = plan.location
        self.kubeconfig = None
        self.node_service_account = None
        self.before_gpu_pools = []
        self.cluster = None
        self.network = None
        self.vpc = None
        self.node_identity = None
        self.system_pool = None
        self.owner = None
        match plan.settings:
            case ExistingCluster(kubeconfig_context=str() as context):
                self.cluster_name = pulumi.Output.from_input(context)
                self.provider = self._kubernetes_provider(context=context, cluster_identifier=context)
            case ExistingCluster(stack_reference=str() as reference, node_service_account=email):
                self._use_other_stack(reference, email, plan)
            case ExistingCluster(node_service_account=email):
                self.node_service_account = pulumi.Output.from_input(email) if email else None
                found = gcp.container.Cluster.get(
                    f"{name}-cluster",
                    f"projects/{plan.project}/locations/{plan.location}/clusters/{plan.name}",
                    opts=pulumi.ResourceOptions(parent=self),
                )
                self._use(found, plan)
            case AutopilotCluster() | StandardCluster() as settings:
                self._create(settings, plan)
        self.served_apis = ServedApis(
            self.kubeconfig,
            context=plan.settings.kubeconfig_context if isinstance(plan.settings, ExistingCluster) else None,
            limits=plan.served_within_seconds,
            resource=self,
        )
        self.register_outputs(
            {
                "clusterName": self.cluster_name,
                "kubeconfig": self.kubeconfig,
                "nodeServiceAccount": self.node_service_account,
            }
        )

    def _create(self, settings: AutopilotCluster | StandardCluster, plan: ClusterPlan) -> None:
        project, region = _required(plan.project), _required(plan.region)
        identity = NodeIdentity(
            f"{self._prefix}-nodes",
            NodeIdentityArgs(account_id=_required(plan.service_account_id), project=project),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.node_identity = identity
        self.node_service_account = identity.email
        network: dict[str, Any]
        needs: list[pulumi.Resource] = [*identity.bindings]
        if isinstance(settings.network, CreatedNetwork):
            created = Network(
                f"{self._prefix}-network",
                NetworkArgs(settings=settings.network, project=project, region=region),
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.network = created
            needs.append(created.nat)
            network = {"network": created.network, "subnetwork": created.subnetwork}
            pods_range, services_range = created.pods_range, created.services_range
        else:
            network = {"network": settings.network.network, "subnetwork": settings.network.subnetwork}
            pods_range, services_range = settings.network.pods_range, settings.network.services_range
        self.vpc = network["network"]
        shape = (
            _autopilot_inputs(identity.email)
            if isinstance(settings, AutopilotCluster)
            else _standard_inputs(identity.email)
        )
        cluster = gcp.container.Cluster(
            f"{self._prefix}-cluster",
            name=plan.name,
            project=project,
            location=plan.location,
            **network,
            **_common_inputs(settings, project, pods_range, services_range),
            monitoring_config=_monitoring_config(plan),
            # Absent rather than false, so that clusters that exist have no difference.
            pod_autoscaling=gcp.container.ClusterPodAutoscalingArgs(hpa_profile="PERFORMANCE")
            if plan.fast_autoscaling
            else None,
            **shape,
            # The default pool of a Standard cluster is gone as soon as the cluster is made; its shape must never
            # count as a change of the cluster, which would replace it.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=needs,
                # Google Cloud protects the cluster alone, when everything on it is deleted already; Pulumi refuses
                # before it deletes anything.
                protect=plan.protected or None,
                ignore_changes=["initialNodeCount", "nodeConfig"] if isinstance(settings, StandardCluster) else None,
            ),
        )
        self._use(cluster, plan)
        if isinstance(settings, StandardCluster):
            self.system_pool = self._system_pool(settings, cluster, plan, identity.email)
            self.before_gpu_pools = [self.system_pool]

    def _use_other_stack(self, reference: str, node_service_account: str | None, plan: ClusterPlan) -> None:
        owner = pulumi.StackReference(
            f"{self._prefix}-owner", stack_name=reference, opts=pulumi.ResourceOptions(parent=self)
        )
        self.owner = owner
        self.cluster_name = _exported(owner, reference, "clusterName")
        # This project's kubeconfigs hold no credential, but another program's may.
        self.kubeconfig = pulumi.Output.secret(_exported(owner, reference, "kubeconfig"))
        if node_service_account:
            self.node_service_account = pulumi.Output.from_input(node_service_account)
        elif plan.location is not None:  # which node pools need, and they alone
            self.node_service_account = _exported(owner, reference, "nodeServiceAccount")
        self.provider = self._kubernetes_provider(
            kubeconfig=self.kubeconfig, cluster_identifier=pulumi.Output.concat(reference, "/", self.cluster_name)
        )

    def _use(self, cluster: gcp.container.Cluster, plan: ClusterPlan) -> None:
        self.cluster = cluster
        self.cluster_name = cluster.name
        self.kubeconfig = kubeconfig_of(cluster)
        self.provider = self._kubernetes_provider(
            kubeconfig=self.kubeconfig,
            # Without an identity of its own, the provider takes a rotated certificate for another cluster and
            # replaces everything on it.
            cluster_identifier=f"{plan.project}/{plan.location}/{plan.name}",
        )

    def _kubernetes_provider(self, **inputs: Any) -> kubernetes.Provider:
        return kubernetes.Provider(
            f"{self._prefix}-kubernetes",
            # Else a new token replaces its Secret, deletes the old one first, and every Deployment that reads it
            # before that.
            enable_secret_mutable=True,
            **inputs,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _system_pool(
        self,
        settings: StandardCluster,
        cluster: gcp.container.Cluster,
        plan: ClusterPlan,
        service_account: pulumi.Output[str],
    ) -> gcp.container.NodePool:
        pool = settings.system_pool
        return gcp.container.NodePool(
            f"{self._prefix}-system",
            project=plan.project,
            location=plan.location,
            cluster=cluster.name,
            node_locations=sorted(set(settings.zones)) or None,
            initial_node_count=1,
            autoscaling=gcp.container.NodePoolAutoscalingArgs(
                total_min_node_count=pool.min_nodes,
                total_max_node_count=pool.max_nodes,
                location_policy="BALANCED",
            ),
            management=gcp.container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            upgrade_settings=gcp.container.NodePoolUpgradeSettingsArgs(max_surge=1, max_unavailable=0),
            node_config=gcp.container.NodePoolNodeConfigArgs(
                machine_type=pool.machine_type,
                disk_size_gb=pool.disk_size_gb,
                disk_type=plan.system_disk_type,
                resource_labels=settings.labels or None,
                **secure_node_inputs(service_account),
            ),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["initialNodeCount"]),
        )


def secure_node_inputs(service_account: pulumi.Input[str]) -> dict[str, Any]:
    """Node settings that every pool shares: own identity, Workload Identity, shielded boot, image streaming."""
    return {
        "service_account": service_account,
        "oauth_scopes": [CLOUD_PLATFORM_SCOPE],
        "image_type": "COS_CONTAINERD",
        "gcfs_config": gcp.container.NodePoolNodeConfigGcfsConfigArgs(enabled=True),
        "gvnic": gcp.container.NodePoolNodeConfigGvnicArgs(enabled=True),
        "metadata": {"disable-legacy-endpoints": "true"},
        "shielded_instance_config": gcp.container.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_integrity_monitoring=True, enable_secure_boot=True
        ),
        "workload_metadata_config": gcp.container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
    }


def _common_inputs(
    settings: AutopilotCluster | StandardCluster, project: str, pods_range: str, services_range: str
) -> dict[str, Any]:
    container = gcp.container
    return {
        "addons_config": container.ClusterAddonsConfigArgs(
            gce_persistent_disk_csi_driver_config=container.ClusterAddonsConfigGcePersistentDiskCsiDriverConfigArgs(
                enabled=True
            ),
            gcs_fuse_csi_driver_config=container.ClusterAddonsConfigGcsFuseCsiDriverConfigArgs(enabled=True),
        ),
        "control_plane_endpoints_config": container.ClusterControlPlaneEndpointsConfigArgs(
            dns_endpoint_config=container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(
                allow_external_traffic=True
            ),
            ip_endpoints_config=container.ClusterControlPlaneEndpointsConfigIpEndpointsConfigArgs(
                enabled=bool(settings.authorized_networks)
            ),
        ),
        "cost_management_config": container.ClusterCostManagementConfigArgs(enabled=True),
        "database_encryption": container.ClusterDatabaseEncryptionArgs(
            state="ENCRYPTED", key_name=settings.database_encryption.key
        )
        if settings.database_encryption
        else None,
        "datapath_provider": "ADVANCED_DATAPATH",
        "deletion_protection": settings.deletion_protection,
        # Absent rather than false, so that clusters that exist have no difference.
        "enable_fqdn_network_policy": settings.fqdn_network_policy or None,
        "gateway_api_config": container.ClusterGatewayApiConfigArgs(channel="CHANNEL_STANDARD"),
        "ip_allocation_policy": container.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name=pods_range, services_secondary_range_name=services_range
        ),
        "maintenance_policy": container.ClusterMaintenancePolicyArgs(
            recurring_window=_recurring_window(settings.maintenance)
        ),
        "master_authorized_networks_config": container.ClusterMasterAuthorizedNetworksConfigArgs(
            cidr_blocks=[
                container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(
                    cidr_block=entry.cidr, display_name=entry.name or None
                )
                for entry in sorted(settings.authorized_networks, key=lambda entry: entry.cidr)
            ]
        )
        if settings.authorized_networks
        else None,
        "networking_mode": "VPC_NATIVE",
        "private_cluster_config": container.ClusterPrivateClusterConfigArgs(
            enable_private_nodes=True,
            # What Google answers where addresses are off. Unsaid, older providers plan to take it back for ever.
            enable_private_endpoint=not settings.authorized_networks,
        ),
        "rbac_binding_config": container.ClusterRbacBindingConfigArgs(
            enable_insecure_binding_system_authenticated=False,
            enable_insecure_binding_system_unauthenticated=False,
        ),
        "release_channel": container.ClusterReleaseChannelArgs(channel=settings.release_channel),
        "resource_labels": settings.labels or None,
        "secret_manager_config": container.ClusterSecretManagerConfigArgs(enabled=True),
        "secret_sync_config": container.ClusterSecretSyncConfigArgs(enabled=True),
        "workload_identity_config": container.ClusterWorkloadIdentityConfigArgs(workload_pool=f"{project}.svc.id.goog"),
    }


def _monitoring_config(plan: ClusterPlan) -> gcp.container.ClusterMonitoringConfigArgs:
    container = gcp.container
    return container.ClusterMonitoringConfigArgs(
        enable_components=list(plan.monitored_components),
        managed_prometheus=container.ClusterMonitoringConfigManagedPrometheusArgs(
            enabled=True,
            # Absent unless it matters, so that clusters that exist have no difference.
            auto_monitoring_config=container.ClusterMonitoringConfigManagedPrometheusAutoMonitoringConfigArgs(
                scope="NONE"
            )
            if plan.collects_metrics
            else None,
        ),
    )


def _autopilot_inputs(service_account: pulumi.Output[str]) -> dict[str, Any]:
    # No node_config and no initial_node_count: either makes every update plan to replace the cluster.
    # The nodes' identity goes into the defaults of auto-provisioning instead.
    return {
        "enable_autopilot": True,
        "cluster_autoscaling": gcp.container.ClusterClusterAutoscalingArgs(
            auto_provisioning_defaults=gcp.container.ClusterClusterAutoscalingAutoProvisioningDefaultsArgs(
                service_account=service_account, oauth_scopes=[CLOUD_PLATFORM_SCOPE]
            )
        ),
    }


def _standard_inputs(service_account: pulumi.Output[str]) -> dict[str, Any]:
    # enable_autopilot stays unset: the provider takes even `false` for a conflict with what stands here.
    return {
        "remove_default_node_pool": True,
        "initial_node_count": 1,
        # The default pool lives for minutes only, but must not run as the project's default service account.
        "node_config": gcp.container.ClusterNodeConfigArgs(
            service_account=service_account, oauth_scopes=[CLOUD_PLATFORM_SCOPE]
        ),
        "node_pool_defaults": gcp.container.ClusterNodePoolDefaultsArgs(
            node_config_defaults=gcp.container.ClusterNodePoolDefaultsNodeConfigDefaultsArgs(
                gcfs_config=gcp.container.ClusterNodePoolDefaultsNodeConfigDefaultsGcfsConfigArgs(enabled=True)
            )
        ),
    }


def _recurring_window(maintenance: Maintenance) -> gcp.container.ClusterMaintenancePolicyRecurringWindowArgs:
    # The date only anchors the recurrence; it never changes, so that the window is not a difference.
    hours, minutes = (int(part) for part in maintenance.start_time.split(":"))
    end_hours = hours + maintenance.duration_hours
    end_day = 1 + end_hours // 24
    order = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
    days = sorted(set(maintenance.days), key=order.index)
    return gcp.container.ClusterMaintenancePolicyRecurringWindowArgs(
        start_time=f"2026-01-01T{hours:02d}:{minutes:02d}:00Z",
        end_time=f"2026-01-{end_day:02d}T{end_hours % 24:02d}:{minutes:02d}:00Z",
        recurrence=f"FREQ=WEEKLY;BYDAY={','.join(days)}",
    )


def _exported(owner: pulumi.StackReference, reference: str, name: str) -> pulumi.Output[str]:
    """An output of another stack; the deployment fails where that stack does not export it."""

    def found(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"cluster.stackReference: stack {reference} exports no {name}")
        return value

    return owner.get_output(name).apply(found)


def _required(value: str | None) -> str:
    if value is None:
        raise ValueError("a cluster in Google Cloud needs a project and a location; plan_stack checks both")
    return value
