"""Bad input, end to end through the real program: a clear message on stderr and nothing written."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.settings import Refusal, parse_settings
from tests.support import Shared, preview_command

CLUSTER = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}
"""
OPEN = "server: vllm, model: Qwen/Qwen2.5-7B-Instruct"

MALFORMED = """
config:
  gcp:project: my-project
  gke-llm-inference:clusters: {}
  gke-llm-inference:createNamespace: "no"
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1-a, releaseChanel: RAPID}
  gke-llm-inference:huggingFace: {tokenSource: configuration}
  gke-llm-inference:nodePools:
    l4: {minNodes: 3, maxNodes: 2, diskType: pd-standard, sharing: {strategy: none, maxClients: 1}}
  gke-llm-inference:servers:
    one: {server: vllm, replicas: "1", maxModelLen: 0, model: gemma}
    two: {server: sglang, model: google/gemma-7b-it}
    three: {model: google/gemma-7b-it}
    four: [vllm]
"""

IMPOSSIBLE = f"""
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {{mode: standard, location: us-central1, zones: [us-east1-b]}}
  gke-llm-inference:nodePools:
    three: {{accelerator: {{type: nvidia-l4, count: 3}}}}
    v100: {{accelerator: {{type: nvidia-tesla-v100}}}}
    small: {{accelerator: {{count: 2}}, machineType: g2-standard-8}}
    unknown: {{machineType: g2-standard-64}}
    elsewhere: {{zones: [europe-west1-b]}}
    without-l4: {{zones: [us-central1-f]}}
    ssds: {{machineType: g2-standard-8, localSsds: 2}}
    flex: {{provisioning: {{model: flexStart}}, minNodes: 1}}
    tainted: {{taints: [{{key: nvidia.com/gpu, value: present}}]}}
  gke-llm-inference:servers:
    unknown-model: {{server: vllm, model: google/gemma-7b-itt}}
    three-gpus: {{{OPEN}, accelerator: {{count: 3}}}}
    gated: {{server: vllm, model: google/gemma-7b-it}}
    too-long: {{{OPEN}, maxModelLen: 1000000}}
    heads: {{{OPEN}, accelerator: {{count: 8}}}}
    old: {{{OPEN}, version: "0.1.0"}}
    spot: {{{OPEN}, provisioning: {{model: spot}}}}
    Twin: {{{OPEN}}}
    {dns_label("Twin")}: {{{OPEN}}}
"""

NOWHERE = f"""
config:
  gke-llm-inference:cluster: {{mode: autopilot, location: australia-southeast1}}
  gke-llm-inference:servers:
    qwen: {{{OPEN}}}
"""

UNFIT = f"""{CLUSTER}  gke-llm-inference:huggingFace: {{tokenSource: existingSecret}}
  gke-llm-inference:servers:
    gemma: {{server: vllm, model: google/gemma-7b-it}}
"""

EMPTY = """\
config:
  gke-llm-inference:cluster: {mode: existing, kubeconfigContext: kind-llm}
  gke-llm-inference:servers: {}
"""
NOT_YAML = f"{CLUSTER}  gke-llm-inference:servers: {{qwen: [}}\n"
TWICE = f"{CLUSTER}  gke-llm-inference:servers:\n    qwen: {{{OPEN}}}\n    qwen: {{{OPEN}}}\n"
TEXTS = {
    "malformed": MALFORMED,
    "impossible": IMPOSSIBLE,
    "nowhere": NOWHERE,
    "unfit": UNFIT,
    "empty": EMPTY,
    "not-yaml": NOT_YAML,
    "twice": TWICE,
}


class Refused(NamedTuple):
    """What a preview that went wrong left behind."""

    code: int
    stdout: str
    stderr: str
    file: Path
    wrote: bool

    @property
    def problems(self) -> set[str]:
        """The lines that name a problem."""
        lines = (line.removeprefix("error: ") for line in self.stderr.splitlines())
        return {line for line in lines if re.match(r"[^\s:]\S*: ", line) and not line.startswith("warning: ")}


def refused(shared: Shared, name: str) -> Refused:
    """`python -m gke_llm_inference preview --config-file … --out …` of one of the texts, run once in a test run."""

    def make() -> Refused:
        directory = shared.directory_of(f"refused {name}")
        file, out = directory / "Pulumi.wrong.yaml", directory / "out"
        file.write_text(TEXTS[name], encoding="utf-8")
        ended = preview_command(["--config-file", file, "--out", out])
        return Refused(ended.returncode, ended.stdout, ended.stderr, file, out.exists())

    return shared.once(f"refused {name}", make)


