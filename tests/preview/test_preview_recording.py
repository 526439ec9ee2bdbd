"""What a recording holds: URNs, inheritance, decoded values, secrets, transforms."""

from __future__ import annotations

import base64
import inspect
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml

from gke_llm_inference.preview.run import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.preview.conftest import Result, Workspace

TOKEN = "hf_pLaNtEdToKeNpLaNtEdToKeN"
STACK = "urn:pulumi:dev::demo::pulumi:pulumi:Stack::demo-dev"

PROGRAM = f"""
import json, os
config = pulumi.Config()
TOKEN = "{TOKEN}"
plain = Thing("test:index:Plain", "plain", {{
    "whole": 3, "fraction": 0.5, "flag": True, "nothing": None, "list": [1, "two", {{"b": 1, "a": 2}}],
    "asset": pulumi.StringAsset("content"), "config": config.require("region"),
    "object": config.require_object("settings"), "empty": {{}},
}}, pulumi.ResourceOptions(protect=True, ignore_changes=["whole"], aliases=[pulumi.Alias(name="old")],
                           custom_timeouts=pulumi.CustomTimeouts(create="5m")))
user = Thing("test:index:User", "user", {{"from": plain.id, "known": plain.urn, "text": plain.urn.apply(len)}},
             pulumi.ResourceOptions(depends_on=[plain]))
provider = pulumi.ProviderResource("kubernetes", "cluster", {{"namespace": "serving"}})
outer = Group("demo:index:Outer", "outer", pulumi.ResourceOptions(providers=[provider], protect=True))
inner = Group("demo:index:Inner", "inner", pulumi.ResourceOptions(parent=outer))
secret = pulumi.Output.secret(TOKEN)
Thing("kubernetes:core/v1:Secret", "token", {{"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
    "data": {{"key": secret.apply(lambda t: __import__("base64").b64encode(t.encode()).decode())}}}},
    pulumi.ResourceOptions(parent=inner))
Thing("kubernetes:core/v1:Secret", "careless", {{"apiVersion": "v1", "kind": "Secret",
    "stringData": {{"key": "careless-value-1"}}}}, pulumi.ResourceOptions(parent=inner))
Thing("kubernetes:apps/v1:Deployment", "server", {{"apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {{"name": "gemma", "annotations": {{"leak": f"x{{TOKEN}}x", "careless": "careless-value-1"}}}},
    "spec": {{"replicas": 2, "template": {{"spec": {{"containers": [{{"name": "vllm", "env": [
        {{"name": "HF_TOKEN", "value": secret}}, {{"name": "ID", "value": plain.id}}],
        "command": ["sh", "-c", "echo one\\necho two\\n"]}}]}}}}}}}}, pulumi.ResourceOptions(parent=inner))
Thing("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "role",
    {{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}}, pulumi.ResourceOptions(parent=inner))
Thing("test:index:Encrypted", "encrypted", {{"token": config.require_secret("token"),
    "nested": config.require_object("nested")["deep"]}})
class InferenceServer(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("gke-llm-inference:index:InferenceServer", name)
        self.register_outputs({{"server": "vllm", "version": "0.10.0", "model": "google/gemma-7b-it",
            "image": "vllm/vllm-openai:v0.10.0", "args": ["--port=8000", "--evil=\\x1b[31m\\nnext"],
            "gpuType": "nvidia-l4", "gpuCount": 1, "machineType": "g2-standard-8", "url": plain.id,
            "self": inner}})
InferenceServer("gemma")
pulumi.export("token", secret)
pulumi.export("later", plain.id)
pulumi.export("answer", 42)
pulumi.export("reference", plain)
pulumi.log.warn("mind the \\x1b[31mgap " + TOKEN)
pulumi.log.info("for your information")
print("printed", TOKEN)
print("environment", sorted(k for k in os.environ if "CREDENTIALS" in k or "PULUMI_ACCESS" in k))
"""

