"""A stack's life in the real engine, with stand-in providers."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from local.engine.errors import EngineError
from tests.engine.support import INTERRUPT, KILL, TOKEN, Background, Bench, Events, files_with, wait_until

SERVER = "{server: vllm, model: google/gemma-7b-it, maxModelLen: 4096}"
LOCAL = f"""
config:
  gke-llm-inference:cluster: {{mode: existing, profile: standard, kubeconfigContext: local}}
  gke-llm-inference:huggingFace: {{tokenSource: config}}
  gke-llm-inference:servers:
    gemma: {SERVER}
"""
TWO_SERVERS = f"{LOCAL}    second: {SERVER}\n"
STANDARD = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: standard, location: us-central1, deletionProtection: %s}
  gke-llm-inference:nodePools:
    l4: {accelerator: {type: nvidia-l4, count: 1}, maxNodes: %d, provisioning: {model: %s}}
  gke-llm-inference:huggingFace: {tokenSource: config}
  gke-llm-inference:servers:
    gemma: {server: vllm, model: google/gemma-7b-it, maxModelLen: 4096}
"""


def standard(*, protection: str = "false", nodes: int = 2, provisioning: str = "onDemand") -> str:
    return STANDARD % (protection, nodes, provisioning)


def with_options(program: str, options: str) -> str:
    """The program with more options for its servers."""
    given = "        on_cluster,\n    )\n    for server in"
    assert program.count(given) == 1
    return program.replace(
        given, f"        pulumi.ResourceOptions.merge(on_cluster, {options}),\n    )\n    for server in"
    )


def _token_version(deployment: dict[str, Any]) -> str:
    version: str = deployment["spec"]["template"]["metadata"]["annotations"]["llm-inference/token-version"]
    return version


def up(bench: Bench, text: str) -> Events:
    return bench.run(bench.stack(text).up)


def test_up_creates_everything_and_a_second_up_changes_nothing(bench: Bench) -> None:
    first = up(bench, LOCAL)
    assert first.operations["create"] == first.summary["create"] == 10
    assert bench.cluster.names("Deployment") == ["gemma"]
    applied = list(bench.cluster.applied)
    second = up(bench, LOCAL)
    assert (second.steps, second.summary) == ([], {"same": 10})
    assert bench.cluster.applied == applied


def test_the_token_is_in_no_file_in_clear(bench: Bench) -> None:
    up(bench, LOCAL)
    (name,) = bench.cluster.names("Secret")
    secret = bench.cluster.objects["v1", "Secret", "llm-inference", name]
    assert TOKEN not in json.dumps(secret)  # base64, as the API server keeps it
    assert files_with(bench.directory, TOKEN) == []
    assert files_with(bench.directory, secret["data"]["hf_api_token"]) == []
    (passphrase,) = bench.directory.rglob("passphrase")
    assert passphrase.stat().st_mode & 0o777 == 0o600


def test_a_preview_shows_the_one_change_and_makes_none(bench: Bench) -> None:
    up(bench, LOCAL)
    applied = list(bench.cluster.applied)
    changed = LOCAL.replace("maxModelLen: 4096", "maxModelLen: 2048")
    preview = bench.run(bench.stack(changed).preview)
    assert preview.steps == [("update", "gemma-deployment")]
    assert bench.cluster.applied == applied
    assert up(bench, changed).steps == preview.steps
    arguments = bench.cluster.objects["apps/v1", "Deployment", "llm-inference", "gemma"]["spec"]["template"]["spec"][
        "containers"
    ][0]["args"]
    assert "--max-model-len=2048" in arguments


def test_a_refresh_finds_drift_and_the_next_up_mends_it(bench: Bench) -> None:
    up(bench, LOCAL)
    untouched = bench.run(bench.stack(LOCAL).refresh)
    assert untouched.summary == {"same": 10}
    key = ("apps/v1", "Deployment", "llm-inference", "gemma")
    bench.cluster.objects[key]["spec"]["replicas"] = 7
    drifted = bench.run(bench.stack(LOCAL).refresh)
    assert drifted.summary == {"same": 9, "update": 1}
    assert up(bench, LOCAL).steps == [("update", "gemma-deployment")]
    assert bench.cluster.objects[key]["spec"]["replicas"] == 1


