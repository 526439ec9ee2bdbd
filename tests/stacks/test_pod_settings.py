"""What a team adds to pods, from the settings to what Kubernetes gets."""

from typing import Any

import yaml

from tests.planning.support import QWEN, standard_stack
from tests.support import DEPLOYMENT, PROJECT, Recordings, of_type

SERVER = {**QWEN, "maxModelLen": 4096}
POD: dict[str, Any] = {
    "annotations": {"example.com/team": "search"},
    "tolerations": [{"key": "example.com/team", "value": "search"}],
    "imagePullSecrets": ["registry"],
    "runtimeClass": "nvidia",
    "env": {"A": {"secret": "s", "key": "a"}, "B": {"configMap": "c", "key": "b"}},
    "envFrom": [{"secret": "s", "prefix": "S_"}, {"configMap": "c", "prefix": "C_"}],
    "volumes": [
        {"name": "templates", "configMap": "templates", "mountPath": "/mnt/templates"},
        {"name": "ca", "secret": "ca", "mountPath": "/etc/ssl/certs/team.pem", "subPath": "ca.pem"},
        {"name": "adapters", "claim": "adapters", "mountPath": "/mnt/adapters"},
        {"name": "scratch", "emptyDir": {"sizeGib": 1, "memory": True}, "mountPath": "/mnt/scratch"},
    ],
}


CONTAINERS: dict[str, Any] = {
    "volumes": [{"name": "files", "emptyDir": {"sizeGib": 1}, "mountPath": "/mnt/files"}],
    "initContainers": [
        {
            "name": "fetch",
            "image": "registry.example.com/fetch:1.2",
            "command": ["fetch", "--all"],
            "env": {"CREDENTIAL": {"secret": "bucket", "key": "key"}},
            "mounts": {"files": "/out"},
            "cpu": 0.5,
            "memoryGib": 1,
            "user": 1000,
        }
    ],
    "containers": [
        {
            "name": "telemetry",
            "image": "registry.example.com/collector:0.9",
            "args": ["--quiet"],
            "extraEnv": {"LEVEL": "info"},
            "cpu": 1,
            "memoryGib": 2,
            "writable": True,
        }
    ],
}


def template_of(recordings: Recordings, **server: Any) -> dict[str, Any]:
    raw = standard_stack({"l4": {"maxNodes": 2}}, {"chat": {**SERVER, **server}})
    raw["huggingFace"] = {"tokenSource": "existingSecret"}
    keys = {f"{PROJECT}:{key}": value for key, value in raw.items()}
    recording = recordings.config(yaml.safe_dump({"config": {"gcp:project": "my-project", **keys}}))
    (deployment,) = of_type(recording, DEPLOYMENT)
    template: dict[str, Any] = deployment.inputs["spec"]["template"]
    return template


