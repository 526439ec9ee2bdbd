"""What the pods of a server get beside what is planned, decided."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

ObjectKind = Literal["Secret", "ConfigMap"]
VolumeKind = Literal["Secret", "ConfigMap", "PersistentVolumeClaim", "emptyDir"]


@dataclass(frozen=True, kw_only=True)
class VariableReference:
    """A variable whose value is in a Secret or ConfigMap.

    Attributes:
        name: name of the variable.
        kind: what holds the value.
        object_name: name of that.
        key: key there.

    """

    name: str
    kind: ObjectKind
    object_name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class VariableSource:
    """A Secret or ConfigMap of which every key is a variable, with a prefix."""

    prefix: str
    kind: ObjectKind
    object_name: str


@dataclass(frozen=True, kw_only=True)
class SpreadConstraint:
    """How far replicas are apart.

    Attributes:
        key: label of nodes; replicas are spread over its values.
        max_skew: by how many replicas two values may differ.
        waits: whether a pod waits for the right place rather than being taken elsewhere.
        domains: values below which each takes max_skew replicas at most; None for no such bound.

    """

    key: str
    max_skew: int = 1
    waits: bool = False
    domains: int | None = None

    def __str__(self) -> str:
        domains = f", over {self.domains} at least" if self.domains else ""
        return f"{self.max_skew} apart at most{domains}, {'or waits' if self.waits else 'where there is room'}"


PLANNED_SPREAD = (SpreadConstraint(key="topology.kubernetes.io/zone"), SpreadConstraint(key="kubernetes.io/hostname"))
"""Replicas apart where there is room: GPUs are scarce, so that a pod is never left waiting for the right place."""


@dataclass(frozen=True, kw_only=True)
class ExtraVolume:
    """A volume that the server's container sees.

    Attributes:
        name: its name in the pod.
        kind: what it is.
        object_name: name of the Secret, ConfigMap or claim; empty for an empty directory.
        mount_path: where the container sees it.
        sub_path: what of it is mounted; all of it if empty.
        read_only: whether the container can only read it.
        size_gib: size limit of an empty directory in GiB; 0 for others.
        in_memory: whether an empty directory is in the pod's memory.

    """

    name: str
    kind: VolumeKind
    object_name: str
    mount_path: str
    sub_path: str
    read_only: bool
    size_gib: int = 0
    in_memory: bool = False

    def __str__(self) -> str:
        what = f"{self.kind} {self.object_name}" if self.object_name else f"emptyDir of {self.size_gib} GiB"
        what += " in memory" if self.in_memory else ""
        return f"{what} at {self.mount_path}" + (", read only" if self.read_only else "")


@dataclass(frozen=True, kw_only=True)
class ExtraContainer:
    """A container beside the server's, or one that runs before it.

    Attributes:
        name: its name in the pod.
        image: image with a version tag or digest.
        command: command in place of the image's own.
        args: arguments.
        environment: variables with plain values, sorted by name.
        variables: variables from Secrets and ConfigMaps, sorted by name.
        mounts: volume, path and whether it can only be read, sorted by volume.
        cpu_millicores: 1000 for one vCPU.
        memory_gib: GiB that it requests and may take.
        user: user id to run as; the pod's or the image's own if None.
        writable: whether it may write to its own file system.

    """

    name: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    variables: tuple[VariableReference, ...]
    mounts: tuple[tuple[str, str, bool], ...]
    cpu_millicores: int
    memory_gib: int
    user: int | None
    writable: bool

    def __str__(self) -> str:
        return f"{self.image}, {self.cpu_millicores / 1000:g} vCPU, {self.memory_gib} GiB"


@dataclass(frozen=True, kw_only=True)
class PodExtras:
    """What the pods of a server get beside what is planned; tolerations are among the server's own.

    Attributes:
        annotations: annotations of the pods.
        image_pull_secrets: Secrets with which nodes pull the images.
        runtime_class: RuntimeClass of the pods; the cluster's default if None.
        variables: variables from single keys, sorted by name.
        variable_sources: variables from whole Secrets and ConfigMaps.
        volumes: volumes of the server's container.
        containers: containers beside the server's.
        init_containers: containers that run before it, in this order.
        tolerated: the taints that the settings add, as `kubectl taint` writes them.
        spread: how far replicas are apart.

    """

    annotations: dict[str, str] = field(default_factory=dict)
    image_pull_secrets: tuple[str, ...] = ()
    runtime_class: str | None = None
    variables: tuple[VariableReference, ...] = ()
    variable_sources: tuple[VariableSource, ...] = ()
    volumes: tuple[ExtraVolume, ...] = ()
    containers: tuple[ExtraContainer, ...] = ()
    init_containers: tuple[ExtraContainer, ...] = ()
    tolerated: tuple[str, ...] = ()
    spread: tuple[SpreadConstraint, ...] = PLANNED_SPREAD

    def lines(self) -> Iterator[str]:
        """Each of them in words."""
        for variable in self.variables:
            yield f"{variable.name} from {variable.kind} {variable.object_name}, key {variable.key}"
        for source in self.variable_sources:
            yield f"{source.prefix}* from {source.kind} {source.object_name}"
        for volume in self.volumes:
            yield f"volume {volume.name}: {volume}"
        for container in self.init_containers:
            yield f"before the server {container.name}: {container}"
        for container in self.containers:
            yield f"beside the server {container.name}: {container}"
        if self.annotations:
            yield f"annotations {', '.join(self.annotations)}"
        if self.tolerated:
            yield f"tolerates {', '.join(self.tolerated)}"
        if self.image_pull_secrets:
            yield f"images pulled with {', '.join(self.image_pull_secrets)}"
        for constraint in self.spread:
            if constraint not in PLANNED_SPREAD:
                yield f"spread over {constraint.key}: {constraint}"
        if self.runtime_class:
            yield f"runtime class {self.runtime_class}"