CONFIG = """\
encryptionsalt: v1:saltsaltsalt=:v1:moremoremore
config:
  region: us-central1
  demo:settings: {b: 1, a: [true, null], version: "0.10"}
  demo:token: {secure: v1:cIpHeRtExTcIpHeRtExT}
  demo:nested:
    deep: {secure: v1:cIpHeRtExTcIpHeRtExT}
    shallow: 1
"""


class Case:
    def __init__(self, result: Result, text: Result, out: Path) -> None:
        self.result = result
        self.text = text
        self.out = out
        self.document = result.document()
        self.resources: dict[str, Any] = {resource["name"]: resource for resource in self.document["resources"]}

    def manifest(self, name: str) -> Any:
        return yaml.safe_load((self.out / "manifests" / name).read_text())


@pytest.fixture(scope="module")
def case(new_workspace: Callable[[], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Case:
    workspace = new_workspace()
    workspace.program(PROGRAM)
    workspace.stack(CONFIG)
    out = tmp_path_factory.mktemp("out") / "a" / "b"
    result = workspace.preview(
        *("--stack", "dev", "--json", "--out", str(out)),
        PYTHONHASHSEED="1",
        GOOGLE_APPLICATION_CREDENTIALS="x",
        PULUMI_ACCESS_TOKEN="x",
    )
    text = workspace.preview("--stack", "dev", "--out", str(out.parent / "second"), PYTHONHASHSEED="2")
    return Case(result, text, out)


def test_urns_are_those_of_the_engine(case: Case) -> None:
    prefix = "urn:pulumi:dev::demo::"
    chain = "demo:index:Outer$demo:index:Inner"
    assert [resource["urn"] for resource in case.document["resources"]] == sorted(
        [
            STACK,
            f"{prefix}test:index:Plain::plain",
            f"{prefix}test:index:User::user",
            f"{prefix}test:index:Encrypted::encrypted",
            f"{prefix}pulumi:providers:kubernetes::cluster",
            f"{prefix}demo:index:Outer::outer",
            f"{prefix}{chain}::inner",
            f"{prefix}{chain}$kubernetes:core/v1:Secret::token",
            f"{prefix}{chain}$kubernetes:core/v1:Secret::careless",
            f"{prefix}{chain}$kubernetes:apps/v1:Deployment::server",
            f"{prefix}{chain}$kubernetes:rbac.authorization.k8s.io/v1:ClusterRole::role",
            f"{prefix}gke-llm-inference:index:InferenceServer::gemma",
        ]
    )
    assert case.resources["demo-dev"]["parent"] is None
    assert case.resources["plain"]["parent"] == STACK
    assert case.resources["inner"]["parent"] == f"{prefix}demo:index:Outer::outer"


def test_values_keep_their_types(case: Case) -> None:
    assert case.resources["plain"]["inputs"] == {
        "asset": {"[asset]": {"kind": "asset", "textLength": 7}},
        "config": "us-central1",
        "empty": {},
        "flag": True,
        "fraction": 0.5,
        "list": [1, "two", {"a": 2, "b": 1}],
        "object": {"a": [True, None], "b": 1, "version": "0.10"},
        "whole": 3,
    }
    assert isinstance(case.resources["plain"]["inputs"]["whole"], int)


def test_unknowns_and_dependencies(case: Case) -> None:
    user = case.resources["user"]
    plain = case.resources["plain"]["urn"]
    assert user["inputs"] == {"from": "[unknown]", "known": plain, "text": len(plain)}
    assert user["dependencies"] == [plain]
    assert user["propertyDependencies"] == {"from": [plain], "known": [plain], "text": [plain]}


def test_options(case: Case) -> None:
    plain = case.resources["plain"]
    assert plain["protect"] is True
    assert plain["ignoreChanges"] == ["whole"]
    assert plain["aliases"] == [{"name": "old"}]
    assert plain["customTimeouts"] == {"create": "5m"}
    assert "deleteBeforeReplace" not in plain


def test_provider_and_protect_are_inherited(case: Case) -> None:
    assert case.resources["server"]["provider"] == case.resources["cluster"]["urn"]
    assert case.resources["server"]["protect"] is True
    assert case.resources["plain"]["provider"] is None


def test_secrets_are_masked_and_named(case: Case) -> None:
    server = case.resources["server"]
    assert server["secretInputs"] == ["spec.template.spec.containers[0].env[0].value"]
    (container,) = server["inputs"]["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "HF_TOKEN", "value": "[secret]"}, {"name": "ID", "value": "[unknown]"}]
    assert server["inputs"]["metadata"]["annotations"] == {"careless": "[secret]", "leak": "x[secret]x"}
    assert case.resources["encrypted"]["inputs"] == {"nested": "[secret]", "token": "[secret]"}
    assert case.resources["token"]["inputs"]["data"] == {"key": "[secret]"}


def test_a_careless_kubernetes_secret_is_masked_with_a_warning(case: Case) -> None:
    assert case.resources["careless"]["inputs"]["stringData"] == {"key": "[secret]"}
    assert case.resources["careless"]["secretInputs"] == ["stringData.key"]
    (warning,) = [w for w in case.document["warnings"] if w["urn"] == case.resources["careless"]["urn"]]
    assert "not marked as secret (key)" in warning["message"]


def test_planted_secrets_appear_nowhere(case: Case) -> None:
    written = "".join(path.read_text() for path in case.out.rglob("*") if path.is_file())
    shown = case.result.stdout + case.result.stderr + case.text.stdout + case.text.stderr
    for needle in (TOKEN, base64.b64encode(TOKEN.encode()).decode(), "careless-value-1", "cIpHeRtExT", "saltsalt"):
        assert needle not in written
        assert needle not in shown


def test_exports(case: Case) -> None:
    exports = case.document["exports"]
    assert (exports["answer"], exports["later"], exports["token"]) == (42, "[unknown]", "[secret]")
    assert exports["reference"]["urn"] == case.resources["plain"]["urn"]


def test_servers(case: Case) -> None:
    (server,) = case.document["servers"]
    assert server["name"] == "gemma"
    assert server["image"] == "vllm/vllm-openai:v0.10.0"
    assert (server["gpuType"], server["gpuCount"], server["machineType"]) == ("nvidia-l4", 1, "g2-standard-8")
    assert server["url"] == "[unknown]"
    assert server["replicas"] is None
    assert case.resources["gemma"]["outputs"]["self"] == case.resources["inner"]["urn"]


def test_tree_and_counts(case: Case) -> None:
    (root,) = case.document["tree"]
    assert (root["urn"], root["resourceCount"]) == (STACK, 11)
    assert [child["name"] for child in root["children"]] == ["encrypted", "plain", "user", "cluster", "gemma", "outer"]
    outer = root["children"][-1]
    assert (outer["label"], outer["resourceCount"]) == ("Outer", 5)
    assert case.document["resourceCount"] == sum(case.document["counts"].values()) == 12
    assert case.document["counts"]["kubernetes:core/v1:Secret"] == 2


def test_json_is_alone_on_stdout(case: Case) -> None:
    json.loads(case.result.stdout)
    assert "program: printed [secret]" in case.result.stderr
    assert "printed" not in case.result.stdout


def test_credentials_do_not_reach_the_program(case: Case) -> None:
    assert "environment []" in case.result.stderr


def test_text(case: Case) -> None:
    text = case.text.stdout
    assert case.text.code == 0
    assert "demo/dev: 12 resources, no cloud contacted" in text
    assert "program: printed [secret]" in text
    for line in (
        "└─ outer  Outer (5 resources)",
        "      ├─ server  kubernetes Deployment apps/v1",
        "    image       vllm/vllm-openai:v0.10.0",
        "    GPUs        1 × nvidia-l4",
        "    machine     g2-standard-8",
        "    arguments   --port=8000",
        "  - for your information",
    ):
        assert line in text
    assert "1 manifest with values that only a deployment knows" in text
    assert max(map(len, (line for line in text.splitlines() if "/" not in line and "urn:" not in line))) <= 80


def test_names_cannot_steer_the_terminal(case: Case) -> None:
    assert "\x1b" not in case.text.stdout + case.text.stderr
    assert r"--evil=\x1b[31m\nnext" in case.text.stdout
    assert r"mind the \x1b[31mgap [secret]" in case.text.stdout


def test_two_runs_are_byte_identical(case: Case) -> None:
    second = case.out.parent / "second"
    first_files = {path.relative_to(case.out): path.read_bytes() for path in case.out.rglob("*.*") if path.is_file()}
    assert first_files == {
        path.relative_to(second): path.read_bytes() for path in second.rglob("*.*") if path.is_file()
    }
    assert json.loads((case.out / "resources.json").read_text())["resources"] == case.document["resources"]
    assert len(case.document["files"]) == len(first_files)


def test_manifests(case: Case) -> None:
    assert sorted(path.name for path in (case.out / "manifests").iterdir()) == [
        "cluster-clusterrole-role.yaml",
        "serving-deployment-gemma.yaml",
        "serving-secret-careless.yaml",
        "serving-secret-token.yaml",
    ]
    deployment = case.manifest("serving-deployment-gemma.yaml")
    assert list(deployment) == ["apiVersion", "kind", "metadata", "spec"]
    assert deployment["metadata"]["name"] == "gemma"
    assert deployment["metadata"]["namespace"] == "serving"
    assert deployment["spec"]["replicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"][2] == "echo one\necho two\n"
    text = (case.out / "manifests" / "serving-deployment-gemma.yaml").read_text()
    assert re.search(r"- \|\n +echo one\n +echo two\n", text)


def test_a_masked_secret_stays_applicable(case: Case) -> None:
    assert case.manifest("serving-secret-token.yaml") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token", "namespace": "serving"},
        "type": "Opaque",
        "stringData": {"key": "[secret]"},
    }
    assert case.manifest("cluster-clusterrole-role.yaml")["metadata"] == {"name": "role"}


def test_transforms_are_honored(workspace: Workspace) -> None:
    workspace.program("""
        async def own(args):
            args.props["own"] = args.props["x"] + 1
            args.opts.protect = True
            return pulumi.ResourceTransformResult(args.props, args.opts)
        def inherited(args):
            if args.custom:
                args.props["order"] = args.props.get("own", 0)
                return pulumi.ResourceTransformResult(args.props, args.opts)
        def stack(args):
            if args.custom:
                args.props["stack"] = True
                return pulumi.ResourceTransformResult(args.props, args.opts)
        pulumi.runtime.register_resource_transform(stack)
        group = Group("demo:index:Group", "group", pulumi.ResourceOptions(transforms=[inherited]))
        Thing("test:index:T", "a", {"x": 1}, pulumi.ResourceOptions(parent=group, transforms=[own]))
        Thing("test:index:T", "b", {"x": 1})
    """)
    resources = {r["name"]: r for r in workspace.preview("--stack", "dev", "--json").document()["resources"]}
    assert resources["a"]["inputs"] == {"x": 1, "own": 2, "order": 2, "stack": True}
    assert resources["a"]["protect"] is True
    assert resources["b"]["inputs"] == {"x": 1, "stack": True}


def test_what_needs_a_cloud_is_unknown_with_a_warning(workspace: Workspace) -> None:
    workspace.program("""
        answer = pulumi.runtime.invoke_output("gcp:compute/getZones:getZones", {"region": "us-central1"})
        Thing("test:index:T", "a", {"zones": answer.apply(lambda a: a["names"])})
        other = pulumi.StackReference("organization/network/dev")
        pulumi.export("network", other.get_output("id"))
        Thing("test:index:T", "got", {}, pulumi.ResourceOptions(id="existing"))
    """)
    document = workspace.preview("--stack", "dev", "--json").document()
    resources = {r["name"]: r for r in document["resources"]}
    assert resources["a"]["inputs"] == {"zones": "[unknown]"}
    assert document["exports"] == {"network": "[unknown]"}
    assert resources["got"]["external"] is True
    messages = [warning["message"] for warning in document["warnings"]]
    assert any("cannot answer gcp:compute/getZones:getZones" in message for message in messages)
    assert any("cannot read the stack organization/network/dev" in message for message in messages)
    assert any("cannot read the existing resource 'got'" in message for message in messages)


def test_async_entry_point(workspace: Workspace) -> None:
    workspace.program("""
        import asyncio
        gate = asyncio.Future()
        pulumi.Output.from_input(gate).apply(lambda name: Thing("test:index:T", name))
        async def main():
            gate.set_result("late")
            await asyncio.sleep(0)
            return {"done": True}
        pulumi.run(main)
    """)
    document = workspace.preview("--stack", "dev", "--json", "--timeout", "20").document()
    assert document["exports"] == {"done": True}
    assert [r["name"] for r in document["resources"]] == ["demo-dev", "late"]


def test_recordings_run_side_by_side(workspace: Workspace) -> None:
    workspace.program("""
        import time
        time.sleep(0.5)
        Thing("test:index:T", pulumi.Config().require("name"))
    """)
    files = []
    for name in ("one", "two"):
        files.append(workspace.directory.parent / f"Pulumi.{name}.yaml")
        files[-1].write_text(f"config: {{name: {name}}}")
    with ThreadPoolExecutor() as pool:
        one, two = pool.map(lambda file: record(workspace.directory, config_file=file), files)
    assert [resource.name for resource in one.resources] == ["demo-one", "one"]
    assert two.resources[0].urn == "urn:pulumi:two::demo::pulumi:pulumi:Stack::demo-two"
    again = record(workspace.directory, "one", files[0])
    assert again == one


def test_plain_text_where_the_terminal_knows_no_more(workspace: Workspace, tmp_path: Path) -> None:
    workspace.program("Thing('test:index:T', 'größe')")
    (workspace.directory / "below").mkdir()
    arguments = ("--config-file", str(workspace.directory / "Pulumi.dev.yaml"), "--out", "here")
    result = workspace.preview(*arguments, cwd=tmp_path, cold=True, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.code == 0
    assert r"`- gr\xf6\xdfe  test T" in result.stdout or r"`- gr\xf6\xdfe  T" in result.stdout
    assert "wrote here/resources.json and 0 manifests" in result.stdout
    assert "größe" in (tmp_path / "here" / "resources.json").read_text(encoding="utf-8")


def test_no_secret_is_lost_in_numbers_or_names(workspace: Workspace, tmp_path: Path) -> None:
    workspace.program("""
        Thing("test:index:T", "a", {"pin": pulumi.Output.secret("98765432"), "number": 98765432,
                                    "key": {"x-98765432": True}})
        Thing("test:index:T", "named-98765432")
    """)
    result = workspace.preview("--stack", "dev", "--json", "--out", str(tmp_path / "out"))
    document = result.document()
    assert "98765432" not in result.stdout + (tmp_path / "out" / "resources.json").read_text()
    (warning,) = document["warnings"]
    assert "part of a resource's name" in warning["message"]


def test_the_sdk_looks_for_places_in_the_program_by_what_a_preview_takes_away() -> None:
    """A private name: a new SDK may have another one, and previews of large programs would be slower."""
    assert "stack_trace = _get_stack_trace()" in inspect.getsource(pulumi.runtime.resource.register_resource)