@pytest.mark.parametrize("name", TEXTS)
def test_a_refusal_exits_with_one_prints_only_on_stderr_and_writes_nothing(shared: Shared, name: str) -> None:
    result = refused(shared, name)
    assert (result.code, result.stdout, result.wrote) == (1, "", False)
    assert result.stderr.startswith(("error: ", "warning: "))
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["malformed", "impossible", "nowhere", "unfit", "empty"])
def test_every_problem_comes_with_a_fix(shared: Shared, name: str) -> None:
    message = refused(shared, name).stderr
    message = message[message.index("error: the configuration has ") :]
    heading = re.match(r"error: the configuration has (\d+) problems?:", message)
    assert heading
    assert len(re.findall(r"^  fix: \S", message, re.MULTILINE)) == int(heading[1])


MALFORMED_PATHS = {
    "clusters": "did you mean cluster?",
    "createNamespace": "",
    "cluster.location": "",
    "cluster.releaseChanel": "did you mean releaseChannel?",
    "huggingFace.tokenSource": "did you mean config?",
    "nodePools.l4.diskType": "",
    "nodePools.l4.sharing.strategy": "use one of: mps, timeSharing",
    "nodePools.l4.sharing.maxClients": "",
    "servers.one.replicas": "write a whole number",
    "servers.one.maxModelLen": "",
    "servers.one.model": "google/gemma-7b-it",
    "servers.two.server": "use one of: tgi, vllm",
    "servers.three.server": "use one of: tgi, vllm",
    "servers.four": "",
}


@pytest.mark.parametrize("path", MALFORMED_PATHS)
def test_a_malformed_setting_is_named_by_its_path_beside_all_others(shared: Shared, path: str) -> None:
    message = refused(shared, "malformed").stderr
    found = re.search(rf"^{re.escape(path)}: .*(\n  .*)*", message, re.MULTILINE)
    assert found, message
    assert MALFORMED_PATHS[path] in found[0]


def test_no_malformed_setting_is_named_that_is_none(shared: Shared) -> None:
    named = {line.partition(": ")[0] for line in refused(shared, "malformed").problems}
    assert named == MALFORMED_PATHS.keys()


IMPOSSIBLE_PROBLEMS = {
    "cluster.zones[0]": "us-east1-b is not in us-central1",
    "nodePools.three.accelerator.count": "no machine has 3 × nvidia-l4",
    "nodePools.v100.accelerator.type": "nvidia-tesla-v100 is not a GPU of the catalog",
    "nodePools.small.machineType": "g2-standard-8 has 1 × nvidia-l4, not 2 × nvidia-l4",
    "nodePools.unknown.machineType": "g2-standard-64 is not a GPU machine of the catalog",
    "nodePools.elsewhere.zones[0]": "europe-west1-b is not in us-central1",
    "nodePools.without-l4.zones": "no zone of the pool is known to have nvidia-l4",
    "nodePools.ssds.localSsds": "g2-standard-8 takes at most 1 local SSDs",
    "nodePools.flex.minNodes": "must be 0 with flexStart",
    "nodePools.tainted.taints[0].key": "belongs to GKE",
    "servers.unknown-model.model": "google/gemma-7b-itt is not in the catalog",
    "servers.three-gpus.accelerator.count": "no machine has 3 × nvidia-l4",
    "servers.gated.model": "google/gemma-7b-it is gated and the stack has no Hugging Face token",
    "servers.too-long.maxModelLen": "1000000 tokens are more than the model's 32768",
    "servers.heads.accelerator.count": "8 GPUs cannot share 28 attention heads",
    "servers.old.version": "vLLM 0.1.0 is older than every version in the catalog",
    "servers.spot.provisioning": "belongs to the node pool on a Standard cluster",
}


@pytest.mark.parametrize("path", IMPOSSIBLE_PROBLEMS)
def test_an_impossible_wish_is_refused_for_its_reason_beside_all_others(shared: Shared, path: str) -> None:
    assert f"{path}: {IMPOSSIBLE_PROBLEMS[path]}" in refused(shared, "impossible").problems


def test_two_servers_that_would_get_one_name_are_refused(shared: Shared) -> None:
    name = dns_label("Twin")
    clash = f"servers.{name}: gets the same name as servers.Twin: {name}"
    assert [line for line in refused(shared, "impossible").problems if "gets the same name" in line] == [clash]


