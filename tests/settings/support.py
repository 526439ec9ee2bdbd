"""Raw configurations to change at one place, and strategies that make any valid one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import strategies as st

from catalog import load_catalog
from settings import Finding, Refusal, StackSettings, parse_settings

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
    """Autopilot with one server named gemma; `server` changes or adds keys of it."""
    return {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "huggingFace": {"tokenSource": "config"},
        "servers": {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", **server}},
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
                "accelerator": {"type": "nvidia-l4", "count": 1},
                "nodePool": "l4",
                "provisioning": {"model": "onDemand"},
                "replicas": 2,
                "maxModelLen": 4096,
                "resources": {"cpu": 4, "memoryGib": 16, "ephemeralStorageGib": 30},
                "labels": {"team": "ml"},
                "gpuMemoryUtilization": 0.9,
                "maxNumSeqs": 64,
                "maxNumBatchedTokens": 2048,
                "servedModelName": "gemma",
            },
            "mistral": {
                "server": "tgi",
                "model": "mistralai/Mistral-7B-Instruct-v0.3",
                "maxModelLen": 4096,
                "maxInputTokens": 2048,
                "maxBatchPrefillTokens": 2048,
                "cudaMemoryFraction": 0.8,
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


_LABELS = st.dictionaries(
    st.from_regex(r"[a-z]([-_a-z0-9]{0,8}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z0-9]([-_a-z0-9]{0,8}[a-z0-9])?", fullmatch=True),
    max_size=2,
)
_NAMES = st.one_of(
    st.sampled_from(["gemma", "Gemma 7B", "llama-3.1", "a", "vllm", "x" * 70]), st.text(min_size=1, max_size=80)
)
_REGIONS = ["us-central1", "europe-west4", "us-east4", "us-east5", "africa-south1"]
_ACCELERATORS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*load_catalog().accelerators, "nvidia-l40"]),
        "count": st.sampled_from([1, 1, 2, 3, 4, 8]),
    },
)
_PROVISIONING = st.one_of(
    st.just({"model": "onDemand"}),
    st.just({"model": "spot"}),
    st.fixed_dictionaries(
        {"model": st.just("flexStart")}, optional={"maxRunSeconds": st.integers(min_value=600, max_value=604800)}
    ),
    st.fixed_dictionaries(
        {"model": st.just("reservation"), "name": st.just("held")}, optional={"project": st.just("other")}
    ),
)
_CREATED = {
    "name": st.from_regex(r"[a-z][a-z0-9]{0,30}", fullmatch=True),
    "network": st.sampled_from(
        [
            {"mode": "create"},
            {
                "mode": "create",
                "nodesCidr": "172.16.0.0/20",
                "podsCidr": "10.64.0.0/12",
                "servicesCidr": "10.80.0.0/20",
            },
            {"mode": "existing", "network": "n", "subnetwork": "s", "podsRange": "p", "servicesRange": "q"},
        ]
    ),
    "authorizedNetworks": st.lists(
        st.sampled_from([{"cidr": "192.0.2.0/24"}, {"cidr": "198.51.100.7/32", "name": "office"}]), max_size=2
    ),
    "releaseChannel": st.sampled_from(["RAPID", "REGULAR", "STABLE", "EXTENDED"]),
    "maintenance": st.fixed_dictionaries(
        {
            "durationHours": st.integers(min_value=12, max_value=24),
            "days": st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1, max_size=7),
        },
        optional={"startTime": st.sampled_from(["00:00", "23:59"])},
    ),
    "deletionProtection": st.booleans(),
    "labels": _LABELS,
}
_CLUSTERS = st.one_of(
    st.fixed_dictionaries(
        {"mode": st.just("autopilot"), "location": st.sampled_from(_REGIONS)},
        optional=_CREATED,
    ),
    st.fixed_dictionaries(
        {"mode": st.just("standard"), "location": st.sampled_from([*_REGIONS, "us-central1-a"])},
        optional={
            **_CREATED,
            "zones": st.lists(st.sampled_from(["us-central1-a", "us-central1-c", "europe-west4-b"]), max_size=2),
            "systemPool": st.fixed_dictionaries(
                {}, optional={"minNodes": st.integers(1, 3), "maxNodes": st.integers(3, 9)}
            ),
        },
    ),
    st.fixed_dictionaries(
        {"mode": st.just("existing"), "name": st.just("theirs"), "location": st.sampled_from(_REGIONS)},
        optional={"profile": st.sampled_from(["autopilot", "standard"])},
    ),
    st.fixed_dictionaries(
        {"mode": st.just("existing"), "kubeconfigContext": st.just("local")},
        optional={"profile": st.sampled_from(["autopilot", "standard"])},
    ),
)
_POOLS = st.fixed_dictionaries(
    {"maxNodes": st.integers(3, 12)},
    optional={
        "accelerator": _ACCELERATORS,
        "machineType": st.sampled_from([*load_catalog().machine_types, "n2-standard-8"]),
        "zones": st.lists(st.sampled_from(["us-central1-a", "us-central1-f", "europe-west4-b"]), max_size=2),
        "driverVersion": st.sampled_from(["default", "latest"]),
        "minNodes": st.integers(0, 3),
        "provisioning": _PROVISIONING,
        "diskSizeGb": st.integers(50, 1000),
        "diskType": st.sampled_from(["pd-balanced", "pd-ssd", "hyperdisk-balanced"]),
        "localSsds": st.integers(0, 2),
        "sharing": st.fixed_dictionaries(
            {"strategy": st.sampled_from(["timeSharing", "mps"]), "maxClients": st.integers(2, 48)}
        ),
        "labels": _LABELS,
        "taints": st.lists(
            st.sampled_from([{"key": "team", "value": "ml"}, {"key": "gke.io/x", "value": "", "effect": "NO_EXECUTE"}]),
            max_size=2,
        ),
        "deleteBeforeReplace": st.booleans(),
    },
)
_HUGGING_FACE = st.sampled_from(
    [
        {"tokenSource": "none"},
        {"tokenSource": "config"},
        {"tokenSource": "config", "secretName": "theirs", "secretKey": "token"},
        {"tokenSource": "existingSecret"},
        {"tokenSource": "secretManager", "secret": "projects/p/secrets/s", "projectNumber": "123456", "version": "7"},
    ]
)
_ARCHITECTURES = st.fixed_dictionaries(
    {
        "parameters": st.integers(1, 2 * 10**12),
        "layers": st.integers(1, 200),
        "hiddenSize": st.just(4096),
        "intermediateSize": st.just(14336),
        "attentionHeads": st.sampled_from([1, 4, 28, 32, 71]),
        "kvHeads": st.sampled_from([1, 8]),
        "headDim": st.just(128),
        "vocabSize": st.just(32000),
        "maxPositions": st.sampled_from([1, 2048, 131072]),
    },
    optional={
        "dtype": st.sampled_from(["float32", "float16", "bfloat16"]),
        "gated": st.booleans(),
        "slidingWindow": st.just({"size": 1024, "layers": 4}),
        "experts": st.just({"count": 8, "perToken": 2}),
    },
)
_ANY_SERVER = {
    "version": st.sampled_from(["0.1.0", "0.10.0", "0.26.0", "2.3.1", "3.3.7", "99.0"]),
    "image": st.sampled_from(["vllm/vllm-openai:v0.26.0-cu129", f"r.example:5000/a/b@sha256:{'0' * 64}"]),
    "revision": st.sampled_from(["main", "refs/pr/1"]),
    "architecture": _ARCHITECTURES,
    "accelerator": _ACCELERATORS,
    "nodePool": st.sampled_from(["gemma", "l4"]),
    "provisioning": _PROVISIONING,
    "replicas": st.integers(0, 6),
    "maxModelLen": st.integers(1, 200_000),
    "resources": st.fixed_dictionaries(
        {},
        optional={
            "cpu": st.one_of(st.integers(1, 100), st.floats(0.01, 200)),
            "memoryGib": st.integers(1, 2000),
            "ephemeralStorageGib": st.integers(1, 3000),
        },
    ),
    "labels": _LABELS,
}
_MODELS = st.sampled_from([*load_catalog().models, "nobody/knows-this"])
_SERVERS = st.one_of(
    st.fixed_dictionaries(
        {"server": st.just("vllm"), "model": _MODELS},
        optional={
            **_ANY_SERVER,
            "gpuMemoryUtilization": st.floats(0.01, 1),
            "maxNumSeqs": st.integers(1, 1024),
            "maxNumBatchedTokens": st.integers(1, 16384),
            "servedModelName": st.just("gemma"),
        },
    ),
    st.fixed_dictionaries(
        {"server": st.just("tgi"), "model": _MODELS},
        optional={
            **_ANY_SERVER,
            "maxInputTokens": st.integers(1, 200_000),
            "maxBatchPrefillTokens": st.integers(1, 16384),
            "cudaMemoryFraction": st.floats(0.01, 1),
        },
    ),
)

RAW_STACKS: st.SearchStrategy[Raw] = st.fixed_dictionaries(
    {"cluster": _CLUSTERS, "servers": st.dictionaries(_NAMES, _SERVERS, min_size=1, max_size=3)},
    optional={
        "nodePools": st.dictionaries(_NAMES, _POOLS, max_size=3),
        "huggingFace": _HUGGING_FACE,
        "namespace": st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True),
        "createNamespace": st.booleans(),
    },
)
"""Any configuration with the right form; what it asks for may be impossible."""