def test_a_refresh_notices_what_somebody_deleted_and_the_next_up_makes_it_anew(bench: Bench) -> None:
    up(bench, LOCAL)
    del bench.cluster.objects["v1", "Service", "llm-inference", "gemma"]
    assert ("delete", "gemma-service") in bench.run(bench.stack(LOCAL).refresh).steps
    assert up(bench, LOCAL).steps == [("create", "gemma-service")]


def test_destroy_deletes_everything(bench: Bench) -> None:
    up(bench, TWO_SERVERS)
    destroyed = bench.run(bench.stack(TWO_SERVERS).destroy)
    assert destroyed.operations == {"delete": destroyed.summary["delete"]}
    assert bench.cluster.objects == {}
    assert bench.stack(LOCAL).state().get("resources", []) == []


def test_an_engine_killed_in_mid_update_loses_nothing(bench: Bench) -> None:
    bench.cluster.rollout_seconds = 3600
    stack = bench.stack(LOCAL)
    bench.kill_when(lambda: ("Deployment", "gemma") in bench.cluster.applied, stack.up, KILL)
    assert [one["type"] for one in stack.state()["pending_operations"]] == ["creating"]
    assert bench.cluster.names("Deployment") == ["gemma"]
    bench.cluster.rollout_seconds = 0
    recovered = up(bench, LOCAL)
    assert ("create", "gemma-deployment") not in recovered.steps  # it exists, and was taken up
    assert stack.state().get("pending_operations", []) == []
    assert up(bench, LOCAL).summary == {"same": 10}
    bench.run(stack.destroy)
    assert bench.cluster.objects == {}


def test_what_was_being_made_when_the_engine_was_killed_goes_even_if_the_program_no_longer_wants_it(
    bench: Bench,
) -> None:
    up(bench, LOCAL)
    bench.cluster.rollout_seconds = 3600
    stack = bench.stack(TWO_SERVERS)
    bench.kill_when(lambda: ("Deployment", "second") in bench.cluster.applied, stack.up, KILL)
    bench.cluster.rollout_seconds = 0
    up(bench, LOCAL)
    assert bench.cluster.names("Deployment") == ["gemma"]
    assert bench.cluster.names("Service") == ["gemma"]


def test_an_interrupted_update_ends_soon_and_the_next_goes_on(bench: Bench) -> None:
    bench.cluster.rollout_seconds = 3600
    stack = bench.stack(LOCAL)
    bench.kill_when(lambda: ("Deployment", "gemma") in bench.cluster.applied, stack.up, INTERRUPT)
    assert stack.state().get("pending_operations", []) == []
    bench.cluster.rollout_seconds = 0
    up(bench, LOCAL)
    assert up(bench, LOCAL).summary == {"same": 10}


def test_an_interrupted_destroy_goes_on_where_it_ended(bench: Bench) -> None:
    up(bench, TWO_SERVERS)
    stack = bench.stack(TWO_SERVERS)
    bench.cluster.refuse_deletion.set()
    with pytest.raises(EngineError, match="deletion is forbidden for now"):
        stack.destroy()
    assert bench.cluster.names("Deployment") == ["gemma", "second"]
    bench.cluster.refuse_deletion.clear()
    deleting = threading.Event()
    delete = bench.cluster.delete

    def slowly(api_version: str, kind: str, namespace: str | None, name: str) -> None:
        delete(api_version, kind, namespace, name)
        deleting.set()
        if kind == "Deployment":
            time.sleep(1)

    bench.cluster.delete = slowly  # type: ignore[method-assign]
    bench.kill_when(deleting.is_set, stack.destroy, KILL)
    bench.run(stack.destroy)
    assert bench.cluster.objects == {}
    assert stack.state().get("resources", []) == []


def test_a_second_operation_on_the_same_stack_is_refused_while_the_first_runs(bench: Bench) -> None:
    bench.cluster.rollout_seconds = 4
    stack = bench.stack(LOCAL)
    first = Background(stack.up)
    wait_until(lambda: ("Deployment", "gemma") in bench.cluster.applied)
    with pytest.raises(EngineError, match=r"another operation on stack 'test' is running: process \d+"):
        stack.up()
    first.join()
    assert first.failure is None
    assert up(bench, LOCAL).summary == {"same": 10}


