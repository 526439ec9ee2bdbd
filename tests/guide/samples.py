"""What the guide's samples say and what our examples make, in the same words: aspect → value."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HERE = Path(__file__).resolve().parent
ABSENT = "absent"

Aspects = dict[str, str]

# What TGI's launcher reads from the environment, of what the samples use. Google's image is built with TGI's `google`
# feature, in which AIP_HTTP_PORT is the port.
_TGI_OPTIONS = {
    "AIP_HTTP_PORT": "--port",
    "CUDA_MEMORY_FRACTION": "--cuda-memory-fraction",
    "MAX_BATCH_PREFILL_TOKENS": "--max-batch-prefill-tokens",
    "MAX_INPUT_LENGTH": "--max-input-length",
    "MAX_TOTAL_TOKENS": "--max-total-tokens",
    "MODEL_ID": "--model-id",
    "NUM_SHARD": "--num-shard",
    "PORT": "--port",
}
_MODEL_FLAGS = ("--model", "--model-id")
_ALIASES = {"--max-input-length": "--max-input-tokens"}


@dataclass(frozen=True)
class Sample:
    """One sample: its facts, and the aspects that follow from them."""

    name: str
    server: str
    file: str
    gpus: int
    aspects: Aspects

    def is_in(self, group: str | list[str]) -> bool:
        """Whether it belongs to a group of `differences.yaml`."""
        if isinstance(group, list):
            return self.name in group
        return group in ("all", self.server, {1: "one GPU", 2: "two GPUs"}[self.gpus])


@dataclass(frozen=True)
class Difference:
    """A deliberate difference between our examples and the samples; `*` in a text stands for anything."""

    what: str
    ours: str
    sample: str
    group: str | list[str]
    reason: str

    def explains(self, aspect: str, ours: str, sample: str) -> bool:
        """Whether a difference that was found is this one."""
        return all(
            _matches(pattern, text) for pattern, text in ((self.what, aspect), (self.ours, ours), (self.sample, sample))
        )

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its row in a table."""
        group = self.group if isinstance(self.group, str) else ", ".join(self.group)
        return (_shown(self.what), _shown(self.ours), _shown(self.sample), group, self.reason)


def load_samples() -> dict[str, Sample]:
    """Every sample by name."""
    document = _read("samples.yaml")
    samples = {}
    for name, own in document["samples"].items():
        server = name.partition("-")[0]
        facts: dict[str, Any] = {}
        for part in (document["all"], document[server], own):
            facts = _merged(facts, part)
        samples[name] = Sample(name, server, own["file"], own["gpus"], _sample_aspects(server, facts))
    return samples


def load_differences() -> tuple[Difference, ...]:
    """Every deliberate difference, in the order of the file."""
    return tuple(
        Difference(row["what"], row["ours"], row["sample"], row["in"], row["reason"])
        for row in _read("differences.yaml")
    )


