"""A stack's life: the real engine, Pulumi's Kubernetes provider and a real control plane."""

import base64
import json
import re
from pathlib import Path

import pytest
from pulumi.automation.errors import CommandError

from local.engine.cluster import Object
from local.engine.errors import EngineError
from local.engine.table import read_report
from tests.cluster.support import NAMESPACE, plan_of_file
from tests.engine.support import INTERRUPT, KILL, TOKEN, Background, Bench, Events, files_with, wait_until
from tests.support import REPOSITORY

README = REPOSITORY / "README.md"
SERVER = "{server: vllm, model: google/gemma-7b-it, maxModelLen: 4096}"
LOCAL = f"""
config:
  gke-llm-inference:cluster: {{mode: existing, profile: standard, kubeconfigContext: local}}
  gke-llm-inference:huggingFace: {{tokenSource: config}}
  gke-llm-inference:servers:
    gemma: {SERVER}
"""
NEW_TOKEN = "hf_anotherPlantedToken0123456789"
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


AUTOPILOT = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1, deletionProtection: false}
  gke-llm-inference:huggingFace: {tokenSource: config}
  gke-llm-inference:servers:
    gemma: {server: vllm, model: google/gemma-7b-it, maxModelLen: 4096, accelerator: {type: nvidia-l4}}
"""


def standard(*, protection: str = "false", nodes: int = 2, provisioning: str = "onDemand") -> str:
    return STANDARD % (protection, nodes, provisioning)


CHANGED_SERVERS = """
from unittest import mock

import pulumi

import components.stack as composition

_InferenceServer = composition.InferenceServer


def _changed(name, args, opts):
    return _InferenceServer(f"{name}SUFFIX", args, pulumi.ResourceOptions.merge(opts, OPTIONS))

"""


def with_options(program: str, options: str, suffix: str = "") -> str:
    """The program with more options for its servers, and something after their names."""
    made = "stack = create_stack("
    assert program.count(made) == 1
    inside = "with mock.patch.object(composition, 'InferenceServer', _changed):\n    "
    prelude = CHANGED_SERVERS.replace("SUFFIX", suffix).replace("OPTIONS", options)
    return prelude + program.replace(made, inside + made)


SHORT_WAIT = """
import pulumi

def _shortly(args):
    if args.type_ != "kubernetes:apps/v1:Deployment":
        return None
    timeouts = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="3s", update="UPDATE"))
    return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, timeouts))

pulumi.runtime.register_stack_transformation(_shortly)
"""
"""Gives a program's Deployments a few seconds to become ready."""


def impatient(bench: Bench, path: Path, *, update: str) -> Path:
    """The program with that short a patience, in a file of its own."""
    source = bench.stack(LOCAL).project.program.read_text("utf-8")
    path.write_text(SHORT_WAIT.replace("UPDATE", update) + source, encoding="utf-8")
    return path


def up(bench: Bench, text: str) -> Events:
    return bench.run(bench.stack(text).up)


def test_up_creates_everything_and_a_second_up_changes_nothing(bench: Bench) -> None:
    first = up(bench, LOCAL)
    assert first.operations["create"] == first.summary["create"] == 11
    assert bench.deployment()["status"]["readyReplicas"] == 1
    versions = bench.versions()
    second = up(bench, LOCAL)
    assert (second.steps, second.summary) == ([], {"same": 11})
    assert bench.versions() == versions


def test_the_token_is_in_no_file_in_clear(bench: Bench) -> None:
    up(bench, LOCAL)
    (secret,) = _secrets(bench)
    encoded = secret["data"]["hf_api_token"]
    assert base64.b64decode(encoded).decode() == TOKEN
    assert files_with(bench.directory, TOKEN) == []
    assert files_with(bench.directory, encoded) == []
    (passphrase,) = bench.directory.rglob("passphrase")
    assert passphrase.stat().st_mode & 0o777 == 0o600


def test_a_preview_shows_the_one_change_and_makes_none(bench: Bench) -> None:
    up(bench, LOCAL)
    versions = bench.versions()
    changed = LOCAL.replace("maxModelLen: 4096", "maxModelLen: 2048")
    preview = bench.run(bench.stack(changed).preview)
    assert preview.steps == [("update", "gemma-deployment")]
    assert bench.versions() == versions
    assert up(bench, changed).steps == preview.steps
    assert "--max-model-len=2048" in bench.deployment()["spec"]["template"]["spec"]["containers"][0]["args"]


