"""Changes by hand to two stacks, of configuration and of code."""

import copy
from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]

AUTOPILOT: Config = {
    "cluster": {"mode": "autopilot", "location": "us-central1", "deletionProtection": False},
    "huggingFace": {"tokenSource": "config"},
    "servers": {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096}},
}
STANDARD: Config = {
    "cluster": {"mode": "standard", "location": "us-central1"},
    "huggingFace": {"tokenSource": "existingSecret"},
    "nodePools": {"l4": {"minNodes": 2, "maxNodes": 4}, "pair": {"accelerator": {"count": 2}, "maxNodes": 2}},
    "servers": {
        "gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096, "replicas": 2},
        "large": {
            "server": "vllm",
            "model": "google/gemma-3-12b-it",
            "accelerator": {"count": 2},
            "maxModelLen": 8192,
            "maxNumSeqs": 64,
        },
    },
}
BASES = {"autopilot": AUTOPILOT, "standard": STANDARD}


@dataclass(frozen=True)
class Case:
    """One change, and where it is made.

    Attributes:
        change: the value of a setting by its path; None takes the setting away.
        code: replaces an attribute of a module of the base's code, by `module:attribute`.

    """

    base: str
    change: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """The configuration of the changed revision."""
        config = copy.deepcopy(BASES[self.base])
        for path, value in self.change.items():
            *keys, last = path.split(".")
            target = config
            for key in keys:
                target = target.setdefault(key, {})
            if value is None:
                del target[last]
            else:
                target[last] = value
        return config


CASES: dict[str, Case] = {
    "nothing": Case("autopilot"),
    "preset": Case("autopilot", {"servers.gemma.presets": ["fp8"]}),
    "preset of cost": Case("autopilot", {"servers.gemma.presets": ["cost"]}),
    "context": Case("autopilot", {"servers.gemma.maxModelLen": 6144}),
    "GPUs": Case("autopilot", {"servers.gemma.accelerator": {"count": 2}}),
    "model": Case("autopilot", {"servers.gemma.model": "Qwen/Qwen2.5-7B-Instruct"}),
    "image": Case("autopilot", {"servers.gemma.image": "registry.example.org/vllm:v0.26.0"}),
    "version": Case("autopilot", {"servers.gemma.version": "0.19.1"}),
    "server": Case("autopilot", {"servers.gemma.server": "tgi"}),
    "replicas": Case("autopilot", {"servers.gemma.replicas": 2}),
    "no replicas": Case("autopilot", {"servers.gemma.replicas": 0}),
    "environment": Case("autopilot", {"servers.gemma.extraEnv": {"NCCL_DEBUG": "WARN"}}),
    "flag": Case("autopilot", {"servers.gemma.extraArgs": ["--seed=7"]}),
    "labels of pods": Case("autopilot", {"servers.gemma.labels": {"team": "search"}}),
    "memory": Case("autopilot", {"servers.gemma.resources": {"memoryGib": 20}}),
    "another server": Case(
        "autopilot", {"servers.qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 8192}}
    ),
    "name of a server": Case(
        "autopilot",
        {
            "servers.gemma": None,
            "servers.chat": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096},
        },
    ),
    "namespace": Case("autopilot", {"namespace": "chat"}),
    "region": Case("autopilot", {"cluster.location": "us-east4"}),
    "name of the cluster": Case("autopilot", {"cluster.name": "chat"}),
    "release channel": Case("autopilot", {"cluster.releaseChannel": "RAPID"}),
    "deletion protection": Case("autopilot", {"cluster.deletionProtection": True}),
    "maintenance": Case("autopilot", {"cluster.maintenance": {"startTime": "04:00"}}),
    "addresses": Case("autopilot", {"cluster.network": {"mode": "create", "nodesCidr": "10.1.0.0/20"}}),
    "authorised networks": Case("autopilot", {"cluster.authorizedNetworks": [{"cidr": "192.0.2.0/24"}]}),
    "source of the token": Case("autopilot", {"huggingFace": {"tokenSource": "existingSecret"}}),
    "name of the token": Case("autopilot", {"huggingFace.secretName": "token"}),
    "nothing on nodes": Case("standard"),
    "driver": Case("standard", {"nodePools.l4.driverVersion": "default"}),
    "driver, old pool first": Case(
        "standard", {"nodePools.l4.driverVersion": "default", "nodePools.l4.deleteBeforeReplace": True}
    ),
    "size of a pool": Case("standard", {"nodePools.l4.maxNodes": 6}),
    "machine of a pool": Case("standard", {"nodePools.l4.machineType": "g2-standard-12"}),
    "Spot": Case("standard", {"nodePools.pair.provisioning": {"model": "spot"}}),
    "disk": Case("standard", {"nodePools.l4.diskSizeGb": 300}),
    "local SSD": Case("standard", {"nodePools.l4.localSsds": 1}),
    "labels of nodes": Case("standard", {"nodePools.l4.labels": {"team": "search"}}),
    "taint": Case("standard", {"nodePools.l4.taints": [{"key": "team", "value": "search"}]}),
    "zones": Case("standard", {"nodePools.l4.zones": ["us-central1-a", "us-central1-b"]}),
    "another pool": Case("standard", {"nodePools.spare": {"maxNodes": 1}}),
    "replicas on nodes": Case("standard", {"servers.gemma.replicas": 3}),
    "a server less": Case("standard", {"servers.large": None, "nodePools.pair": None}),
    "machine of the system": Case("standard", {"cluster.systemPool": {"machineType": "e2-standard-8"}}),
    "code: time for a start": Case(
        "autopilot", code={"gke_llm_inference.planning.pods:_SHORTEST_START_BUDGET_SECONDS": 1200}
    ),
    "code: labels of the namespace": Case(
        "autopilot", code={"gke_llm_inference.planning.namespaces:_LABELS": {"team": "search"}}
    ),
    "code: name of a port": Case(
        "autopilot",
        code={
            f"{module}:SERVER_PORT": "api"
            for module in ("components.inference_server", "gke_llm_inference.planning.pod.template")
        },
    ),
    "code: variables of the token": Case(
        "autopilot", code={"gke_llm_inference.planning.pod.template:TOKEN_VARIABLES": ("HF_TOKEN",)}
    ),
}
"""What is expected of each is in `expected.yaml`, read and approved by hand."""