def test_what_is_added_stands_beside_what_is_planned(recordings: Recordings) -> None:
    plain, template = template_of(recordings), template_of(recordings, pod=POD)
    spec, (container,) = template["spec"], template["spec"]["containers"]
    (plain_container,) = plain["spec"]["containers"]
    annotations = {**plain["metadata"].get("annotations", {}), "example.com/team": "search"}
    assert template["metadata"] == {**plain["metadata"], "annotations": annotations}
    memory = {"memory": "15Gi"}
    assert plain_container["resources"]["limits"]["memory"] == "14Gi"
    assert container == {
        **plain_container,
        "env": sorted(
            [
                *plain_container["env"],
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "b"}}},
            ],
            key=lambda one: str(one["name"]),
        ),
        "envFrom": [
            {"prefix": "S_", "secretRef": {"name": "s"}},
            {"prefix": "C_", "configMapRef": {"name": "c"}},
        ],
        "resources": {
            "limits": {**plain_container["resources"]["limits"], **memory},
            "requests": {**plain_container["resources"]["requests"], **memory},
        },
        "volumeMounts": [
            *plain_container["volumeMounts"],
            {"name": "templates", "mountPath": "/mnt/templates", "readOnly": True},
            {"name": "ca", "mountPath": "/etc/ssl/certs/team.pem", "subPath": "ca.pem", "readOnly": True},
            {"name": "adapters", "mountPath": "/mnt/adapters", "readOnly": True},
            {"name": "scratch", "mountPath": "/mnt/scratch"},
        ],
    }
    assert spec == {
        **plain["spec"],
        "containers": [container],
        "imagePullSecrets": [{"name": "registry"}],
        "runtimeClassName": "nvidia",
        "tolerations": [
            {"key": "example.com/team", "operator": "Equal", "value": "search", "effect": "NoSchedule"},
            *plain["spec"]["tolerations"],
        ],
        "volumes": [
            *plain["spec"]["volumes"],
            {"name": "templates", "configMap": {"name": "templates"}},
            {"name": "ca", "secret": {"secretName": "ca", "defaultMode": 0o440}},
            {"name": "adapters", "persistentVolumeClaim": {"claimName": "adapters", "readOnly": True}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
    }


def test_containers_run_before_and_beside_the_server_without_rights(recordings: Recordings) -> None:
    plain, template = template_of(recordings), template_of(recordings, pod=CONTAINERS)
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "runAsNonRoot": True,
    }
    fetch, telemetry = template["spec"]["initContainers"]
    assert fetch == {
        "name": "fetch",
        "image": "registry.example.com/fetch:1.2",
        "imagePullPolicy": "IfNotPresent",
        "command": ["fetch", "--all"],
        "env": [{"name": "CREDENTIAL", "valueFrom": {"secretKeyRef": {"name": "bucket", "key": "key"}}}],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {**restricted, "readOnlyRootFilesystem": True, "runAsUser": 1000},
        "volumeMounts": [{"name": "files", "mountPath": "/out"}],
    }
    # One that restarts always is started before the server's container, and ended after it.
    assert telemetry == {
        "name": "telemetry",
        "image": "registry.example.com/collector:0.9",
        "imagePullPolicy": "IfNotPresent",
        "args": ["--quiet"],
        "env": [{"name": "LEVEL", "value": "info"}],
        "restartPolicy": "Always",
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {**restricted, "readOnlyRootFilesystem": False},
    }
    (container,), (plain_container,) = template["spec"]["containers"], plain["spec"]["containers"]
    kept = ("name", "image", "command", "args", "env", "ports", "startupProbe", "readinessProbe", "livenessProbe")
    assert {key: container.get(key) for key in kept} == {key: plain_container.get(key) for key in kept}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_patch_reaches_the_pods_and_what_it_overrides_is_said(recordings: Recordings) -> None:
    patch = {
        "metadata": {"annotations": {"example.com/team": "search"}},
        "spec": {
            "dnsPolicy": "Default",
            "containers": [{"name": "inference-server", "image": "registry.example.com/vllm:1"}],
        },
    }
    path = "spec.containers[inference-server].image"
    raw = standard_stack(
        {"l4": {"maxNodes": 2}}, {"chat": {**SERVER, "podPatch": {"patch": patch, "overrides": [path]}}}
    )
    raw["huggingFace"] = {"tokenSource": "existingSecret"}
    keys = {f"{PROJECT}:{key}": value for key, value in raw.items()}
    recording = recordings.config(yaml.safe_dump({"config": {"gcp:project": "my-project", **keys}}))
    (deployment,) = of_type(recording, DEPLOYMENT)
    plain, template = template_of(recordings), deployment.inputs["spec"]["template"]
    assert deployment.inputs["metadata"]["annotations"] == {"llm-inference/pod-overrides": path}
    assert template["metadata"]["annotations"]["example.com/team"] == "search"
    assert template["spec"] == {
        **plain["spec"],
        "dnsPolicy": "Default",
        "containers": [{**plain["spec"]["containers"][0], "image": "registry.example.com/vllm:1"}],
    }
