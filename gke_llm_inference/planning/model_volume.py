"""A volume with the model: what a pod needs to mount it, and what cannot work."""

from gke_llm_inference.planning.arguments import MODELS_DIRECTORY
from gke_llm_inference.planning.plan import ModelVolumePlan
from gke_llm_inference.settings import Finding, ServerSettings

# By this annotation the driver gives the pod the sidecar that reads the bucket.
_ANNOTATIONS = {"gcsfuse": {"gke-gcsfuse/volumes": "true"}}
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1"}


def mount_path(settings: ServerSettings, working_directory: str | None) -> str:
    """Where the model's directory is mounted; see `plan_model_volume`."""
    return MODELS_DIRECTORY if working_directory is None else f"{working_directory}/{settings.model}"


def plan_model_volume(settings: ServerSettings, working_directory: str | None) -> ModelVolumePlan | None:
    """The volume as a pod mounts it.

    TGI calls a model by the path that it is given, and has no flag for another name: the directory is mounted where
    the model's name is its relative path.

    Args:
        settings: the server's settings.
        working_directory: where a server starts that is told the model's name; None for one that has a flag for it.

    """
    volume = settings.model_volume
    if volume is None:
        return None
    annotations = _ANNOTATIONS.get(volume.storage, {})
    if working_directory is None:
        return ModelVolumePlan(claim=volume.claim, mount_path=MODELS_DIRECTORY, annotations=annotations)
    return ModelVolumePlan(
        claim=volume.claim,
        mount_path=mount_path(settings, working_directory),
        annotations=annotations,
        sub_path=volume.path,
        working_directory=working_directory,
    )


def offline_environment(settings: ServerSettings) -> dict[str, str]:
    """Environment of a server that has nothing to ask Hugging Face for."""
    return {} if settings.downloads else _ENVIRONMENT


def model_volume_problems(path: str, settings: ServerSettings) -> list[Finding]:
    """Problems of a server with such a volume."""
    volume = settings.model_volume
    if volume is None:
        return []
    problems = []
    if settings.most_replicas > 1 and volume.access_mode == "ReadWriteOnce":
        problems.append(
            Finding(
                path=f"{path}.modelVolume.accessMode",
                what=f"{settings.most_replicas} replicas cannot share a ReadWriteOnce volume",
                why="only one node can mount it; pods on others would wait for it forever",
                fix="use a ReadOnlyMany volume, or one replica",
            )
        )
    if settings.revision is not None:
        problems.append(
            Finding(
                path=f"{path}.revision",
                what="has no effect with modelVolume",
                why="nothing is downloaded: the server reads whatever lies on the volume",
                fix="remove it, and keep each revision in a directory of its own",
            )
        )
    return problems