def test_a_region_without_the_gpu_is_refused_with_the_regions_that_have_it(shared: Shared) -> None:
    result = refused(shared, "nowhere")
    assert "servers.qwen.accelerator.type: nvidia-l4 is not offered in australia-southeast1" in result.problems
    assert "us-central1" in result.stderr


def test_a_context_that_does_not_fit_the_gpu_is_refused_with_what_does(shared: Shared) -> None:
    result = refused(shared, "unfit")
    assert result.problems == {"servers.gemma: does not fit 1 × nvidia-l4"}
    assert "why: one request of 8192 tokens needs 3.50 GiB of KV cache; " in result.stderr
    assert "fix: FP8 weights, quantized on load; or " in result.stderr


def test_allowed_it_is_previewed_with_the_same_words_as_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.allowed.yaml"
    file.write_text(UNFIT.replace("gemma-7b-it}", "gemma-7b-it, allowUnfit: true}"), encoding="utf-8")
    ended = preview_command(["--config-file", file])
    assert ended.returncode == 0, ended.stderr
    assert "servers.gemma: does not fit 1 × nvidia-l4" in ended.stdout
    assert "kubernetes Deployment" in ended.stdout


def test_a_stack_that_makes_nothing_is_refused(shared: Shared) -> None:
    assert [line.partition(": ")[0] for line in refused(shared, "empty").problems] == ["configuration"]


def test_a_cluster_in_google_cloud_without_a_project_is_refused(shared: Shared) -> None:
    result = refused(shared, "nowhere")
    assert "gcp:project: is missing" in result.problems
    assert "fix: pulumi config set gcp:project PROJECT" in result.stderr


@pytest.mark.parametrize(("name", "line"), [("not-yaml", 5), ("twice", 7)])
def test_a_file_that_is_no_yaml_is_refused_with_the_place_in_it(shared: Shared, name: str, line: int) -> None:
    result = refused(shared, name)
    assert result.stderr.startswith(f"error: {result.file}:{line}:")
    assert result.stderr.count("\n") == 1


def test_an_unknown_stack_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    ended = preview_command(["--stack", "prd", "--out", tmp_path / "out"])
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "there is no stack 'prd'" in ended.stderr
    assert "did you mean 'prod'?" in ended.stderr
    assert "stacks here: dev, local, prod, staging" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_stack_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    ended = preview_command(["--config-file", tmp_path / "Pulumi.none.yaml", "--out", tmp_path / "out"])
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"error: {tmp_path / 'Pulumi.none.yaml'}: there is no such file\n"
    assert not (tmp_path / "out").exists()


def test_secret_manager_without_a_project_is_refused() -> None:
    settings = parse_settings(
        {
            "cluster": {"mode": "existing", "kubeconfigContext": "kind-llm"},
            "huggingFace": {"tokenSource": "secretManager", "secret": "hf", "projectNumber": "123456789012"},
            "servers": {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096}},
        }
    )
    with pytest.raises(Refusal) as refusal:
        plan_stack(settings, StackIdentity("gke-llm-inference", "test"))
    (problem,) = refusal.value.problems
    assert (problem.path, problem.what) == ("gcp:project", "is missing")


def test_a_server_with_the_name_of_the_account_that_reads_the_token_is_refused() -> None:
    settings = parse_settings(
        {
            "cluster": {"mode": "autopilot", "location": "us-central1"},
            "huggingFace": {"tokenSource": "secretManager", "secret": "hf", "projectNumber": "123456789012"},
            "servers": {"hf-secret-reader": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}},
        }
    )
    with pytest.raises(Refusal) as refusal:
        plan_stack(settings, StackIdentity("gke-llm-inference", "test", "my-project"))
    (problem,) = refusal.value.problems
    assert problem.path == "servers.hf-secret-reader"
    assert problem.what == "gets the name of the service account that reads the token: hf-secret-reader"


@pytest.mark.parametrize(
    "cluster",
    [
        {"kubeconfigContext": "kind-llm", "nodeServiceAccount": "nodes@my-project.iam.gserviceaccount.com"},
        {"name": "shared", "location": "us-central1", "nodeServiceAccount": "no email"},
    ],
    ids=["no use", "no email"],
)
def test_a_node_account_that_nothing_uses_or_that_is_no_email_is_refused(cluster: dict[str, str]) -> None:
    raw = {
        "cluster": {"mode": "existing", **cluster},
        "servers": {"qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}},
    }
    with pytest.raises(Refusal):
        plan_stack(parse_settings(raw), StackIdentity("gke-llm-inference", "test", "my-project"))
