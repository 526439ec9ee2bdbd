"""What cannot be in a pod beside what is planned, as it would hide, replace or weaken it."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog, InferenceServerFacts
from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL, FLEX_START_LABEL, GPU_RESOURCE, SPOT_LABEL
from gke_llm_inference.planning.access.api_keys import KEYS_DIRECTORY
from gke_llm_inference.planning.compile_cache.plan import CACHE_DIRECTORY
from gke_llm_inference.planning.model_volume import mount_path as model_path
from gke_llm_inference.planning.pod.environment import variable_findings
from gke_llm_inference.planning.pod.names import (
    ADAPTERS_CONTAINER,
    OWN_ANNOTATIONS,
    OWN_VOLUMES,
    SERVER_CONTAINER,
    SHARED_MEMORY_PATH,
)
from gke_llm_inference.secret_rules import holds_secret, is_secret_variable
from gke_llm_inference.settings import Finding, ServerSettings, VllmSettings, suggestion

# What a container of any image needs where it is; GKE mounts NVIDIA's driver below /usr/local/nvidia.
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp",  # noqa: S108
    "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/src", "/var", "/var/run")  # fmt: skip
_CLOSED = ("/dev", "/proc", "/sys", "/usr/local/nvidia", "/var/run/secrets")
# https://kubernetes.io/docs/tutorials/security/apparmor/
_WEAKENING = "container.apparmor.security.beta.kubernetes.io/"
# What the driver of buckets adds to a pod begins so: https://docs.cloud.google.com/kubernetes-engine/docs/how-to/cloud-storage-fuse-csi-driver-sidecar
_DRIVER = "gke-gcsfuse"


def pod_findings(
    path: str, settings: ServerSettings, facts: InferenceServerFacts, catalog: Catalog
) -> Iterator[Finding]:
    """Problems of what a server's pods get beside what is planned.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        facts: what is known of such servers.
        catalog: the facts to decide by.

    """
    yield from _annotation_findings(path, settings)
    yield from _toleration_findings(path, settings)
    yield from variable_findings(path, settings, facts, catalog)
    yield from _volume_findings(path, settings, facts)
    yield from _container_findings(path, settings)


def _annotation_findings(path: str, settings: ServerSettings) -> Iterator[Finding]:
    for name in sorted(settings.pod.annotations):
        where = f"{path}.pod.annotations.{name}"
        problem = annotation_problem(name)
        if problem is not None:
            what, why = problem
            yield Finding(path=where, what=what, why=why, fix="remove it")


def _toleration_findings(path: str, settings: ServerSettings) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(settings.pod.tolerations):
        where = f"{path}.pod.tolerations[{index}]"
        if one.key in (GPU_RESOURCE, SPOT_LABEL, FLEX_START_LABEL, COMPUTE_CLASS_LABEL):
            yield Finding(
                path=f"{where}.key",
                what=f"{one.key} is decided by the plan",
                why="pods tolerate GPU nodes always, and Spot and flex-start nodes where they are provisioned so",
                fix="remove it",
            )
        elif (one.key, one.effect) in seen:
            yield Finding(path=where, what=f"{one.key} is listed twice", why="one is enough", fix="remove one")
        seen.add((one.key, one.effect))


def _volume_findings(path: str, settings: ServerSettings, facts: InferenceServerFacts) -> Iterator[Finding]:
    names: dict[str, int] = {}
    mounts: dict[str, int] = {}
    for index, volume in enumerate(settings.pod.volumes):
        where = f"{path}.pod.volumes[{index}]"
        if volume.name in OWN_VOLUMES or volume.name.startswith(_DRIVER):
            yield Finding(
                path=f"{where}.name",
                what=f"{volume.name} is the name of a volume of the plan",
                why="Kubernetes tells volumes of a pod apart by their names",
                fix="rename it",
            )
        elif volume.name in names:
            yield Finding(
                path=f"{where}.name",
                what=f"{volume.name} is the name of pod.volumes[{names[volume.name]}] too",
                why="Kubernetes tells volumes of a pod apart by their names",
                fix="rename one of them",
            )
        names.setdefault(volume.name, index)
        hidden = hidden_by(volume.mount_path, settings, facts)
        if hidden is not None:
            what, why = hidden
            yield Finding(
                path=f"{where}.mountPath",
                what=f"{volume.mount_path} would hide {what}",
                why=why,
                fix="mount it elsewhere, such as /mnt/" + volume.name,
            )
        elif volume.mount_path in mounts:
            yield Finding(
                path=f"{where}.mountPath",
                what=f"is where pod.volumes[{mounts[volume.mount_path]}] is mounted",
                why="Kubernetes rejects two mounts on one path",
                fix="mount one of them elsewhere",
            )
        mounts.setdefault(volume.mount_path, index)


def hidden_by(mount_path: str, settings: ServerSettings, facts: InferenceServerFacts) -> tuple[str, str] | None:
    """What a volume that is mounted there would hide from the server, and what that does; None if nothing."""
    ours = {facts.home: "the server's home and cache", SHARED_MEMORY_PATH: "shared memory", KEYS_DIRECTORY: "API keys"}
    source = settings.store_source
    if settings.model_volume is not None or (source is not None and source.by != "streamer"):
        ours[model_path(settings, facts.working_directory)] = "the model"
    if isinstance(settings, VllmSettings) and settings.keep_compile_cache is not None:
        ours[CACHE_DIRECTORY] = "the compile cache"
    hidden = next((what for place, what in ours.items() if _meets(mount_path, place)), None)
    if hidden is not None:
        return hidden, "the server would find your volume in its place"
    if mount_path in _SYSTEM or any(_is_below(mount_path, place) for place in _CLOSED):
        return "a part of the image or the system", "the server would not start"
    return None


def annotation_problem(name: str) -> tuple[str, str] | None:
    """What an annotation of pods is that no team may set, and why; None for others."""
    if name.startswith((OWN_ANNOTATIONS, f"{_DRIVER}/")):
        return "is the plan's own", "pods would get another"
    if name.startswith(_WEAKENING):
        return "would replace the container's AppArmor profile", "the node's own profile confines the server"
    return None


def _container_findings(path: str, settings: ServerSettings) -> Iterator[Finding]:
    volumes = {volume.name for volume in settings.pod.volumes}
    names = {SERVER_CONTAINER, *([ADAPTERS_CONTAINER] if settings.adapters else [])}
    listed = [("initContainers", settings.pod.init_containers), ("containers", settings.pod.containers)]
    for where, index, one in ((key, index, one) for key, found in listed for index, one in enumerate(found)):
        place = f"{path}.pod.{where}[{index}]"
        if one.name.startswith(_DRIVER) or one.name in names:
            yield Finding(
                path=f"{place}.name",
                what=f"{one.name} is the name of another container of the pod",
                why="Kubernetes tells containers of a pod apart by their names",
                fix="rename it",
            )
        names.add(one.name)
        for name, value in sorted(one.extra_env.items()):
            if is_secret_variable(name, value):
                yield Finding(
                    path=f"{place}.extraEnv" + ("" if holds_secret(name) else f".{name}"),
                    what="holds a secret",
                    why="variables are in clear text in manifests, previews and the state",
                    fix="keep it in a Secret, and name that under env",
                )
        for name in sorted(one.extra_env.keys() & one.env.keys()):
            yield Finding(
                path=f"{place}.env.{name}",
                what="is set twice",
                why="extraEnv sets it",
                fix="remove it from one of them",
            )
        for volume, mount_path in sorted(one.mounts.items()):
            if volume not in volumes:
                yield Finding(
                    path=f"{place}.mounts.{volume}",
                    what=f"{volume} is no volume of pod.volumes",
                    why="a container sees volumes of its pod",
                    fix=suggestion(volume, volumes) if volumes else "add it to pod.volumes",
                )
            elif mount_path in _SYSTEM or any(_is_below(mount_path, closed) for closed in _CLOSED):
                yield Finding(
                    path=f"{place}.mounts.{volume}",
                    what=f"{mount_path} would hide a part of the image or the system",
                    why="the container would not start",
                    fix=f"mount it elsewhere, such as /mnt/{volume}",
                )
        if len({*one.mounts.values()}) < len(one.mounts):
            yield Finding(
                path=f"{place}.mounts",
                what="has two volumes on one path",
                why="Kubernetes rejects two mounts on one path",
                fix="mount one of them elsewhere",
            )


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _meets(path: str, other: str) -> bool:
    """Whether one of them is, or lies in, the other."""
    return _is_below(path, other) or _is_below(other, path)
