"""Strategies that make any configuration with the right form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog

if TYPE_CHECKING:
    from tests.settings.support import Raw

_LABELS = st.dictionaries(
    st.from_regex(r"[a-z]([-_a-z0-9]{0,8}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z0-9]([-_a-z0-9]{0,8}[a-z0-9])?", fullmatch=True),
    max_size=2,
)
_NAMES = st.one_of(
    st.sampled_from(["gemma", "Gemma 7B", "llama-3.1", "a", "vllm", "x" * 70]), st.text(min_size=1, max_size=80)
)
_REGIONS = ["us-central1", "europe-west4", "us-east4", "us-east5", "africa-south1"]
_GPUS = {
    "type": st.sampled_from([*load_catalog().accelerators, "nvidia-l40"]),
    "count": st.sampled_from([1, 1, 2, 3, 4, 8]),
}
_ACCELERATORS = st.fixed_dictionaries({}, optional=_GPUS)
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
    "fqdnNetworkPolicy": st.booleans(),
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
        {"mode": st.just("existing"), "stackReference": st.just("org/project/platform")},
        optional={"profile": st.sampled_from(["autopilot", "standard"]), "location": st.sampled_from(_REGIONS)},
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
        "diskType": st.sampled_from(["pd-balanced", "pd-ssd"]),
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
        "family": st.sampled_from(["gemma2", "falcon", "llama"]),
        "checkpoint": st.sampled_from(["awq", "gptq", "fp8", "compressed-tensors", "bitsandbytes"]),
        "checkpointBits": st.sampled_from([4, 8]),
        "slidingWindow": st.just({"size": 1024, "layers": 4}),
        "experts": st.just({"count": 8, "perToken": 2}),
    },
)
_PEERS = st.sampled_from(
    [
        {"podLabels": {}},
        {"podLabels": {"example.com/tier": "Web"}},
        {"namespaceLabels": {"team": "search"}, "podLabels": {"app": "web"}},
        {"namespaceLabels": {}},
        {"cidr": "10.200.0.0/24"},
    ]
)
_DESTINATIONS = st.builds(
    lambda peer, ports: {**peer, "ports": ports},
    st.one_of(_PEERS, st.just({"host": "*.mirror.example.com"})),
    st.lists(st.integers(1, 65535), min_size=1, max_size=2),
)
_NETWORK_POLICY = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "allowFrom": st.lists(_PEERS, max_size=2),
        "allowTo": st.lists(_DESTINATIONS, max_size=2),
    },
)
_ANY_SERVER = {
    "networkPolicy": _NETWORK_POLICY,
    "version": st.sampled_from(["0.1.0", "0.6.0", "0.10.0", "0.26.0", "2.3.1", "3.3.7", "99.0"]),
    "image": st.sampled_from(["vllm/vllm-openai:v0.26.0-cu129", f"r.example:5000/a/b@sha256:{'0' * 64}"]),
    "revision": st.sampled_from(["main", "refs/pr/1"]),
    "architecture": _ARCHITECTURES,
    "accelerator": st.fixed_dictionaries({}, optional={**_GPUS, "memoryMib": st.integers(1024, 200_000)}),
    "nodePool": st.sampled_from(["gemma", "l4"]),
    "provisioning": _PROVISIONING,
    "replicas": st.integers(0, 6),
    "presets": st.lists(st.sampled_from([*load_catalog().presets]), max_size=3),
    "maxModelLen": st.integers(1, 200_000),
    "allowUnfit": st.booleans(),
    "maxOutputTokens": st.integers(1, 10_000),
    "quantization": st.sampled_from(["awq", "gptq_marlin", "fp8", "eetq", "bitsandbytes"]),
    "kvCacheDtype": st.sampled_from(["auto", "fp8_e4m3", "fp8_e5m2"]),
    "speculativeTokens": st.integers(1, 16),
    "modelVolume": st.fixed_dictionaries(
        {
            "claim": st.just("models"),
            "storage": st.sampled_from(["persistentDisk", "hyperdiskMl", "gcsfuse", "filestore"]),
        },
        optional={"path": st.just("google/gemma"), "accessMode": st.sampled_from(["ReadOnlyMany", "ReadWriteOnce"])},
    ),
    "extraArgs": st.lists(
        st.sampled_from(["--max-model-len=64", "--num-shard=1", "--unheard-of", "plain", "--seed=1; ls"]), max_size=3
    ),
    "extraEnv": st.dictionaries(st.sampled_from(["LOG_LEVEL", "API_KEY", "no name"]), st.just("debug"), max_size=2),
    "resources": st.fixed_dictionaries(
        {},
        optional={
            "cpu": st.one_of(st.integers(1, 100), st.floats(0.1, 200)),
            "memoryGib": st.integers(1, 2000),
            "ephemeralStorageGib": st.integers(1, 3000),
        },
    ),
    "labels": _LABELS,
}
_MODELS = st.sampled_from([*load_catalog().models, *load_catalog().checkpoints, "nobody/knows-this"])
_SERVERS = st.one_of(
    st.fixed_dictionaries(
        {"server": st.just("vllm"), "model": _MODELS},
        optional={
            **_ANY_SERVER,
            "gpuMemoryUtilization": st.floats(0.01, 1),
            "maxNumSeqs": st.integers(1, 1024),
            "maxNumBatchedTokens": st.integers(1, 16384),
            "servedModelName": st.just("gemma"),
            "loadFormat": st.sampled_from(["safetensors", "unheard_of"]),
            "prefixCaching": st.booleans(),
            "chunkedPrefill": st.booleans(),
            "attentionBackend": st.sampled_from(["FLASHINFER", "UNHEARD_OF"]),
            "enforceEager": st.booleans(),
            "modelRunner": st.sampled_from(["V1", "V2"]),
            "compileCache": st.sampled_from(["cold", "warm"]),
            "keepCompileCache": st.sampled_from(
                [{"storage": "disk"}, {"storage": "bucket", "name": "acme-cache", "projectNumber": "123456"}]
            ),
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

_OBSERVABILITY = st.fixed_dictionaries(
    {},
    optional={
        "metrics": st.fixed_dictionaries({"enabled": st.booleans()}),
        "alerts": st.fixed_dictionaries(
            {"enabled": st.booleans()},
            optional={"notificationChannels": st.just(["projects/my-project/notificationChannels/1"])},
        ),
        "dashboards": st.fixed_dictionaries({"enabled": st.booleans()}),
        "gpuMetrics": st.fixed_dictionaries({"enabled": st.booleans()}),
        "tracing": st.fixed_dictionaries(
            {"endpoint": st.just("http://collector.telemetry.svc.cluster.local:4317")},
            optional={"collectorLabels": st.just({"app": "collector"})},
        ),
    },
)

RAW_STACKS: st.SearchStrategy[Raw] = st.fixed_dictionaries(
    {"cluster": _CLUSTERS, "servers": st.dictionaries(_NAMES, _SERVERS, min_size=1, max_size=3)},
    optional={
        "nodePools": st.dictionaries(_NAMES, _POOLS, max_size=3),
        "huggingFace": _HUGGING_FACE,
        "namespace": st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True),
        "createNamespace": st.booleans(),
        "networkPolicy": _NETWORK_POLICY,
        "observability": _OBSERVABILITY,
    },
)
"""Any configuration with the right form; what it asks for may be impossible."""
