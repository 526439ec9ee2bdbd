"""A planted token, searched for in everything that a preview prints or writes."""

import json
import re
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest

from tests.support import Shared, files_below, preview_command

CIPHERTEXT = "v1:cGxhbnRlZA:U2FsdGVkUGxhbnRlZENpcGhlcnRleHQ="
TOKEN = "hf_PlantedPlantedPlanted0123456789"
LOWER_CASE = "hf_plantedplantedplanted9876543210"
IN_CLEAR = "holds a Hugging Face token in clear text"
PLANTED = ("PlantedCiphertext", "cGxhbnRlZA", "U2FsdGVk", TOKEN.removeprefix("hf_"), LOWER_CASE.removeprefix("hf_"))

CLUSTER = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}
  gke-llm-inference:huggingFace: {tokenSource: config}
"""
GEMMA = """
  gke-llm-inference:servers:
    gemma: {server: vllm, model: google/gemma-7b-it, maxModelLen: 4096}
"""
ENCRYPTED = f"""{CLUSTER}
  gke-llm-inference:huggingFaceToken: {{secure: "{CIPHERTEXT}"}}
  other:credential: {{secure: "{CIPHERTEXT}"}}
{GEMMA}
encryptionsalt: {CIPHERTEXT}
"""
REFUSED = f"""{CLUSTER}
  gke-llm-inference:huggingFaceToken: {TOKEN}
  gke-llm-inference:token: {TOKEN}
  gke-llm-inference:{TOKEN}: {TOKEN}
  gke-llm-inference:nodePools: {{l4: {{labels: {{owner: {{secure: "{CIPHERTEXT}"}}}}}}}}
  gke-llm-inference:servers:
    gemma:
      server: vllm
      model: {TOKEN}
      version: {TOKEN}
      token: {TOKEN}
      {TOKEN}: true
      servedModelName: {TOKEN}
      revision: {TOKEN}
      accelerator: {{type: {TOKEN}}}
      extraArgs: [--hf-token, {TOKEN}]
      labels: {{owner: {LOWER_CASE}}}
    owner: {{server: vllm, model: {TOKEN}/gemma}}
    {TOKEN}: {{server: {TOKEN}, model: google/gemma-7b-it}}
"""


class Preview(NamedTuple):
    """A finished preview and the files that it wrote."""

    ended: CompletedProcess[str]
    files: dict[str, bytes]

    def leaks(self) -> list[str]:
        """Where anything planted can be read."""
        places = {"stdout": self.ended.stdout.encode(), "stderr": self.ended.stderr.encode(), **self.files}
        everything = {**places, **{f"name of {name}": name.encode() for name in self.files}}
        return [f"{text} in {name}" for name, found in everything.items() for text in PLANTED if text.encode() in found]


def preview(shared: Shared, text: str, *options: str) -> Preview:
    """`python -m gke_llm_inference preview` of a stack file with this text, run once in a test run."""

    def make() -> Preview:
        directory = shared.directory_of(f"{options} {text}")
        (directory / "Pulumi.planted.yaml").write_text(text, encoding="utf-8")
        out = directory / "out"
        ended = preview_command(["--config-file", directory / "Pulumi.planted.yaml", "--out", out, *options])
        return Preview(ended, files_below(out))

    return shared.once(f"{options} {text}", make)


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_preview_of_an_encrypted_token_shows_and_writes_nothing_of_it(shared: Shared, options: tuple[str]) -> None:
    shown = preview(shared, ENCRYPTED, *options)
    assert shown.ended.returncode == 0, shown.ended.stderr
    assert "manifests/llm-inference-secret-hf-secret.yaml" in shown.files
    assert shown.leaks() == []


def test_an_encrypted_token_stays_a_marked_and_masked_secret(shared: Shared) -> None:
    shown = preview(shared, ENCRYPTED, "--json")
    resources = json.loads(shown.files["resources.json"])["resources"]
    (secret,) = [resource for resource in resources if resource["type"] == "kubernetes:core/v1:Secret"]
    assert secret["inputs"]["stringData"] == {"hf_api_token": "[secret]"}
    assert [path.split(".")[0].split("[")[0] for path in secret["secretInputs"]] == ["stringData"]
    assert b"hf_api_token: '[secret]'" in shown.files["manifests/llm-inference-secret-hf-secret.yaml"]
    assert json.loads(shown.ended.stdout)["warnings"] == []


def test_a_token_in_the_wrong_place_is_refused_without_being_repeated(shared: Shared) -> None:
    shown = preview(shared, REFUSED)
    assert shown.ended.returncode == 1
    assert shown.ended.stdout == ""
    assert shown.files == {}
    assert shown.leaks() == []


def test_every_wrong_place_of_a_token_is_named_before_anything_else(shared: Shared) -> None:
    message = preview(shared, REFUSED).ended.stderr
    problems = dict(re.findall(r"^([^\s:]+): (.*)$", message.partition("\n")[2], re.MULTILINE))
    assert {path for path, what in problems.items() if what == IN_CLEAR} >= {
        "servers.[secret]",
        "servers.[secret].server",
        "servers.gemma.[secret]",
        "servers.gemma.accelerator.type",
        "servers.gemma.extraArgs[1]",
        "servers.gemma.labels.owner",
        "servers.gemma.model",
        "servers.gemma.revision",
        "servers.gemma.servedModelName",
        "servers.gemma.token",
        "servers.gemma.version",
        "servers.owner.model",
    }
    assert problems["huggingFaceToken"] == "is not encrypted"
    assert {path for path, what in problems.items() if what != IN_CLEAR} <= {
        "[secret]",
        "huggingFaceToken",
        "nodePools",
        "token",
    }
    assert "fix: revoke it, then: pulumi config set --secret huggingFaceToken" in message


@pytest.mark.parametrize("path", ["token", "[secret]"])
def test_a_token_under_an_unknown_key_of_the_stack_is_called_one(shared: Shared, path: str) -> None:
    assert f"\n{path}: {IN_CLEAR}\n" in preview(shared, REFUSED).ended.stderr


def test_a_setting_that_holds_an_encrypted_value_is_refused(shared: Shared) -> None:
    message = preview(shared, REFUSED).ended.stderr
    assert "nodePools: holds an encrypted value" in message
    assert "only huggingFaceToken and API keys are secret" in message
