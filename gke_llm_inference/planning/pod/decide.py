"""From the settings of pods to what the plan has of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gke_llm_inference.planning.plan import PodResources, Toleration
from gke_llm_inference.planning.pod.plan import (
    ExtraContainer,
    ExtraVolume,
    ObjectKind,
    PodExtras,
    VariableReference,
    VariableSource,
    VolumeKind,
)
from gke_llm_inference.planning.pod.spread import plan_spread
from gke_llm_inference.settings import PodContainer, PodSettings, PodVariable, PodVariables, PodVolume


def plan_pod(asked: PodSettings, image: Callable[[str], str]) -> PodExtras:
    """What the pods get beside what is planned.

    Args:
        asked: the settings.
        image: the name by which pods run an image.

    """
    return PodExtras(
        annotations=dict(sorted(asked.annotations.items())),
        image_pull_secrets=asked.image_pull_secrets,
        runtime_class=asked.runtime_class,
        variables=_variables(asked.env),
        variable_sources=tuple(
            VariableSource(prefix=one.prefix, kind=kind, object_name=found)
            for one in asked.env_from
            for kind, found in (_place(one),)
        ),
        volumes=tuple(map(_volume, asked.volumes)),
        containers=tuple(_container(one, asked, image) for one in asked.containers),
        init_containers=tuple(_container(one, asked, image) for one in asked.init_containers),
        spread=plan_spread(asked.topology_spread),
        tolerated=tuple(f"{one.key}{'=' if one.value else ''}{one.value}:{one.effect}" for one in asked.tolerations),
    )


def pod_tolerations(asked: PodSettings) -> list[Toleration]:
    """The taints that the settings add."""
    return [Toleration(key=one.key, value=one.value, effect=one.effect) for one in asked.tolerations]


def with_additions(resources: PodResources, asked: PodSettings) -> PodResources:
    """The requests with room for what is added to the pod.

    Kubernetes counts empty directories into memory and ephemeral storage. Containers beside the server's count into
    the pod's requests, and one that runs before them counts where it requests more than all of those together:
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    directories = [one.empty_dir for one in asked.volumes if one.empty_dir is not None]
    beside, before = asked.containers, asked.init_containers
    return replace(
        resources,
        beside_cpu_millicores=sum(_millicores(one) for one in beside),
        beside_memory_gib=sum(one.memory_gib for one in beside),
        before_cpu_millicores=max((_millicores(one) for one in before), default=0),
        before_memory_gib=max((one.memory_gib for one in before), default=0),
        memory_gib=resources.memory_gib + sum(one.size_gib for one in directories if one.memory),
        ephemeral_storage_gib=resources.ephemeral_storage_gib
        + sum(one.size_gib for one in directories if not one.memory),
    )


def _place(one: PodVariable | PodVariables) -> tuple[ObjectKind, str]:
    return ("Secret", one.secret) if one.secret is not None else ("ConfigMap", one.config_map or "")


def _volume(one: PodVolume) -> ExtraVolume:
    kinds: tuple[tuple[VolumeKind, str | None], ...] = (
        ("ConfigMap", one.config_map),
        ("Secret", one.secret),
        ("PersistentVolumeClaim", one.claim),
    )
    kind, name = next(((kind, name) for kind, name in kinds if name is not None), ("emptyDir", ""))
    directory = one.empty_dir
    return ExtraVolume(
        name=one.name,
        kind=kind,
        object_name=name,
        mount_path=one.mount_path,
        sub_path=one.sub_path,
        read_only=directory is None if one.read_only is None else one.read_only,
        size_gib=directory.size_gib if directory else 0,
        in_memory=directory is not None and directory.memory,
    )


def _variables(asked: Mapping[str, PodVariable]) -> tuple[VariableReference, ...]:
    return tuple(
        VariableReference(name=name, kind=kind, object_name=found, key=one.key)
        for name, one in sorted(asked.items())
        for kind, found in (_place(one),)
    )


def _container(one: PodContainer, asked: PodSettings, image: Callable[[str], str]) -> ExtraContainer:
    read_only = {volume.name: _volume(volume).read_only for volume in asked.volumes}
    return ExtraContainer(
        name=one.name,
        image=image(one.image),
        command=one.command,
        args=one.args,
        environment=tuple(sorted(one.extra_env.items())),
        variables=_variables(one.env),
        mounts=tuple((name, path, read_only.get(name, True)) for name, path in sorted(one.mounts.items())),
        cpu_millicores=_millicores(one),
        memory_gib=one.memory_gib,
        user=one.user,
        writable=one.writable,
    )


def _millicores(one: PodContainer) -> int:
    return round(one.cpu * 1000)
