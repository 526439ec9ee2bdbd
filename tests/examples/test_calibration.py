"""The calibration example: its Job is the stack's server, and its script measures a server or leaves nothing."""

import contextlib
import importlib.util
import json
import os
import re
import socket
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from gke_llm_inference.settings.calibration_file import read_calibration
from tests.support import DEPLOYMENT, REPOSITORY, Recordings, find

FOLDER = REPOSITORY / "examples" / "calibration"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
MACHINE = {"gpuName": "NVIDIA L4", "hostLaunchUs": 5.25}
METRICS = """up 1
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="5000"} 1.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 200000.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 1600.0
"""
SERVER = """
import http.server, json, os, sys
if "--broken" in sys.argv: sys.exit("no such model")
ANSWERS = {
    "/health": "",
    "/version": json.dumps({"version": "0.26.0+cu130"}),
    "/v1/models": json.dumps({"data": [{"id": "m", "max_model_len": 8192}]}),
    "/metrics": %r,
}
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        if self.path == "/quit": os._exit(9)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(ANSWERS[self.path].encode())
port = next(word for word in sys.argv if word.startswith("--port=")).removeprefix("--port=")
http.server.HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


def script() -> ModuleType:
    """The example's script as a module."""
    spec = importlib.util.spec_from_file_location("calibrate", FOLDER / "calibrate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibrate"] = module
    spec.loader.exec_module(module)
    return module


calibrate = script()


