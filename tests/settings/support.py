"""Raw configurations to change at one place, and what parsing them gives."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import hypothesis

from gke_llm_inference.settings import Finding, Refusal, StackSettings, parse_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Raw = dict[str, Any]
Path = tuple[str | int, ...]

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz012345"
"""Has the form of a Hugging Face token."""

PROPERTY = hypothesis.settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=100,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
"""Property tests: the same examples in every run, and no clock."""


def autopilot_stack(**server: Any) -> Raw:
    """Autopilot with one server named gemma, fit or not; `server` changes or adds keys of it."""
    return {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "huggingFace": {"tokenSource": "config"},
        "servers": {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "allowUnfit": True, **server}},
    }


def full_stack() -> Raw:
    """A Standard stack in which every model of the settings occurs, or has a variant below."""
    return {
        "cluster": {
            "mode": "standard",
            "name": "llm",
            "location": "us-central1",
            "zones": ["us-central1-a"],
            "network": {"mode": "existing", "network": "n", "subnetwork": "s", "podsRange": "p", "servicesRange": "q"},
            "authorizedNetworks": [{"cidr": "192.0.2.0/24", "name": "office"}],
            "releaseChannel": "STABLE",
            "maintenance": {"startTime": "03:30", "durationHours": 12, "days": ["SA", "SU"]},
            "deletionProtection": True,
            "labels": {"team": "ml"},
            "systemPool": {"machineType": "e2-standard-4", "minNodes": 1, "maxNodes": 3, "diskSizeGb": 100},
        },
        "nodePools": {
            "l4": {
                "accelerator": {"type": "nvidia-l4", "count": 1},
                "machineType": "g2-standard-12",
                "zones": ["us-central1-a", "us-central1-b"],
                "driverVersion": "latest",
                "minNodes": 0,
                "maxNodes": 4,
                "provisioning": {"model": "reservation", "name": "held", "project": "other"},
                "diskSizeGb": 200,
                "diskType": "pd-ssd",
                "localSsds": 1,
                "secondaryBootDisks": [{"image": "projects/p/global/images/vllm", "mode": "containerImageCache"}],
                "sharing": {"strategy": "mps", "maxClients": 2},
                "labels": {"team": "ml"},
                "taints": [{"key": "team", "value": "ml", "effect": "NO_SCHEDULE"}],
                "deleteBeforeReplace": True,
            },
        },
        "huggingFace": {
            "tokenSource": "secretManager",
            "secretName": "hf-secret",
            "secretKey": "hf_api_token",
            "secret": "hugging-face",
            "projectNumber": "123456789012",
            "version": "latest",
        },
        "namespace": "llm-inference",
        "createNamespace": True,
        "servers": {
            "gemma": {
                "server": "vllm",
                "version": "0.26.0",
                "image": "docker.io/vllm/vllm-openai:v0.26.0",
                "model": "google/gemma-7b-it",
                "revision": "main",
                "architecture": {
                    "parameters": 8537680896,
                    "dtype": "bfloat16",
                    "layers": 28,
                    "hiddenSize": 3072,
                    "intermediateSize": 24576,
                    "attentionHeads": 16,
                    "kvHeads": 16,
                    "headDim": 256,
                    "vocabSize": 256000,
                    "maxPositions": 8192,
                    "tiedEmbeddings": True,
                    "gated": True,
                },
                "accelerator": {"type": "nvidia-l4", "count": 1, "memoryMib": 22563},
                "nodePool": "l4",
                "provisioning": {"model": "onDemand"},
                "replicas": 1,
                "maxModelLen": 4096,
                "resources": {"cpu": 4, "memoryGib": 16, "ephemeralStorageGib": 30},
                "labels": {"team": "ml"},
                "gpuMemoryUtilization": 0.9,
                "maxNumSeqs": 64,
                "maxNumBatchedTokens": 2048,
                "servedModelName": "gemma",
                "allowUnfit": True,
                "modelRunner": "V1",
                "compileCache": "cold",
                "keepCompileCache": {"storage": "disk", "sizeGib": 20},
            },
            "mistral": {
                "server": "tgi",
                "model": "mistralai/Mistral-7B-Instruct-v0.3",
                "maxModelLen": 4096,
                "maxInputTokens": 2048,
                "maxBatchPrefillTokens": 2048,
                "cudaMemoryFraction": 0.8,
                "allowUnfit": True,
                "modelVolume": {
                    "claim": "models",
                    "path": "mistral/7b",
                    "storage": "hyperdiskMl",
                    "accessMode": "ReadOnlyMany",
                },
            },
        },
    }


def variants() -> dict[str, Raw]:
    """Valid configurations that together use every model of the settings."""
    autopilot = changed(full_stack(), ("cluster",), {"mode": "autopilot", "location": "us-central1", "name": "llm"})
    created = {
        "mode": "create",
        "nodesCidr": "10.0.0.0/20",
        "podsCidr": "10.16.0.0/14",
        "servicesCidr": "10.20.0.0/20",
    }
    return {
        "standard": full_stack(),
        "autopilot": changed(autopilot, ("cluster", "network"), created),
        "existing by name": changed(
            full_stack(),
            ("cluster",),
            {"mode": "existing", "profile": "standard", "name": "theirs", "location": "us-central1"},
        ),
        "existing by context": changed(
            full_stack(), ("cluster",), {"mode": "existing", "profile": "standard", "kubeconfigContext": "local"}
        ),
        "token from a Secret": changed(
            full_stack(),
            ("huggingFace",),
            {"tokenSource": "existingSecret", "secretName": "theirs", "secretKey": "token"},
        ),
        "flex-start": changed(
            full_stack(), ("nodePools", "l4", "provisioning"), {"model": "flexStart", "maxRunSeconds": 86400}
        ),
    }


def changed(raw: Raw, path: Path, value: Any) -> Raw:
    """A copy of `raw` with `value` at `path`."""
    result = copy.deepcopy(raw)
    target: Any = result
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return result


def without(raw: Raw, path: Path) -> Raw:
    """A copy of `raw` without what is at `path`."""
    result = copy.deepcopy(raw)
    target: Any = result
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    return result


def leaves(raw: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of `raw` that is not a mapping or list, with its path."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from leaves(value, (*path, key))
    elif isinstance(raw, list):
        for index, value in enumerate(raw):
            yield from leaves(value, (*path, index))
    else:
        yield path, raw


def mappings(raw: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every mapping in `raw`."""
    if isinstance(raw, dict):
        yield path
        for key, value in raw.items():
            yield from mappings(value, (*path, key))
    elif isinstance(raw, list):
        for index, value in enumerate(raw):
            yield from mappings(value, (*path, index))


def dotted(path: Path) -> str:
    """A path as findings write it."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def readable(value: object) -> str | None:
    """The id of a test's parameter: paths as findings write them, what is no text as Python writes it."""
    if isinstance(value, tuple):
        return dotted(value) or "top level"
    return None if isinstance(value, str) else repr(value)


def outcome_of(raw: Mapping[str, Any]) -> StackSettings | Refusal:
    """What parsing `raw` gives: settings or a refusal, never anything else."""
    try:
        return parse_settings(raw)
    except Refusal as refusal:
        return refusal


def refusal_of(raw: Mapping[str, Any]) -> Refusal:
    """The refusal that parsing `raw` ends in."""
    outcome = outcome_of(raw)
    assert isinstance(outcome, Refusal)
    return outcome


def only_problem(raw: Mapping[str, Any]) -> Finding:
    """The one problem that parsing `raw` finds."""
    (problem,) = refusal_of(raw).problems
    return problem