def test_a_refresh_finds_drift_and_the_next_up_mends_it_once_that_is_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(bench, LOCAL)
    assert bench.run(bench.stack(LOCAL).refresh).summary == {"same": 11}
    bench.patch("apps/v1", "Deployment", "gemma", {"spec": {"replicas": 0}})
    assert bench.run(bench.stack(LOCAL).refresh).summary == {"same": 10, "update": 1}
    with pytest.raises(EngineError, match=r"\.spec\.replicas"):
        up(bench, LOCAL)
    # The SDK makes an argument of the provider of it, too.
    monkeypatch.setenv("PULUMI_K8S_ENABLE_PATCH_FORCE", "true")
    assert up(bench, LOCAL).steps == [("update", "gke-kubernetes"), ("update", "gemma-deployment")]
    assert bench.deployment()["spec"]["replicas"] == 1


def test_a_refresh_notices_what_somebody_deleted_and_the_next_up_makes_it_anew(bench: Bench) -> None:
    up(bench, LOCAL)
    bench.cluster.delete(_document("v1", "Service"))
    assert ("delete", "gemma-service") in bench.run(bench.stack(LOCAL).refresh).steps
    assert up(bench, LOCAL).steps == [("create", "gemma-service")]


def test_destroy_deletes_everything(bench: Bench) -> None:
    up(bench, TWO_SERVERS)
    destroyed = bench.run(bench.stack(TWO_SERVERS).destroy)
    assert destroyed.operations == {"delete": destroyed.summary["delete"]}
    assert bench.empty()
    assert bench.stack(LOCAL).state().get("resources", []) == []


def test_an_engine_killed_in_mid_update_loses_nothing(bench: Bench) -> None:
    stack = bench.stack(LOCAL)
    bench.without_nodes()
    bench.kill_when(bench.deployed, stack.up, KILL)
    assert [one["type"] for one in stack.state()["pending_operations"]] == ["creating"]
    uid = bench.deployment()["metadata"]["uid"]
    recovered = up(bench, LOCAL)
    assert ("create", "gemma-deployment") not in recovered.steps  # it exists, and was taken up
    assert bench.deployment()["metadata"]["uid"] == uid
    assert bench.deployment()["status"]["readyReplicas"] == 1
    assert stack.state().get("pending_operations", []) == []
    assert up(bench, LOCAL).summary == {"same": 11}
    bench.run(stack.destroy)
    assert bench.empty()


def test_what_was_being_made_when_the_engine_was_killed_goes_even_if_the_program_no_longer_wants_it(
    bench: Bench,
) -> None:
    up(bench, LOCAL)
    stack = bench.stack(TWO_SERVERS)
    bench.without_nodes()
    bench.kill_when(lambda: bench.deployed("second"), stack.up, KILL)
    up(bench, LOCAL)
    for api_version, kind in (("apps/v1", "Deployment"), ("v1", "Service")):
        names = [one["metadata"]["name"] for one in bench.api.select(api_version, kind, NAMESPACE, {})]
        assert names == ["gemma"]


def test_an_interrupted_update_ends_soon_and_the_next_goes_on(bench: Bench) -> None:
    stack = bench.stack(LOCAL)
    bench.without_nodes()
    bench.kill_when(bench.deployed, stack.up, INTERRUPT)
    assert stack.state().get("pending_operations", []) == []
    up(bench, LOCAL)
    assert bench.deployment()["status"]["readyReplicas"] == 1
    assert up(bench, LOCAL).summary == {"same": 11}


def test_an_interrupted_destroy_goes_on_where_it_ended(bench: Bench) -> None:
    up(bench, LOCAL)
    stack = bench.stack(LOCAL)
    bench.patch("apps/v1", "Deployment", "gemma", {"metadata": {"finalizers": ["tests/hold"]}})
    bench.kill_when(lambda: "deletionTimestamp" in bench.deployment()["metadata"], stack.destroy, KILL)
    assert bench.deployed()
    bench.patch("apps/v1", "Deployment", "gemma", {"metadata": {"finalizers": None}})
    bench.run(stack.destroy)
    assert bench.empty()
    assert stack.state().get("resources", []) == []


def test_a_second_operation_on_the_same_stack_is_refused_while_the_first_runs(bench: Bench) -> None:
    stack = bench.stack(LOCAL)
    bench.without_nodes()
    first = Background(stack.up)
    wait_until(bench.deployed)
    with pytest.raises(EngineError, match=r"another operation on stack 'test' is running: process \d+"):
        stack.up()
    bench.stack(LOCAL)
    first.join()
    assert first.failure is None
    assert up(bench, LOCAL).summary == {"same": 11}


