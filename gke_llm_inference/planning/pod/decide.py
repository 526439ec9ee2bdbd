"""From the settings of pods to what the plan has of them."""

from dataclasses import replace

from gke_llm_inference.planning.plan import PodResources, Toleration
from gke_llm_inference.planning.pod.plan import (
    ExtraVolume,
    ObjectKind,
    PodExtras,
    VariableReference,
    VariableSource,
    VolumeKind,
)
from gke_llm_inference.settings import PodSettings, PodVariable, PodVariables, PodVolume


def plan_pod(asked: PodSettings) -> PodExtras:
    """What the pods get beside what is planned."""
    return PodExtras(
        annotations=dict(sorted(asked.annotations.items())),
        image_pull_secrets=asked.image_pull_secrets,
        runtime_class=asked.runtime_class,
        variables=tuple(
            VariableReference(name=name, kind=kind, object_name=found, key=one.key)
            for name, one in sorted(asked.env.items())
            for kind, found in (_place(one),)
        ),
        variable_sources=tuple(
            VariableSource(prefix=one.prefix, kind=kind, object_name=found)
            for one in asked.env_from
            for kind, found in (_place(one),)
        ),
        volumes=tuple(map(_volume, asked.volumes)),
        tolerated=tuple(f"{one.key}{'=' if one.value else ''}{one.value}:{one.effect}" for one in asked.tolerations),
    )


def pod_tolerations(asked: PodSettings) -> list[Toleration]:
    """The taints that the settings add."""
    return [Toleration(key=one.key, value=one.value, effect=one.effect) for one in asked.tolerations]


def with_directories(resources: PodResources, asked: PodSettings) -> PodResources:
    """The requests with room for empty directories: Kubernetes counts them into memory and ephemeral storage."""
    directories = [one.empty_dir for one in asked.volumes if one.empty_dir is not None]
    return replace(
        resources,
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
