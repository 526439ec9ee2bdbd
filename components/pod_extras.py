"""What the pods of a server get beside what is planned, as Kubernetes spells it."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from collections.abc import Iterable

from pulumi_kubernetes import core

from gke_llm_inference.planning.pod.plan import ExtraContainer, ExtraVolume, PodExtras, VariableReference

# Of a Secret: for the user and group of the pod alone.
_SECRET_MODE = 0o440


def extra_variables(variables: Iterable[VariableReference]) -> dict[str, core.v1.EnvVarArgs]:
    """Variables from single keys of Secrets and ConfigMaps, by name."""
    return {
        one.name: core.v1.EnvVarArgs(
            name=one.name,
            value_from=core.v1.EnvVarSourceArgs(
                secret_key_ref=core.v1.SecretKeySelectorArgs(name=one.object_name, key=one.key)
            )
            if one.kind == "Secret"
            else core.v1.EnvVarSourceArgs(
                config_map_key_ref=core.v1.ConfigMapKeySelectorArgs(name=one.object_name, key=one.key)
            ),
        )
        for one in variables
    }


def extra_sources(extras: PodExtras) -> list[core.v1.EnvFromSourceArgs]:
    """Variables from whole Secrets and ConfigMaps."""
    return [
        core.v1.EnvFromSourceArgs(prefix=one.prefix, secret_ref=core.v1.SecretEnvSourceArgs(name=one.object_name))
        if one.kind == "Secret"
        else core.v1.EnvFromSourceArgs(
            prefix=one.prefix, config_map_ref=core.v1.ConfigMapEnvSourceArgs(name=one.object_name)
        )
        for one in extras.variable_sources
    ]


def extra_volumes(extras: PodExtras) -> list[core.v1.VolumeArgs]:
    """The volumes of the pod."""
    return [_volume(one) for one in extras.volumes]


def extra_mounts(extras: PodExtras) -> list[core.v1.VolumeMountArgs]:
    """Where the server's container sees them."""
    return [
        core.v1.VolumeMountArgs(
            name=one.name, mount_path=one.mount_path, sub_path=one.sub_path or None, read_only=one.read_only or None
        )
        for one in extras.volumes
    ]


def extra_containers(extras: PodExtras) -> list[core.v1.ContainerArgs]:
    """Containers that run before the server, and those that run beside it.

    The latter restart always: so Kubernetes starts them before the server's container, and ends them after it.
    """
    before = [_container(one, restarts=False) for one in extras.init_containers]
    return before + [_container(one, restarts=True) for one in extras.containers]


def _container(one: ExtraContainer, *, restarts: bool) -> core.v1.ContainerArgs:
    variables = {name: core.v1.EnvVarArgs(name=name, value=value) for name, value in one.environment}
    variables |= extra_variables(one.variables)
    limits = {"memory": f"{one.memory_gib}Gi"}
    requests = {"cpu": format_cpu(one.cpu_millicores), **limits}
    return core.v1.ContainerArgs(
        name=one.name,
        image=one.image,
        image_pull_policy="IfNotPresent",
        command=list(one.command) or None,
        args=list(one.args) or None,
        env=[variable for _, variable in sorted(variables.items())] or None,
        restart_policy="Always" if restarts else None,
        resources=core.v1.ResourceRequirementsArgs(requests=requests, limits=limits),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
            privileged=False,
            read_only_root_filesystem=not one.writable,
            run_as_non_root=True,
            run_as_user=one.user,
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name=name, mount_path=path, read_only=read_only or None)
            for name, path, read_only in one.mounts
        ]
        or None,
    )


def format_cpu(millicores: int) -> str:
    """A number of vCPU as Kubernetes writes it."""
    return str(millicores // 1000) if millicores % 1000 == 0 else f"{millicores}m"


def _volume(one: ExtraVolume) -> core.v1.VolumeArgs:
    match one.kind:
        case "ConfigMap":
            return core.v1.VolumeArgs(name=one.name, config_map=core.v1.ConfigMapVolumeSourceArgs(name=one.object_name))
        case "Secret":
            secret = core.v1.SecretVolumeSourceArgs(secret_name=one.object_name, default_mode=_SECRET_MODE)
            return core.v1.VolumeArgs(name=one.name, secret=secret)
        case "PersistentVolumeClaim":
            claim = core.v1.PersistentVolumeClaimVolumeSourceArgs(
                claim_name=one.object_name, read_only=one.read_only or None
            )
            return core.v1.VolumeArgs(name=one.name, persistent_volume_claim=claim)
        case "emptyDir":
            directory = core.v1.EmptyDirVolumeSourceArgs(
                medium="Memory" if one.in_memory else None, size_limit=f"{one.size_gib}Gi"
            )
            return core.v1.VolumeArgs(name=one.name, empty_dir=directory)
