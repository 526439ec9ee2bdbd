"""Every stack and every example previews without problems, and the preview says what was decided and why."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.vulnerabilities import known_vulnerabilities
from gke_llm_inference.preview.manifests import manifests_of
from gke_llm_inference.preview.recording import Recording, Severity
from tests.support import (
    DEPLOYMENT,
    GUIDE,
    INFERENCE_SERVER,
    REPOSITORY,
    SECRET,
    STACKS,
    Recordings,
    Shared,
    effective_of,
    of_type,
    preview_command,
)

EXAMPLES = sorted(path.stem.removeprefix("Pulumi.") for path in GUIDE.glob("Pulumi.*.yaml"))

TOKEN = "huggingFaceToken: is not set"
MAINTENANCE = "servers.{}.server{}: Text Generation Inference is in maintenance mode"
RAISED = ("servers.gemma.resources.cpu: becomes 21 vCPU", "servers.gemma.resources.memoryGib: becomes 78 GiB")
OLD_VERSION = "servers.gemma.version: vLLM 0.10.0 has 9 known vulnerabilities: " + ", ".join(
    one.id for one in known_vulnerabilities("vllm", "0.10.0", load_catalog(), family="gemma", arguments=())
)
OLD_TGI = (
    "servers.gemma.version: Text Generation Inference 2.3.1 has a known vulnerability that this server is not open to: "
    "CVE-2026-0599"
)
OLDER_ENGINE = "servers.gemma.presets[0]: fp8-kv-cache-e5m2 makes vLLM fall back to its older engine on an L4"

WARNINGS = {
    "dev": {TOKEN},
    "staging": {TOKEN, MAINTENANCE.format("gemma-tgi", " (Pulumi.staging.yaml)")},
    "prod": set(),
    "local": {TOKEN},
    "tgi-2-9b-it": {TOKEN, MAINTENANCE.format("gemma", ""), OLD_TGI, *RAISED},
    "tgi-7b-bitsandbytes": {TOKEN, MAINTENANCE.format("gemma", ""), OLD_TGI, *RAISED},
    "tgi-7b-bitsandbytes-nf4": {TOKEN, MAINTENANCE.format("gemma", ""), OLD_TGI, *RAISED},
    "tgi-7b-it-tensorparallelism": {TOKEN, MAINTENANCE.format("gemma", ""), OLD_TGI, *RAISED},
    "tgi-7b-token": {TOKEN, MAINTENANCE.format("gemma", ""), OLD_TGI},
    "vllm-7b": {TOKEN, OLD_VERSION, *RAISED},
    "vllm-7b-awq": {TOKEN, OLD_VERSION},
    "vllm-7b-it-tensorparallelism": {TOKEN, OLD_VERSION, *RAISED},
    "vllm-7b-kvcache": {TOKEN, OLD_VERSION, OLDER_ENGINE},
    "vllm-7b-token": {TOKEN, OLD_VERSION},
}
"""The warnings of each: no more, and no fewer."""

VERDICT = re.compile(
    r"fits: a KV cache of \d+\.\d\d GiB per GPU holds [\d,]+ tokens; longest context [\d,]+, "
    r"\d+\.\d requests of (?P<context>[\d,]+) tokens at once"
    r"(?P<estimated>; estimated, not measured)?"
)
START = re.compile(r"start: \d+ s expected, \d+ s allowed; \d+ s on a new node, with the image pulled whole: ")
MEASURED = {("dev", "gemma"), ("staging", "gemma-vllm"), ("prod", "gemma"), ("local", "gemma")}
"""The servers whose version was measured on as many GPUs; all others are estimated, and say so."""

TECHNIQUES = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}
  gke-llm-inference:huggingFace: {tokenSource: existingSecret}
  gke-llm-inference:servers:
    gemma:
      {server: vllm, model: google/gemma-7b-it, presets: [fp8, fp8-kv-cache-e4m3], maxModelLen: 2048, maxNumSeqs: 128}
    plain: {server: vllm, model: google/gemma-7b-it, maxModelLen: 2048}
"""
DECISIONS = [
    "servers.gemma:",
    "fits: a KV cache of 10.01 GiB per GPU holds 46,832 tokens; longest context 8,192, "
    "22.8 requests of 2,048 tokens at once",
    "start: 288 s expected, 600 s allowed; 1008 s on a new node, "
    "with the image pulled whole: GKE does not stream from docker.io",
    "fp8: quantization: fp8 (FP8 weights, quantized while loading or in the checkpoint)",
    "fp8: vLLM quantizes the linear layers while loading; the embeddings keep their precision",
    "fp8-kv-cache-e4m3: kvCacheDtype: fp8_e4m3 (FP8 KV cache in E4M3 format, twice the tokens in the same memory)",
    "fp8-kv-cache-e4m3: vLLM chooses FlashInfer or Triton for attention, "
    "as FlashAttention has no FP8 KV cache on an L4",
]

PLAIN = [
    "servers.plain:",
    "fits: a KV cache of 2.79 GiB per GPU holds 6,528 tokens; longest context 6,528, "
    "3.1 requests of 2,048 tokens at once",
    "start: 288 s expected, 600 s allowed; 1008 s on a new node, "
    "with the image pulled whole: GKE does not stream from docker.io",
]


