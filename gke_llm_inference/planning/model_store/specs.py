"""The Job that copies a model, as Kubernetes spells it, and the program that it runs."""

from functools import cache
from pathlib import Path
from typing import Any

from gke_llm_inference.planning.model_store.plan import CopierPlan, ModelCopy
from gke_llm_inference.planning.pod.containers import format_cpu

PROGRAM = "copy_model.py"
"""What the program is called, here and in the pod."""
_PROGRAM_DIRECTORY = "/opt/model-copy"
_STATE_DIRECTORY = "/var/lib/model-copy"
_TOKEN_DIRECTORY = "/etc/model-copy"  # noqa: S105 a directory
_TOKEN_FILE = "token"  # noqa: S105 a file's name
# Nobody: the image needs no user of its own.
_USER = 65534
_SECRET_MODE = 0o440
# A container that is killed goes on where it stopped; what cannot be mended fails as fast as it starts.
_RESTARTS = 3


@cache
def program_text() -> str:
    """The program that copies a model. It needs Python's standard library and nothing else."""
    return Path(__file__).with_name(PROGRAM).read_text("utf-8")


def job_spec(copy: ModelCopy, copier: CopierPlan) -> dict[str, Any]:
    """Spec of the Job that copies a model.

    It has no time to live: a Job that Kubernetes removed would be made again by the next update that refreshes.
    """
    return {
        "activeDeadlineSeconds": copy.deadline_seconds,
        "backoffLimit": _RESTARTS,
        "completions": 1,
        "parallelism": 1,
        "template": {
            "metadata": {"labels": dict(sorted({**copier.labels, **copier.selector}.items()))},
            "spec": _pod_spec(copy, copier),
        },
    }


def _pod_spec(copy: ModelCopy, copier: CopierPlan) -> dict[str, Any]:
    return {
        "serviceAccountName": copier.name,
        # The program never speaks to the Kubernetes API; its identity in Google Cloud comes from the metadata server.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The same pod starts its container again: what is left of an upload is known there.
        "restartPolicy": "OnFailure",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(copy, copier)],
        "volumes": [
            {"name": "program", "configMap": {"name": copier.name}},
            {"name": "state", "emptyDir": {"sizeLimit": f"{copier.ephemeral_storage_mib // 2}Mi"}},
            *_token_volumes(copier),
        ],
    }


def _container(copy: ModelCopy, copier: CopierPlan) -> dict[str, Any]:
    resources = {
        "cpu": format_cpu(copier.cpu_millicores),
        "ephemeral-storage": f"{copier.ephemeral_storage_mib}Mi",
        "memory": f"{copier.memory_mib}Mi",
    }
    mounts = [
        {"name": "program", "mountPath": _PROGRAM_DIRECTORY, "readOnly": True},
        {"name": "state", "mountPath": _STATE_DIRECTORY},
    ]
    arguments = [
        f"{_PROGRAM_DIRECTORY}/{PROGRAM}",
        f"--model={copy.model.model}",
        f"--revision={copy.model.revision}",
        f"--bucket={copy.model.bucket}",
        f"--state={_STATE_DIRECTORY}",
        f"--files={copier.parallel_files}",
        f"--chunk-mib={copier.chunk_mib}",
    ]
    if copier.token_secret:
        mounts.append({"name": "token", "mountPath": _TOKEN_DIRECTORY, "readOnly": True})
        arguments.append(f"--token-file={_TOKEN_DIRECTORY}/{_TOKEN_FILE}")
    return {
        "name": "model-copy",
        "image": copier.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-u", "-B"],
        "args": arguments,
        "resources": {"requests": resources, "limits": dict(resources)},
        # The last lines say why it failed.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": mounts,
    }


def _token_volumes(copier: CopierPlan) -> list[dict[str, Any]]:
    if copier.token_secret is None:
        return []
    name, key = copier.token_secret
    items = [{"key": key, "path": _TOKEN_FILE}]
    return [{"name": "token", "secret": {"secretName": name, "defaultMode": _SECRET_MODE, "items": items}}]
