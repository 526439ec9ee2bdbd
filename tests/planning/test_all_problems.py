"""Every problem is told at once: what is wrong in one place hides nothing of what can be judged elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference import parse_settings, plan_stack
from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.cli.unfit import plan_unfit
from gke_llm_inference.planning import StackIdentity
from gke_llm_inference.planning.remainder import with_the_rest
from gke_llm_inference.settings import Refusal
from gke_llm_inference.settings.stack_config import configuration_of

PROJECT = "gke-llm-inference"
TOO_LARGE = {"server": "vllm", "model": "google/gemma-3-27b-it", "maxModelLen": 4096}
FINE = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}
AUTOPILOT: dict[str, Any] = {"cluster": {"mode": "autopilot", "location": "us-central1"}}
STANDARD: dict[str, Any] = {
    "cluster": {"mode": "standard", "location": "us-central1"},
    "nodePools": {"l4": {"maxNodes": 1}},
}
IDENTITY = StackIdentity(PROJECT, "test", "my-project")


def problems_of(raw: dict[str, Any], directory: Path) -> dict[str, str]:
    """What is told of a configuration, by path."""
    values = {f"{PROJECT}:{key}": json.dumps(value) for key, value in raw.items()}
    with pytest.raises(Refusal) as caught:
        configuration_of(values, (), PROJECT, directory)
    refusal = with_the_rest(caught.value, IDENTITY)
    return {problem.path: problem.what for problem in refusal.problems}


WRONG = {
    "a misspelled key": ({"maxModellen": 1}, "servers.wrong.maxModellen"),
    "a wrong type": ({"replicas": "two"}, "servers.wrong.replicas"),
    "a bound": ({"replicas": -1}, "servers.wrong.replicas"),
    "no file": ({"configFile": "nowhere.json"}, "servers.wrong.configFile"),
    "no image": ({"image": "Not An Image"}, "servers.wrong.image"),
    "another server's key": ({"gpuMemoryUtilization": 0.9, "server": "tgi"}, "servers.wrong.gpuMemoryUtilization"),
}


@pytest.mark.parametrize(("change", "path"), WRONG.values(), ids=WRONG)
def test_a_server_is_judged_although_another_cannot_be_read(change: Any, path: str, tmp_path: Path) -> None:
    raw = {**AUTOPILOT, "servers": {"wrong": {**FINE, **change}, "large": TOO_LARGE, "fine": FINE}}
    found = problems_of(raw, tmp_path)
    assert path in found
    assert any(where.startswith("servers.large") for where in found), found
    assert not any(where.startswith("servers.fine") for where in found), found


MANY: dict[str, tuple[Any, dict[str, str]]] = {
    "a range upside down": (
        {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
        {"servers.large.autoscaling": "minReplicas 3 exceeds maxReplicas 2"},
    ),
    "two numbers of pods, and a bound": (
        {"autoscaling": {"maxReplicas": 2}, "replicas": 2, "shutdown": {"graceSeconds": -1}},
        {
            "servers.large.replicas": "has replicas and autoscaling",
            "servers.large.shutdown.graceSeconds": "input should be greater than or equal to 5",
        },
    ),
    "a wrong type within what cannot be without it": (
        {"autoscaling": {"maxReplicas": "two"}},
        {"servers.large.autoscaling.maxReplicas": "is not a whole number"},
    ),
    "a choice, and what has to do with it": (
        {"exposure": "externl", "hostname": "llm.example.com", "labels": {"a": 1}},
        {"servers.large.exposure": "is not a known choice", "servers.large.labels.a": "is not text"},
    ),
    "problems that planning finds": (
        {"extraEnv": {"DB_PASSWORD": "hunter2"}, "replicas": -1, "exposure": "internal"},
        {
            "servers.large.extraEnv.DB_PASSWORD": "holds a secret",
            "servers.large.replicas": "input should be greater than or equal to 0",
            "servers.large.hostname": "is missing, while the server's exposure is internal",
        },
    ),
}


@pytest.mark.parametrize(("change", "wrong"), MANY.values(), ids=MANY)
def test_a_server_is_judged_without_settings_that_nothing_else_rests_on(
    change: Any, wrong: dict[str, str], tmp_path: Path
) -> None:
    found = problems_of({**AUTOPILOT, "servers": {"large": {**TOO_LARGE, **change}}}, tmp_path)
    assert found == {
        **wrong,
        "servers.large": "does not fit 1 × nvidia-l4",
        "servers.large.model": "google/gemma-3-27b-it is gated and the stack has no Hugging Face token",
    }


def test_what_rests_on_a_setting_that_is_wrong_is_not_guessed(tmp_path: Path) -> None:
    change = {"maxModelLen": "long", "autoscaling": {"maxReplicas": 2}, "replicas": 1}
    assert problems_of({**AUTOPILOT, "servers": {"large": {**TOO_LARGE, **change}}}, tmp_path) == {
        "servers.large.maxModelLen": "is not a whole number",
        "servers.large.replicas": "has replicas and autoscaling",
    }


def test_a_file_that_is_missing_is_told_beside_a_misspelled_key(tmp_path: Path) -> None:
    servers = {"a": {**FINE, "typo": 1}, "b": {**FINE, "configFile": "nowhere.json"}, "large": TOO_LARGE}
    found = problems_of({**AUTOPILOT, "servers": servers}, tmp_path)
    assert {"servers.a.typo", "servers.b.configFile"} < found.keys()
    assert any(where.startswith("servers.large") for where in found)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"cluster": {"mode": "autopilot", "location": "us-central1", "typo": 1}}, "cluster.typo"),
        (
            {"cluster": {"mode": "autopilot", "location": "us-central1", "maintenance": {"startTime": "noon"}}},
            "cluster.maintenance.startTime",
        ),
        ({"huggingFace": {"tokenSource": "nowhere"}}, "huggingFace.tokenSource"),
        ({"namespace": "Not A Namespace"}, "namespace"),
        ({"createNamespace": "yes"}, "createNamespace"),
        ({"servants": {}}, "servants"),
    ],
)
def test_servers_are_judged_although_the_stack_around_them_is_wrong(change: Any, path: str, tmp_path: Path) -> None:
    gated = {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096}
    raw = {**AUTOPILOT, "huggingFace": {"tokenSource": "config"}, "servers": {"large": TOO_LARGE, "gated": gated}}
    found = problems_of({**raw, **change}, tmp_path)
    assert path in found
    assert any(where.startswith("servers.large") for where in found), found
    # Of a token whose settings are wrong is not known that there is none.
    assert not any(where.startswith("servers.gated") for where in found), found


@pytest.mark.parametrize("cluster", [{"mode": "nowhere"}, {"mode": "autopilot"}, [], None])
def test_without_a_cluster_nothing_is_guessed(cluster: Any, tmp_path: Path) -> None:
    found = problems_of({"cluster": cluster, "servers": {"large": TOO_LARGE}}, tmp_path)
    assert found
    assert all(where.startswith("cluster") for where in found), found


def test_a_pool_that_cannot_be_read_is_not_missing(tmp_path: Path) -> None:
    pools = {**STANDARD["nodePools"], "pair": {"accelerator": {"count": 2}, "typo": 1}}
    servers = {
        "elsewhere": {**FINE, "accelerator": {"count": 2}, "nodePool": "pair"},
        "anywhere": FINE,
        "here": {**FINE, "nodePool": "l4", "replicas": 3},
        "large": TOO_LARGE,
    }
    found = problems_of({**STANDARD, "nodePools": pools, "servers": servers}, tmp_path)
    assert found.keys() >= {"nodePools.pair.typo", "nodePools.l4.maxNodes"}
    assert found["nodePools.l4.maxNodes"] == "1 is less than the 3 nodes that its servers need"
    assert any(where.startswith("servers.large") for where in found)
    assert not any(where.startswith(("servers.elsewhere", "servers.anywhere", "servers.here")) for where in found)


def test_what_a_gateway_that_is_wrong_would_give_is_not_missing(tmp_path: Path) -> None:
    servers = {
        "open": {**FINE, "exposure": "external"},
        "keyed": {**FINE, "exposure": "external", "apiKeys": {"source": "config"}},
        "inside": FINE,
    }
    gateway = {"exposure": "externl", "hostname": "llm.example.com", "tls": {"source": "secret", "secretName": "tls"}}
    assert problems_of({**AUTOPILOT, "gateway": gateway, "servers": servers}, tmp_path) == {
        "gateway.exposure": "is not a known choice",
        "servers.open.apiKeys": "is missing, while the server is on the internet",
    }


def test_a_name_with_a_dot_is_one_name(tmp_path: Path) -> None:
    servers = {"a": TOO_LARGE, "a.b": {**FINE, "typo": 1}, "a.b.c": TOO_LARGE}
    found = problems_of({**AUTOPILOT, "servers": servers}, tmp_path)
    assert "servers.a.b.typo" in found
    assert any(where.startswith("servers.a.b.c.") for where in found)
    assert any(where.startswith("servers.a.") and not where.startswith("servers.a.b") for where in found)


def test_a_problem_in_a_base_file_names_the_file_of_each(tmp_path: Path) -> None:
    base = {"cluster": AUTOPILOT["cluster"], "servers": {"large": TOO_LARGE}}
    (tmp_path / "base.yaml").write_text(json.dumps(base), encoding="utf-8")
    values = {f"{PROJECT}:base": "base.yaml", f"{PROJECT}:servers": json.dumps({"wrong": {**FINE, "typo": 1}})}
    with pytest.raises(Refusal) as caught:
        configuration_of(values, (), PROJECT, tmp_path, file="Pulumi.test.yaml")
    files = {one.path: one.file for one in with_the_rest(caught.value, IDENTITY).problems}
    assert files["servers.wrong.typo"] == "Pulumi.test.yaml"
    assert {file for path, file in files.items() if path.startswith("servers.large")} == {"base.yaml"}


def test_what_is_secret_is_looked_at_no_further(tmp_path: Path) -> None:
    token = "hf_" + "Planted0" * 4
    servers = {"leak": {**FINE, "extraEnv": {"A": token}}, "large": TOO_LARGE}
    assert problems_of({**AUTOPILOT, "servers": servers}, tmp_path) == {
        "servers.leak.extraEnv.A": "holds a Hugging Face token in clear text"
    }


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"extraEnv": {"DB_PASSWORD": "hunter2"}}, "servers.large.extraEnv.DB_PASSWORD"),
        ({"extraEnv": {"A B": "x"}}, "servers.large.extraEnv"),
    ],
)
def test_memory_is_judged_beside_what_has_nothing_to_do_with_it(change: Any, path: str) -> None:
    settings = parse_settings({**AUTOPILOT, "servers": {"large": {**TOO_LARGE, **change}}})
    for planner in (plan_stack, plan_unfit):
        with pytest.raises(Refusal) as caught:
            planner(settings, IDENTITY, load_catalog())
        found = {problem.path: problem.what for problem in caught.value.problems}
        assert found.keys() == {path, "servers.large", "servers.large.model"}
        assert found["servers.large"] == "does not fit 1 × nvidia-l4"


def test_a_store_that_is_wrong_does_not_make_its_readers_wrong(tmp_path: Path) -> None:
    reader = {**FINE, "revision": "a" * 40, "modelSource": {"source": "modelStore"}}
    store = {"bucket": {"mode": "create", "location": "nowhere"}, "projectNumber": "123456789012"}
    raw = {**AUTOPILOT, "modelStore": store, "servers": {"reader": reader, "large": TOO_LARGE}}
    found = problems_of(raw, tmp_path)
    assert "modelStore.bucket.location" in found
    assert any(where.startswith("servers.large") for where in found), found
    assert not any(where.startswith("servers.reader") for where in found), found
