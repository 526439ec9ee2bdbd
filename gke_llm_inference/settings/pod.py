"""What a team needs in the pods of a server beside what is planned: variables, volumes, tolerations and the like."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import DnsLabel, Image, ObjectName, Settings, refused
from gke_llm_inference.settings.hugging_face import SecretKey
from gke_llm_inference.settings.network_policy import KubernetesLabelKey, KubernetesLabelValue

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,252}$")]
VariablePrefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,60}_$")]
AnnotationValue = Annotated[str, StringConstraints(max_length=10_000)]
MountPath = Annotated[str, StringConstraints(pattern=r"^(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)+$", max_length=500)]
SubPath = Annotated[
    str, StringConstraints(pattern=r"^(\.?[A-Za-z0-9_-][A-Za-z0-9._-]*(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$")
]


class _SecretOrConfigMap(Settings):
    secret: ObjectName | None = None
    """Name of a Secret in the servers' namespace."""
    config_map: ObjectName | None = None
    """Name of a ConfigMap in the servers' namespace."""

    @model_validator(mode="after")
    def _one_place(self) -> "_SecretOrConfigMap":
        if (self.secret is None) == (self.config_map is None):
            raise refused(
                "names a Secret and a ConfigMap" if self.secret is not None else "names no Secret and no ConfigMap",
                "a value is read from one place",
                "give secret or configMap",
            )
        return self


class PodVariable(_SecretOrConfigMap):
    """Where the value of a variable is: never the value itself."""

    key: SecretKey
    """Key there."""


class PodVariables(_SecretOrConfigMap):
    """Every key of a Secret or ConfigMap as a variable."""

    prefix: VariablePrefix
    """What the variables' names begin with, as what the keys are is not known to a plan; ends in _."""


class PodToleration(Settings):
    """A taint of nodes that the pods accept, beside those of GPUs, Spot and the server's pool."""

    key: KubernetesLabelKey
    """Key of the taint."""
    value: KubernetesLabelValue = ""
    """Value of the taint; any if empty."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """Effect of the taint."""


class PodSpread(Settings):
    """How far replicas are apart, in place of what the plan does for that key."""

    key: KubernetesLabelKey
    """Label of nodes; replicas are spread over its values."""
    max_skew: Annotated[int, Field(ge=1, le=1000)] = 1
    """By how many replicas two values may differ."""
    when: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"
    """Whether a pod that finds no such place is put elsewhere, or waits (whenUnsatisfiable)."""
    min_domains: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Values that there must be before one of them takes more than maxSkew replicas; for DoNotSchedule."""


class EmptyDirectory(Settings):
    """An empty directory that lives as long as the pod."""

    size_gib: Annotated[int, Field(ge=1, le=10_000)]
    """Most GiB; the pod requests as much more."""
    memory: bool = False
    """Whether it is in the pod's memory rather than on the node's disk."""


class PodVolume(Settings):
    """A volume of yours that the server's container sees: a ConfigMap, Secret, claim or empty directory."""

    name: DnsLabel
    """Name of the volume in the pod."""
    mount_path: MountPath
    """Where the server sees it."""
    sub_path: SubPath = ""
    """File or directory of the volume that is mounted; the whole volume if empty."""
    read_only: bool | None = None
    """Whether the server can only read it; true if absent, but for an empty directory."""
    config_map: ObjectName | None = None
    """Name of a ConfigMap in the servers' namespace."""
    secret: ObjectName | None = None
    """Name of a Secret in the servers' namespace."""
    claim: ObjectName | None = None
    """Name of a PersistentVolumeClaim in the servers' namespace; every node with a replica must be able to mount it."""
    empty_dir: EmptyDirectory | None = None
    """An empty directory."""

    @model_validator(mode="after")
    def _one_source(self) -> "PodVolume":
        stated = [one for one in (self.config_map, self.secret, self.claim, self.empty_dir) if one is not None]
        if len(stated) != 1:
            raise refused(
                "is several volumes in one" if stated else "does not say what it is",
                "a volume is a ConfigMap, a Secret, a claim or an empty directory",
                "give one of configMap, secret, claim and emptyDir",
            )
        if self.read_only is False and (self.config_map or self.secret):
            raise refused("cannot be written to", "Kubernetes mounts ConfigMaps and Secrets to read", "remove readOnly")
        return self


class PodContainer(Settings):
    """A container beside the server's, or one that runs before it. It gets no GPU and no right."""

    name: DnsLabel
    """Name of the container in the pod."""
    image: Image
    """Image with a version tag or digest."""
    command: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Command in place of the image's own; nothing is expanded or split."""
    args: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Arguments; no secret, as everybody who may list pods can read them."""
    extra_env: dict[VariableName, str] = {}
    """Variables with their values; none that hold a secret."""
    env: dict[VariableName, PodVariable] = {}
    """Variables whose values are in Secrets and ConfigMaps."""
    mounts: dict[DnsLabel, MountPath] = {}
    """Where the container sees which volume of pod.volumes, by name."""
    cpu: Annotated[float, Field(ge=0.01, le=100)]
    """vCPU that the container requests."""
    memory_gib: Annotated[int, Field(ge=1, le=1000)]
    """GiB that the container requests, and its limit."""
    user: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    """User id to run as, never root; the server's or the image's own if absent."""
    writable: bool = False
    """Whether the container may write to its own file system."""


class PodSettings(Settings):
    """What the pods of a server get beside what is planned."""

    annotations: dict[KubernetesLabelKey, AnnotationValue] = {}
    """Annotations of the pods."""
    tolerations: Annotated[tuple[PodToleration, ...], Field(strict=False)] = ()
    """Taints that the pods accept, beside those that the plan knows of."""
    image_pull_secrets: Annotated[tuple[ObjectName, ...], Field(strict=False)] = ()
    """Names of Secrets with which nodes pull the images."""
    runtime_class: ObjectName | None = None
    """An existing RuntimeClass of the cluster."""
    topology_spread: Annotated[tuple[PodSpread, ...], Field(strict=False)] = ()
    """How far replicas are apart, where the plan's own spread over zones and machines does not suit."""
    env: dict[VariableName, PodVariable] = {}
    """Variables of the server whose values are in Secrets and ConfigMaps."""
    env_from: Annotated[tuple[PodVariables, ...], Field(strict=False)] = ()
    """Secrets and ConfigMaps of which every key is a variable."""
    volumes: Annotated[tuple[PodVolume, ...], Field(strict=False)] = ()
    """Volumes that the server's container sees."""
    containers: Annotated[tuple[PodContainer, ...], Field(strict=False)] = ()
    """Containers beside the server's: they start before it and end after it."""
    init_containers: Annotated[tuple[PodContainer, ...], Field(strict=False)] = ()
    """Containers that run one after the other, each to its end, before the server starts."""