def manifest_aspects(deployment: Mapping[str, Any], service: Mapping[str, Any]) -> Aspects:
    """Everything that a Deployment with one container and its Service say."""
    spec, template = _copy(deployment["spec"]), _copy(deployment["spec"]["template"])
    spec.pop("template")
    pod = template.pop("spec")
    metadata, pod_metadata = _copy(deployment["metadata"]), template.pop("metadata")
    (container,) = pod.pop("containers")
    selector = spec.pop("selector").pop("matchLabels")
    ports = {port["name"]: port["containerPort"] for port in container.pop("ports")}
    server = pod_metadata["labels"]["ai.gke.io/inference-server"]
    resources = container.pop("resources")
    aspects = {
        **_flags(server, container.pop("args"), _environment(container.pop("env"))),
        **_flat("", metadata),
        **_flat("", spec, whole={"strategy"}),
        **_flat("selector", selector),
        **_flat("pod.labels", pod_metadata.pop("labels")),
        **_flat("pod", pod_metadata),
        **_flat("requests", resources.pop("requests")),
        **_flat("limits", resources.pop("limits")),
        **_flat("container.resources", resources),
        **_flat("mounts", _mounts(container.pop("volumeMounts"), pod.pop("volumes"))),
        **_flat("container.ports", ports),
        "image": container.pop("image"),
        **({"command": " ".join(container.pop("command"))} if "command" in container else {}),
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe in container:
            aspects[f"container.{probe}"] = _probe(container.pop(probe))
    aspects |= _flat("container", container, whole={"lifecycle", "securityContext"})
    aspects |= _flat("pod", pod, whole={"securityContext", "tolerations"})
    aspects |= _flat("template", template)
    return aspects | _service_aspects(service, ports)


def differences_between(ours: Aspects, sample: Aspects) -> dict[str, tuple[str, str]]:
    """Every aspect in which the two differ: our value and the sample's."""
    pairs = {key: (ours.get(key, ABSENT), sample.get(key, ABSENT)) for key in sorted({*ours, *sample})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _sample_aspects(server: str, facts: dict[str, Any]) -> Aspects:
    service, token = facts["service"], facts["token"]
    environment = {
        **facts.get("env", {}),
        token["variable"]: f"{token['secretKey']} of {token['secretName']}",
    }
    gpus = {"nvidia.com/gpu": facts["gpus"]}
    return {
        **_flags(server, facts.get("args", []), environment),
        "name": facts["name"],
        "replicas": str(facts["replicas"]),
        "container.name": facts["container"],
        "image": facts["image"],
        **({"command": " ".join(facts["command"])} if "command" in facts else {}),
        **_flat("selector", facts["selector"]),
        **_flat("pod.labels", facts["podLabels"]),
        **_flat("pod.nodeSelector", facts["nodeSelector"]),
        **_flat("requests", facts["requests"] | gpus),
        **_flat("limits", facts["limits"] | gpus),
        **_flat("mounts", facts["mounts"]),
        **_flat("service", service),
        **_flat("service.selector", facts["selector"]),
    }


def _flags(server: str, arguments: Iterable[str], environment: Mapping[str, str]) -> Aspects:
    """Model, flags and variables, whichever way the server gets them.

    `$(NAME)` is expanded as Kubernetes does it. What TGI's launcher reads from a variable becomes the flag of that
    name, unless the flag is there too, which wins.
    """
    variables = dict(environment)
    flags: Aspects = {}
    for argument in arguments:
        text = re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], argument)
        flag, equals, value = text.partition("=")
        if not flag.startswith("--"):
            flag, equals, value = "--model", "=", text
        assert flag not in flags, f"{flag} is listed twice"
        flags[flag] = value if equals else "on"
    if server != "vllm":
        for variable, flag in _TGI_OPTIONS.items():
            if variable in variables:
                flags.setdefault(flag, variables.pop(variable))
    (model,) = {flags.pop(flag) for flag in _MODEL_FLAGS if flag in flags}
    aspects = {"model": model}
    for flag, value in flags.items():
        name = _ALIASES.get(flag, flag)
        aspects[f"args.{name}"] = value
        if name in _ALIASES.values():
            aspects[f"spelling.{name}"] = flag
    return aspects | _flat("env", variables)


def _environment(variables: list[dict[str, Any]]) -> dict[str, str]:
    values = {}
    for variable in variables:
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            values[variable["name"]] = f"{reference['key']} of {reference['name']}"
        else:
            values[variable["name"]] = variable["value"]
    return values


def _mounts(mounts: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    """Volumes by the path where they are mounted; an emptyDir by its own keys."""
    by_name = {volume["name"]: {key: value for key, value in volume.items() if key != "name"} for volume in volumes}
    mounted = {mount["name"] for mount in mounts}
    assert mounted == set(by_name), "a volume is not mounted"
    result = {}
    for mount in mounts:
        volume = by_name[mount["name"]]
        rest = {key: value for key, value in mount.items() if key not in ("name", "mountPath")}
        result[mount["mountPath"]] = volume.get("emptyDir", volume) | rest
    return result


def _probe(probe: dict[str, Any]) -> str:
    match probe:
        case {
            "httpGet": {"path": path, "port": port, **more},
            "periodSeconds": period,
            "failureThreshold": failures,
            "timeoutSeconds": timeout,
            **rest,
        } if not more and not rest:
            return f"GET {path} on {port} every {period} s, {failures} times, {timeout} s each"
    return _json(probe)


def _service_aspects(service: Mapping[str, Any], container_ports: Mapping[str, int]) -> Aspects:
    spec, metadata = _copy(service["spec"]), _copy(service["metadata"])
    (port,) = spec.pop("ports")
    target = port["targetPort"]
    return {
        **_flat("service", metadata),
        **_flat("service", spec),
        "service.port": str(port["port"]),
        "service.targetPort": str(container_ports.get(target, target)),
        "service.protocol": port["protocol"],
        **({"service.portName": port["name"]} if "name" in port else {}),
    }


def _flat(prefix: str, tree: Mapping[str, Any], whole: Iterable[str] = ()) -> Aspects:
    """A tree as dotted keys; lists, and what is in `whole`, stay one value each."""
    aspects: Aspects = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict) and key not in whole:
            aspects |= _flat(name, value)
        else:
            aspects[name] = value if isinstance(value, str) else _json(value)
    return aspects


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        merged[key] = merged[key] | value if isinstance(merged.get(key), dict) else value
    return merged


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None


def _shown(text: str) -> str:
    return text if text == ABSENT else f"`{text}`"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(tree))
    return copied


def _read(name: str) -> Any:
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
