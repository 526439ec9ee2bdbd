"""A podPatch never opens a server that asks for API keys, whatever its overrides acknowledge."""

from typing import Any

import pytest

from tests.planning.support import UNFIT, only_server, problems_of
from tests.settings.support import Raw

IN_SERVER = "spec.containers[inference-server]"
ONE_KEY = {"source": "existingSecret", "secretName": "keys"}
FILE = {**ONE_KEY, "content": "vllmConfiguration"}
DIRECTORY = "/etc/llm-inference/api-keys"
KEYS = ("changes how the server gets its API keys", "without them it answers whoever reaches it")
ON_INTERNET = "which paths its API keys guard, and who can attack it, is known of what the plan runs alone"
HTTP = {"name": "http", "containerPort": 1}
ELSEWHERE = (
    "changes where requests from the internet go",
    "what answers there may ask for no API key",
)


def stack(patch: Raw, *overrides: str, exposure: str = "external", kind: str = "vllm", keys: Any = ONE_KEY) -> Raw:
    server = {
        "server": kind,
        "model": "Qwen/Qwen2.5-7B-Instruct",
        **({"version": "0.33.0"} if kind == "vllm" else {}),
        **UNFIT,
        "exposure": exposure,
        "apiKeys": keys,
        "podPatch": {"patch": patch, "overrides": list(overrides)},
    }
    gateway = {"hostname": "llm.example.com", "tls": {"source": "secret", "secretName": "tls"}}
    return {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "gateway": gateway,
        "servers": {"chat": server},
    }


def in_server(**fields: Any) -> Raw:
    return {"spec": {"containers": [{"name": "inference-server", **fields}]}}


@pytest.mark.parametrize("exposure", ["none", "internal", "external"])
@pytest.mark.parametrize(
    ("patch", "path", "keys"),
    [
        (in_server(env=[{"name": "VLLM_API_KEY", "$patch": "delete"}]), "env[VLLM_API_KEY]", ONE_KEY),
        (
            in_server(env=[{"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"optional": True}}}]),
            "env[VLLM_API_KEY].valueFrom.secretKeyRef.optional",
            ONE_KEY,
        ),
        (in_server(volumeMounts=[{"mountPath": DIRECTORY, "$patch": "delete"}]), f"volumeMounts[{DIRECTORY}]", FILE),
        (
            in_server(volumeMounts=[{"mountPath": DIRECTORY, "subPath": "x"}]),
            f"volumeMounts[{DIRECTORY}].subPath",
            FILE,
        ),
    ],
)
def test_the_keys_stay_whoever_reaches_the_server(patch: Raw, path: str, keys: Raw, exposure: str) -> None:
    (problem,) = problems_of(stack(patch, f"{IN_SERVER}.{path}", exposure=exposure, keys=keys))[-1:]
    assert (problem.what, problem.why) == (f"{IN_SERVER}.{path} {KEYS[0]}", KEYS[1])
    assert problem.fix == "remove it from the patch"


def test_the_volume_with_the_keys_stays() -> None:
    patch = {"spec": {"volumes": [{"name": "api-keys", "secret": {"secretName": "other"}}]}}
    path = "spec.volumes[api-keys].secret.secretName"
    assert f"{path} {KEYS[0]}" in [one.what for one in problems_of(stack(patch, path, keys=FILE))]


def test_arguments_keep_the_file_with_the_keys() -> None:
    patch = in_server(args=["Qwen/Qwen2.5-7B-Instruct", "--port=8000"])
    path = f"{IN_SERVER}.args"
    found = [one.what for one in problems_of(stack(patch, path, exposure="internal", keys=FILE))]
    assert f"{path} {KEYS[0]}" in found
    kept = ["--config", f"{DIRECTORY}/api-keys.yaml"]
    patch = in_server(args=[*patch["spec"]["containers"][0]["args"], *kept])
    assert only_server(stack(patch, path, exposure="internal", keys=FILE)).pod_patch is not None


def test_tgi_does_not_log_its_key_by_a_patch() -> None:
    patch = in_server(env=[{"name": "LOG_LEVEL", "value": "debug"}])
    path = f"{IN_SERVER}.env[LOG_LEVEL].value"
    found = {one.what: one.why for one in problems_of(stack(patch, path, kind="tgi", exposure="internal"))}
    assert found[f"{path} changes LOG_LEVEL"] == "the server would log its API key"


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("args", ["Qwen/Qwen2.5-7B-Instruct", "--root-path=/v1"], "arguments"),
        ("command", ["sh"], "command"),
        ("image", "docker.io/vllm/vllm-openai:v0.9.0", "image"),
    ],
)
def test_what_runs_on_the_internet_is_what_was_planned(field: str, value: Any, word: str) -> None:
    path = f"{IN_SERVER}.{field}"
    found = {one.what: one.why for one in problems_of(stack(in_server(**{field: value}), path))}
    assert found[f"{path} changes the {word} of a server on the internet"] == ON_INTERNET
    assert only_server(stack(in_server(**{field: value}), path, exposure="internal")).pod_patch is not None


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        (in_server(ports=[{"containerPort": 8000, "name": "other"}]), f"{IN_SERVER}.ports[8000].name"),
        (in_server(ports=[{"containerPort": 9000, "name": "open"}]), f"{IN_SERVER}.ports[9000]"),
        (
            {"spec": {"containers": [{"name": "proxy", "image": "a:1", "ports": [HTTP]}]}},
            "spec.containers[proxy]",
        ),
    ],
)
def test_requests_from_the_internet_go_to_the_server(patch: Raw, path: str) -> None:
    found = {one.what: one.why for one in problems_of(stack(patch, path))}
    assert found[f"{path} {ELSEWHERE[0]}"] == ELSEWHERE[1]
