"""SDKs that Pulumi's own generators make of the schema: they compile, and programs against them are checked."""

import os
from pathlib import Path
from unittest import mock

import pytest

from gke_llm_inference.preview.recording import Recording
from gke_llm_inference.preview.run import record
from gke_llm_inference.provider.arguments import STACK_TYPE
from gke_llm_inference.version import __version__
from tests.languages.support import EXAMPLES, SETTINGS, TypeScript, example_in, run
from tests.support import find, project_with

STACK = """\
import * as pulumi from "@pulumi/pulumi";
import * as inference from "gke-llm-inference";
const later: pulumi.Output<string> = new pulumi.Config().requireSecret("later");
const model = "Qwen/Qwen2.5-7B-Instruct";
new inference.InferenceStack("chat", {
    cluster: { mode: "autopilot", location: "us-central1" },
    nodePools: { l4: { maxNodes: 2 } },
    servers: { qwen: { server: "vllm", model: model } },
});
"""
SERVER = """
new inference.InferenceServer("qwen", {
    profile: "autopilot",
    huggingFace: { tokenSource: "existingSecret", secretName: "hub" },
    server: { server: "tgi", model: model, provisioning: { model: "reservation", name: "l4s" } },
    tokenVersion: later,
}, { providers: [] });
"""

PYTHON = """\
import pulumi
import pulumi_gke_llm_inference as inference

stack = inference.InferenceStack(
    "chat",
    cluster=inference.ExistingClusterArgs(mode="existing", kubeconfig_context="local"),
    hugging_face=inference.ConfigTokenArgs(token_source="config"),
    hugging_face_token=pulumi.Output.secret("hf_plantedPlantedPlanted0123456789"),
    servers={
        "gemma": inference.VllmSettingsArgs(
            server="vllm",
            model="google/gemma-7b-it",
            accelerator=inference.ServerAcceleratorArgs(type="nvidia-l4", count=1),
            max_model_len=4096,
        )
    },
)
pulumi.export("servers", stack.servers)
"""


def assert_passes_the_settings(recording: Recording) -> None:
    component = find(recording, STACK_TYPE, "chat")
    assert component.options["remote"] is True
    assert component.inputs == {**SETTINGS, "huggingFaceToken": "[secret]"}
    assert component.secret_inputs == ("huggingFaceToken",)


def test_the_typescript_example_keeps_to_its_sdk(typescript: TypeScript) -> None:
    assert typescript.problems() == []
    assert typescript.problems(STACK + SERVER) == []


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        pytest.param("model: model", "model: later", "TS2322", id="an Output for plain text"),
        pytest.param('location: "us-central1"', "location: later", "TS2322", id="an Output in a union"),
        pytest.param("maxNodes: 2", "maxNodes: '2'", "TS2322", id="text for a number"),
        pytest.param("maxNodes: 2", "maxNode: 2", "TS2561", id="misspelled"),
        pytest.param(", model: model", "", "TS2322", id="missing in a union"),
        pytest.param('"autopilot"', '"autopilott"', "TS2820", id="not a choice"),
        pytest.param('location: "us-central1"', 'location: "us-central1", zones: []', "TS2353", id="of another choice"),
        pytest.param('    servers: { qwen: { server: "vllm", model: model } },\n', "", "TS2345", id="missing"),
    ],
)
def test_the_type_checker_finds_what_the_provider_would_refuse(
    typescript: TypeScript, old: str, new: str, error: str
) -> None:
    assert STACK.count(old) == 1
    problems = typescript.problems(STACK.replace(old, new))
    assert problems
    assert {problem.split(": ")[1].removeprefix("error ") for problem in problems} == {error}


def test_the_typescript_example_passes_what_it_says(typescript: TypeScript) -> None:
    assert_passes_the_settings(typescript.recorded())


def test_the_go_example_compiles_against_its_sdk(sdks: Path, tmp_path: Path) -> None:
    project = example_in(tmp_path / "go", "go", sdks / "go")
    run(["go", "vet", "./..."], project)
    assert run(["gofmt", "-l", EXAMPLES / "go", Path(__file__).parent / "go"], project).splitlines() == []
    before = {name: (project / name).read_text("utf-8") for name in ("go.mod", "go.sum")}
    run(["go", "mod", "tidy"], project)
    assert {name: (project / name).read_text("utf-8") for name in before} == before


def test_the_sdk_for_python_passes_what_a_program_says(sdks: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PYTHON, "utf-8")
    (tmp_path / "project").mkdir()
    project = project_with(tmp_path / "project", program)
    # What an installation adds: the SDK asks for its own version.
    metadata = sdks / "python" / f"pulumi_gke_llm_inference-{__version__}.dist-info" / "METADATA"
    metadata.parent.mkdir(exist_ok=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: pulumi_gke_llm_inference\nVersion: {__version__}\n", "utf-8")
    with mock.patch.dict(os.environ, {"PYTHONPATH": str(sdks / "python")}):
        assert_passes_the_settings(record(project, "test"))


def test_the_lock_file_of_npm_names_no_registry() -> None:
    text = (EXAMPLES / "typescript" / "package-lock.json").read_text("utf-8")
    assert text.count('"resolved"') == text.count('"resolved": "sdks/gke-llm-inference"') == 1
