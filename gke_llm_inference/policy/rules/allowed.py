"""What a stack may use and must say: regions, GPUs and labels."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field

from gke_llm_inference.catalog.kubernetes_names import ACCELERATOR_LABEL
from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.policy.compute_classes import class_gpus, is_compute_class
from gke_llm_inference.policy.model import ResourcePolicy
from gke_llm_inference.policy.pools import CLUSTER, NODE_POOL
from gke_llm_inference.policy.resources import Opaque, Resource, at, fields, items
from gke_llm_inference.policy.rules.clusters import gpu_types
from gke_llm_inference.policy.workloads import is_workload, pod_specs, pod_templates
from gke_llm_inference.settings.base import NonEmpty, Settings

_LOCATIONS = ("location", "region", "zone")
_LABELS = {
    CLUSTER: ("resourceLabels",),
    NODE_POOL: ("nodeConfig", "resourceLabels"),
    "gcp:artifactregistry/repository:Repository": ("labels",),
    "gcp:compute/disk:Disk": ("labels",),
    "gcp:filestore/instance:Instance": ("labels",),
    "gcp:secretmanager/secret:Secret": ("labels",),
    "gcp:storage/bucket:Bucket": ("labels",),
}

Names = Annotated[tuple[NonEmpty, ...], Field(strict=False)]


class RegionSettings(Settings):
    """Where a stack may be."""

    regions: Names
    """Regions such as `us-central1`; `*` stands for any characters."""


class GpuSettings(Settings):
    """Which GPUs a stack may use."""

    gpus: Names
    """GPUs as in the node label `cloud.google.com/gke-accelerator`; `*` stands for any characters."""


class LabelSettings(Settings):
    """The labels that must be there, whatever their values."""

    cloud: Names
    """Labels of clusters, machines, buckets, disks and secrets in Google Cloud."""
    workloads: Names
    """Labels of workloads in Kubernetes and of their pods."""


def _regions(resource: Resource, settings: RegionSettings) -> Iterator[str]:
    if resource.package != "gcp":
        return
    places = [(key, resource.at(key)) for key in _LOCATIONS]
    places += [(f"nodeLocations[{index}]", zone) for index, zone in enumerate(items(resource.at("nodeLocations")))]
    for path, place in places:
        if isinstance(place, str) and place and place != "global":
            region = region_of(place.rpartition("/")[2].lower())
            if not _matches(region, settings.regions):
                yield f"{path}: {region} is not an allowed region; allowed: {', '.join(settings.regions) or 'none'}"


def _gpus(resource: Resource, settings: GpuSettings) -> Iterator[str]:
    named = set(gpu_types(resource))
    if is_compute_class(resource):
        named |= set(class_gpus(resource))
    selected = (at(spec, "nodeSelector", ACCELERATOR_LABEL) for _, spec in pod_specs(resource))
    named |= {one for one in selected if isinstance(one, str)}
    for gpu in sorted(named):
        if not _matches(gpu, settings.gpus):
            yield f"{gpu} is not an allowed GPU; allowed: {', '.join(settings.gpus) or 'none'}"


def _labels(resource: Resource, settings: LabelSettings) -> Iterator[str]:
    if resource.type in _LABELS:
        path = _LABELS[resource.type]
        yield from (
            f"lacks the label {name} in {'.'.join(path)}" for name in _missing(settings.cloud, resource.at(*path))
        )
    if is_workload(resource):
        own = resource.at("metadata", "labels")
        yield from (f"lacks the label {name}" for name in _missing(settings.workloads, own))
        if resource.kind != "Pod":
            of_pods = [at(template, "metadata", "labels") for _, template in pod_templates(resource)]
            lacking = dict.fromkeys(name for one in of_pods for name in _missing(settings.workloads, one))
            yield from (f"its pods lack the label {name}" for name in lacking)


def _missing(wanted: tuple[str, ...], labels: Any) -> list[str]:
    if isinstance(labels, Opaque):
        return []
    return [name for name in wanted if fields(labels).get(name) in (None, "")]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


ALLOWED_REGIONS = ResourcePolicy(
    name="allowed-regions",
    what="Everything in Google Cloud is in an allowed region.",
    why="Prompts and answers are processed where the GPUs are; contracts and quota hold for certain regions.",
    fix="move it to an allowed region, or add the region to this policy's regions",
    settings=RegionSettings,
    check=_regions,
)
ALLOWED_GPUS = ResourcePolicy(
    name="allowed-gpus",
    what="Only allowed GPUs are used.",
    why="GPUs differ much in price, and quota is granted for each kind of its own.",
    fix="choose an allowed accelerator.type, or add the GPU to this policy's gpus",
    settings=GpuSettings,
    check=_gpus,
)
REQUIRED_LABELS = ResourcePolicy(
    name="required-labels",
    what="Cloud resources and workloads have the labels that bills and searches go by.",
    why="Cost without a label belongs to nobody, and dashboards miss pods without one.",
    fix="set cluster.labels; InferenceServer sets those of Kubernetes",
    settings=LabelSettings,
    check=_labels,
)
