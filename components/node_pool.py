"""A GPU node pool on a Standard cluster."""

from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp

from gke_llm_inference.planning import NodePoolPlan
from gke_llm_inference.settings import FlexStartProvisioning, ReservationProvisioning, SpotProvisioning

from .cluster import secure_node_inputs

_SHARING = {"timeSharing": "TIME_SHARING", "mps": "MPS"}
_BOOT_DISK_MODES = {"containerImageCache": "CONTAINER_IMAGE_CACHE", "data": None}


@dataclass(frozen=True, kw_only=True)
class GpuNodePoolArgs:
    """What a GPU node pool needs.

    Attributes:
        plan: the pool, decided and checked.
        project: Google Cloud project.
        cluster: name of the cluster.
        location: region or zone of the cluster.
        service_account: email that nodes run as; the project's default if None.
        resource_labels: labels of the machines in Google Cloud.
        after: what must exist before the pool, such as the cluster's CPU pool.

    """

    plan: NodePoolPlan
    project: pulumi.Input[str] | None
    cluster: pulumi.Input[str]
    location: pulumi.Input[str] | None
    service_account: pulumi.Input[str] | None = None
    resource_labels: dict[str, str] = field(default_factory=dict)
    after: list[pulumi.Resource] = field(default_factory=list)


class GpuNodePool(pulumi.ComponentResource):
    """Nodes with GPUs, scaled from zero, upgraded without a spare GPU."""

    TYPE = "gke-llm-inference:index:GpuNodePool"

    node_pool: gcp.container.NodePool
    """The pool; servers that run on it depend on it."""

    def __init__(self, name: str, args: GpuNodePoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        plan, settings = args.plan, args.plan.settings
        flex_start = isinstance(settings.provisioning, FlexStartProvisioning)
        self.node_pool = gcp.container.NodePool(
            name,
            # No name: Pulumi makes one up, so that a replacement can stand beside the pool that it replaces.
            project=args.project,
            location=args.location,
            cluster=args.cluster,
            node_locations=list(plan.zones) or None,
            # Counts per zone; the autoscaler brings the pool to its least size.
            initial_node_count=0,
            autoscaling=gcp.container.NodePoolAutoscalingArgs(
                total_min_node_count=settings.min_nodes,
                total_max_node_count=settings.max_nodes,
                # Takes GPUs where they are, rather than the same number in every zone.
                location_policy="ANY",
            ),
            management=gcp.container.NodePoolManagementArgs(
                # Flex-start machines are not repaired but asked for again.
                auto_repair=not flex_start,
                auto_upgrade=True,
            ),
            upgrade_settings=None
            if flex_start
            # One node goes before its successor comes: there may be no GPU to spare.
            else gcp.container.NodePoolUpgradeSettingsArgs(strategy="SURGE", max_surge=0, max_unavailable=1),
            node_config=_node_config(args),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=args.after,
                delete_before_replace=settings.delete_before_replace or None,
                # Only the first size of a pool; the autoscaler's from then on.
                ignore_changes=["initialNodeCount"],
            ),
        )
        self.register_outputs(
            {
                "name": self.node_pool.name,
                "machineType": plan.machine_type,
                "gpuType": settings.accelerator.type,
                "gpusPerNode": settings.accelerator.count,
                "maxNodes": settings.max_nodes,
            }
        )


def _node_config(args: GpuNodePoolArgs) -> gcp.container.NodePoolNodeConfigArgs:
    container = gcp.container
    plan, settings = args.plan, args.plan.settings
    provisioning = settings.provisioning
    secure = secure_node_inputs(args.service_account or "default")
    affinity = None
    if isinstance(provisioning, ReservationProvisioning):
        owner = f"projects/{provisioning.project}/reservations/" if provisioning.project else ""
        affinity = container.NodePoolNodeConfigReservationAffinityArgs(
            consume_reservation_type="SPECIFIC_RESERVATION",
            key="compute.googleapis.com/reservation-name",
            values=[f"{owner}{provisioning.name}"],
        )
    elif isinstance(provisioning, SpotProvisioning | FlexStartProvisioning):
        affinity = container.NodePoolNodeConfigReservationAffinityArgs(consume_reservation_type="NO_RESERVATION")
    return container.NodePoolNodeConfigArgs(
        machine_type=plan.machine_type,
        disk_size_gb=settings.disk_size_gb,
        disk_type=settings.disk_type,
        guest_accelerators=[
            container.NodePoolNodeConfigGuestAcceleratorArgs(
                type=settings.accelerator.type,
                count=settings.accelerator.count,
                gpu_driver_installation_config=container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
                    gpu_driver_version=plan.driver_version.upper()
                ),
                gpu_sharing_config=container.NodePoolNodeConfigGuestAcceleratorGpuSharingConfigArgs(
                    gpu_sharing_strategy=_SHARING[settings.sharing.strategy],
                    max_shared_clients_per_gpu=settings.sharing.max_clients,
                )
                if settings.sharing
                else None,
            )
        ],
        spot=True if isinstance(provisioning, SpotProvisioning) else None,
        flex_start=True if isinstance(provisioning, FlexStartProvisioning) else None,
        max_run_duration=f"{provisioning.max_run_seconds}s"
        if isinstance(provisioning, FlexStartProvisioning)
        else None,
        reservation_affinity=affinity,
        ephemeral_storage_local_ssd_config=container.NodePoolNodeConfigEphemeralStorageLocalSsdConfigArgs(
            local_ssd_count=settings.local_ssds
        )
        if settings.local_ssds
        else None,
        secondary_boot_disks=[
            container.NodePoolNodeConfigSecondaryBootDiskArgs(disk_image=disk.image, mode=_BOOT_DISK_MODES[disk.mode])
            for disk in settings.secondary_boot_disks
        ]
        or None,
        labels=dict(sorted(plan.node_labels.items())),
        taints=[
            container.NodePoolNodeConfigTaintArgs(key=taint.key, value=taint.value, effect=taint.effect)
            for taint in plan.taints
        ]
        or None,
        resource_labels=args.resource_labels or None,
        kubelet_config=container.NodePoolNodeConfigKubeletConfigArgs(
            shutdown_grace_period_seconds=plan.shutdown.seconds,
            shutdown_grace_period_critical_pods_seconds=plan.shutdown.critical_seconds,
        )
        if plan.shutdown
        else None,
        **secure,
    )