def result(arguments: list[str], **changes: Any) -> None:
    """What `vllm bench serve` writes, with the keys that it documents."""
    asked = dict(word[2:].split("=", 1) for word in arguments if "=" in word)
    count, output = int(asked["num-prompts"]), int(asked["random-output-len"])
    figures = {
        "date": "20261130-173000",
        "backend": "openai",
        "num_prompts": count,
        "max_concurrency": int(asked["max-concurrency"]),
        "duration": 2.0,
        "completed": count,
        "failed": 0,
        "total_input_tokens": count * int(asked["random-input-len"]),
        "total_output_tokens": count * output,
        "output_throughput": count * output / 2.0,
        **{f"{start}_{name}_ms": 10.0 for start in ("mean", "median", "p90") for name in ("ttft", "tpot", "itl")},
        "p90_ttft_ms": 25.0,
        **changes,
    }
    (Path(asked["result-dir"]) / asked["result-filename"]).write_text(json.dumps(figures))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command of a server that answers as vLLM does."""
    program = tmp_path / "server.py"
    program.write_text(SERVER % METRICS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pause = calibrate.time.sleep
    monkeypatch.setattr(calibrate.time, "sleep", lambda _: pause(0.02))
    monkeypatch.setattr(calibrate, "DYING_SECONDS", 0.1)
    return [sys.executable, "-S", "-E", str(program), "serve", MODEL, f"--port={port}", "--quantization=fp8"]


def run(tmp_path: Path, command: list[str], benchmark: Any, *options: str) -> int:
    given = ["--gpu=nvidia-l4", "--weights-format=fp8", f"--scratch={tmp_path}", *options, "--", *command]
    status: int = calibrate.main(given, benchmark=benchmark, hardware=lambda: MACHINE)
    return status


def nothing_left(tmp_path: Path) -> bool:
    return [path.name for path in tmp_path.iterdir()] == ["server.py"]


def test_a_server_is_measured(tmp_path: Path, command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    asked: list[list[str]] = []

    def benchmark(arguments: list[str]) -> None:
        asked.append(arguments)
        os.write(1, b"printed by the benchmark\n")
        result(arguments)

    assert run(tmp_path, command, benchmark, f"--out={tmp_path / 'l4.json'}", "--note=a word") == 0
    written = (tmp_path / "l4.json").read_text()
    out, err = capfd.readouterr()
    assert out == f"-----BEGIN CALIBRATION-----\n{written}-----END CALIBRATION-----\n"
    assert "printed by the benchmark" in err
    assert "calibrate: 96 requests of 1024 + 128 tokens, 32 at once" in err
    found = read_calibration(tmp_path / "l4.json", "servers.llama.calibration")
    assert (found.gpu, found.gpu_name, found.host_launch_us) == ("nvidia-l4", "NVIDIA L4", 5.25)
    assert (found.version, found.model, found.weights_format) == ("0.26.0", MODEL, "fp8")
    assert (found.max_model_len, found.kv_cache_tokens, found.enforce_eager) == (8192, 80_000, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, a word", found.measured)
    assert [(step.sequences, step.context, step.step_ms) for step in found.decodes] == [
        *((count, 160, 10.0) for count in (1, 4, 16, 32, 64)),
        *((count, context, 10.0) for count, context in ((1, 2080), (8, 1056), (32, 1056))),
    ]
    assert [(loop.concurrency, loop.output_tokens, loop.output_tokens_per_second) for loop in found.loops] == [
        (1, 32.0, 96.0),
        (8, 128.0, 2048.0),
        (32, 128.0, 6144.0),
    ]
    # No two loads have the same prompts: the prefix cache would have them.
    seeds = [word for arguments in asked for word in arguments if word.startswith("--seed=")]
    assert len(seeds) == len(set(seeds)) == 12


def test_loads_that_do_not_fit_are_left_out(tmp_path: Path, command: list[str], capfd: Any) -> None:
    program = tmp_path / "server.py"
    program.write_text(program.read_text().replace("8192", "1200").replace('"5000"', '"400"'))
    assert run(tmp_path, [*command, "--max-num-seqs", "20"], result, f"--out={tmp_path / 'l4.json'}") == 0
    found = read_calibration(tmp_path / "l4.json", "calibration")
    assert [(step.sequences, step.context) for step in found.decodes] == [(1, 160), (4, 160), (16, 160)]
    assert [loop.input_tokens for loop in found.loops] == [1024, 512]
    assert found.max_num_seqs == 20


def test_a_server_without_room_is_refused(tmp_path: Path, command: list[str], capfd: Any) -> None:
    program = tmp_path / "server.py"
    program.write_text(program.read_text().replace('"5000"', '"20"'))
    assert run(tmp_path, command, result, f"--out={tmp_path / 'l4.json'}") == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == (
        "calibrate: failed: the server has room for 1 of the decode steps and 0 of the loops; "
        "give it a longer --max-model-len or more memory for its KV cache"
    )


@pytest.mark.parametrize(
    ("extra", "benchmark", "told"),
    [
        (["--broken"], result, "failed: the server ended with status 1; its last lines are above"),
        ([], lambda arguments: result(arguments, completed=0), "failed: requests of the benchmark failed; "),
        ([], lambda arguments: None, "failed: the benchmark failed: FileNotFoundError"),
        ([], lambda arguments: sys.exit(2), "failed: the benchmark failed: SystemExit: 2"),
        (
            [],
            lambda arguments: result(arguments, median_itl_ms=0.0),
            "failed: the benchmark's result has no median_itl_ms",
        ),
        ([], lambda arguments: result(arguments, p90_ttft_ms="x"), "failed: the benchmark's result has no p90_ttft_ms"),
    ],
    ids=["never starts", "requests fail", "writes nothing", "refuses its arguments", "no figure", "not a number"],
)
def test_what_fails_leaves_nothing(
    tmp_path: Path, command: list[str], capfd: Any, extra: list[str], benchmark: Any, told: str
) -> None:
    assert run(tmp_path, [*command, *extra], benchmark, f"--out={tmp_path / 'l4.json'}") == 1
    out, err = capfd.readouterr()
    assert (out, nothing_left(tmp_path)) == ("", True)
    assert err.splitlines()[-1].startswith(f"calibrate: {told}")


def test_prompts_that_were_cached_are_told(tmp_path: Path, command: list[str], capfd: Any) -> None:
    program = tmp_path / "server.py"
    program.write_text(program.read_text().replace("1600.0", "84000.0"))
    assert run(tmp_path, command, result, f"--out={tmp_path / 'l4.json'}") == 1
    out, err = capfd.readouterr()
    assert (out, nothing_left(tmp_path)) == ("", True)
    assert err.splitlines()[-1] == (
        "calibrate: failed: 42% of the prompts' tokens came from the prefix cache: they are too alike here; "
        "add --no-enable-prefix-caching to the server's command"
    )


def test_a_server_that_dies_is_told(
    tmp_path: Path, command: list[str], capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "DYING_SECONDS", 60)

    def benchmark(arguments: list[str]) -> None:
        if "--max-concurrency=32" in arguments:
            (port,) = (word.removeprefix("--port=") for word in arguments if word.startswith("--port="))
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/quit", timeout=5)
            raise ConnectionResetError("reset by peer")
        result(arguments)

    assert run(tmp_path, command, benchmark, f"--out={tmp_path / 'l4.json'}") == 1
    out, err = capfd.readouterr()
    assert (out, nothing_left(tmp_path)) == ("", True)
    assert err.splitlines()[-1] == "calibrate: failed: the server ended with status 9; its last lines are above"


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, command: list[str], capfd: Any) -> None:
    assert run(tmp_path, command, result, f"--out={tmp_path / 'missing' / 'l4.json'}") == 1
    assert capfd.readouterr().out == ""


def test_a_command_that_is_not_there_is_told(tmp_path: Path, capfd: Any) -> None:
    assert run(tmp_path, [str(tmp_path / "vllm"), "serve", MODEL], result) == 1
    assert "failed: the server cannot be started: No such file or directory" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("config", "flags", "expected"),
    [
        ({}, [], "bf16"),
        ({}, ["--quantization=fp8"], "fp8"),
        ({}, ["--quantization", "bitsandbytes"], "bitsandbytes"),
        ({"quant_method": "fp8"}, [], "ctfp8"),
        ({"quant_method": "awq", "bits": 4}, [], "awq"),
        ({"quant_method": "awq"}, ["--quantization=awq_marlin"], "awq"),
        ({"quant_method": "gptq", "bits": 8}, [], "gptq8"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, [], "ctw4a16"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, [], "ctfp8"),
    ],
)
def test_the_weights_format_is_the_checkpoints(
    tmp_path: Path, config: dict[str, Any], flags: list[str], expected: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": config} if config else {}))
    assert calibrate._weights_format(["vllm", "serve", str(tmp_path), *flags]) == expected


def test_an_unknown_weights_format_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "aqlm"}}))
    with pytest.raises(calibrate.Failed, match="the weights format aqlm is not known here; name it with --weights-"):
        calibrate._weights_format(["vllm", "serve", str(tmp_path)])


def test_the_script_is_of_the_format_that_is_read() -> None:
    from gke_llm_inference.settings import calibration

    assert calibrate.FORMAT == calibration.FORMAT


def test_the_job_runs_the_server_of_the_stack(recordings: Recordings) -> None:
    job = yaml.safe_load((FOLDER / "job.yaml").read_text("utf-8"))
    pod = job["spec"]["template"]["spec"]
    recording = recordings.file(FOLDER / "Pulumi.calibrated.yaml")
    deployment = find(recording, DEPLOYMENT, "llama-deployment").inputs["spec"]["template"]["spec"]
    own, servers = pod.pop("containers")[0], deployment["containers"][0]
    assert own["command"][4:] == servers["command"]
    assert own["command"][:4] == ["python3", "/calibration/calibrate.py", "--gpu=nvidia-l4", "--"]
    assert own["command"][2].partition("=")[2] == pod["nodeSelector"]["cloud.google.com/gke-accelerator"]
    for key in ("args", "image", "imagePullPolicy", "securityContext", "workingDir"):
        assert own[key] == servers[key], key
    assert sorted(own["env"], key=lambda one: one["name"]) == sorted(servers["env"], key=lambda one: one["name"])
    for kind in ("limits", "requests"):
        assert own["resources"][kind] == {**servers["resources"][kind], "memory": "18Gi"}
        assert servers["resources"][kind]["memory"] == "14Gi"
    added = {"mountPath": "/calibration", "name": "script", "readOnly": True}
    assert own["volumeMounts"] == [*servers["volumeMounts"], added]
    assert pod["volumes"] == [*deployment["volumes"], {"name": "script", "configMap": {"name": "calibrate"}}]
    for key in ("automountServiceAccountToken", "enableServiceLinks", "nodeSelector", "securityContext", "tolerations"):
        assert pod[key] == deployment[key], key
    assert (pod["restartPolicy"], job["spec"]["backoffLimit"]) == ("Never", 0)


def test_kustomize_gives_the_job_its_script_where_the_server_is(recordings: Recordings) -> None:
    customization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
    recording = recordings.file(FOLDER / "Pulumi.calibrated.yaml")
    deployment = find(recording, DEPLOYMENT, "llama-deployment").inputs
    assert customization["namespace"] == deployment["metadata"]["namespace"]
    assert customization["configMapGenerator"] == [{"name": "calibrate", "files": ["calibrate.py"]}]
    assert customization["resources"] == ["job.yaml"]
