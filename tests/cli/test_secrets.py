"""No command prints a secret that somebody put where it does not belong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gke_llm_inference.cli.main import main

CORE = "Zk3q8R" + "vT1xW7" + "yB5nC9" + "mD2pF4" + "gH6jK0" + "sLaQeU"
TOKENS = {"Hugging Face": f"hf_{CORE}", "GitHub": f"ghp_{CORE}", "AWS": "AKIA" + CORE[:16].upper()}
STACK: dict[str, Any] = {
    "gke-llm-inference:cluster": {"mode": "autopilot", "location": "us-central1"},
    "gke-llm-inference:servers": {"chat": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}},
}
COMMANDS = {
    "plan": ["plan"],
    "plan as JSON": ["plan", "--json"],
    "settings": ["settings", "effective"],
    "settings with origins": ["settings", "effective", "--origin"],
    "settings as JSON": ["settings", "effective", "--json"],
}


def written(document: Any, directory: Path) -> str:
    path = directory / "Pulumi.test.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_token_as_any_key_of_a_stack_file_is_not_echoed(
    token: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places: dict[str, Any] = {
        "at the top": {"config": STACK, token: 1},
        "beside the settings": {"config": {**STACK, token: 1}},
        "with our namespace": {"config": {**STACK, f"gke-llm-inference:{token}": 1}},
        "as a namespace": {"config": {**STACK, f"{token}:x": 1}},
        "as no key": {"config": {**STACK, f"a:b:{token}": 1}},
        "twice": {"config": {**STACK, token: 1, f"gke-llm-inference:{token}": 1}},
        "as a value": {"config": {**STACK, "gke-llm-inference:namespace": token}},
        "as another's value": {"config": {**STACK, "other:x": {"y": [token]}}},
    }
    for where, document in places.items():
        assert main([*command, "--config-file", written(document, tmp_path)]) == 1, where
        printed = capsys.readouterr()
        assert token not in printed.out + printed.err, where
        assert "[secret]" in printed.err or "holds a" in printed.err, where


@pytest.mark.parametrize("command", [one for one in COMMANDS.values() if one[0] == "settings"])
@pytest.mark.parametrize(
    "variables",
    [{"DB_PASSWORD": "hunter2-abc"}, {"API_KEY": "hunter2-abc"}, {"LOG": "postgres://app:hunter2-abc@db/llm"}],
)
def test_settings_that_a_plan_refuses_as_secret_are_not_printed(
    variables: dict[str, str], command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = {**STACK["gke-llm-inference:servers"]["chat"], "extraEnv": variables}
    document = {"config": {**STACK, "gke-llm-inference:servers": {"chat": chat}}}
    assert main([*command, "--config-file", written(document, tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err
    assert "holds a secret" in printed.err


@pytest.mark.parametrize(
    "flag", ["--api-key=hunter2-abc", "--hf-token=hunter2-abc", "--ssl-keyfile-password=hunter2-abc"]
)
def test_arguments_that_a_plan_refuses_as_secret_are_not_printed(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = {**STACK["gke-llm-inference:servers"]["chat"], "extraArgs": [flag]}
    document = {"config": {**STACK, "gke-llm-inference:servers": {"chat": chat}}}
    assert main(["settings", "effective", "--config-file", written(document, tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err


def test_what_is_not_secret_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variables = {"GOOGLE_APPLICATION_CREDENTIALS": "/var/run/key.json", "TOKENIZERS_PARALLELISM": "false"}
    chat = {**STACK["gke-llm-inference:servers"]["chat"], "extraEnv": variables}
    document = {"config": {**STACK, "gke-llm-inference:servers": {"chat": chat}}}
    assert main(["settings", "effective", "--config-file", written(document, tmp_path)]) == 0
    assert "/var/run/key.json" in capsys.readouterr().out