def test_a_rollout_that_fails_fails_the_update_and_is_kept(bench: Bench, tmp_path: Path) -> None:
    program = impatient(bench, tmp_path / "shortly.py", update="60s")
    stack = bench.stack(LOCAL, program=program)
    bench.without_nodes()
    with pytest.raises(EngineError, match=r"(?s)'gemma' timed out waiting to be Ready.*Minimum number of Pods"):
        stack.up()
    (server,) = read_report(bench.api, plan_of_file(bench.directory / "Pulumi.test.yaml")).servers
    assert "nodes are available" in server.waiting
    assert any(one["urn"].endswith("::gemma-deployment") for one in stack.state()["resources"])
    assert up(bench, LOCAL).steps == [("update", "gemma-deployment")]
    assert bench.deployment()["status"]["readyReplicas"] == 1


def test_an_update_ends_when_the_new_pod_serves_and_not_before(bench: Bench) -> None:
    up(bench, LOCAL)
    for length in (1024, 2048, 3072):
        ((operation, name),) = up(bench, LOCAL.replace("maxModelLen: 4096", f"maxModelLen: {length}")).steps
        assert (operation, name) == ("update", "gemma-deployment")
        assert _rolled_out(bench.deployment())
        (uid,) = _pods(bench)
        pod = next(one for one in bench.api.select("v1", "Pod", NAMESPACE, {}) if one["metadata"]["uid"] == uid)
        assert f"--max-model-len={length}" in pod["spec"]["containers"][0]["args"]


def test_an_update_whose_pod_never_becomes_ready_fails(bench: Bench, tmp_path: Path) -> None:
    up(bench, LOCAL)
    program = impatient(bench, tmp_path / "shortly.py", update="15s")
    stack = bench.stack(LOCAL.replace("maxModelLen: 4096", "maxModelLen: 2048"), program=program)
    bench.crash()
    with pytest.raises(EngineError, match=r"(?s)gemma-deployment.*'gemma' timed out waiting to be Ready"):
        stack.up()
    assert not _rolled_out(bench.deployment())
    up(bench, LOCAL)
    assert _rolled_out(bench.deployment())


