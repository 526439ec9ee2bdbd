"""Which disk a server's nodes start with, how its pods ask for it, and who allows it."""

from collections.abc import Iterable, Iterator, Sequence

from gke_llm_inference.catalog.facts import BootDiskFacts
from gke_llm_inference.planning.boot_disks.plan import AllowlistPlan, HeldImages
from gke_llm_inference.planning.capacity_tiers.asked import makes_nodes, needs_class
from gke_llm_inference.planning.plan import ClusterPlan, NodePoolPlan
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import (
    CreatedBootDiskAllowlist,
    ExistingBootDiskAllowlist,
    ExistingCluster,
    Finding,
    NodePoolSettings,
    ServerSettings,
    StackSettings,
)

_LONGEST_NAME = 63


def held_images(path: str, settings: ServerSettings, pool: NodePoolPlan | None) -> HeldImages | None:
    """What the disk holds that a server's nodes start with; None where they have no such disk.

    Args:
        path: where the server stands in the configuration.
        settings: its settings.
        pool: the node pool that it runs on, where the stack has one.

    """
    if pool is not None:
        return next(
            (
                HeldImages(
                    path=f"nodePools.{pool.key}.secondaryBootDisks[{index}]",
                    title="the pool's secondary boot disk",
                    images=disk.container_images,
                )
                for index, disk in enumerate(pool.settings.secondary_boot_disks)
                if disk.mode == "containerImageCache"
            ),
            None,
        )
    own = settings.secondary_boot_disk
    if own is None:
        return None
    return HeldImages(
        path=f"{path}.secondaryBootDisk", title="the secondary boot disk of its nodes", images=own.container_images
    )


def boot_disk_selector(settings: ServerSettings, facts: BootDiskFacts) -> dict[str, str]:
    """The label by which a pod asks for nodes that start with its disk; none where it has no disk."""
    disk = settings.secondary_boot_disk
    if disk is None:
        return {}
    return {f"{facts.label}{_name(disk.image)}": f"{facts.label_value}.{_project(disk.image)}"}


def plan_allowlist(settings: StackSettings, cluster: ClusterPlan, facts: BootDiskFacts) -> AllowlistPlan | None:
    """The list of disk images that the stack makes; None where it needs none, or another one makes it."""
    used = {disk.image for server in settings.servers.values() if (disk := server.secondary_boot_disk)}
    if cluster.profile == "standard" and not used:
        return None
    match settings.boot_disk_allowlist:
        case ExistingBootDiskAllowlist():
            return None
        case CreatedBootDiskAllowlist(images=others):
            return AllowlistPlan(name=facts.allowlist, patterns=tuple(sorted(used | set(others))))
        case None:
            if not used or isinstance(cluster.settings, ExistingCluster):
                return None
            return AllowlistPlan(name=facts.allowlist, patterns=tuple(sorted(used)))


def server_boot_disk_findings(
    path: str, settings: ServerSettings, cluster: ClusterPlan, facts: BootDiskFacts
) -> Iterator[Finding]:
    """Problems of a disk that a server asks for."""
    disk = settings.secondary_boot_disk
    if disk is None:
        return
    where = f"{path}.secondaryBootDisk"
    if cluster.profile == "standard" and not makes_nodes(settings, cluster.profile):
        yield Finding(
            path=where,
            what="belongs to the node pool on a Standard cluster",
            why="there the pool's nodes start with it, whichever pod they run",
            fix="move it to nodePools, as secondaryBootDisks, or list capacity, for which GKE makes nodes",
        )
        return
    known = cluster.settings.gke_version
    if known is not None and version_parts(known) < version_parts(facts.autopilot_since):
        yield Finding(
            path="cluster.gkeVersion",
            what=f"{known} is before {facts.autopilot_since}, from which nodes that GKE makes have such disks",
            why=f"{where} needs it",
            fix="upgrade the cluster, or remove secondaryBootDisk",
        )
    if needs_class(settings, cluster.profile):
        return
    prefix = facts.label.rpartition("/")[2]
    room = _LONGEST_NAME - len(prefix)
    if len(_name(disk.image)) > room:
        yield Finding(
            path=f"{where}.image",
            what=f"the disk image's name has {len(_name(disk.image))} characters, more than {room}",
            why=f"pods ask for it by the label {prefix}NAME, which has {_LONGEST_NAME} at most",
            fix="make the disk image by a shorter name",
        )


def allowlist_findings(settings: StackSettings, cluster: ClusterPlan) -> Iterator[Finding]:
    """Problems and warnings of the list that allows disk images: one object of a cluster, whoever uses it."""
    asked = settings.boot_disk_allowlist
    users = [key for key, server in sorted(settings.servers.items()) if server.secondary_boot_disk]
    if cluster.profile == "standard" and not users:
        if asked is not None:
            yield Finding(
                path="bootDiskAllowlist",
                what="has no effect on a Standard cluster",
                why="only nodes that GKE makes for pods are asked whether they may start with a disk image",
                fix="remove it",
                severity="warning",
            )
        return
    if users and asked is None and isinstance(cluster.settings, ExistingCluster):
        yield Finding(
            path="bootDiskAllowlist",
            what="is missing",
            why=f"servers.{users[0]} has a secondary boot disk, and the cluster has one list of allowed disk images: "
            "two stacks that make it would take it from each other",
            fix="set {mode: create} in one stack alone, with the disk images of the others under images, and "
            "{mode: existing} in those",
        )
    if not users and isinstance(asked, CreatedBootDiskAllowlist) and not asked.images:
        yield Finding(
            path="bootDiskAllowlist.images",
            what="lists no disk image, and no server has a secondary boot disk",
            why="the API server takes no empty list",
            fix="list the disk images of the other stacks, or remove bootDiskAllowlist",
        )
    if not users and isinstance(asked, ExistingBootDiskAllowlist):
        yield Finding(
            path="bootDiskAllowlist",
            what="no server has a secondary boot disk",
            why="nothing uses it",
            fix="remove it",
            severity="warning",
        )


def not_held_warnings(held: HeldImages | None, image: str) -> list[Finding]:
    """A warning where a disk is said to hold other images than the one that the pods run."""
    if held is None or held.holds(image):
        return []
    return [
        Finding(
            path=f"{held.path}.containerImages",
            what=f"does not have {image}",
            why="a node finds an image on the disk by the very name that the pod runs it by, and pulls any other",
            fix=f"make the disk image with {image}; it holds {', '.join(held.images)}",
            severity="warning",
        )
    ]


def pool_boot_disk_findings(
    pools: Iterable[tuple[str, NodePoolSettings]], cluster: ClusterPlan, facts: BootDiskFacts
) -> Iterator[Finding]:
    """Problems of disks that node pools start with."""
    known = cluster.settings.gke_version
    using: Sequence[str] = [key for key, pool in pools if pool.secondary_boot_disks]
    if using and known is not None and version_parts(known) < version_parts(facts.standard_since):
        yield Finding(
            path="cluster.gkeVersion",
            what=f"{known} is before {facts.standard_since}, from which node pools have secondary boot disks",
            why=f"nodePools.{using[0]}.secondaryBootDisks needs it",
            fix="upgrade the cluster, or remove secondaryBootDisks",
        )


def _name(image: str) -> str:
    return image.rpartition("/")[2]


def _project(image: str) -> str:
    return image.split("/")[1]
