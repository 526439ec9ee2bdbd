"""Calibration files: what is read, and what of them is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gke_llm_inference.settings import Refusal
from gke_llm_inference.settings.calibration import Calibration
from gke_llm_inference.settings.calibration_file import read_calibration

PATH = "servers.llama.calibration"
TIMES = {"p50": 90.5, "p90": 140}
LOOP = {
    "concurrency": 8,
    "requests": 32,
    "inputTokens": 512,
    "outputTokens": 127.5,
    "outputSpread": 0.5,
    "ttftMs": TIMES,
    "tpotMs": {"p50": 12, "p90": 13.5},
    "outputTokensPerSecond": 480.25,
}
DECODE = {"sequences": 1, "context": 160, "stepMs": 10.25}
WHOLE: dict[str, Any] = {
    "format": 1,
    "measured": "2026-11-30 17:30 UTC",
    "gpu": "nvidia-l4",
    "gpuName": "NVIDIA L4",
    "server": "vllm",
    "version": "0.26.0",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "weightsFormat": "fp8",
    "kvCacheDtype": "auto",
    "tensorParallel": 1,
    "maxModelLen": 8192,
    "kvCacheTokens": 80_000,
    "enforceEager": False,
    "hostLaunchUs": 5.25,
    "decodes": [DECODE, {**DECODE, "sequences": 8}],
    "loops": [LOOP],
}
WRITTEN = "name a file that examples/calibration wrote"


def read(tmp_path: Path, content: Any) -> Calibration:
    file = tmp_path / "l4.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_calibration(file, PATH)


def told(tmp_path: Path, content: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(Refusal) as caught:
        read(tmp_path, content)
    assert {problem.path for problem in caught.value.problems} == {PATH}
    return [(problem.what, problem.why, problem.fix) for problem in caught.value.problems]


def test_a_file_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert (found.gpu, found.host_launch_us, found.weights_format) == ("nvidia-l4", 5.25, "fp8")
    assert [(step.sequences, step.context) for step in found.decodes] == [(1, 160), (8, 160)]
    (loop,) = found.loops
    assert (loop.concurrency, loop.output_spread, loop.ttft_ms.p90) == (8, 0.5, 140.0)
    with pytest.raises(ValidationError):
        found.gpu = "nvidia-h100-80gb"  # type: ignore[misc]


def test_what_may_be_left_out_is_the_servers_default(tmp_path: Path) -> None:
    optional = ("weightsFormat", "kvCacheDtype", "tensorParallel", "enforceEager", "hostLaunchUs")
    found = read(tmp_path, {key: value for key, value in WHOLE.items() if key not in optional})
    assert (found.weights_format, found.kv_cache_dtype, found.tensor_parallel) == ("bf16", "auto", 1)
    assert (found.enforce_eager, found.host_launch_us, found.max_num_seqs) == (False, None, None)
    assert found.api_server


@pytest.mark.parametrize("content", ["", "{", "format: 1", b"\xff\xfe", "[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path: Path, content: Any) -> None:
    assert told(tmp_path, content) == [("l4.json is not JSON", "a calibration is a small JSON object", WRITTEN)]


def test_what_is_no_object_is_refused(tmp_path: Path) -> None:
    assert told(tmp_path, []) == [("l4.json is not a calibration", "a calibration is a small JSON object", WRITTEN)]


def test_another_json_file_is_refused(tmp_path: Path) -> None:
    assert told(tmp_path, {"hidden_size": 4096}) == [
        ("l4.json is not a calibration", "it does not state its format", WRITTEN)
    ]


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    assert told(tmp_path, json.dumps(WHOLE) + " " * 2**20) == [
        ("l4.json is larger than 1 MiB", "a calibration is a small JSON object", WRITTEN)
    ]


@pytest.mark.parametrize("stated", [0, 2, 17])
def test_a_newer_format_is_refused_as_such(tmp_path: Path, stated: int) -> None:
    assert told(tmp_path, {**WHOLE, "format": stated, "someday": True}) == [
        (
            f"l4.json has format {stated}",
            "this version reads format 1",
            "measure again with this version's examples/calibration",
        )
    ]


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in (
        ("missing", "No such file or directory"),
        (".", "Is a directory"),
        ("pipe", "it is a device, a pipe or a socket, not an ordinary file"),
    ):
        with pytest.raises(Refusal) as caught:
            read_calibration(tmp_path / name, PATH)
        (problem,) = caught.value.problems
        assert (problem.why, problem.fix) == (why, "correct the path")


def test_every_problem_is_told_at_its_place(tmp_path: Path) -> None:
    wrong = {
        **WHOLE,
        "gpux": "x",
        "decodes": [DECODE, {**DECODE, "stepMs": 0}],
        "loops": [{**LOOP, "ttftMs": {"p50": 3, "p90": 2}}],
    }
    assert [what for what, _, _ in told(tmp_path, wrong)] == [
        "l4.json: decodes[1].stepMs input should be greater than 0",
        "l4.json: gpux is not a known key",
        "l4.json: loops[0].ttftMs its p90 is below its p50",
    ]


def test_a_loop_that_no_such_server_serves_is_refused(tmp_path: Path) -> None:
    assert told(tmp_path, {**WHOLE, "maxModelLen": 600}) == [
        (
            "l4.json: has a loop of 640 tokens a request, more than the server takes",
            "its context is 600 tokens, and its KV cache holds 80,000",
            "measure again: the file was changed",
        )
    ]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", '"9"', "true", "null", "-1"])
def test_a_time_is_a_positive_number(tmp_path: Path, value: str) -> None:
    text = json.dumps({**WHOLE, "decodes": [DECODE, {**DECODE, "stepMs": 77}]}).replace("77", value)
    (problem,) = told(tmp_path, text)
    assert problem[0].startswith("l4.json: decodes[1].stepMs ")


def test_a_token_in_a_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    token = "hf_" + "a" * 34
    ((what, _, fix),) = told(tmp_path, {**WHOLE, "gpuName": token})
    assert what == "l4.json: gpuName holds a Hugging Face token in clear text"
    assert token not in what + fix


@pytest.mark.parametrize(("decodes", "loops"), [(1, 1), (0, 1), (2, 0)])
def test_too_few_figures_are_refused(tmp_path: Path, decodes: int, loops: int) -> None:
    assert told(tmp_path, {**WHOLE, "decodes": [DECODE] * decodes, "loops": [LOOP] * loops}) == [
        (
            f"l4.json: has {decodes} decode steps and {loops} loops",
            "what is fitted to fewer than 2 steps and one loop says nothing",
            "measure again: the file was changed",
        )
    ]


@given(key=st.sampled_from(sorted(WHOLE)), value=st.none() | st.text(max_size=3) | st.integers() | st.lists(st.none()))
def test_whatever_stands_in_a_file_is_read_or_refused(tmp_path_factory: Any, key: str, value: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps({**WHOLE, key: value}))
    try:
        read_calibration(file, PATH)
    except Refusal as refusal:
        problems = refusal.problems
    else:
        return
    assert problems
    assert all(problem.path == PATH and problem.what and problem.why for problem in problems)