def _rolled_out(deployment: Object) -> bool:
    status = deployment["status"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    return bool(status["observedGeneration"] == deployment["metadata"]["generation"] and counts == [1, 1, 1, 1])


@pytest.mark.parametrize("cluster", ["existing", "standard", "autopilot"])
def test_a_new_token_is_two_updates_in_place(request: pytest.FixtureRequest, cluster: str) -> None:
    bench: Bench = request.getfixturevalue("autopilot_bench" if cluster == "autopilot" else "bench")
    text = {"existing": LOCAL, "standard": standard(), "autopilot": AUTOPILOT}[cluster]
    up(bench, text)
    before, version, pods = bench.identities(), _token_version(bench), _pods(bench)
    stack = bench.stack(text, token=NEW_TOKEN)
    # The version that the Secret will have is the API server's to say, and a trial run of it says the old one.
    assert bench.run(stack.preview).steps == [("update", "hugging-face-secret")]
    assert bench.run(stack.up).steps == [("update", "hugging-face-secret"), ("update", "gemma-deployment")]
    assert bench.identities() == before
    (secret,) = _secrets(bench)
    assert base64.b64decode(secret["data"]["hf_api_token"]).decode() == NEW_TOKEN
    # Pods name the version of the Secret, so that a new token rolls them.
    assert _token_version(bench) == secret["metadata"]["resourceVersion"] != version
    assert len(pods) == 1
    wait_until(lambda: len(_pods(bench)) == 1 and _pods(bench) != pods)
    assert bench.run(stack.up).steps == []
    assert files_with(bench.directory, NEW_TOKEN) == []


def test_a_renamed_component_with_its_alias_replaces_nothing(bench: Bench, tmp_path: Path) -> None:
    up(bench, LOCAL)
    before = bench.versions()
    program = tmp_path / "renamed.py"
    source = (bench.stack(LOCAL).project.program).read_text("utf-8")
    options = "pulumi.ResourceOptions(aliases=[pulumi.Alias(name=name)])"
    program.write_text(with_options(source, options, suffix="-renamed"), encoding="utf-8")
    events = bench.run(bench.stack(LOCAL, program=program).up)
    assert not {"create", "delete", "replace", "create-replacement", "delete-replaced"} & set(events.operations)
    assert bench.versions() == before


def test_what_is_protected_stays_until_it_no_longer_is(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "protected.py"
    source = (bench.stack(LOCAL).project.program).read_text("utf-8")
    program.write_text(with_options(source, "pulumi.ResourceOptions(protect=True)"), encoding="utf-8")
    bench.run(bench.stack(LOCAL, program=program).up)
    with pytest.raises(EngineError, match="protect"):
        bench.stack(LOCAL, program=program).destroy()
    assert bench.deployed()
    up(bench, LOCAL)
    bench.run(bench.stack(LOCAL).destroy)
    assert bench.empty()


def test_of_a_protected_cluster_nothing_is_deleted_until_the_protection_is_deployed_as_off(bench: Bench) -> None:
    text = standard(protection="true")
    up(bench, text)
    cloud, identities, resources = dict(bench.cloud.resources), bench.identities(), bench.stack(text).state()
    bench.cloud.calls.clear()
    elsewhere = text.replace("us-central1", "europe-west4")
    renamed = f"{text}  gke-llm-inference:namespace: another\n"
    # As the CLI does it, with a preview first: what is protected stops it there.
    with pytest.raises(CommandError, match=r'llm-inference" cannot be deleted'):
        bench.stack(text).command_line(["destroy", "--yes"])
    for changed, stopped in (
        (elsewhere, r'unable to replace resource "\S+::gke-cluster"'),
        (renamed, r'resource "\S+::llm-inference" cannot be deleted'),
    ):
        with pytest.raises(EngineError, match=stopped):
            bench.stack(changed).preview()
    assert bench.cloud.calls == []
    assert (bench.cloud.resources, bench.identities()) == (cloud, identities)
    assert bench.stack(text).state()["resources"] == resources["resources"]
    off = up(bench, standard(protection="false"))
    assert off.steps == [("update", "gke-cluster")]
    bench.run(bench.stack(standard(protection="false")).destroy)
    assert bench.cloud.resources == {}
    assert bench.empty()


def test_what_is_not_protected_comes_and_goes_on_a_protected_cluster(bench: Bench) -> None:
    text = standard(protection="true", nodes=5)
    up(bench, text + f"    second: {SERVER}\n")
    assert {operation for operation, _ in up(bench, text).steps} == {"delete"}
    up(bench, standard(protection="true", nodes=5, provisioning="spot"))
    assert bench.cloud.calls[-2:] == [("create", "l4"), ("delete", "l4")]


def test_the_readme_writes_a_kubeconfig_and_not_that_it_is_secret(bench: Bench) -> None:
    (command,) = re.findall(r"^pulumi (stack output kubeconfig.*) > kubeconfig\.json$", README.read_text("utf-8"), re.M)
    text = standard()
    up(bench, text)
    stack = bench.stack(text)
    # The provider's cluster has a private key beside the certificate that the kubeconfig is made of.
    assert stack.command_line(["stack", "output", "kubeconfig"]).stdout.strip() == "[secret]"
    assert json.loads(stack.command_line(command.split()).stdout)["kind"] == "Config"


def test_a_larger_node_pool_is_an_update_in_place(bench: Bench) -> None:
    up(bench, standard())
    assert up(bench, standard()).steps == []
    assert up(bench, standard(nodes=3)).steps == [("update", "l4")]


@pytest.mark.parametrize("networks", ["[]", "[{cidr: 192.0.2.0/24}]"])
@pytest.mark.parametrize("mode", ["standard", "autopilot"])
def test_a_fresh_stack_has_no_differences(request: pytest.FixtureRequest, mode: str, networks: str) -> None:
    bench: Bench = request.getfixturevalue("autopilot_bench" if mode == "autopilot" else "bench")
    text = (AUTOPILOT if mode == "autopilot" else standard()).replace(
        "location: us-central1,", f"location: us-central1, authorizedNetworks: {networks},"
    )
    assert networks in text
    up(bench, text)
    for operation in (bench.stack(text).preview, bench.stack(text).refresh, bench.stack(text).up):
        assert bench.run(operation).steps == []


def test_spot_replaces_the_node_pool_and_nothing_else_of_the_cluster(bench: Bench) -> None:
    up(bench, standard())
    bench.cloud.calls.clear()
    up(bench, standard(provisioning="spot"))
    # The new pool first: pods have somewhere to go before the old one ends.
    assert bench.cloud.calls == [("create", "l4"), ("delete", "l4")]


def _secrets(bench: Bench) -> list[Object]:
    return bench.api.select("v1", "Secret", NAMESPACE, {})


def _token_version(bench: Bench) -> str:
    annotations = bench.deployment()["spec"]["template"]["metadata"]["annotations"]
    version: str = annotations["llm-inference/token-version"]
    return version


def _pods(bench: Bench) -> set[str]:
    pods = bench.api.select("v1", "Pod", NAMESPACE, {"app.kubernetes.io/instance": "gemma"})
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def _document(api_version: str, kind: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "gemma", "namespace": NAMESPACE}}