def test_an_object_that_somebody_else_made_is_not_taken_over(bench: Bench) -> None:
    bench.cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "llm-inference"}}, "somebody else"
    )
    with pytest.raises(EngineError, match="Namespace llm-inference exists already, and this stack did not make it"):
        up(bench, LOCAL)
    assert bench.cluster.names("Secret") == []


def test_a_failing_rollout_fails_the_update_and_is_kept(bench: Bench) -> None:
    bench.cluster.progress_deadline_exceeded = True
    stack = bench.stack(LOCAL)
    with pytest.raises(EngineError, match=r"gemma was applied, but .*progress deadline"):
        stack.up()
    assert any(one["urn"].endswith("::gemma-deployment") for one in stack.state()["resources"])
    bench.cluster.progress_deadline_exceeded = False
    assert up(bench, LOCAL).steps == [("update", "gemma-deployment")]


def test_a_new_token_reaches_the_secret_and_the_servers_that_read_it(bench: Bench) -> None:
    up(bench, LOCAL)
    key = ("apps/v1", "Deployment", "llm-inference", "gemma")
    before = _token_version(bench.cluster.objects[key])
    events = bench.run(bench.stack(LOCAL, token="hf_anotherPlantedToken0123456789").up)
    # Pods name the version of the Secret, so that a new token rolls them.
    assert {name for _, name in events.steps} == {"hugging-face-secret", "gemma-deployment"}
    (secret,) = bench.cluster.names("Secret")
    version = bench.cluster.objects["v1", "Secret", "llm-inference", secret]["metadata"]["resourceVersion"]
    assert _token_version(bench.cluster.objects[key]) == version != before
    assert files_with(bench.directory, "hf_anotherPlantedToken0123456789") == []


def test_a_renamed_component_with_its_alias_replaces_nothing(bench: Bench, tmp_path: Path) -> None:
    up(bench, LOCAL)
    before = {key: found["metadata"]["uid"] for key, found in bench.cluster.objects.items()}
    program = tmp_path / "renamed.py"
    source = (bench.stack(LOCAL).project.program).read_text("utf-8")
    options = "pulumi.ResourceOptions(aliases=[pulumi.Alias(name=server.name)])"
    renamed = with_options(source, options).replace(
        "InferenceServer(\n        server.name,", 'InferenceServer(\n        f"{server.name}-renamed",'
    )
    assert renamed.count("-renamed") == 1
    program.write_text(renamed, encoding="utf-8")
    events = bench.run(bench.stack(LOCAL, program=program).up)
    assert not {"create", "delete", "replace", "create-replacement", "delete-replaced"} & set(events.operations)
    assert {key: found["metadata"]["uid"] for key, found in bench.cluster.objects.items()} == before


def test_what_is_protected_stays_until_it_no_longer_is(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "protected.py"
    source = (bench.stack(LOCAL).project.program).read_text("utf-8")
    program.write_text(with_options(source, "pulumi.ResourceOptions(protect=True)"), encoding="utf-8")
    bench.run(bench.stack(LOCAL, program=program).up)
    with pytest.raises(EngineError, match="protect"):
        bench.stack(LOCAL, program=program).destroy()
    assert bench.cluster.names("Deployment") == ["gemma"]
    up(bench, LOCAL)
    bench.run(bench.stack(LOCAL).destroy)
    assert bench.cluster.objects == {}


def test_protected_clusters_stay(bench: Bench) -> None:
    up(bench, standard(protection="true"))
    with pytest.raises(EngineError, match="deletion_protection is set to true"):
        bench.stack(standard(protection="true")).destroy()
    assert any("/clusters/" in id_ for id_ in bench.cloud.resources)
    up(bench, standard(protection="false"))
    bench.run(bench.stack(standard(protection="false")).destroy)
    assert bench.cloud.resources == {}
    assert bench.cluster.objects == {}


def test_a_larger_node_pool_is_an_update_in_place(bench: Bench) -> None:
    up(bench, standard())
    assert up(bench, standard()).steps == []
    assert up(bench, standard(nodes=3)).steps == [("update", "l4")]


def test_spot_replaces_the_node_pool_and_nothing_else_of_the_cluster(bench: Bench) -> None:
    up(bench, standard())
    bench.cloud.calls.clear()
    up(bench, standard(provisioning="spot"))
    # The new pool first: pods have somewhere to go before the old one ends.
    assert bench.cloud.calls == [("create", "l4"), ("delete", "l4")]