@pytest.fixture(params=WARNINGS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    """Each stack and each example."""
    found: str = request.param
    return found


def file_of(name: str) -> Path:
    return (REPOSITORY if name in STACKS else GUIDE) / f"Pulumi.{name}.yaml"


def servers_of(name: str) -> dict[str, dict[str, Any]]:
    servers: dict[str, dict[str, Any]] = effective_of(file_of(name))["servers"]
    return servers


def recording_of(recordings: Recordings, name: str) -> Recording:
    return recordings.stack(name) if name in STACKS else recordings.file(file_of(name))


def first_lines(recording: Recording, severity: Severity) -> list[str]:
    return [entry.message.partition("\n")[0] for entry in recording.messages(severity)]


def notes_of(text: str) -> list[str]:
    """The notes in the text of a preview, each on one line."""
    section = re.search(r"^Notes\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert section
    return [" ".join(note.split()) for note in re.split(r"^  - ", section[1], flags=re.MULTILINE)[1:]]


def test_there_are_four_stacks_and_ten_examples() -> None:
    assert len(EXAMPLES) == 10
    assert {*STACKS, *EXAMPLES} == WARNINGS.keys()
    assert {path.stem.removeprefix("Pulumi.") for path in REPOSITORY.glob("Pulumi.*.yaml")} == set(STACKS)


def test_it_previews_without_problems(recordings: Recordings, name: str) -> None:
    recording = recording_of(recordings, name)
    assert recording.messages(Severity.ERROR) == ()
    assert (recording.program_stdout, recording.program_stderr) == ("", "")
    warnings = first_lines(recording, Severity.WARNING)
    assert len(warnings) == len(WARNINGS[name])
    assert set(warnings) == WARNINGS[name]
    assert {server.name for server in of_type(recording, INFERENCE_SERVER)} == servers_of(name).keys()
    assert recording.exports["servers"].keys() == servers_of(name).keys()


def test_its_manifests_are_complete(recordings: Recordings, name: str) -> None:
    manifests = manifests_of(recording_of(recordings, name))
    documents = [yaml.safe_load(manifest.text) for manifest in manifests]
    assert not [manifest.file_name for manifest in manifests if manifest.has_unknowns]
    deployments = {document["metadata"]["name"] for document in documents if document["kind"] == "Deployment"}
    assert deployments == servers_of(name).keys()


def test_it_says_of_every_preset_what_it_does_and_nothing_of_others(recordings: Recordings, name: str) -> None:
    expected = {f"servers.{server}:": set(settings.get("presets", ())) for server, settings in servers_of(name).items()}
    notes = [log.message.split("\n  ") for log in recording_of(recordings, name).messages(Severity.INFO)]
    assert len(notes) == len(expected)
    assert {note[0]: {line.partition(":")[0] for line in note[3:]} for note in notes} == expected
    assert all(START.match(note[2]) for note in notes)


def test_it_says_of_every_server_first_that_it_fits(recordings: Recordings, name: str) -> None:
    notes = [log.message.split("\n  ") for log in recording_of(recordings, name).messages(Severity.INFO)]
    verdicts = {note[0].removeprefix("servers.").removesuffix(":"): VERDICT.fullmatch(note[1]) for note in notes}
    assert verdicts.keys() == servers_of(name).keys()
    for server, settings in servers_of(name).items():
        verdict = verdicts[server]
        assert verdict, notes
        # Where the file says nothing: Gemma 7B's own 8,192 tokens, or what TGI before 3.0 takes.
        default = 4096 if settings["server"] == "tgi" else 8192
        assert verdict["context"] == f"{settings.get('maxModelLen', default):,}"
        assert (verdict["estimated"] is None) is ((name, server) in MEASURED)


@pytest.fixture(scope="module")
def techniques(shared: Shared) -> dict[str, str]:
    """What the command prints for the stack with two techniques: as text, and as document."""

    def make() -> dict[str, str]:
        file = shared.directory_of(TECHNIQUES) / "Pulumi.test.yaml"
        file.write_text(TECHNIQUES, encoding="utf-8")
        printed = {}
        for kind, options in {"text": [], "document": ["--json"]}.items():
            ended = preview_command(["--config-file", file, *options])
            assert (ended.returncode, ended.stderr) == (0, "")
            printed[kind] = ended.stdout
        return printed

    return shared.once("printed with two techniques", make)


def test_decisions_appear_in_the_text(techniques: dict[str, str]) -> None:
    assert notes_of(techniques["text"]) == [" ".join(DECISIONS), " ".join(PLAIN)]


def test_decisions_appear_in_the_document(techniques: dict[str, str]) -> None:
    document = json.loads(techniques["document"])
    assert document["notes"] == [{"message": "\n  ".join(lines), "urn": None} for lines in (DECISIONS, PLAIN)]
    assert document["warnings"] == []


def test_the_arguments_are_those_that_the_decisions_name(techniques: dict[str, str]) -> None:
    servers = {
        server["name"]: {one for one in server["args"] if "shutdown" not in one}
        for server in json.loads(techniques["document"])["servers"]
    }
    assert servers["gemma"] - servers["plain"] == {
        "--quantization=fp8",
        "--kv-cache-dtype=fp8_e4m3",
        "--max-num-seqs=128",
    }
    assert servers["plain"] <= servers["gemma"]


def test_pods_hang_on_the_version_of_a_token_that_the_stack_itself_keeps(recordings: Recordings) -> None:
    local = recordings.stack("local")
    (secret,), (deployment,) = of_type(local, SECRET), of_type(local, DEPLOYMENT)
    annotations = deployment.inputs["spec"]["template"]["metadata"]["annotations"]
    # Known when the Secret is made; what the API server counts, nothing of the token.
    assert annotations == {"llm-inference/token-version": ""}
    assert secret.urn in deployment.property_dependencies["spec"]
    for other in of_type(recordings.stack("prod"), DEPLOYMENT):
        assert "annotations" not in other.inputs["spec"]["template"]["metadata"]
